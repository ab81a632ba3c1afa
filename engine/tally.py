"""What trades came to in sum, in one pass over their records."""

from __future__ import annotations

from typing import NamedTuple

from numba import njit

from engine.simulate import Trades


class Tally(NamedTuple):
    """Sums over trades: how many won, money, bars lived, what was traded and what was paid."""

    won: int
    gained: float
    lost: float
    ret: float
    bars: int
    ambiguous: int
    notional: float
    fees: float
    funding: float


@njit(cache=True, nogil=True)
def tally(trades: Trades) -> Tally:
    """Sum trades of `engine.terms.TRADE`; an entry before the bars was paid before them, an open trade has no exit."""
    won, gained, lost, ret, bars, ambiguous, notional, fees, funding = 0, 0.0, 0.0, 0.0, 0, 0, 0.0, 0.0, 0.0
    for trade in trades:
        if not trade["open"]:
            pnl = trade["pnl"]
            won, gained, lost = won + (pnl > 0.0), gained + max(pnl, 0.0), lost - min(pnl, 0.0)
            ret, bars, ambiguous = ret + trade["ret"], bars + trade["bars"], ambiguous + trade["ambiguous"]
            notional += trade["units"] * trade["exit_price"]
        if trade["entry_bar"] >= 0:
            notional += trade["units"] * trade["entry_price"]
            fees += trade["entry_fee"]
        fees, funding = fees + trade["exit_fee"], funding + trade["funding"]
    return Tally(won, gained, lost, ret, bars, ambiguous, notional, fees, funding)
