"""Indicators with a memory that ends: averages over windows, and recursions anchored on the time grid.

A Wilder or exponential average remembers every bar there ever was, so what it says depends on where the
data begins. Here each such recursion is *anchored*: the grid of slots is cut into blocks of `BLOCK`, and the
value at a bar comes from a state that was started at the first bar of the block before. It is carried in
one pass by two states::

    block      |  b-1              |  b                |  b+1             |
    current    |  started in b-2   |  started in b-1   |  started in b    |   what is read
    fresh      |  started in b-1   |  started in b     |  started in b+1  |   what is read next

So a value depends on at most ``2 * BLOCK`` bars, bit for bit, and differs from the endless recursion by what
that has forgotten after `BLOCK` bars: (13/14)**512 < 1e-16 for a period of 14. Blocks without any bar (a
closed or broken exchange) are passed over, as a recursion on bars passes over any hole.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.bars import Bars, Floats
from engine.errors import UsageError

BLOCK = 512  # slots; the longest period, 30, has forgotten (29/30)**512 = 3e-8 of its past
LONGEST_PERIOD = 30
WARM_UP = 4  # periods of bars a recursion must have seen: less than e**-4 of it is then its start

ATR_PERIODS = (7.0, 14.0, 28.0)
RSI, FAST, SLOW, SIGNAL = 14.0, 12.0, 26.0, 9.0
SEEN, LAST, GAINS, LOSSES, FAST_MEAN, SLOW_MEAN, SIGNAL_MEAN, RANGES = range(8)  # columns of a state


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


@njit(cache=True, nogil=True)
def average_step(mean: float, value: float, count: float, period: float, rate: float) -> float:
    """Return a smoothed average after its count-th value; the first `period` values weigh equally."""
    return mean + (value - mean) * (rate if count > period else 1.0 / count)


@njit(cache=True, nogil=True)
def range_step(states: Floats, row: int, periods: Floats, high: float, low: float) -> None:
    """Take one more bar into the average true ranges of a state."""
    count, last = states[row, SEEN], states[row, LAST]
    if count > 0.0:  # the first bar of a state has no close before it
        span = max(high, last) - min(low, last)
        for j in range(len(periods)):
            states[row, RANGES + j] = average_step(states[row, RANGES + j], span, count, periods[j], 1.0 / periods[j])


@njit(cache=True, nogil=True)
def momentum_step(states: Floats, row: int, close: float) -> None:
    """Take one more close into the RSI and the MACD of a state."""
    count = states[row, SEEN]
    if count > 0.0:
        change = close - states[row, LAST]
        states[row, GAINS] = average_step(states[row, GAINS], max(change, 0.0), count, RSI, 1.0 / RSI)
        states[row, LOSSES] = average_step(states[row, LOSSES], max(-change, 0.0), count, RSI, 1.0 / RSI)
    count += 1.0
    fast = average_step(states[row, FAST_MEAN], close, count, FAST, 2.0 / (FAST + 1.0))
    slow = average_step(states[row, SLOW_MEAN], close, count, SLOW, 2.0 / (SLOW + 1.0))
    if count >= SLOW:
        signal = states[row, SIGNAL_MEAN]
        states[row, SIGNAL_MEAN] = average_step(signal, fast - slow, count - SLOW + 1.0, SIGNAL, 2.0 / (SIGNAL + 1.0))
    states[row, FAST_MEAN], states[row, SLOW_MEAN] = fast, slow


@njit(cache=True, nogil=True)
def anchored_pass(
    blocks: NDArray[np.int64], high: Floats, low: Floats, close: Floats, periods: Floats, out: Floats
) -> None:
    """Run the anchored recursions over bars.

    Parameters
    ----------
    blocks : int64 array of shape (n,)
        Number of the block on the time grid, not falling.
    high, low, close : float64 arrays of shape (n,)
        Prices.
    periods : float64 array of shape (m,)
        Periods of the average true ranges.
    out : float64 array of shape (m,) or (m + 3, n)
        Filled with the m ATRs and, where there is room, RSI, MACD and its signal.
    """
    m = len(periods)
    momentum = len(out) > m
    states = np.zeros((2, RANGES + m))
    now = 0
    for i in range(len(close)):
        if i > 0 and blocks[i] != blocks[i - 1]:
            states[now] = 0.0
            now = 1 - now
        for row in range(2):
            range_step(states, row, periods, high[i], low[i])
            if momentum:
                momentum_step(states, row, close[i])
            states[row, LAST] = close[i]
            states[row, SEEN] += 1.0
        seen = states[now, SEEN]
        for j in range(m):
            out[j, i] = states[now, RANGES + j] if seen >= WARM_UP * periods[j] else np.nan
        if momentum:
            gains, moves = states[now, GAINS], states[now, GAINS] + states[now, LOSSES]
            strength = 100.0 * gains / moves if moves > 0.0 else 50.0
            out[m, i] = strength if seen >= WARM_UP * RSI else np.nan
            warm = seen >= WARM_UP * SLOW
            out[m + 1, i] = states[now, FAST_MEAN] - states[now, SLOW_MEAN] if warm else np.nan
            out[m + 2, i] = states[now, SIGNAL_MEAN] if warm else np.nan


@njit(cache=True, nogil=True)
def aged(values: Floats, full: int, age: int) -> Floats:
    """Return the values `age` bars before each full window's newest; the newest itself, which adds 0, beyond it."""
    lag = age if age <= full else 0
    return values[full - lag : len(values) - lag]


