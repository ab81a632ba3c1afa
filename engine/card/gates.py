"""What each gate is worth: pairs of strategies that differ in that gate alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from engine.compare import CONTROL, Comparison, Row
from engine.inference.interval import Interval

GATES = ("regime", "auditor", "supervisor", "volatility")


@dataclass(frozen=True, slots=True)
class GateWorth:
    """The paired difference that one gate makes.

    Parameters
    ----------
    gate : str
        The gate that differs.
    strategy, without : str
        The strategy with it and the one without it.
    difference : Interval
        Annualised Sharpe ratio with the gate less that without, on the same resampled days.
    removed : int
        Trades of ``without`` that the gate took out.
    removed_bp : float or None
        Their mean net result in basis points: a good gate removes losses.
    """

    gate: str
    strategy: str
    without: str
    difference: Interval
    removed: int
    removed_bp: float | None


def gate_worths(comparison: Comparison, differences: Mapping[tuple[str, str], Interval]) -> tuple[GateWorth, ...]:
    """Return the worth of every gate in every pair of rows that differ in it alone.

    Parameters
    ----------
    comparison : Comparison
        Profiles and the grid between them.
    differences : mapping of (str, str) to Interval
        Sharpe difference of the first name less the second.
    """
    rows = [row for row in comparison.rows if row.kind != CONTROL and row.terms]
    found = []
    for gate in GATES:
        for row in (r for r in rows if r.terms.get(gate)):
            bare = {**row.terms, gate: False}
            without = next((r for r in rows if dict(r.terms) == bare), None)
            if without is not None:
                found.append(_worth(gate, row, without, differences[row.name, without.name]))
    return tuple(found)


def _worth(gate: str, row: Row, without: Row, difference: Interval) -> GateWorth:
    assert row.signals is not None
    trades = without.result.trades
    rows = np.searchsorted(without.result.bars.open_time, trades["wish_time"])
    removed = trades["ret"][~row.signals.gates[gate][rows]]  # what the gate refused, not what a held position displaced
    return GateWorth(
        gate, row.name, without.name, difference, len(removed), float(removed.mean() * 1e4) if len(removed) else None
    )
