"""How sure a Sharpe ratio is, and how long a record must be before it says anything.

All Sharpe ratios here are per period (per day), never annualised. Two conventions exist and are named:

* **2012** (Bailey & Lopez de Prado, "The Sharpe Ratio Efficient Frontier"): the variance of the
  estimate is taken at the *observed* ratio, observations are independent.
* **2025** (Lopez de Prado, Lipton & Zoonekynd, "Sharpe Ratio Inference"): the variance is taken at the
  ratio of the *null hypothesis*, and returns may follow an AR(1).

They differ much for skewed returns, so a gate uses the less favourable of the two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from engine.inference.interval import Floats, flaw

NORMAL = NormalDist()


class Shape(NamedTuple):
    """How returns differ from independent draws of a normal distribution.

    Parameters
    ----------
    skew : float
        Third standardised moment.
    kurtosis : float
        Fourth standardised moment, not in excess: 3 for the normal.
    rho : float
        Autocorrelation at lag one, in (-1, 1); used by the 2025 form alone.
    """

    skew: float = 0.0
    kurtosis: float = 3.0
    rho: float = 0.0


IID_NORMAL = Shape()


@dataclass(frozen=True, slots=True)
class Sample:
    """What a track record looks like; None where it cannot be known.

    Parameters
    ----------
    n : int
        Number of periods.
    mean, deviation : float or None
        Mean and standard deviation (n - 1) of the returns per period.
    sharpe : float or None
        Mean over deviation, per period.
    shape : Shape or None
        Skewness, kurtosis and autocorrelation.
    why : str
        Why something is None; empty when everything is known.
    """

    n: int
    mean: float | None = None
    deviation: float | None = None
    sharpe: float | None = None
    shape: Shape | None = None
    why: str = ""


def sample(returns: Floats) -> Sample:
    """Return size, Sharpe ratio and shape of a track record.

    Parameters
    ----------
    returns : float64 array of shape (n,)
        Net returns per period, flat periods included.

    Examples
    --------
    >>> sample(np.array([0.01, -0.01, 0.02, 0.0])).n
    4
    >>> sample(np.zeros(9)).why
    'the 9 values never move'
    """
    values = np.asarray(returns, dtype=np.float64)
    why = flaw(values)
    if why:
        middle = float(values.mean()) if len(values) and np.isfinite(values).all() else None
        return Sample(len(values), middle, why=why)
    mean, deviation = float(values.mean()), float(values.std(ddof=1))
    z = (values - mean) / values.std()
    rho = float(np.clip(np.dot(z[1:], z[:-1]) / len(z), -0.99, 0.99))
    shape = Shape(float(np.mean(z**3)), float(np.mean(z**4)), rho)
    return Sample(len(values), mean, deviation, mean / deviation, shape)


def sharpe_variance(sharpe: float, shape: Shape = IID_NORMAL) -> float:
    """Return n times the variance of an estimated Sharpe ratio whose true value is ``sharpe``.

    Parameters
    ----------
    sharpe : float
        Per period.
    shape : Shape
        Skewness, kurtosis and autocorrelation; rho = 0 gives the 2012 formula.
    """
    skew, kurtosis, rho = shape
    once, twice = rho / (1.0 - rho), rho * rho / (1.0 - rho * rho)
    linear, quadratic = 1.0 + once + twice, 1.0 + 2.0 * twice
    return 1.0 + 2.0 * once - linear * skew * sharpe + quadratic * (kurtosis - 1.0) / 4.0 * sharpe * sharpe


def psr_2012(sharpe: float, n: int, benchmark: float = 0.0, shape: Shape = IID_NORMAL) -> float | None:
    """Return the probability that the true Sharpe ratio exceeds a benchmark, in the form of 2012.

    Parameters
    ----------
    sharpe, benchmark : float
        Observed ratio and the one to beat, per period.
    n : int
        Number of periods.
    shape : Shape
        Skewness and kurtosis of the returns.

    Returns
    -------
    float or None
        In [0, 1]; None with fewer than 2 periods or a shape for which the variance is not positive.

    Examples
    --------
    >>> round(psr_2012(0.036 / 0.079, 24, shape=Shape(-2.448, 10.164)), 4)
    0.9127
    """
    return _probability(sharpe - benchmark, sharpe_variance(sharpe, shape._replace(rho=0.0)), n - 1)


def psr_2025(sharpe: float, n: int, benchmark: float = 0.0, shape: Shape = IID_NORMAL) -> float | None:
    """Return the probability that the true Sharpe ratio exceeds a benchmark, in the form of 2025.

    Parameters and result as in :func:`psr_2012`; the autocorrelation counts.

    Examples
    --------
    >>> round(psr_2025(0.036 / 0.079, 24, shape=Shape(-2.448, 10.164)), 3)
    0.987
    """
    return _probability(sharpe - benchmark, sharpe_variance(benchmark, shape), n)


def psr(sharpe: float, n: int, benchmark: float = 0.0, shape: Shape = IID_NORMAL) -> float | None:
    """Return the smaller of the two probabilities: the one a gate should use.

    Parameters and result as in :func:`psr_2012`.
    """
    old, new = psr_2012(sharpe, n, benchmark, shape), psr_2025(sharpe, n, benchmark, shape)
    return None if old is None or new is None else min(old, new)


def min_record_2012(
    sharpe: float, benchmark: float = 0.0, shape: Shape = IID_NORMAL, alpha: float = 0.05
) -> float | None:
    """Return how many periods are needed before a Sharpe ratio beats a benchmark, in the form of 2012.

    Parameters
    ----------
    sharpe, benchmark : float
        Observed ratio and the one to beat, per period.
    shape : Shape
        Skewness and kurtosis of the returns.
    alpha : float
        One minus the confidence asked for.

    Returns
    -------
    float or None
        Periods; None when the ratio is not above the benchmark: no record would be long enough.

    Examples
    --------
    >>> round(min_record_2012(2 / 250**0.5, 1 / 250**0.5) / 250, 2)
    2.73
    """
    wait = _wait(sharpe - benchmark, sharpe_variance(sharpe, shape._replace(rho=0.0)), alpha)
    return None if wait is None else 1.0 + wait


def min_record_2025(
    sharpe: float, benchmark: float = 0.0, shape: Shape = IID_NORMAL, alpha: float = 0.05
) -> float | None:
    """Return how many periods are needed before a Sharpe ratio beats a benchmark, in the form of 2025.

    Parameters and result as in :func:`min_record_2012`.
    """
    return _wait(sharpe - benchmark, sharpe_variance(benchmark, shape), alpha)


def min_record(sharpe: float, benchmark: float = 0.0, shape: Shape = IID_NORMAL, alpha: float = 0.05) -> float | None:
    """Return the longer of the two minimum track records: the one a gate should use.

    Parameters and result as in :func:`min_record_2012`.
    """
    old = min_record_2012(sharpe, benchmark, shape, alpha)
    new = min_record_2025(sharpe, benchmark, shape, alpha)
    return None if old is None or new is None else max(old, new)


def power(true: float, n: int, benchmark: float = 0.0, shape: Shape = IID_NORMAL, alpha: float = 0.05) -> float | None:
    """Return the chance that a record of n periods shows a true Sharpe ratio to be above a benchmark.

    Parameters
    ----------
    true, benchmark : float
        True ratio and the one to beat, per period.
    n : int
        Number of periods.
    shape : Shape
        Skewness, kurtosis and autocorrelation of the returns.
    alpha : float
        Size of the test.

    Examples
    --------
    >>> round(1 - power(0.5, 24, shape=Shape(-2.448, 10.164)), 3)
    0.315
    """
    null, other = sharpe_variance(benchmark, shape), sharpe_variance(true, shape)
    if n < 2 or null <= 0.0 or other <= 0.0:
        return None
    critical = benchmark + NORMAL.inv_cdf(1.0 - alpha) * math.sqrt(null / n)
    return 1.0 - NORMAL.cdf((critical - true) / math.sqrt(other / n))


def _probability(lead: float, variance: float, n: int) -> float | None:
    """Return the normal probability of a lead; None where there is no variance to judge it by."""
    return None if n < 1 or variance <= 0.0 else NORMAL.cdf(lead * math.sqrt(n / variance))


def _wait(lead: float, variance: float, alpha: float) -> float | None:
    """Return the number of periods after which a lead counts."""
    return None if lead <= 0.0 or variance <= 0.0 else variance * (NORMAL.inv_cdf(1.0 - alpha) / lead) ** 2
