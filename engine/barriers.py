"""The one trade walk: from an entry to the barrier, the clock or the end of the bars.

The training label, the simulated exit and the live bracket all come from here. The order of prices inside
a bar is unknown: where both barriers are touched the stop is taken first, and counted as ambiguous::

    close of bar t     wish (side, ATR)
    open of bar t+1    entry;  target = open + side * k_up * ATR,  stop = open - side * k_down * ATR
    bars e .. e+H-1    the first of: open beyond stop, open beyond target, stop touched, target touched
    open of bar e+H    time exit
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from engine.bars import Bars, Floats
from engine.errors import UsageError
from engine.rules import FillRules, Rules
from engine.signals import Sides
from engine.terms import Labels, Prices, Terms, prices_of, readonly, terms_of

TARGET, STOP, TIME, OPEN, LIQUIDATED = 0, 1, 2, 3, 4
REASONS = ("target", "stop", "time", "open", "liquidated")


@njit(cache=True, nogil=True)
def bracket(opened: float, side: int, atr: float, k_up: float, k_down: float) -> tuple[float, float]:
    """Return target and stop of a trade from the open of its entry bar, fixed for its life.

    Parameters
    ----------
    opened : float
        Open of the entry bar, before slippage.
    side : int
        1 long, -1 short.
    atr : float
        Average true range at the close of the wish, in price units.
    k_up, k_down : float
        Distance of target and stop in ATRs.

    Examples
    --------
    >>> bracket(100.0, -1, 2.0, 1.5, 1.0)
    (97.0, 102.0)
    """
    return opened + side * k_up * atr, opened - side * k_down * atr


@njit(cache=True, nogil=True)
def walk(  # noqa: PLR0913
    prices: Prices, first: int, age: int, side: int, target: float, stop: float, hold: int, fills: FillRules
) -> tuple[int | np.int64, float, int, bool]:
    """Follow an open trade through the bars until it ends.

    Parameters
    ----------
    prices : Prices
        Columns of n bars.
    first, age : int
        Bar to go on from, at whose open the trade is open, and bars it lived before: 0 on the bar of entry.
    side : int
        1 long, -1 short.
    target, stop : float
        The barriers.
    hold : int
        Bars the trade may live.
    fills : FillRules
        How prices inside a bar fill orders.

    Returns
    -------
    bar, level, reason, ambiguous
        Where it ended, at which price before slippage, why, and whether both barriers lay inside that
        bar in unknown order. ``n, NaN, OPEN, False`` if the bars ran out first.
    """
    n = len(prices.open)
    due = first + max(hold - age, 0)
    live = first if age > 0 or fills.entry_bar_live else first + 1
    end = np.uint64(min(due if fills.time_exit_first else due + 1, n))
    upper, lower = (target, stop) if side > 0 else (stop, target)
    bar = np.uint64(live)  # unsigned: spares the check for indices that count from the end
    while bar < end and prices.low[bar] > lower and prices.high[bar] < upper:
        bar += np.uint64(1)
    if bar >= end:
        if due < n:
            return due, prices.open[np.uint64(due)], TIME, False
        return n, np.nan, OPEN, False
    opened, high, low = prices.open[bar], prices.high[bar], prices.low[bar]
    stopped = low <= stop if side > 0 else high >= stop
    reached = high >= target if side > 0 else low <= target
    beyond_stop = side * (opened - stop) <= 0.0
    beyond_target = side * (opened - target) >= 0.0
    ambiguous = stopped and reached and not beyond_stop and not beyond_target
    settled = beyond_target and fills.open_comes_first
    stop_leads = side < 0 if fills.high_first else fills.stop_first
    stop, target = min(max(stop, low), high), min(max(target, low), high)  # what the bar traded nearest to them
    if beyond_stop or (stopped and not settled and (stop_leads or not reached)):
        return np.int64(bar), opened if beyond_stop and fills.stop_gap_at_open else stop, STOP, ambiguous
    return np.int64(bar), opened if beyond_target and fills.target_gap_at_open else target, TARGET, ambiguous


@njit(cache=True, nogil=True)
def exit_fill(level: float, reason: int, side: int, terms: Terms) -> tuple[float, float]:
    """Return price and fee rate of an exit: the target rests as a maker order, all else slips and pays taker fee."""
    if reason == TARGET:
        return level, terms.maker_fee
    return level * (1.0 - side * terms.slippage), terms.fee


@njit(cache=True, nogil=True)
def net_return(side: int, entry: float, left: float, fee: float, exit_fee: float) -> float:
    """Return what one unit of notional earned between two fills, after the fee rates of both."""
    return (side * (left - entry) - fee * entry - exit_fee * left) / entry


@njit(cache=True, nogil=True)
def _label(  # noqa: PLR0913
    time: Any, prices: Prices, sides: Sides, atr: Floats, terms: Terms, fills: FillRules, out: Labels
) -> None:
    """Fill ``out`` with what became of an entry after each bar."""
    for t in range(len(atr) - 1):
        row, entry = np.uint64(t), np.uint64(t + 1)
        side = int(sides[row])
        gap = fills.wish_lapses_at_gap and time[entry] - time[row] > terms.longest_step_ns
        if gap or side == 0 or not 0.0 < atr[row] < np.inf:
            continue
        opened = prices.open[entry]
        target, stop = bracket(opened, side, atr[row], terms.k_up, terms.k_down)
        bar, level, reason, ambiguous = walk(prices, t + 1, 0, side, target, stop, terms.hold, fills)
        if reason == OPEN:
            continue
        left, exit_fee = exit_fill(level, reason, side, terms)
        out.outcome[row] = 1 if reason == TARGET else -1 if reason == STOP else 0
        out.end[row] = bar
        out.ret[row] = net_return(side, opened * (1.0 + side * terms.slippage), left, terms.fee, exit_fee)
        out.gross[row] = side * (level - opened) / opened
        out.ambiguous[row] = ambiguous


def label_barriers(bars: Bars, atr: Floats, rules: Rules, side: int | Sides = 1) -> Labels:
    """Label every bar with what became of a trade wished at its close: target, stop or time first.

    It is the walk that the simulation uses, so a label is what a trade would have earned.

    Parameters
    ----------
    bars : Bars
        The market.
    atr : float64 array of shape (n,)
        Average true range at each close in price units; no label where it is not finite and positive.
    rules : Rules
        Barriers, costs and fills.
    side : int or int8 array of shape (n,)
        1 long, -1 short, 0 no label.

    Raises
    ------
    UsageError
        If the arrays are not of the same bars.

    Notes
    -----
    Triple-barrier method of Lopez de Prado (2018), *Advances in Financial Machine Learning*, ch. 3, with
    barriers in ATRs, entry at the next open and intrabar touches; censored events get no label, not 0.

    Examples
    --------
    >>> from engine.synthetic import random_bars
    >>> bars = random_bars(200, seed=1)
    >>> labels = label_barriers(bars, np.full(200, 1.0), Rules(hold=10))
    >>> int(labels.end[0]), round(float(labels.gross[0]), 4)
    (2, -0.015)
    """
    n = len(bars)
    if len(atr) != n or (np.ndim(side) and np.shape(side) != (n,)):
        given = f"atr covers {len(atr)} bars, side {np.shape(side) or 'all'} and bars {n}"
        raise UsageError(f"{given}; they must be the same bars")
    out = Labels(np.zeros(n, np.int8), np.full(n, -1), np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, np.bool_))
    sides = readonly(np.broadcast_to(np.asarray(side, np.int8), n))
    known = readonly(np.asarray(atr, np.float64))
    time = readonly(bars.open_time.view(np.int64))
    _label(time, prices_of(bars), sides, known, terms_of(rules, bars), rules.fills, out)
    return out
