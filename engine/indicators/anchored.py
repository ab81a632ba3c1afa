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


@njit(cache=True, nogil=True)
def average_step(mean: float, value: float, count: float, by: Smoothing) -> float:
    """Return a smoothed average after its count-th value; values within the first period weigh equally."""
    return mean + (value - mean) * (by.rate if count > by.period else 1.0 / count)


@njit(cache=True, nogil=True)
def state_step(s: State, high: float, low: float, close: float, ranges: Ranges) -> State:
    """Return the state after one more bar."""
    count, a, b, c, gain, loss, signal = s.seen, s.range_a, s.range_b, s.range_c, s.gain, s.loss, s.signal
    if count > 0.0:  # the first bar of a state has no close before it
        span = max(high, s.last) - min(low, s.last)
        a = average_step(a, span, count, ranges[0])
        b = average_step(b, span, count, ranges[1])
        c = average_step(c, span, count, ranges[2])
        gain = average_step(gain, max(close - s.last, 0.0), count, RSI)
        loss = average_step(loss, max(s.last - close, 0.0), count, RSI)
    count += 1.0
    fast = average_step(s.fast, close, count, FAST)
    slow = average_step(s.slow, close, count, SLOW)
    if count >= SLOW.period:
        signal = average_step(signal, fast - slow, count - SLOW.period + 1.0, SIGNAL)
    return State(count, close, a, b, c, gain, loss, fast, slow, signal)


@njit(cache=True, nogil=True)
def anchored_pass(
    blocks: NDArray[np.int64], high: Floats, low: Floats, close: Floats, ranges: Ranges, out: Floats
) -> None:
    """Run the anchored recursions over bars.

    Parameters
    ----------
    blocks : int64 array of shape (n,)
        Number of the block on the time grid, not falling.
    high, low, close : float64 arrays of shape (n,)
        Prices.
    ranges : three of Smoothing
        Of the average true ranges.
    out : float64 array of shape (6, n)
        Filled with the columns of `Recursions`.
    """
    current = fresh = NEW
    for i in range(len(close)):
        if i > 0 and blocks[i] != blocks[i - 1]:
            current, fresh = fresh, NEW
        current = state_step(current, high[i], low[i], close[i], ranges)
        fresh = state_step(fresh, high[i], low[i], close[i], ranges)
        seen, moves = current.seen, current.gain + current.loss
        strength = 100.0 * current.gain / moves if moves > 0.0 else 50.0
        out[0, i] = current.range_a if seen >= WARM_UP * ranges[0].period else np.nan
        out[1, i] = current.range_b if seen >= WARM_UP * ranges[1].period else np.nan
        out[2, i] = current.range_c if seen >= WARM_UP * ranges[2].period else np.nan
        out[3, i] = strength if seen >= WARM_UP * RSI.period else np.nan
        out[4, i] = current.fast - current.slow if seen >= WARM_UP * SLOW.period else np.nan
        out[5, i] = current.signal if seen >= WARM_UP * SLOW.period else np.nan


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
    anchored_pass(bars.slots // block, frozen(bars.high), frozen(bars.low), frozen(bars.close), ranges, out)
    return Recursions(*out)
