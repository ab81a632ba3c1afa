"""Recursive indicators whose memory ends: Wilder's and exponential averages, anchored on the time grid.

A Wilder or exponential average remembers every bar there ever was, so what it says depends on where the
data begins. Here each such recursion is *anchored*: the grid of slots is cut into blocks of `BLOCK`, and the
value at a bar comes from a state that was started at the first bar of the block before. It is carried in
one pass by two states::

    block      |  b-1              |  b                |  b+1             |
    current    |  started in b-2   |  started in b-1   |  started in b    |   what is read
    fresh      |  started in b-1   |  started in b     |  started in b+1  |   what is read next

So a value depends on at most ``2 * BLOCK`` bars, bit for bit, and differs from the endless recursion by what
that has forgotten after `BLOCK` bars: (13/14)**512 < 1e-16 for a period of 14. Blocks without any bar (a
closed or broken exchange) are passed over, as a recursion on bars passes over any hole. Where an exchange
shuts overnight a block of intraday bars holds few of them: values are NaN until the state is warm again.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.bars import Bars, Floats
from engine.errors import UsageError
from engine.indicators.windows import frozen

BLOCK = 512  # slots; the longest period, 30, has forgotten (29/30)**512 = 3e-8 of its past
LONGEST_PERIOD = 30
WARM_UP = 4  # periods of bars a recursion must have seen: less than e**-4 of it is then its start


class Smoothing(NamedTuple):
    """How an average forgets: its period in values, and the share of the newest value."""

    period: float
    rate: float


def wilder(period: int) -> Smoothing:
    """Return Wilder's smoothing, which weighs a new value by 1/period."""
    return Smoothing(float(period), 1.0 / period)


def exponential(period: int) -> Smoothing:
    """Return the exponential smoothing usual for a period, which weighs a new value by 2/(period + 1)."""
    return Smoothing(float(period), 2.0 / (period + 1))


Ranges = tuple[Smoothing, Smoothing, Smoothing]
RANGES: Ranges = (wilder(7), wilder(14), wilder(28))
RSI = wilder(14)
FAST, SLOW, SIGNAL = exponential(12), exponential(26), exponential(9)


class Recursions(NamedTuple):
    """The recursive indicators of some bars, float64 arrays of shape (n,); NaN until warmed up.

    Parameters
    ----------
    atr_short, atr, atr_long : float64 arrays of shape (n,)
        Wilder's average true range over 7, 14 and 28 bars, in price units.
    rsi : float64 array of shape (n,)
        Wilder's relative strength over 14 bars, 0 to 100; 50 where the close never moved.
    macd, macd_signal : float64 arrays of shape (n,)
        Average of 12 less average of 26 closes, and its own average over 9, in price units.
    """

    atr_short: Floats
    atr: Floats
    atr_long: Floats
    rsi: Floats
    macd: Floats
    macd_signal: Floats


class State(NamedTuple):
    """What the recursions carry from bar to bar: bars seen, the last close, and the averages."""

    seen: float
    last: float
    range_a: float
    range_b: float
    range_c: float
    gain: float
    loss: float
    fast: float
    slow: float
    signal: float


