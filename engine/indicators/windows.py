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
def merge_step(mean: Floats, square: Floats, length: int, older_mean: Floats, older_square: Floats, older: int) -> None:
    """Lengthen windows of a length by older values: their mean and sum of squared deviations (Chan et al. 1979)."""
    rows = len(mean)
    means, squares = mean[length + older - 1 :], square[length + older - 1 :]
    before, spread = older_mean[older - 1 : rows - length], older_square[older - 1 : rows - length]
    share = older / (length + older)
    weight = share * length
    for i in range(len(means)):
        gap = before[i] - means[i]
        squares[i] = squares[i] + spread[i] + gap * gap * weight
        means[i] = means[i] + gap * share


@njit(cache=True, nogil=True)
def window_moments(values: Floats, windows: NDArray[np.int64]) -> Floats:
    """Return mean and standard deviation of the last values at each bar, for several windows.

    A window is merged from spans of 1, 2, 4, 8, ... values, each merged from its halves: what a window says
    depends on nothing outside it, bit for bit; equal values deviate by exactly 0; and no digits cancel.

    Parameters
    ----------
    values : float64 array of shape (n,)
        Newest last.
    windows : int64 array of shape (w,)
        Lengths, ascending.

    Returns
    -------
    float64 array of shape (2, w, n)
        ``[0]`` mean, ``[1]`` standard deviation (divided by the window's length); NaN where the window is
        not full.
    """
    n = len(values)
    out = np.zeros((2, len(windows), n))
    merged = np.zeros(len(windows), np.int64)
    mean, square, span = values.copy(), np.zeros(n), 1
    longest = min(windows[-1], n)
    while span <= longest:
        for w in range(len(windows)):
            if windows[w] & span and windows[w] <= n:
                merge_step(out[0, w], out[1, w], merged[w], mean, square, span)
                merged[w] += span
        if 2 * span <= longest:
            merge_step(mean, square, span, mean.copy(), square.copy(), span)
        span *= 2
    for w in range(len(windows)):
        share, deviation = 1.0 / windows[w], out[1, w]
        for i in range(n):
            deviation[i] = np.sqrt(deviation[i] * share)
        out[:, w, : windows[w] - 1] = np.nan
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
    whole = n - n % 8
    for first in range(0, whole, 8):
        for j in range(m):
            for i in range(8):  # of known length: written out, without a loop
                out[first + i, j] = columns[j, first + i]
    for i in range(whole, n):
        for j in range(m):
            out[i, j] = columns[j, i]
