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
from engine.sweep.market import NO_TOUCH, STRETCH, Axes, Course, Market, Purse, Wishes
from engine.terms import Prices, Terms

Jumps = NDArray[np.int32]


@njit(cache=True, nogil=True)
def fill_touches(prices: Prices, wishes: Wishes, axes: Axes, first: int, span: tuple[int, int]) -> None:
    """Write after how many bars each level of target and stop is touched, for some of the wishes.

    ``first`` is 0 where barriers are live on the bar of entry, else 1. One forward scan serves all levels.
    """
    n, ups, downs, longest = len(prices.open), len(axes.k_up), len(axes.k_down), axes.hold[-1]
    for c in range(span[0], span[1]):
        entry, side, atr = wishes.row[c] + 1, wishes.side[c], wishes.atr[c]
        opened = prices.open[np.uint64(entry)]
        wishes.up[c, :], wishes.down[c, :] = NO_TOUCH, NO_TOUCH
        u, d = 0, 0
        goal, guard = bracket(opened, side, atr, axes.k_up[0], axes.k_down[0])
        bar, end = np.uint64(entry + first), np.uint64(min(entry + longest + 1, n))
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
def _mark(course: Course, worth: float) -> Course:
    """Return the course after one more close."""
    top, floor, worst, before, day, moved = course
    if worth >= top:
        top, floor = worth, worth * (1.0 + worst)
    elif worth < floor:
        worst, floor = worth / top - 1.0, worth
    return Course(top, floor, worst, before, day, moved)


@njit(cache=True, nogil=True)
def _hold(  # noqa: PLR0913
    market: Market, rows: tuple[int, int], cash: float, size: float, sure: tuple[float, float], course: Course
) -> tuple[int, Course]:
    """Mark the equity of a held position at the closes of ``rows[0] .. rows[1] - 1``; stop where it is used up.

    ``sure`` bounds its worth at all of these closes. Where neither a new top nor a new low is possible
    there is nothing to mark; the same is asked of every stretch of bars before its closes are read.
    """
    high, low = sure
    bar, end = np.uint64(rows[0]), np.uint64(rows[1])
    if low > 0.0 and high < course.top and low >= course.floor:
        return rows[1], course
    while bar < end:
        if bar % np.uint64(STRETCH) == 0 and bar + np.uint64(STRETCH) <= end:
            at = bar // np.uint64(STRETCH)
            one, other = cash + size * market.highest[at], cash + size * market.lowest[at]
            high, low = (one, other) if size > 0.0 else (other, one)
            if low > 0.0 and high < course.top and low >= course.floor:
                bar += np.uint64(STRETCH)
                continue
        worth = cash + size * market.close[bar]
        if worth <= 0.0:
            return np.int64(bar), course
        course = _mark(course, worth)
        bar += np.uint64(1)
    return rows[1], course


@njit(cache=True, nogil=True)
def _end_days(market: Market, end: int, cash: float, size: float, course: Course, moves: Floats) -> Course:
    """Write the returns of the days that end before a bar while a position of that size is held."""
    top, floor, worst, before, day, moved = course
    while market.day_last[day] < end:
        worth = cash + size * market.close[np.uint64(market.day_last[day])]
        moves[moved] = worth / before - 1.0 if before > 0.0 else 0.0
        before, day, moved = worth, day + 1, moved + 1
    return Course(top, floor, worst, before, day, moved)


