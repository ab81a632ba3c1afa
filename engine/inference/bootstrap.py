"""Intervals by the stationary bootstrap: what the same strategy might have earned in histories like this one.

Days are resampled in blocks whose mean length the data choose, so that the market's memory survives.
Intervals are studentised (equal-tailed bootstrap-t): in simulations with skewed, fat-tailed and
autocorrelated returns they come closest to their level, a little below it in short samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from engine.inference.blocks import block_length, long_run_variance
from engine.inference.interval import Draws, Floats, Interval, flaw
from engine.inference.resample import resample_statistics

LEAST_DAYS = 10
LEAST_LIVELY = 0.95  # an interval needs this share of resamples in which there is something to measure


def sharpe_interval(returns: Floats, days_per_year: float = 1.0, draws: Draws | None = None) -> Interval:
    """Return the Sharpe ratio of daily returns with its bootstrap interval.

    Parameters
    ----------
    returns : float64 array of shape (n,)
        Net returns per day as fractions, flat days included.
    days_per_year : float
        365 for markets that never close, 252 for stocks; 1 leaves the ratio per day.
    draws : Draws or None
        How to resample; None means 2,000 resamples, seed 0.

    Returns
    -------
    Interval
        Annualised by sqrt(days_per_year). Without value when the returns never move; without bounds
        when so few days hold a trade that more than 5 % of the resamples hold none.

    Examples
    --------
    >>> days = np.random.default_rng(1).normal(0.001, 0.02, 500)
    >>> found = sharpe_interval(days, 365)
    >>> found.low < found.value < found.high
    True
    """
    values = np.asarray(returns, dtype=np.float64)
    return sharpe_differences(values[:, None], [(0, -1)], days_per_year, draws)[0]


def sharpe_differences(
    returns: Floats,
    pairs: Sequence[tuple[int, int]],
    days_per_year: float = 1.0,
    draws: Draws | None = None,
) -> tuple[Interval, ...]:
    """Return differences between strategies' Sharpe ratios, all measured on the same resampled days.

    Parameters
    ----------
    returns : float64 array of shape (n, k)
        Net daily returns of k strategies on the same days.
    pairs : sequence of (int, int)
        Columns (a, b): the Sharpe ratio of a minus that of b; b = -1 asks for that of a alone.
    days_per_year : float
        365 for markets that never close, 252 for stocks; 1 leaves the ratio per day.
    draws : Draws or None
        How to resample; a block of None means the upper quartile of those the columns ask for.

    Returns
    -------
    tuple of Interval
        One for each pair. Strategies that did the same have a difference of exactly zero.
    """
    draws = draws or Draws()
    values = np.asarray(returns, dtype=np.float64)
    flaws = [flaw(values[:, j], LEAST_DAYS) for j in range(values.shape[1])]
    usable = [j for j, why in enumerate(flaws) if not why]
    seat = {j: i for i, j in enumerate(usable)} | {-1: -1}
    known = [(seat[a], seat[b]) for a, b in pairs if a in seat and b in seat]
    found = iter(_differences(values[:, usable], known, draws) if known else ())
    unit = math.sqrt(days_per_year)
    return tuple(
        next(found).scaled(unit) if a in seat and b in seat else _unknown(values, flaws, (a, b), draws)
        for a, b in pairs
    )


def _differences(values: Floats, pairs: list[tuple[int, int]], draws: Draws) -> list[Interval]:
    """Return the intervals per day of columns that all move."""
    block = common_block(values, draws)
    mean, spread, standard = standardise(values)
    sharpes = mean / spread
    influence = standard - 0.5 * sharpes * (standard * standard - 1.0)
    sampled, errors = resample(standard, sharpes, pairs, block, draws)
    found = []
    for q, (a, b) in enumerate(pairs):
        own = influence[:, a] - (influence[:, b] if b >= 0 else 0.0)
        drawn = sampled[:, a] - (sampled[:, b] if b >= 0 else 0.0)
        point = float(sharpes[a] - (sharpes[b] if b >= 0 else 0.0))
        error = math.sqrt(long_run_variance(own[:, None], block)[0] / len(values))
        blank = Interval(point, n=len(values), block=block, level=draws.level)
        found.append(_studentised(blank, error, drawn, errors[:, q]))
    return found


def _unknown(values: Floats, flaws: list[str], pair: tuple[int, int], draws: Draws) -> Interval:
    """Return the interval of a pair of which a column cannot be measured."""
    why = next(flaws[j] for j in pair if j >= 0 and flaws[j])
    return Interval(None, n=len(values), level=draws.level, why=why)


def mean_interval(values: Floats, draws: Draws | None = None) -> Interval:
    """Return the mean of a series with its bootstrap interval.

    Parameters
    ----------
    values : float64 array of shape (n,)
        Daily returns, differences of them, returns per trade or per forecast, in time order.
    draws : Draws or None
        How to resample.

    Returns
    -------
    Interval
        In the unit of the values.

    Examples
    --------
    >>> mean_interval(np.ones(30)).why
    'the 30 values never move'
    """
    draws = draws or Draws()
    series = np.asarray(values, dtype=np.float64)
    why = flaw(series, LEAST_DAYS)
    if why:
        middle = float(series.mean()) if len(series) and np.isfinite(series).all() else None
        return Interval(middle, n=len(series), level=draws.level, why=why)
    block = common_block(series[:, None], draws)
    mean, spread, standard = standardise(series[:, None])
    sampled, errors = resample(standard, [np.nan], [(0, -1)], block, draws)
    error = math.sqrt(long_run_variance(standard, block)[0] / len(series))
    blank = Interval(0.0, n=len(series), block=block, level=draws.level)
    found = _studentised(blank, error, sampled[:, 0], errors[:, 0]).scaled(float(spread[0]))
    return found.moved(float(mean[0]))


def profit_factor_interval(trade_returns: Floats, draws: Draws | None = None) -> Interval:
    """Return gains over losses of a list of trades, with a bootstrap percentile interval.

    Parameters
    ----------
    trade_returns : float64 array of shape (n,)
        Net return of each trade, in time order.
    draws : Draws or None
        How to resample.

    Returns
    -------
    Interval
        Without value when no trade lost; without bounds when more than 5 % of the resamples hold no loss.
    """
    draws = draws or Draws()
    series = np.asarray(trade_returns, dtype=np.float64)
    why = flaw(series, LEAST_DAYS)
    if not why and not (series < 0.0).any():
        why = f"none of {len(series)} trades lost"
    if why:
        return Interval(None, n=len(series), level=draws.level, why=why)
    both = np.column_stack((np.maximum(series, 0.0), np.maximum(-series, 0.0)))
    value = float(both[:, 0].sum() / both[:, 1].sum())
    block = common_block(series[:, None], draws)
    gains, losses = resample_means(both, block, draws).T
    lost = losses > 1e-9 * both[:, 1].mean()
    if lost.mean() < LEAST_LIVELY:
        why = f"{1 - lost.mean():.0%} of the resamples hold no losing trade"
        return Interval(value, n=len(series), block=block, level=draws.level, why=why)
    tail = (1.0 - draws.level) / 2.0
    low, median, high = np.quantile(np.maximum(gains[lost], 0.0) / losses[lost], [tail, 0.5, 1.0 - tail])
    return Interval(value, float(low), float(high), float(median), len(series), block, draws.level)


def common_block(values: Floats, draws: Draws) -> float:
    """Return the block length asked for, or the upper quartile of those the columns ask for."""
    asked = draws.block or float(np.quantile([block_length(column) for column in values.T], 0.75))
    return min(asked, float(len(values)))


def standardise(values: Floats) -> tuple[Floats, Floats, Floats]:
    """Return mean and standard deviation (n - 1) of each column, and the standardised columns; all must move."""
    mean = values.mean(axis=0)
    spread = values.std(axis=0, ddof=1)
    return mean, spread, (values - mean) / spread


def resample_means(values: Floats, block: float, draws: Draws) -> Floats:
    """Return each column's mean in each resample, shape (resamples, k); columns must move."""
    mean, spread, standard = standardise(values)
    sampled, _ = resample(standard, np.full(values.shape[1], np.nan), [], block, draws)
    return np.asarray(mean + spread * sampled)


