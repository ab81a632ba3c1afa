"""A sweep of a bundle as a record: what was asked, what every combo earned, and what choosing is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from engine.bars import format_time
from engine.sweep.market import COLUMNS
from engine.sweep.result import Place, SweepResult
from engine.sweep.selection import Selection

SCHEMA = "tradsys.sweep/1"


@dataclass(frozen=True, slots=True)
class Swept:
    """A sweep, what its best combo is worth, and where it was made.

    Parameters
    ----------
    found : SweepResult
        The figures.
    selection : Selection or None
        The best combo; None where no combo traded.
    zone : str
        Stretch swept on.
    gates : str
        Which gates stood before every combo.
    in_sample : float
        Share of the bars that the models were fitted on, in [0, 1].
    about : dict
        Bundle, data and confidence mode, as a comparison records them.
    notes : tuple of str
        What else a reader must know before believing a figure.
    """

    found: SweepResult
    selection: Selection | None
    zone: str
    gates: str
    in_sample: float
    about: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    def top(self, count: int) -> list[Place]:
        """Return the places of the best Sharpe ratios; those with too few trades only where no other is."""
        return self.found.ranked(count) or self.found.ranked(count, fewest=1)

    def as_dict(self, top: int = 10) -> dict[str, Any]:
        """Return the record as JSON carries it; columns run through the grid, holds fastest, thresholds slowest."""
        found, bars = self.found, self.found.bars
        rules = asdict(found.rules)
        for name in ("k_up", "k_down", "hold"):
            del rules[name]  # the grid's
        return {
            "schema": SCHEMA,
            **self.about,
            "market": {"symbol": bars.symbol, "timeframe": bars.timeframe, "sessions": bars.sessions},
            "zone": {
                "name": self.zone,
                "first": format_time(bars.open_time[0]),
                "last": format_time(bars.open_time[-1]),
                "bars": len(bars),
                "in_sample": self.in_sample,
            },
            "gates": self.gates,
            "rules": rules | {"fills": found.rules.fills._asdict()},
            "grid": asdict(found.grid),
            "combos": len(found),
            "figures": {name: _plain(found, name) for name in COLUMNS},
            "top": [row_of(found, place) for place in self.top(top)],
            "selection": None if self.selection is None else self._selection(self.selection),
            "notes": list(self.notes),
        }

    def _selection(self, chosen: Selection) -> dict[str, Any]:
        record, overfit = chosen.assessment, chosen.overfit
        return {
            "best": row_of(self.found, chosen.best),
            "few_trades": chosen.few,
            "plateau": asdict(chosen.plateau),
            "sharpe": {"value": record.sharpe.value, "low": record.sharpe.low, "high": record.sharpe.high},
            "dsr": {
                "value": record.deflated.value,
                "raw": record.deflated.raw,
                "effective": record.deflated.effective,
                "trials": record.deflated.trials,
                "effective_trials": record.deflated.effective_trials,
                "luck": record.luck,
            },
            "pbo": {"value": overfit.pbo, "combos": overfit.trials, "halves": overfit.halves, "why": overfit.why},
            "sentences": list(chosen.sentences),
        }


def row_of(found: SweepResult, place: Place) -> dict[str, Any]:
    """Return one combo with its figures and its neighbours'."""
    plateau = found.plateau(place)
    return {
        "place": list(place),
        **found.combo(place)._asdict(),
        **found.at(place),
        "neighbours": {"median": plateau.median, "worst": plateau.worst},
    }


def _plain(found: SweepResult, name: str) -> list[float | None]:
    column = found.figures[COLUMNS.index(name)]
    return [value if np.isfinite(value) else None for value in column.tolist()]
