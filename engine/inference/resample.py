"""The stationary bootstrap's kernels: histories that could have been, made of blocks of the one that was.

Every resample has its own random stream, a function of (key, number of the resample) alone, so two
calls with the same key, length and block draw the same days whatever the columns are.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from engine.inference.interval import Floats, Ints

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_A = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31, _S32 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


@njit(cache=True)
def _mix(state: np.uint64) -> np.uint64:
    """64 random bits from one state (SplitMix64)."""
    z = (state ^ (state >> _S30)) * _MIX_A
    z = (z ^ (z >> _S27)) * _MIX_B
    return z ^ (z >> _S31)


@njit(cache=True)
def draw_blocks(n: int, restart: float, stream: np.uint64, begin: Ints, end: Ints) -> int:
    """Fill the blocks ``begin <= day < end`` of one resample of n days and return how many there are.

    A day starts a new block with probability ``restart`` and otherwise follows the day before it;
    days from n on are the days from 0 on (Politis & Romano 1994).
    """
    state = stream
    limit = np.uint64(restart * 4294967296.0)
    days = np.uint64(n)
    blocks = 0
    for i in range(n):
        state += _STEP
        bits = _mix(state)
        if i == 0 or (bits & _LOW) < limit:
            state += _STEP
            begin[blocks] = np.int64(((_mix(state) >> _S32) * days) >> _S32)
            end[blocks] = begin[blocks]
            blocks += 1
        end[blocks - 1] += 1
    return blocks


@njit(cache=True)
def stream_of(key: int, resample: int) -> np.uint64:
    """The state from which one resample's random numbers start."""
    return _mix(np.uint64(key) ^ _mix(np.uint64(resample) + _MIX_B))


@njit(cache=True, nogil=True)
def resample_days(n: int, restart: float, key: int, resamples: int) -> Ints:
    """Return the days of each resample, shape (resamples, n)."""
    out = np.empty((resamples, n), np.int64)
    begin, end = np.empty(n, np.int64), np.empty(n, np.int64)
    for r in range(resamples):
        i = 0
        for b in range(draw_blocks(n, restart, stream_of(key, r), begin, end)):
            for day in range(begin[b], end[b]):
                out[r, i] = day % n
                i += 1
    return out


@njit(cache=True, nogil=True)
def resample_drawdowns(log_growth: Floats, restart: float, key: int, resamples: int) -> Floats:
    """Return the deepest fall from a peak of each resampled equity curve, as a positive fraction."""
    n = len(log_growth)
    out = np.empty(resamples)
    begin, end = np.empty(n, np.int64), np.empty(n, np.int64)
    for r in range(resamples):
        level, peak, worst = 0.0, 0.0, 0.0
        for b in range(draw_blocks(n, restart, stream_of(key, r), begin, end)):
            for day in range(begin[b], end[b]):
                level += log_growth[day if day < n else day - n]
                peak = max(peak, level)
                worst = min(worst, level - peak)
        out[r] = 1.0 - np.exp(worst)
    return out


@njit(cache=True)
def block_influence(sums: Floats, sharpe: float, begin: Ints, end: Ints, out: Floats) -> float:
    """Fill the influence of each block on the column's Sharpe ratio (or on its mean, where ``sharpe`` is NaN).

    Returns the statistic itself; of a column that does not move in this resample the Sharpe ratio is NaN.
    """
    n, blocks = (sums.shape[1] - 1) // 2, len(begin)
    total, squares = 0.0, 0.0
    for b in range(blocks):
        out[b] = sums[0, end[b]] - sums[0, begin[b]]
        total += out[b]
        squares += sums[1, end[b]] - sums[1, begin[b]]
    mean = total / n
    if np.isnan(sharpe):
        for b in range(blocks):
            out[b] -= mean * (end[b] - begin[b])
        return mean
    variance = squares / n - mean * mean
    if variance < 1e-9:
        variance = np.nan
    spread = np.sqrt(variance)
    value = (sharpe + mean) / (spread * np.sqrt(n / (n - 1.0)))
    pull = 0.5 * value / variance
    for b in range(blocks):  # with z the standardised return: the block's sum of z - SR/2 (z^2 - 1)
        days = end[b] - begin[b]
        square = sums[1, end[b]] - sums[1, begin[b]] - mean * (2.0 * out[b] - mean * days)
        out[b] = (out[b] - mean * days) / spread - pull * (square - variance * days)
    return value


@njit(cache=True, nogil=True)
def resample_statistics(
    sums: Floats, sharpes: Floats, pairs: Ints, restart: float, key: int, resamples: int
) -> tuple[Floats, Floats]:
    """Return the mean or Sharpe ratio of each column in each resample, and the errors of their differences.

    Parameters
    ----------
    sums : float64 array of shape (k, 2, 2 n + 1)
        Running sums of each standardised column (mean 0, variance 1), twice around, and of its squares.
    sharpes : float64 array of shape (k,)
        Sharpe ratio of each column; NaN asks for the mean of the standardised column instead.
    pairs : int64 array of shape (q, 2)
        Differences whose standard errors are wanted; -1 stands for nothing to subtract.
    restart : float
        One over the mean block length.
    key, resamples : int
        Seed and number of resamples.

    Returns
    -------
    values, errors : float64 arrays of shape (resamples, k) and (resamples, q)
        The errors come from the sums of the linearised statistic over the resample's own blocks.
    """
    n, k = (sums.shape[2] - 1) // 2, len(sums)
    values, errors = np.empty((resamples, k)), np.empty((resamples, len(pairs)))
    begin, end = np.empty(n, np.int64), np.empty(n, np.int64)
    moves = np.empty((k, n))
    for r in range(resamples):
        blocks = draw_blocks(n, restart, stream_of(key, r), begin, end)
        for j in range(k):
            values[r, j] = block_influence(sums[j], sharpes[j], begin[:blocks], end[:blocks], moves[j])
        for q in range(len(pairs)):
            left, right = pairs[q, 0], pairs[q, 1]
            total = 0.0
            for b in range(blocks):
                move = moves[left, b] - (moves[right, b] if right >= 0 else 0.0)
                total += move * move
            errors[r, q] = np.sqrt(total) / n
    return values, errors
