"""The sweep's kernels: many rules over one market, only the figures kept.

A flat account jumps from wish to wish; a held one is walked by `engine.barriers.walk`, the same walk as
everywhere. With touch tables the walk begins where the first barrier is known to be touched, so a trade
costs the same however long it lives. Cash, fees and equity are computed in the simulation's order of
operations: every figure that is no mean has the same bits.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.barriers import LIQUIDATED, OPEN, bracket, exit_fill, net_return, walk
from engine.bars import Floats
from engine.rules import FillRules
from engine.score import NOISE
from engine.sweep.market import NO_TOUCH, STRETCH, Axes, Depth, Market, Paid, Purse, Wishes
from engine.terms import Prices, Terms

Jumps = NDArray[np.int32]
SLIP = 7  # first bar, bar after the last, cash, size, highest and lowest worth, cash afterwards (NaN open, inf more)


@njit(cache=True, nogil=True)
def fill_touches(prices: Prices, wishes: Wishes, axes: Axes, span: tuple[int, int]) -> None:
    """Write after how many bars each level of target and stop is touched, for some of the wishes.

    One forward scan serves all levels. Which touch fills what is the walk's to say: it begins at the first.
    """
    n, ups, downs, longest = len(prices.open), len(axes.k_up), len(axes.k_down), axes.hold[-1]
    for c in range(span[0], span[1]):
        entry, side, atr = wishes.row[c] + 1, wishes.side[c], wishes.atr[c]
        opened = prices.open[np.uint64(entry)]
        wishes.up[c, :], wishes.down[c, :] = NO_TOUCH, NO_TOUCH
        u, d = 0, 0
        goal, guard = bracket(opened, side, atr, axes.k_up[0], axes.k_down[0])
        bar, end = np.uint64(entry), np.uint64(min(entry + longest, n))
        while bar < end and (u < ups or d < downs):
            best, worst = (prices.high[bar], prices.low[bar]) if side > 0 else (prices.low[bar], prices.high[bar])
            while u < ups and side * (best - goal) >= 0.0:
                wishes.up[c, u] = np.int64(bar) - entry
                u += 1
                goal = bracket(opened, side, atr, axes.k_up[min(u, ups - 1)], 0.0)[0]
            while d < downs and side * (worst - guard) <= 0.0:
                wishes.down[c, d] = np.int64(bar) - entry
                d += 1
                guard = bracket(opened, side, atr, 0.0, axes.k_down[min(d, downs - 1)])[1]
            bar += np.uint64(1)


@njit(cache=True, nogil=True)
def _fill_jumps(wishes: Wishes, threshold: float, jumps: Jumps) -> None:
    """Write for every bar which wish is the first at or after it that is confident enough; -1 none."""
    after, last = -1, len(jumps)
    for back in range(len(wishes.row)):
        c = len(wishes.row) - 1 - back
        if wishes.confidence[c] >= threshold:
            jumps[wishes.row[c] + 1 : last] = after
            after, last = c, wishes.row[c] + 1
    jumps[:last] = after


@njit(cache=True, nogil=True)
def _used_up(close: Floats, rows: tuple[int, int], cash: float, size: float) -> int:
    """Return the first bar of some at whose close a position's equity is used up, else the bar after them."""
    for bar in range(rows[0], rows[1]):
        if cash + size * close[np.uint64(bar)] <= 0.0:
            return bar
    return rows[1]


@njit(cache=True, nogil=True)
def _pay_through(market: Market, rows: tuple[int, int], cash: float, size: float, slips: Floats, count: int) -> Paid:
    """Hold a position that pays funding at every open but that of its entry: one slip a bar."""
    bar, total = rows[0], 0.0
    while bar < len(market.close):
        if bar > rows[0]:
            paid = size * market.funding[np.uint64(bar)]
            cash, total = cash - paid, total + paid
        if bar == rows[1] or cash + size * market.close[np.uint64(bar)] <= 0.0:
            break
        slips[count, 0], slips[count, 1], slips[count, 2], slips[count, 3] = bar, bar + 1, cash, size
        slips[count, 4], slips[count, 5], slips[count, 6] = np.inf, -np.inf, np.inf
        bar, count = bar + 1, count + 1
    return Paid(bar, count, cash, total)


