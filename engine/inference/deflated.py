"""What remains of the best Sharpe ratio after it is remembered how many were tried.

The best of N worthless strategies has a Sharpe ratio above zero. The deflated Sharpe ratio
(Bailey & Lopez de Prado 2014) is the PSR against that expected maximum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from engine.inference.interval import Floats, flaw
from engine.inference.sharpe import NORMAL, Sample, psr

EULER = 0.5772156649015329
COPY = 0.9  # trials more correlated than this are one idea


@dataclass(frozen=True, slots=True)
class Trials:
    """How much was tried on the same data before the best was shown.

    Parameters
    ----------
    count : int
        Every configuration ever scored, whatever became of it; at least 1.
    effective : float or None
        How many of them were really different; None when not known, which counts all of them.
    variance : float or None
        Variance of the trials' Sharpe ratios per period; None when not known, which takes that of
        independent worthless strategies, 1 / n.
    """

    count: int
    effective: float | None = None
    variance: float | None = None


@dataclass(frozen=True, slots=True)
class Deflated:
    """The deflated Sharpe ratio, counted in two ways.

    Parameters
    ----------
    value : float or None
        The smaller of ``raw`` and ``effective``: the one a gate should use.
    raw : float or None
        PSR against the expected maximum of all trials, at the spread they showed.
    effective : float or None
        PSR against the expected maximum of the effective trials, at a spread of at least 1 / n. The
        floor is there because near-duplicate trials make the spread too small.
    benchmark_raw, benchmark_effective : float or None
        Those expected maxima, per period.
    trials : int
        All trials.
    effective_trials : float
        Effective number of trials.
    n : int
        Number of periods.
    why : str
        Why something is None; empty when everything is known.
    """

    value: float | None
    raw: float | None = None
    effective: float | None = None
    benchmark_raw: float | None = None
    benchmark_effective: float | None = None
    trials: int = 1
    effective_trials: float = 1.0
    n: int = 0
    why: str = ""


def expected_max(trials: float) -> float:
    """Return the expected maximum of the Sharpe ratios of worthless strategies, in their standard deviations.

    Parameters
    ----------
    trials : float
        Number of independent strategies; 1 gives 0, the expectation of a single one.

    Examples
    --------
    >>> round(expected_max(45), 3)
    2.236
    """
    if trials <= 1.0:
        return 0.0
    first = NORMAL.inv_cdf(1.0 - 1.0 / trials)
    second = NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return max(0.0, (1.0 - EULER) * first + EULER * second)


def min_backtest_years(trials: float, annual_sharpe: float) -> float | None:
    """Return how many years of data so many trials need before a Sharpe ratio is more than their expected best.

    Parameters
    ----------
    trials : float
        Number of independent trials.
    annual_sharpe : float
        The annualised ratio to be believed.

    Returns
    -------
    float or None
        Years; None when the ratio is not positive.

    Examples
    --------
    >>> round(min_backtest_years(45, 1.0), 1)
    5.0
    """
    return (expected_max(trials) / annual_sharpe) ** 2 if annual_sharpe > 0.0 else None


def effective_trials(returns: Floats) -> float:
    """Return how many really different strategies a table of returns holds.

    The effective rank (Roy & Vetterli 2007) of the correlation matrix: the exponential of the
    entropy of its eigenvalues. Trials correlated above 0.9 with an earlier one are left out first:
    otherwise a few hundred copies of one idea would hide thirty different ones.

    Parameters
    ----------
    returns : float64 array of shape (n, k)
        Daily returns of k trials on the same days. Trials that never move do not count.

    Returns
    -------
    float
        In [1, k]; k for uncorrelated trials, 1 for copies of one.

    Examples
    --------
    >>> effective_trials(np.column_stack([[0.1, 0.2, 0.4, 0.1]] * 3))
    1.0
    """
    values = distinct(np.asarray(returns, dtype=np.float64))
    if values.shape[1] < 2:
        return 1.0
    standard = _standardised(values)
    wide = values.shape[1] > len(values)
    share = np.linalg.eigvalsh(standard @ standard.T if wide else standard.T @ standard) / values.shape[1]
    share = share[share > 1e-12]
    return float(np.clip(np.exp(-np.sum(share * np.log(share))), 1.0, values.shape[1]))


def distinct(returns: Floats) -> Floats:
    """Return the columns that move, without those correlated above 0.9 with one before them."""
    values = moving(returns)
    if values.shape[1] < 2:
        return values
    correlation = _standardised(values).T @ _standardised(values)
    kept = [0]
    for j in range(1, len(correlation)):
        if correlation[j, kept].max() <= COPY:
            kept.append(j)
    return values[:, kept]


def _standardised(values: Floats) -> Floats:
    centred = values - values.mean(axis=0)
    return np.asarray(centred / np.sqrt((centred * centred).sum(axis=0)))


def moving(returns: Floats) -> Floats:
    """Return the columns that move and are finite."""
    return returns[:, [j for j in range(returns.shape[1]) if not flaw(returns[:, j])]]


def trials_of(returns: Floats, others: int = 0) -> Trials:
    """Return the trials of a ledger: how many, how many different, and how much their Sharpe ratios spread.

    Parameters
    ----------
    returns : float64 array of shape (n, k)
        Daily returns of the trials that left them, on the same days.
    others : int
        Trials that left no returns (failed, pruned, other days). They count in full.

    Examples
    --------
    >>> trials_of(np.random.default_rng(1).standard_normal((500, 8))).count
    8
    """
    values = np.asarray(returns, dtype=np.float64)
    alive = distinct(values)  # copies of one idea would shrink the spread, and with it the bar
    variance = None
    if alive.shape[1] >= 2:
        variance = float((alive.mean(axis=0) / alive.std(axis=0, ddof=1)).var(ddof=1))
    count = max(1, values.shape[1] + others)
    return Trials(count, min(float(count), effective_trials(values) + others), variance)


def deflate(record: Sample, trials: Trials) -> Deflated:
    """Return the probability that a Sharpe ratio is better than the luck of so many trials.

    Parameters
    ----------
    record : Sample
        The track record of the strategy shown.
    trials : Trials
        What was tried on the same data; one trial gives PSR(0).

    Returns
    -------
    Deflated
        Both forms of the PSR are computed and the smaller one taken, as everywhere.
    """
    effective = float(trials.count) if trials.effective is None else trials.effective
    if record.sharpe is None or record.shape is None:
        return Deflated(None, trials=trials.count, effective_trials=effective, n=record.n, why=record.why)
    null = 1.0 / record.n
    variance = null if trials.variance is None else trials.variance
    luck_raw = math.sqrt(variance) * expected_max(trials.count)
    luck_effective = math.sqrt(max(variance, null)) * expected_max(effective)
    raw = psr(record.sharpe, record.n, luck_raw, record.shape)
    counted = psr(record.sharpe, record.n, luck_effective, record.shape)
    why = "" if raw is not None and counted is not None else "the returns' shape leaves the Sharpe ratio no variance"
    value = None if raw is None or counted is None else min(raw, counted)
    return Deflated(value, raw, counted, luck_raw, luck_effective, trials.count, effective, record.n, why)