NEW = State(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
SETTLED = SLOW.period + SIGNAL.period  # bars after which no average is within its first period any more


class Carry(NamedTuple):
    """What a pass hands to the next: both states, and the block of the last bar."""

    current: State
    fresh: State
    block: int


class Weights(NamedTuple):
    """The share of a new value in each average."""

    range_a: float
    range_b: float
    range_c: float
    moves: float
    fast: float
    slow: float
    signal: float


@njit(cache=True, nogil=True)
def weight(count: float, by: Smoothing) -> float:
    """Return the share of the count-th value in an average: values within its first period weigh equally; 0 of none."""
    if count <= 0.0:
        return 0.0
    return by.rate if count > by.period else 1.0 / count


@njit(cache=True, nogil=True)
def weights_after(seen: float, ranges: Ranges) -> Weights:
    """Return the shares of the bar after some; the first bar of a state has no range, for no close came before it."""
    return Weights(
        weight(seen, ranges[0]),
        weight(seen, ranges[1]),
        weight(seen, ranges[2]),
        weight(seen, RSI),
        weight(seen + 1.0, FAST),
        weight(seen + 1.0, SLOW),
        weight(seen + 2.0 - SLOW.period, SIGNAL),
    )


@njit(cache=True, nogil=True)
def state_step(s: State, high: float, low: float, close: float, by: Weights) -> State:
    """Return the state after one more bar."""
    span = max(high, s.last) - min(low, s.last)
    rise, fall = max(close - s.last, 0.0), max(s.last - close, 0.0)
    fast, slow = s.fast + (close - s.fast) * by.fast, s.slow + (close - s.slow) * by.slow
    return State(
        s.seen + 1.0,
        close,
        s.range_a + (span - s.range_a) * by.range_a,
        s.range_b + (span - s.range_b) * by.range_b,
        s.range_c + (span - s.range_c) * by.range_c,
        s.gain + (rise - s.gain) * by.moves,
        s.loss + (fall - s.loss) * by.moves,
        fast,
        slow,
        s.signal + (fast - slow - s.signal) * by.signal,
    )


@njit(cache=True, nogil=True)
def hide_cold(s: State, ranges: Ranges, out: Floats, i: int) -> None:
    """Make NaN what is not warmed up."""
    for k in range(3):
        if s.seen < WARM_UP * ranges[k].period:
            out[k, i] = np.nan
    if s.seen < WARM_UP * RSI.period:
        out[3, i] = np.nan
    if s.seen < WARM_UP * SLOW.period:
        out[4, i] = out[5, i] = np.nan


@njit(cache=True, nogil=True)
def anchored_pass(  # noqa: PLR0913
    blocks: NDArray[np.int64], high: Floats, low: Floats, close: Floats, ranges: Ranges, carry: Carry, out: Floats
) -> Carry:
    """Run the anchored recursions over bars.

    Parameters
    ----------
    blocks : int64 array of shape (n,)
        Number of the block on the time grid, not falling.
    high, low, close : float64 arrays of shape (n,)
        Prices.
    ranges : three of Smoothing
        Of the average true ranges.
    carry : Carry
        What the pass over the bars before them returned; at the beginning, new states and the first bar's block.
    out : float64 array of shape (6, m), m >= n
        The last n columns are filled with those of `Recursions`.
    """
    current, fresh, block = carry
    settled, skip = weights_after(np.inf, ranges), out.shape[1] - len(close)
    warm = WARM_UP * max(max(ranges[0].period, ranges[1].period), max(ranges[2].period, SLOW.period))
    for i in range(len(close)):
        if blocks[i] != block:
            current, fresh, block = fresh, NEW, blocks[i]
        if fresh.seen > SETTLED and current.seen > SETTLED:
            current = state_step(current, high[i], low[i], close[i], settled)
            fresh = state_step(fresh, high[i], low[i], close[i], settled)
        else:
            current = state_step(current, high[i], low[i], close[i], weights_after(current.seen, ranges))
            fresh = state_step(fresh, high[i], low[i], close[i], weights_after(fresh.seen, ranges))
        moves, column = current.gain + current.loss, skip + i
        out[0, column], out[1, column], out[2, column] = current.range_a, current.range_b, current.range_c
        out[3, column] = 100.0 * current.gain / moves if moves > 0.0 else 50.0
        out[4, column], out[5, column] = current.fast - current.slow, current.signal
        if current.seen < warm:
            hide_cold(current, ranges, out, column)
    return Carry(current, fresh, block)


class Rolling:
    """The recursions of a history, worked out as they are asked for, stretch after stretch: they stay in the cache.

    Parameters
    ----------
    bars : Bars
        The history.
    """

    def __init__(self, bars: Bars) -> None:
        self._blocks = bars.slots // BLOCK
        self._prices = (frozen(bars.high), frozen(bars.low), frozen(bars.close))
        self._carry = Carry(NEW, NEW, int(self._blocks[0]) if len(bars) else 0)
        self._first, self._known = 0, np.empty((len(Recursions._fields), 0))

    def rows(self, first: int, last: int) -> Recursions:
        """Return the recursions of rows first to last - 1; no stretch may begin before the one asked for before it."""
        known = self._first + self._known.shape[1]
        out: Floats = np.empty((len(self._known), last - first))
        out[:, : known - first] = self._known[:, first - self._first :]
        prices = [column[known:last] for column in self._prices]
        self._carry = anchored_pass(self._blocks[known:last], *prices, RANGES, self._carry, out)
        self._first, self._known = first, out
        return Recursions(*out)


def recursions(bars: Bars, block: int = BLOCK) -> Recursions:
    """Return the anchored recursive indicators of bars, all in one pass, from blocks of some slots."""
    return _anchored(bars, RANGES, block)


def atr(bars: Bars, period: int = 14) -> Floats:
    """Return Wilder's average true range at each close: what a bar of this market moves.

    The true range of a bar is its high less its low, the close before it included; the average is
    seeded by the mean of the first `period` ranges and anchored on the time grid (see the module).

    Parameters
    ----------
    bars : Bars
        n bars.
    period : int
        From 1 to 30 bars; the averages weigh a new range by 1/period.

    Returns
    -------
    float64 array of shape (n,)
        In price units; NaN until 4 periods of bars are known.

    Raises
    ------
    UsageError
        If the period is longer than the anchored memory supports.

    References
    ----------
    J. W. Wilder, New Concepts in Technical Trading Systems, 1978.

    Examples
    --------
    >>> from engine.synthetic import random_bars
    >>> atr(random_bars(57, seed=1))[[54, 55]].round(3)
    array([  nan, 1.128])
    """
    if not 1 <= period <= LONGEST_PERIOD:
        raise UsageError(f"the period of an ATR must be 1 to {LONGEST_PERIOD} bars, was {period}")
    return _anchored(bars, (wilder(period), wilder(period), wilder(period))).atr


def _anchored(bars: Bars, ranges: Ranges, block: int = BLOCK) -> Recursions:
    out: Floats = np.empty((len(Recursions._fields), len(bars)))
    blocks = bars.slots // block
    carry = Carry(NEW, NEW, int(blocks[0]) if len(bars) else 0)
    anchored_pass(blocks, frozen(bars.high), frozen(bars.low), frozen(bars.close), ranges, carry, out)
    return Recursions(*out)
