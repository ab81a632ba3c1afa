"""Strategies side by side: the same bars, the same costs, the same questions.

No profile stands alone. Two profiles that differ in two things cannot be compared, so the
whole grid of gates between them is scored too, and buy and hold beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from engine.bars import Bars, Floats, format_time
from engine.controls import breakout, cash, daily_volatility, hold, matched_hold, no_model
from engine.errors import DataError
from engine.funding import funding_told, is_perpetual, known_share
from engine.rules import Rules
from engine.score import Score, score
from engine.signals import FIRST_VETO, NO_EVIDENCE, Signals, Strategy, Verdicts
from engine.simulate import Result, simulate

SCHEMA = "tradsys.compare/1"
PROFILE, GRID, CONTROL = "profile", "grid", "control"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a comparison.

    Parameters
    ----------
    name : str
        What was run.
    kind : str
        ``profile``, ``grid`` (a combination of gates between the profiles) or ``control``.
    terms : dict
        Threshold, confidence mode and gates of a strategy; empty for controls.
    signals : Signals or None
        Wishes and evidence on the bars compared; None for controls.
    result : Result
        The simulation.
    score : Score
        Its figures.
    in_sample : float
        Share of the bars at or before the latest time fence of the models, in [0, 1].
    """

    name: str
    kind: str
    terms: Mapping[str, Any]
    signals: Signals | None
    result: Result
    score: Score
    in_sample: float

    def wishes(self) -> dict[str, Any]:
        """Count what was proposed, what each gate removed first, and what a held position ignored."""
        if self.signals is None:
            return {}
        reason, gates = self.signals.reason, list(self.signals.gates)
        return {
            "proposed": int(np.count_nonzero(self.signals.proposed)),
            "vetoed": {gate: int(np.count_nonzero(reason == FIRST_VETO + i)) for i, gate in enumerate(gates)},
            "wished": int(np.count_nonzero(self.signals.side)),
            "no_evidence": int(np.count_nonzero(reason == NO_EVIDENCE)),
        }

    def as_dict(self) -> dict[str, Any]:
        """Return the row of the JSON schema."""
        return {
            "name": self.name,
            "kind": self.kind,
            "terms": dict(self.terms),
            "in_sample": self.in_sample,
            "wishes": self.wishes(),
            "score": asdict(self.score),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """All rows of a comparison on one stretch of bars.

    Parameters
    ----------
    bars : Bars
        The bars compared on.
    rules : Rules
        Costs, barriers and size: equal for every row.
    zone : str
        Name of the zone.
    rows : tuple of Row
        Profiles first, then the gate grid, then controls.
    about : dict
        What else belongs to the record: bundle, data, options.
    """

    bars: Bars
    rules: Rules
    zone: str
    rows: tuple[Row, ...]
    about: Mapping[str, Any]

    def __getitem__(self, name: str) -> Row:
        """Return the row of a name."""
        return next(row for row in self.rows if row.name == name)

    def table(self) -> Any:
        """Return the rows as a pandas frame, one figure per column."""
        from engine.report.notebook import table

        return table(self)

    def plot(self) -> Any:
        """Return the equity curves as a plotly figure."""
        from engine.report.notebook import plot

        return plot(self)

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison in the documented JSON schema (docs/compare-json.md)."""
        rules = asdict(self.rules)
        rules["fills"] = self.rules.fills._asdict()
        return {
            "schema": SCHEMA,
            **self.about,
            "market": {"symbol": self.bars.symbol, "timeframe": self.bars.timeframe, "sessions": self.bars.sessions},
            "zone": {
                "name": self.zone,
                "first": format_time(self.bars.open_time[0]),
                "last": format_time(self.bars.open_time[-1]),
                "bars": len(self.bars),
            },
            "rules": rules,
            "funding": {
                "owed": owes_funding(self),
                "known": known_share(self.bars),
                "said": funding_said(self) or None,
            },
            "rows": [row.as_dict() for row in self.rows],
        }


def owes_funding(comparison: Comparison) -> bool:
    """Return whether these trades pay funding where they are made: on a perpetual, and wherever one can be short."""
    signals = [row.signals for row in comparison.rows if row.signals is not None]
    return is_perpetual(comparison.bars) or any(bool((one.side < 0).any()) for one in signals)


def funding_said(comparison: Comparison) -> str:
    """Return whether funding is charged, and on how much of these bars; empty where nobody owes any."""
    return funding_told(comparison.bars, owes_funding(comparison))


def compare_strategies(
    strategies: Sequence[tuple[str, Strategy]],
    bars: Bars,
    rules: Rules,
    rows: slice = slice(None),
    in_sample: Verdicts | None = None,
    zone: str = "all",
) -> Comparison:
    """Run strategies on the same bars at equal costs and set them side by side.

    Decisions are made on the whole history, so that every memory is warm; trades are simulated
    on ``rows`` alone, flat at the start.

    Parameters
    ----------
    strategies : sequence of (kind, Strategy)
        Kind is ``profile``, ``grid`` or ``control``; order is kept.
    bars : Bars
        History up to the end of the stretch compared.
    rules : Rules
        Costs, barriers and size for every row.
    rows : slice
        The bars to trade on.
    in_sample : bool array of shape (n,), optional
        Which bars the models were fitted on.
    zone : str
        Name of the stretch, for the record.

    Raises
    ------
    DataError
        If fewer than 3 bars are left to trade on.
    """
    stretch = bars[rows]
    if len(stretch) < 3:
        raise DataError(f"zone {zone} holds {len(stretch)} of these {len(bars)} bars; at least 3 are needed to trade")
    fenced = np.zeros(len(bars), np.bool_) if in_sample is None else in_sample
    share = float(fenced[rows].mean())
    lines = []
    for kind, strategy in strategies:
        signals = strategy.signals(bars)[rows]
        lines.append(_line(kind, strategy.name, terms_of(strategy), signals, simulate(stretch, signals, rules), share))
    atr = strategies[0][1].signals(bars).atr[rows] if strategies else np.full(len(stretch), np.nan)
    lines += controls(stretch, atr, rules, lines)
    return Comparison(stretch, rules, zone, tuple(lines), {})


def controls(bars: Bars, atr: Floats, rules: Rules, lines: Sequence[Row]) -> list[Row]:
    """Return what needs no model: cash, holding, holding at a profile's volatility, every event, a breakout.

    Parameters
    ----------
    bars : Bars
        The stretch compared.
    atr : float64 array of shape (n,)
        The barriers' unit at each close.
    rules : Rules
        Costs, barriers and size.
    lines : sequence of Row
        The strategies, for the volatility to match.
    """
    risks = [daily_volatility(row.result) for row in lines if row.kind == PROFILE]
    matched = matched_hold(bars, rules, max(risks, default=None))
    found = [
        ("Cash", cash(bars, rules)),
        ("Buy and hold", hold(bars, rules)),
        ("Vol-matched hold", matched),
        ("No model", no_model(bars, atr, rules)),
        ("Donchian breakout", breakout(bars, atr, rules)),
    ]
    return [_control(name, result) for name, result in found if result is not None]


def _control(name: str, result: Result) -> Row:
    return Row(name, CONTROL, {}, None, result, score(result), 0.0)


def terms_of(strategy: Strategy) -> dict[str, Any]:
    """Return what sets a strategy apart: threshold, confidence mode and gates, where it has them."""
    terms = {name: getattr(strategy, name, None) for name in ("threshold", "mode", "regime", "auditor")}
    return {name: value for name, value in terms.items() if value is not None} | getattr(strategy, "watches", {})


def _line(kind: str, name: str, terms: Mapping[str, Any], signals: Signals, result: Result, share: float) -> Row:
    return Row(name, kind, terms, signals, result, score(result), share)
