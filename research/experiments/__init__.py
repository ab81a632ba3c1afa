"""Every headline claim the project grew from, as one command, one JSON, one table and one sentence.

An experiment is a module with a ``CLAIM``, a pure ``verdict`` and ``run(lab) -> Finding``; `EXPERIMENTS` names it.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.errors import unknown


class Experiment(NamedTuple):
    """A module here, about how many seconds its full and its quick form take, and the folders of --extra it needs."""

    module: str
    full_s: float
    quick_s: float
    extra: tuple[str, ...] = ()


EXPERIMENTS: dict[str, Experiment] = {
    "A1": Experiment("next_bar", 60, 12),
    "A2": Experiment("barrier_loss", 120, 30),
    "A3": Experiment("lazy_windows", 5, 2),
    "A4": Experiment("regime_states", 60, 4),
    "A5": Experiment("regime_filter", 60, 15),
    "A6": Experiment("tuning_luck", 400, 20),
    "A7": Experiment("sniper_record", 40, 10),
    "A8": Experiment("audited_record", 60, 15),
    "A9": Experiment("auditor_skill", 40, 8),
    "A10": Experiment("noise_importance", 200, 10),
    "A11": Experiment("depth_and_nans", 900, 45),
    "A12": Experiment("macro_news", 120, 20, ("macro",)),
    "A13": Experiment("contrastive_probe", 1800, 45),
    "A14": Experiment("fractional_memory", 120, 20),
    "A15": Experiment("agents_offset", 60, 15),
    "A16": Experiment("power_before_live", 60, 10),
    "A17": Experiment("streaming_or_windowed", 1500, 30),
    "A18": Experiment("pooled_or_alone", 60, 10, ("alts_perp_30m",)),
    "A19": Experiment("funding_news", 900, 20, ("macro", "perp")),
}


def all_names() -> str:
    """Return which experiments there are, in a few letters: A1 to the last."""
    first, *_, last = EXPERIMENTS
    return f"{first} to {last}"


def chosen(names: list[str], everything: bool) -> list[str]:
    """Return the experiments asked for, in the order of the list.

    Raises
    ------
    UsageError
        For a name nobody registered, with the nearest that is.

    Examples
    --------
    >>> chosen(["a2", "A1"], False)
    ['A1', 'A2']
    """
    asked = [name.upper() for name in names]
    for name in asked:
        if name not in EXPERIMENTS:
            raise unknown("experiment", name, EXPERIMENTS)
    return [name for name in EXPERIMENTS if everything or name in asked]