@njit(cache=True, nogil=True)
def _trade(  # noqa: PLR0913
    market: Market, wishes: Wishes, jumps: Jumps, level: tuple[int, int], terms: Terms, fills: FillRules,
    purse: Purse, slips: Floats,
) -> tuple[int, int, int, float]:  # fmt: skip
    """Trade every wish of one threshold under one set of rules; how the trades were lived through comes later.

    Returns
    -------
    slips, trades, wins, earned
        Slips written, finished trades, those that gained, and the sum of their returns.
    """
    n, cash, count, trades, wins, earned, bar = len(market.close), purse.cash, 0, 0, 0, 0.0, 0
    known, paying = len(wishes.up) > 0, len(market.funding) > 0
    while bar < n and cash > 0.0:
        c = jumps[np.uint64(bar)]
        if c < 0:
            break
        entry, side = wishes.row[c] + 1, wishes.side[c]
        opened = market.prices.open[np.uint64(entry)]
        price = opened * (1.0 + side * terms.slippage)
        units = terms.exposure * cash / price
        size, funding = side * units, 0.0
        target, stop = bracket(opened, side, wishes.atr[c], terms.k_up, terms.k_down)
        cash -= size * price + terms.fee * units * price
        skip = min(wishes.up[c, level[0]], wishes.down[c, level[1]], terms.hold) if known else 0
        due, end, reason, _ = walk(market.prices, entry + skip, skip, side, target, stop, terms.hold, fills)
        high, low = cash + size * target, cash + size * max(stop, 0.0)
        if not fills.entry_bar_live:  # this bar's close may lie beyond a barrier
            first = cash + size * market.close[np.uint64(entry)]
            high, low = max(high, first), min(low, first)
        begun, bar = entry, due
        if paying:
            bar, count, cash, funding = _pay_through(market, (entry, due), cash, size, slips, count)
            begun = bar
        elif low <= 0.0:
            bar = _used_up(market.close, (entry, due), cash, size)
        row = np.uint64(count)
        slips[row, 0], slips[row, 1], slips[row, 2], slips[row, 3] = begun, bar, cash, size
        slips[row, 4], slips[row, 5], slips[row, 6] = high, low, np.nan
        count += 1
        if bar < due:
            end, reason = market.close[np.uint64(bar)], LIQUIDATED
        if reason == OPEN:
            break
        left, rate = exit_fill(end, reason, side, terms)
        ret = net_return(side, price, left, terms.fee, rate) - funding / (units * price)
        cash += size * left - rate * units * left
        slips[row, 6] = cash
        trades, wins, earned = trades + 1, wins + (ret * (units * price) > 0.0), earned + ret
    return count, trades, wins, earned