@njit(cache=True, nogil=True)
def _hold_paying(
    market: Market, rows: tuple[int, int], cash: float, size: float, course: Course, moves: Floats
) -> tuple[int, float, float, Course]:
    """Hold a position bar by bar where funding is paid; return the bar it ends in, cash, funding and the course."""
    funding, bar, ruined = 0.0, rows[0], False
    while bar < rows[1]:
        if bar > rows[0]:  # nothing is owed at the open of the entry
            paid = size * market.funding[bar]
            cash, funding = cash - paid, funding + paid
        worth = cash + size * market.close[bar]
        if worth <= 0.0:
            ruined = True
            break
        course = _end_days(market, bar + 1, cash, size, _mark(course, worth), moves)
        bar += 1
    if not ruined and rows[0] < bar < len(market.close):
        paid = size * market.funding[bar]
        cash, funding = cash - paid, funding + paid
    return bar, cash, funding, course


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
def _run_combo(  # noqa: PLR0913
    market: Market, wishes: Wishes, jumps: Jumps, moves: Floats, level: tuple[int, int], terms: Terms,
    fills: FillRules, purse: Purse,
) -> tuple[float, float, float, int, int, float]:  # fmt: skip
    """Trade every wish of one threshold under one set of rules.

    Returns
    -------
    final, sharpe, worst, trades, wins, earned
        Equity at the last close, annualised Sharpe ratio, deepest drawdown, finished trades, those that
        gained, and the sum of their returns.
    """
    n, cash, trades, wins, earned, bar = len(market.close), purse.cash, 0, 0, 0.0, 0
    course, known, paying = Course(cash, cash, 0.0, cash, 0, 0), len(wishes.up) > 0, len(market.funding) > 0
    final = cash
    while bar < n and cash > 0.0:
        c = jumps[np.uint64(bar)]
        if c < 0:
            break
        entry, side = wishes.row[c] + 1, wishes.side[c]
        if market.day_last[course.day] < entry:
            course = _end_days(market, market.day_last[course.day] + 1, cash, 0.0, course, moves)
            course = Course(*course[:4], market.day_of[entry], course[5])  # the days in between did not move
        opened = market.prices.open[np.uint64(entry)]
        price = opened * (1.0 + side * terms.slippage)
        units = terms.exposure * cash / price
        size, target_stop = side * units, bracket(opened, side, wishes.atr[c], terms.k_up, terms.k_down)
        target, stop = target_stop
        cash -= size * price + terms.fee * units * price
        skip = min(wishes.up[c, level[0]], wishes.down[c, level[1]], terms.hold) if known else 0
        bar, end, reason, _ = walk(market.prices, entry + skip, skip, side, target, stop, terms.hold, fills)
        until, funding, first = bar, 0.0, entry
        if paying:
            until, cash, funding, course = _hold_paying(market, (entry, bar), cash, size, course, moves)
        else:
            if not fills.entry_bar_live:  # this bar's close may lie beyond a barrier
                until, course = _hold(market, (entry, entry + 1), cash, size, (np.inf, -np.inf), course)
                first = entry + 1
            if until >= first:
                sure = (cash + size * target, cash + size * stop)
                until, course = _hold(market, (first, bar), cash, size, sure, course)
            course = _end_days(market, until, cash, size, course, moves)
        if until < bar:
            bar, end, reason = until, market.close[np.uint64(until)], LIQUIDATED
        if reason == OPEN:
            final = cash + size * market.close[np.uint64(n - 1)]
            break
        left, rate = exit_fill(end, reason, side, terms)
        ret = net_return(side, price, left, terms.fee, rate) - funding / (units * price)
        cash += size * left - rate * units * left
        trades, wins, earned, final = trades + 1, wins + (ret * (units * price) > 0.0), earned + ret, cash
        course = _mark(course, cash)
    if market.day_last[course.day] < n:
        course = _end_days(market, market.day_last[course.day] + 1, final, 0.0, course, moves)
    return final, _sharpe(moves, course.moved, purse), course.worst, trades, wins, earned


@njit(cache=True, nogil=True)
def run_combos(  # noqa: PLR0913
    market: Market, wishes: Wishes, axes: Axes, terms: Terms, fills: FillRules, purse: Purse,
    span: tuple[int, int], out: Floats,
) -> None:  # fmt: skip
    """Fill columns ``span`` of ``out`` (6, combos) with the figures of those combos, thresholds the slowest axis."""
    jumps, moves, known = np.empty(len(market.close), np.int32), np.empty(len(market.day_last)), -1
    ups, downs, holds = len(axes.k_up), len(axes.k_down), len(axes.hold)
    for combo in range(span[0], span[1]):
        h, d, u = combo % holds, combo // holds % downs, combo // (holds * downs) % ups
        t = combo // (holds * downs * ups)
        if t != known:
            _fill_jumps(wishes, axes.threshold[t], jumps)
            known = t
        asked = Terms(axes.k_up[u], axes.k_down[d], axes.hold[h], *terms[3:])
        final, sharpe, worst, trades, wins, earned = _run_combo(
            market, wishes, jumps, moves, (u, d), asked, fills, purse
        )
        growth = final / purse.cash
        out[0, combo] = growth - 1.0 if np.isfinite(growth) else np.nan
        out[1, combo], out[2, combo], out[3, combo] = sharpe, worst, trades
        out[4, combo] = wins / trades if trades > 0 else np.nan
        out[5, combo] = earned * 1e4 / trades if trades > 0 else np.nan
