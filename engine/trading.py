"""The account's walk through the bars: wait for a wish, enter, hold, leave, and again.

The inner loops take arrays one by one: numba counts references of arrays inside a tuple at every call, which cost
more than the trade itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.barriers import LIQUIDATED, OPEN, STOP, TARGET, bracket, exit_fill, net_return, walk
from engine.bars import Floats
from engine.prefetch import prefetch
from engine.rules import FillRules
from engine.signals import Sides
from engine.terms import FLAT, Account, Books, Holding, Prices, Tape, Terms

ONE = np.uint64(1)  # unsigned indices spare the check for those that count from the end
LINE = np.uint64(8)  # rows in a cache line
AHEAD = np.uint64(32)  # how many rows ahead memory is asked for: 16 to 128 were measured alike
FAR = np.uint64(200_000)  # bars whose columns no longer stay in the cache


@njit(cache=True, nogil=True)
def _enter(opened: float, side: int, atr: float, cash: float, terms: Terms, times: tuple[int, int]) -> Holding:
    """Return the position that a wish opens at a bar's open."""
    price = opened * (1.0 + side * terms.slippage)
    units = terms.exposure * cash / price
    target, stop = bracket(opened, side, atr, terms.k_up, terms.k_down)
    return Holding(side, units, price, terms.fee * units * price, target, stop, 0, 0.0, times[0], times[1])


@njit(cache=True, nogil=True)
def _leave(
    trade: Any, held: Holding, bars: tuple[int, int], time: int, end: tuple[float, int, bool], terms: Terms
) -> float:
    """Write a finished trade to its record; return the money the exit brings in, fee paid."""
    level, reason, trade["ambiguous"] = end
    price, rate = exit_fill(level, reason, held.side, terms)
    notional = held.units * held.entry_price
    trade["wish_time"], trade["entry_time"], trade["exit_time"] = held.wish_time, held.entry_time, time
    trade["entry_bar"], trade["exit_bar"] = bars
    trade["bars"] = held.bars + (reason in (TARGET, STOP))  # else it ended at an open or close
    trade["units"], trade["entry_price"], trade["exit_price"] = held.units, held.entry_price, price
    trade["entry_fee"], trade["exit_fee"], trade["funding"] = held.entry_fee, rate * held.units * price, held.funding
    trade["ret"] = net_return(held.side, held.entry_price, price, terms.fee, rate) - held.funding / notional
    trade["pnl"] = trade["ret"] * notional
    trade["target"], trade["stop"] = held.target, held.stop
    trade["side"], trade["reason"], trade["open"] = held.side, reason, False
    return held.side * held.units * price - rate * held.units * price


@njit(cache=True, nogil=True)
def _wait(
    sides: Sides, atrs: Floats, equity: Floats, rows: tuple[np.uint64, np.uint64], cash: float
) -> tuple[np.uint64, int, float, int]:
    """Stay flat until a wish that can be filled; return the row after it, side, ATR, wishes lapsed."""
    row, end = rows
    lapsed = 0
    while row < end:
        equity[row] = cash
        if sides[row] != 0 and cash > 0.0:
            if 0.0 < atrs[row] < np.inf:
                return row + ONE, int(sides[row]), atrs[row], lapsed
            lapsed += 1
        row += ONE
    return row, 0, 0.0, lapsed


@njit(cache=True, nogil=True)
def _hold(  # noqa: PLR0913
    close: Floats, sides: Sides, equity: Floats, position: Sides, rows: Any, cash: float, held: Holding
) -> tuple[np.uint64, int, bool]:
    """Mark a position at each close; return the row after them, wishes ignored, and whether all is lost."""
    row, end = rows
    size, side, ignored = held.side * held.units, np.int8(held.side), 0
    while row < end:
        worth = cash + size * close[row]
        if worth <= 0.0:
            return row, ignored, True
        equity[row], position[row] = worth, side
        ignored += sides[row] != 0
        row += ONE
    return row, ignored, False