@njit(cache=True, nogil=True)
def _least(close: Floats, extremes: Floats, rows: tuple[int, int], sign: int) -> float:
    """Return the least close, or the greatest if ``sign`` is -1, over some bars; of whole stretches it is known."""
    least, bar, end, which = np.inf, np.uint64(rows[0]), np.uint64(rows[1]), 0 if sign > 0 else 1
    whole = min((bar + np.uint64(STRETCH - 1)) // np.uint64(STRETCH) * np.uint64(STRETCH), end)
    while bar < whole:
        least = min(least, sign * close[bar])
        bar += np.uint64(1)
    while bar + np.uint64(STRETCH) <= end:
        least = min(least, sign * extremes[which, bar // np.uint64(STRETCH)])
        bar += np.uint64(STRETCH)
    while bar < end:
        least = min(least, sign * close[bar])
        bar += np.uint64(1)
    return sign * least


@njit(cache=True, nogil=True)
def _mark(depth: Depth, worth: float) -> Depth:
    """Return how deep the equity has been after one more close."""
    top, floor, worst = depth
    if worth >= top:
        top, floor = worth, worth * (1.0 + worst)
    elif worth < floor:
        worst, floor = worth / top - 1.0, worth
    return Depth(top, floor, worst)


@njit(cache=True, nogil=True)
def _hold(  # noqa: PLR0913
    close: Floats, extremes: Floats, rows: tuple[int, int], cash: float, size: float, high: float, low: float,
    depth: Depth,
) -> Depth:  # fmt: skip
    """Mark the equity at the closes of a trade where it may have made a new top or a new low.

    Where no new top is possible only the lowest close counts, where no new low is possible only the highest;
    else their order matters.
    """
    if low > 0.0 and (high < depth.top or low >= high * (1.0 + depth.worst)):
        sign = 1 if (size > 0.0) == (high < depth.top) else -1
        return _mark(depth, cash + size * _least(close, extremes, rows, sign))
    for bar in range(rows[0], rows[1]):
        depth = _mark(depth, cash + size * close[np.uint64(bar)])
    return depth


@njit(cache=True, nogil=True)
def _live_through(market: Market, slips: Floats, count: int, purse: Purse, moves: Floats) -> tuple[float, float, int]:
    """Follow the equity of some trades from close to close.

    Returns
    -------
    final, worst, moved
        Equity at the last close, deepest drawdown, and how many daily returns were written to ``moves``: days
        that a flat account slept through have none.
    """
    close, extremes, day_of, day_last = market.close, market.extremes, market.day_of, market.day_last
    n, final, before, moved, day = len(close), purse.cash, purse.cash, 0, 0
    top, floor, worst, last = final, final, 0.0, day_last[0]
    for i in range(count):
        row = np.uint64(i)
        entry, end = int(slips[row, 0]), int(slips[row, 1])
        cash, size, high, low, after = slips[row, 2], slips[row, 3], slips[row, 4], slips[row, 5], slips[row, 6]
        if last < entry:
            moves[np.uint64(moved)] = final / before - 1.0
            before, day, moved = final, day_of[np.uint64(entry)], moved + 1
            last = day_last[np.uint64(day)]
        if entry < end and not (low > 0.0 and high < top and (low >= floor or after <= low)):
            top, floor, worst = _hold(close, extremes, (entry, end), cash, size, high, low, Depth(top, floor, worst))
        while last < end:
            worth = cash + size * close[np.uint64(last)]
            moves[np.uint64(moved)] = worth / before - 1.0
            before, day, moved = worth, day + 1, moved + 1
            last = day_last[np.uint64(day)]
        if after < np.inf:
            final = after
            top, floor, worst = _mark(Depth(top, floor, worst), final)
        elif np.isnan(after):
            final = cash + size * close[np.uint64(n - 1)]
    if last < n:
        moves[np.uint64(moved)] = final / before - 1.0
        moved += 1
    return final, worst, moved


@njit(cache=True, nogil=True)
def _sharpe(moves: Floats, moved: int, purse: Purse) -> float:
    """Return the annualised Sharpe ratio of daily returns; days without a move return 0; NaN where undefined."""
    if purse.days < 2:
        return np.nan
    total, squares = 0.0, 0.0
    for i in range(moved):
        total += moves[i]
    mean = total / purse.days
    for i in range(moved):
        squares += (moves[i] - mean) * (moves[i] - mean)
    squares += (purse.days - moved) * mean * mean
    deviation = np.sqrt(squares / (purse.days - 1))
    return mean / deviation * purse.root if deviation > NOISE else np.nan


@njit(cache=True, nogil=True)
def run_combos(  # noqa: PLR0913
    market: Market, wishes: Wishes, axes: Axes, terms: Terms, fills: FillRules, purse: Purse,
    span: tuple[int, int], out: Floats,
) -> None:  # fmt: skip
    """Fill columns ``span`` of ``out`` (6, combos) with the figures of those combos, thresholds the slowest axis."""
    jumps, moves, known = np.empty(len(market.close), np.int32), np.empty(len(market.day_last)), -1
    slips = np.empty((len(wishes.row) + 1 + len(market.funding), SLIP))
    ups, downs, holds = len(axes.k_up), len(axes.k_down), len(axes.hold)
    for combo in range(span[0], span[1]):
        h, d, u = combo % holds, combo // holds % downs, combo // (holds * downs) % ups
        t = combo // (holds * downs * ups)
        if t != known:
            _fill_jumps(wishes, axes.threshold[t], jumps)
            known = t
        asked = Terms(axes.k_up[u], axes.k_down[d], axes.hold[h], *terms[3:])
        count, trades, wins, earned = _trade(market, wishes, jumps, (u, d), asked, fills, purse, slips)
        final, worst, moved = _live_through(market, slips, count, purse, moves)
        growth = final / purse.cash
        out[0, combo] = growth - 1.0 if np.isfinite(growth) else np.nan
        out[1, combo], out[2, combo], out[3, combo] = _sharpe(moves, moved, purse), worst, trades
        out[4, combo] = wins / trades if trades > 0 else np.nan
        out[5, combo] = earned * 1e4 / trades if trades > 0 else np.nan
