"""How long the market remembers: block lengths and long-run variances."""

from __future__ import annotations

import math

import numpy as np

from engine.inference.interval import Floats


def block_length(values: Floats) -> float:
    """Return the mean block length that suits the stationary bootstrap of a series' mean.

    The automatic choice of Politis & White (2004) with the correction of Patton, Politis & White
    (2009); the same numbers as ``arch.bootstrap.optimal_block_length``, but at least 1.

    Parameters
    ----------
    values : float64 array of shape (n,)
        A series in time order, n >= 10, that moves.

    Returns
    -------
    float
        Mean block length in observations, in [1, min(3 sqrt(n), n / 3)].

    Examples
    --------
    >>> block_length(np.random.default_rng(1).standard_normal(500)) < 5
    True
    """
    n = len(values)
    centred = values - values.mean()
    run = max(5, int(math.log10(n)))
    lags = min(math.ceil(math.sqrt(n)) + run, n - 2)
    covariance = autocovariance(centred[:, None])[: lags + 1, 0]
    squares = np.concatenate(([0.0], np.cumsum(centred * centred)))
    k = np.arange(lags + 1)
    scale = np.sqrt((squares[n] - squares[k + 1]) * squares[n - k - 1])
    correlation = np.divide(np.abs(covariance) * n, scale, out=np.zeros(lags + 1), where=scale > 0.0)
    small = correlation < 2.0 * math.sqrt(math.log10(n) / n)
    quiet = np.convolve(small[:lags], np.ones(run), "valid") == run  # run insignificant lags in a row from here
    first = int(np.argmax(quiet)) if quiet.any() else None
    width = lags if first is None else min(2 * max(first, 1), lags)
    k = np.arange(1, width + 1)
    taper = np.minimum(1.0, 2.0 * (1.0 - k / width))
    pull = 2.0 * float(np.sum(taper * k * covariance[1 : width + 1]))
    long_run = float(covariance[0] + 2.0 * np.sum(taper * covariance[1 : width + 1]))
    longest = math.ceil(min(3.0 * math.sqrt(n), n / 3.0))
    if long_run == 0.0:
        return float(longest)
    cubed = min((pull / long_run) ** 2 * n, float(longest) ** 3)
    return max(1.0, float(np.cbrt(cubed)))


def autocovariance(values: Floats) -> Floats:
    """Return each column's autocovariances at lags 0 .. n-1, shape (n, k).

    Parameters
    ----------
    values : float64 array of shape (n, k)
        Series in time order.
    """
    n = len(values)
    spectrum = np.fft.rfft(values - values.mean(axis=0), 2 * n, axis=0)
    power = spectrum.real**2 + spectrum.imag**2
    return np.asarray(np.fft.irfft(power, 2 * n, axis=0)[:n] / n)


def long_run_variance(values: Floats, block: float) -> Floats:
    """Return n times the variance of each column's mean, as the stationary bootstrap would see it.

    The exact formula of Politis & Romano (1994), which Hansen (2005) uses to studentise.

    Parameters
    ----------
    values : float64 array of shape (n, k)
        Series in time order.
    block : float
        Mean block length in observations, at least 1; 1 gives the plain variance.

    Returns
    -------
    float64 array of shape (k,)
        Never negative.

    Examples
    --------
    >>> x = np.array([[1.0], [2.0], [4.0], [8.0]])
    >>> bool(np.isclose(long_run_variance(x, 1.0)[0], x.var()))
    True
    """
    n = len(values)
    stay = 1.0 - 1.0 / block
    lag = np.arange(n)
    weight = (1.0 - lag / n) * stay**lag + (lag / n) * stay ** (n - lag)
    weight[0] = 0.5
    return np.asarray(np.maximum(2.0 * weight @ autocovariance(values), 0.0))


def effective_count(values: Floats, block: float | None = None) -> float:
    """Return how many independent observations a series' mean is worth, in [1, n].

    Parameters
    ----------
    values : float64 array of shape (n,)
        A series in time order.
    block : float or None
        Mean block length; None lets the data choose.

    Returns
    -------
    float
        n times variance over long-run variance. Overlapping labels make it small.
    """
    n = len(values)
    if n < 10 or np.ptp(values) == 0.0:
        return float(n)
    long_run = float(long_run_variance(values[:, None], block or block_length(values))[0])
    return float(np.clip(n * values.var() / long_run, 1.0, n)) if long_run > 0.0 else float(n)
