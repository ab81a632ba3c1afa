"""What the last bars say, each window computed from itself alone: fast, and the same bits wherever it is cut."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.bars import Floats


def frozen(values: Floats) -> Floats:
    """Return a contiguous read-only view, as bars hold: one array type, one compilation of each kernel."""
    view = np.ascontiguousarray(values).view()
    view.flags.writeable = False
    return view


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


@njit(cache=True, nogil=True)
def interleave(columns: Floats, out: Floats) -> None:
    """Write columns of shape (m, n) into rows of shape (n, m), eight bars at a time: the cache holds their rows."""
    m, n = columns.shape[0], len(out)
    for first in range(0, n, 8):
        for j in range(m):
            for i in range(first, min(first + 8, n)):
                out[i, j] = columns[j, i]