@njit(cache=True, nogil=True)
def offsets_step(values: Floats, full: int, age: int, total: Floats, square: Floats) -> None:
    """Add four older values of every window, as distances from its newest, to its sums; in that order."""
    newest = values[full:]
    a, b, c, d = (
        aged(values, full, age),
        aged(values, full, age + 1),
        aged(values, full, age + 2),
        aged(values, full, age + 3),
    )
    for i in range(len(newest)):
        base = newest[i]
        p, q, r, s = a[i] - base, b[i] - base, c[i] - base, d[i] - base
        total[i] = total[i] + p + q + r + s
        square[i] = square[i] + p * p + q * q + r * r + s * s


@njit(cache=True, nogil=True)
def window_moments(values: Floats, windows: NDArray[np.int64]) -> Floats:
    """Return mean and standard deviation of the last values at each bar, for several windows.

    Values are taken as distances from the newest of their window, in a fixed order: what a window says
    depends on nothing outside it, bit for bit; equal values give exactly 0; and no digits cancel. The
    loop runs over bars inside, over the window outside, so that the processor does 8 bars at once.

    Parameters
    ----------
    values : float64 array of shape (n,)
        Newest last.
    windows : int64 array of shape (w,)
        Lengths, ascending.

    Returns
    -------
    float64 array of shape (2, w, n)
        ``[0]`` mean less the newest value, ``[1]`` standard deviation (divided by the window's length);
        NaN where the window is not full.
    """
    n = len(values)
    out = np.full((2, len(windows), n), np.nan)
    total, square = np.zeros(n), np.zeros(n)
    age = 1
    for w in range(len(windows)):
        length = windows[w]
        if length > n:
            break
        full = length - 1
        while age < length:
            offsets_step(values, full, age, total[full:], square[full:])
            age += 4
        age = length
        share, mean, deviation = 1.0 / length, out[0, w], out[1, w]
        for i in range(full, n):
            mean[i] = total[i] * share
            deviation[i] = np.sqrt(square[i] * share - mean[i] * mean[i])
    return out


def window_highest(values: Floats, length: int) -> Floats:
    """Return the highest of the last values at each bar; the lowest is ``-window_highest(-values, length)``.

    The highest of 2, 4, 8, ... values is built from two halves; the last step overlaps.

    Parameters
    ----------
    values : float64 array of shape (n,)
        Newest last.
    length : int
        Values in a window.

    Returns
    -------
    float64 array of shape (n,)
        NaN where the window is not full.

    Examples
    --------
    >>> window_highest(np.array([3.0, 1.0, 2.0, 0.0]), 3)
    array([nan, nan,  3.,  2.])
    """
    out = np.full(len(values), np.nan)
    if len(values) >= length:
        highest, covered = values, 1
        while covered < length:
            shift = min(covered, length - covered)
            highest = np.maximum(highest[shift:], highest[: len(highest) - shift])
            covered += shift
        out[length - 1 :] = highest
    return out


def frozen(values: Floats) -> Floats:
    """Return a contiguous read-only view, as bars hold: one array type, one compilation of each kernel."""
    view = np.ascontiguousarray(values).view()
    view.flags.writeable = False
    return view


def recursions(bars: Bars) -> Recursions:
    """Return the anchored recursive indicators of bars, all in one pass."""
    return Recursions(*_anchored(bars, ATR_PERIODS, len(ATR_PERIODS) + 3))


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
    array([  nan, 1.   ])
    """
    if not 1 <= period <= LONGEST_PERIOD:
        raise UsageError(f"the period of an ATR must be 1 to {LONGEST_PERIOD} bars, was {period}")
    return _anchored(bars, (float(period),), 1)[0]


def _anchored(bars: Bars, periods: tuple[float, ...], rows: int) -> Floats:
    out: Floats = np.empty((rows, len(bars)))
    prices = (frozen(bars.high), frozen(bars.low), frozen(bars.close))
    anchored_pass(bars.slots // BLOCK, *prices, np.array(periods), out)
    return out