@njit(cache=True, nogil=True)
def _hold_paying(  # noqa: PLR0913
    close: Floats,
    sides: Sides,
    equity: Floats,
    position: Sides,
    funding: Floats,
    rows: Any,
    cash: float,
    held: Holding,
) -> tuple[np.uint64, int, bool, float, float]:
    """Hold, and pay funding at every open but the entry's, the exit's included; return cash and funding paid too."""
    row, end = rows
    size, paid, owing = held.side * held.units, held.funding, held.bars > 0
    ignored, ruined = 0, False
    while not ruined:
        if owing and row < np.uint64(len(close)):
            due = size * funding[row]
            cash, paid = cash - due, paid + due
        if row >= end:
            break
        row, one, ruined = _hold(close, sides, equity, position, (row, row + ONE), cash, held)
        ignored, owing = ignored + one, True
    return row, ignored, ruined, cash, paid


@njit(cache=True, nogil=True)
def _fetch(prices: Prices, close: Floats, atrs: Floats, time: NDArray[np.int64], row: np.uint64) -> None:
    """Ask for what a trade will read around a row."""
    prefetch(prices.open, row)
    prefetch(prices.high, row)
    prefetch(prices.low, row)
    prefetch(close, row)
    prefetch(atrs, row)
    prefetch(time, row)


@njit(cache=True, nogil=True)
def trade_through(
    tape: Tape, prices: Prices, terms: Terms, fills: FillRules, account: Account, books: Books
) -> tuple[Account, int, int, int]:
    """Turn wishes into trades and equity, going on from an account.

    Parameters
    ----------
    tape, prices : Tape, Prices
        Columns of n bars.
    terms, fills : Terms, FillRules
        `engine.rules.Rules` as kernels read them.
    account : Account
        The account before the first bar.
    books : Books
        Written to: room for one trade a wish and two more, n closes, n zeros.

    Returns
    -------
    account, trades, ignored, lapsed
        The account after the last bar, the number of trades written to the books, of wishes ignored
        because a position was open, and of wishes that could not be filled: no ATR, or a gap followed.
    """
    time, close, sides, atrs, funding = tape.time, tape.close, tape.side, tape.atr, tape.funding
    equity, position, n = books.equity, books.position, np.uint64(len(tape.close))
    stride = LINE if n > FAR else max(n, ONE)
    cash, wish, atr, held = account.cash, account.wish, account.wish_atr, account.holding
    entry, trades, ignored, lapsed, row = np.int64(-1), 0, 0, 0, np.uint64(0)
    while row < n:
        if wish != 0:
            before = time[row - ONE] if row > 0 else account.time
            if fills.wish_lapses_at_gap and time[row] - before > terms.longest_step_ns:
                lapsed += 1
            else:
                held, entry = _enter(prices.open[row], wish, atr, cash, terms, (before, time[row])), np.int64(row)
                cash -= held.side * held.units * held.entry_price + held.entry_fee
            wish, atr = 0, 0.0
        if held.side == 0:
            if n > FAR:
                _fetch(prices, close, atrs, time, row + AHEAD)
            row, wish, atr, missed = _wait(sides, atrs, equity, (row, min(row + stride, n)), cash)
            lapsed += missed
            continue
        first = np.int64(row)
        bar, level, reason, ambiguous = walk(
            prices, first, held.bars, held.side, held.target, held.stop, terms.hold, fills
        )
        rows, paid = (row, min(np.uint64(bar), n)), held.funding
        if len(funding) == 0:
            row, missed, ruined = _hold(close, sides, equity, position, rows, cash, held)
        else:
            row, missed, ruined, cash, paid = _hold_paying(close, sides, equity, position, funding, rows, cash, held)
        ignored += missed
        t = np.int64(row)
        held = Holding(*held[:6], held.bars + t - first + ruined, paid, *held[8:])
        if ruined:
            level, reason, ambiguous = close[row], LIQUIDATED, False
        if reason != OPEN:
            cash += _leave(books.trades[trades], held, (entry, t), time[row], (level, reason, ambiguous), terms)
            held, entry, trades = FLAT, np.int64(-1), trades + 1
    worth, last = (equity[n - ONE], time[n - ONE]) if n > 0 else (account.equity, account.time)
    return Account(cash, worth, last, wish, atr, held), trades, ignored, lapsed