def resample(
    standard: Floats,
    sharpes: Floats | Sequence[float],
    pairs: Sequence[tuple[int, int]],
    block: float,
    draws: Draws,
) -> tuple[Floats, Floats]:
    """Return every resample's statistics, shape (resamples, k), and errors of differences, shape (resamples, q).

    ``sharpes`` holds the columns' Sharpe ratios; NaN asks for the mean of the standardised column instead.
    """
    twice = np.concatenate((standard, standard)).T
    sums = np.zeros((len(twice), 2, twice.shape[1] + 1))
    np.cumsum(twice, axis=1, out=sums[:, 0, 1:])
    np.cumsum(twice * twice, axis=1, out=sums[:, 1, 1:])
    asked = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    statistics: tuple[Floats, Floats] = resample_statistics(
        sums, np.asarray(sharpes, np.float64), asked, 1.0 / block, draws.seed, draws.resamples
    )
    return statistics


def _studentised(blank: Interval, error: float, drawn: Floats, errors: Floats) -> Interval:
    """Return the equal-tailed bootstrap-t interval around a point."""
    if blank.value is None or error <= 1e-12:
        return replace(blank, low=blank.value, high=blank.value, median=blank.value)
    alive = np.isfinite(drawn) & (errors > 1e-12)
    if alive.mean() < LEAST_LIVELY:
        return replace(blank, why=f"{1 - alive.mean():.0%} of the resamples hold too few days on which anything moved")
    tail = (1.0 - blank.level) / 2.0
    low, high = np.quantile((drawn[alive] - blank.value) / errors[alive], [tail, 1.0 - tail])
    middle = float(np.median(drawn[alive]))
    return replace(blank, low=float(blank.value - error * high), high=float(blank.value - error * low), median=middle)
