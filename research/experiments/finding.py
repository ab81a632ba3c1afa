"""What an experiment found: one claim, one verdict, one sentence, and the numbers they rest on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from engine.trials import Trial

CONFIRMED, REFUTED, UNDECIDED = "confirmed", "refuted", "not decidable at n"
WORTH = 0.001  # of the no-skill loss: the lower end of what is realistic (METHODS section 3); less is not worth having
DIGITS = 6


class Column(NamedTuple):
    """A column of a finding's table: what stands above it, and how Python formats its numbers."""

    head: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """One configuration judged on bars it was not fitted on: a line of the leaderboard.

    Parameters
    ----------
    name : str
        What was judged.
    target : str
        What it foresaw, or ``-`` for a rule that foresees nothing.
    zone : str
        Where it was judged: ``validation`` or ``walk-forward``.
    figures : dict of str to float or None
        Any of n, n_eff, base_rate, loss, no_skill, skill, skill_se, auc, auc_low, auc_high, trades, net_bp, net_low,
        net_high, sharpe, sharpe_low, sharpe_high.
    """

    name: str
    target: str
    zone: str
    figures: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer of one experiment.

    Parameters
    ----------
    verdict : str
        ``confirmed``, ``refuted`` or ``not decidable at n``.
    sentence : str
        Why, with its numbers.
    columns : tuple of Column
        Of the table.
    rows : tuple of tuples
        Numbers, texts or None.
    numbers : dict
        What the verdict was made of, and what else is worth keeping.
    n, n_eff : int, float or None
        Observations judged, and how many independent ones they are worth.
    seeds : tuple of int
        Of everything that threw dice.
    standings : tuple of Standing
        For the leaderboard.
    trials : tuple of Trial
        Every configuration whose returns were scored, for the trial ledger.
    measured : dict
        Times and sizes of this machine on this day: no part of what must be equal when repeated.
    """

    verdict: str
    sentence: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    numbers: dict[str, Any]
    n: int
    n_eff: float | None = None
    seeds: tuple[int, ...] = ()
    standings: tuple[Standing, ...] = ()
    trials: tuple[Trial, ...] = ()
    measured: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as JSON keeps it: six digits, None for what is not known."""
        return plain(
            {
                "verdict": self.verdict,
                "sentence": self.sentence,
                "n": self.n,
                "n_eff": self.n_eff,
                "seeds": list(self.seeds),
                "numbers": self.numbers,
                "columns": [list(column) for column in self.columns],
                "rows": [list(row) for row in self.rows],
                "standings": [{"name": s.name, "target": s.target, "zone": s.zone} | s.figures for s in self.standings],
                "measured": self.measured,
            }
        )


def plain(value: Any) -> Any:
    """Return a value with numbers to six digits, and None where one is not finite.

    Examples
    --------
    >>> plain({"loss": 0.69314718, "skill": float("nan"), "n": 3})
    {'loss': 0.693147, 'skill': None, 'n': 3}
    """
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value


def judge_gain(low: float | None, high: float | None, worth: float = 0.0) -> str:
    """Return the verdict on a gain from its interval.

    Refuted when even the best of it is not worth having, confirmed when it is above zero for certain.

    Examples
    --------
    >>> judge_gain(0.1, 0.4), judge_gain(-0.3, -0.1), judge_gain(-0.1, 0.3)
    ('confirmed', 'refuted', 'not decidable at n')
    """
    if low is None or high is None:
        return UNDECIDED
    if high < worth:
        return REFUTED
    return CONFIRMED if low > 0.0 else UNDECIDED


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return p-values that hold for all of several questions at once (Holm 1979).

    Examples
    --------
    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    out, top = [1.0] * len(p_values), 0.0
    for i, which in enumerate(sorted(range(len(p_values)), key=lambda k: p_values[k])):
        top = max(top, min(1.0, p_values[which] * (len(p_values) - i)))
        out[which] = top
    return tuple(out)
