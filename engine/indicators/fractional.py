"""Fractional differencing with a fixed window: a price made stationary without forgetting all of its level.

``(1 - L)**d`` weighs past log prices by ``w[k] = -w[k-1] * (d - k + 1) / k``. Cut off, the weights no
longer sum to 0, so what is left still holds that share of the level, and of its unit root. *Closed*, as features
are, the oldest price stands for all that came before it and takes what is missing: the weights sum to 0, a price
times a thousand changes nothing, and the whole is a weighing of the window's log returns.

Two ways to the same sums: directly, where each is computed from its window alone in one order, so it is the same
bits wherever history is cut (what is served); and by the fast Fourier transform, whose last bits depend on the
length of the input (what research uses on long windows).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from engine.bars import Floats
from engine.indicators.windows import frozen

DIRECT = 250  # weights above which the transform is the faster way
SPAN = 1024  # sums made side by side: their columns stay in the first cache


def ffd_weights(d: float, width: int) -> Floats:
    """Return the weights of ``(1 - L)**d`` for the newest value and those behind it.

    Parameters
    ----------
    d : float
        How often it is differenced: 0 leaves everything, 1 is the first difference, below 0 sums up.
    width : int
        Weights, at least 1.

    Returns
    -------
    float64 array of shape (width,)
        Newest first.

    References
    ----------
    J. R. M. Hosking, Fractional Differencing, Biometrika 68, 1981; M. Lopez de Prado, Advances in Financial Machine
    Learning, 2018, chapter 5.

    Examples
    --------
    >>> ffd_weights(0.5, 4).tolist(), ffd_weights(1.0, 4).tolist()
    ([1.0, -0.5, -0.125, -0.0625], [1.0, -1.0, 0.0, 0.0])
    """
    k = np.arange(1.0, width)
    return np.r_[1.0, np.cumprod((k - 1.0 - d) / k)] + 0.0  # no -0.0


def ffd_width(d: float, least: float = 1e-4) -> int:
    """Return how many weights are not below a cutoff in size.

    Examples
    --------
    >>> [ffd_width(0.4, least) for least in (1e-2, 1e-3, 1e-4, 1e-5)]
    [11, 55, 282, 1458]
    """
    width = 64
    while abs(ffd_weights(d, width)[-1]) >= least:
        width *= 2
    return int(np.flatnonzero(np.abs(ffd_weights(d, width)) >= least)[-1]) + 1


def return_weights(d: float, width: int) -> Floats:
    """Return what the closed window weighs its log returns by, newest first, shape (width - 1,).

    Weighing the last ``width - 1`` log returns by these is weighing the last `width` log prices by `ffd_weights`,
    where the oldest price takes also what the weights lack to sum to 0.
    """
    return np.cumsum(ffd_weights(d, width))[:-1]


@njit(cache=True, nogil=True)
def weigh(values: Floats, weights: Floats, out: Floats) -> None:
    """Add to each of ``out`` its window's weighed values, newest first: ``out[i]`` belongs to the window's end.

    Parameters
    ----------
    values : float64 array of shape (n,)
        Newest last.
    weights : float64 array of shape (w,)
        Newest first.
    out : float64 array of shape (n - w + 1,)
        Zeros at first. Every sum adds its terms in the same order, whichever sums are made beside it.
    """
    lags = len(weights) - 1
    for first in range(0, len(out), SPAN):
        sums = out[first : first + SPAN]
        for k in range(lags + 1):
            weight, shifted = weights[k], values[first + lags - k : first + lags - k + len(sums)]
            for i in range(len(sums)):
                sums[i] += weight * shifted[i]


def weighed(values: Floats, weights: Floats) -> Floats:
    """Return the weighed sum of each window, directly: the same bits wherever the values are cut.

    Parameters
    ----------
    values : float64 array of shape (n,)
        Newest last.
    weights : float64 array of shape (w,)
        Newest first.

    Returns
    -------
    float64 array of shape (n,)
        NaN where the window is not full.
    """
    out = np.full(len(values), np.nan)
    if len(values) >= len(weights):
        out[len(weights) - 1 :] = 0.0
        weigh(frozen(values), frozen(weights), out[len(weights) - 1 :])
    return out


def fractional_difference(values: Floats, d: float, width: int, closed: bool = False) -> Floats:
    """Return values differenced d times over a fixed window, by the faster way for its length.

    Parameters
    ----------
    values : float64 array of shape (n,)
        Log prices, newest last; all finite.
    d : float
        How often.
    width : int
        Values that each result is made of.
    closed : bool
        Whether the oldest value takes what the weights lack to sum to 0.

    Returns
    -------
    float64 array of shape (n,)
        NaN where the window is not full. Beyond 250 weights the last bits depend on how many values are given.

    Examples
    --------
    >>> fractional_difference(np.array([1.0, 3.0, 6.0]), d=1.0, width=2)
    array([nan,  2.,  3.])
    """
    weights = ffd_weights(d, width)
    if closed:
        weights[-1] -= weights.sum()
    if width <= DIRECT or len(values) < width:
        return weighed(values, weights)
    from scipy.signal import oaconvolve

    base = values[0]  # what all have in common would cost digits
    out = oaconvolve(values - base, weights)[: len(values)] + base * weights.sum()
    out[: width - 1] = np.nan
    return np.asarray(out)
