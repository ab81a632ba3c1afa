"""Whether 60 % means 60 %: calibration errors, with the error that a perfect model would show.

A calibration error on few forecasts is large for *every* model. Hence the null band: outcomes are
drawn from the forecasts themselves, and only what exceeds the band is miscalibration.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.errors import DataError
from engine.inference.interval import Floats

LEAST_FORECASTS = 10
NEAREST = 1e-6  # forecasts leave the door rounded to 6 decimals; 0 and 1 stand for this and 1 minus this
SIMULATIONS = 2000
EXACT_UP_TO = 2000  # above this the bins are large enough for the normal law


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far probabilities are from frequencies, and whether more than chance explains.

    Parameters
    ----------
    ece : float or None
        Expected calibration error over bins of equal mass.
    null_mean, null_high : float or None
        Mean and 95 % quantile of the error that a perfectly calibrated model would show here.
    excess : float or None
        ``ece`` less ``null_mean``, at least 0: the part that is not bias of the measure.
    brier, brier_skill : float or None
        Brier score, and 1 minus its ratio to that of the base rate.
    slope, intercept : float or None
        Logistic regression of the outcomes on the forecasts' log odds: 1 and 0 when calibrated;
        a slope below 1 is overconfidence.
    slope_error, intercept_error : float or None
        Their standard errors.
    n : int
        Number of forecasts.
    n_eff : float
        Number of independent forecasts they are worth.
    bins : int
        Number of bins.
    why : str
        Why something is None; empty when everything is known.
    """

    ece: float | None
    null_mean: float | None = None
    null_high: float | None = None
    excess: float | None = None
    brier: float | None = None
    brier_skill: float | None = None
    slope: float | None = None
    intercept: float | None = None
    slope_error: float | None = None
    intercept_error: float | None = None
    n: int = 0
    n_eff: float = 0.0
    bins: int = 0
    why: str = ""

    @property
    def miscalibrated(self) -> bool:
        """Whether the error exceeds what chance gives a perfect model in 95 of 100 samples."""
        return self.ece is not None and self.null_high is not None and self.ece > self.null_high


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Forecasts of about the same probability and what became of them.

    Parameters
    ----------
    forecast, frequency : float
        Mean forecast and share of events.
    low, high : float
        Where the frequency lies in 95 of 100 samples if the forecasts are right.
    n : int
        Number of forecasts.
    """

    forecast: float
    frequency: float
    low: float
    high: float
    n: int


def calibration(
    p: Floats, y: NDArray[np.generic], bins: int = 10, n_eff: float | None = None, seed: int = 0
) -> Calibration:
    """Measure the calibration of forecasts.

    Parameters
    ----------
    p : float64 array of shape (n,)
        Forecast probabilities in [0, 1].
    y : array of shape (n,)
        Outcomes, 0 or 1.
    bins : int
        Bins of equal mass; fewer when there are under 7 forecasts for each. Equal forecasts share a bin.
    n_eff : float or None
        Independent forecasts they are worth, from :func:`engine.inference.blocks.effective_count`,
        when labels overlap; it widens the null band and the errors.
    seed : int
        Of the null band.

    Returns
    -------
    Calibration
        Without numbers for fewer than 10 forecasts; without slope when the outcomes or the
        forecasts are all the same.

    Raises
    ------
    DataError
        If a forecast is no probability or an outcome neither 0 nor 1.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> p = rng.random(2000)
    >>> calibration(p, rng.random(2000) < p).miscalibrated
    False
    """
    p, y = checked_forecasts(p, y)
    n, worth = len(p), float(len(p)) if n_eff is None else min(max(n_eff, 1.0), float(len(p)))
    if n < LEAST_FORECASTS:
        return Calibration(None, n=n, n_eff=worth, why=f"only {n} forecasts, at least {LEAST_FORECASTS} are needed")
    p, y, starts = _binned(p, y, bins)
    ece = _ece(np.add.reduceat(y - p, starts)[None, :], n)[0]
    null = _ece(_null_gaps(p, starts, worth, seed), n)
    brier, base = float(np.mean((p - y) ** 2)), float(y.mean())
    slope, intercept, errors, why = _reliability_line(p, y)
    widen = math.sqrt(n / worth)
    return Calibration(
        ece=float(ece),
        null_mean=float(null.mean()),
        null_high=float(np.quantile(null, 0.95)),
        excess=max(0.0, float(ece - null.mean())),
        brier=brier,
        brier_skill=1.0 - brier / (base * (1.0 - base)) if 0.0 < base < 1.0 else None,
        slope=slope,
        intercept=intercept,
        slope_error=None if errors is None else errors[1] * widen,
        intercept_error=None if errors is None else errors[0] * widen,
        n=n,
        n_eff=worth,
        bins=len(starts),
        why=why,
    )


def reliability_curve(
    p: Floats, y: NDArray[np.generic], bins: int = 10, n_eff: float | None = None, seed: int = 0
) -> tuple[ReliabilityBin, ...]:
    """Return the reliability diagram: each bin's frequency beside the band in which it belongs.

    Parameters and errors as in :func:`calibration`; empty for fewer than 10 forecasts.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> p = rng.random(500)
    >>> len(reliability_curve(p, rng.random(500) < p, bins=5))
    5
    """
    p, y = checked_forecasts(p, y)
    if len(p) < LEAST_FORECASTS:
        return ()
    p, y, starts = _binned(p, y, bins)
    size = np.diff(np.append(starts, len(p)))
    gaps = _null_gaps(p, starts, float(len(p)) if n_eff is None else n_eff, seed) / size
    forecast, frequency = np.add.reduceat(p, starts) / size, np.add.reduceat(y, starts) / size
    low, high = np.clip(forecast + np.quantile(gaps, [0.025, 0.975], axis=0), 0.0, 1.0)
    rows = zip(forecast.tolist(), frequency.tolist(), low.tolist(), high.tolist(), size.tolist(), strict=True)
    return tuple(ReliabilityBin(*row) for row in rows)


def checked_forecasts(p: Floats, y: NDArray[np.generic]) -> tuple[Floats, Floats]:
    """Return forecasts and outcomes as float64 arrays.

    Raises
    ------
    DataError
        Naming the first forecast that is no probability, or outcome that is neither 0 nor 1.
    """
    said, came = np.asarray(p, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if said.shape != came.shape or said.ndim != 1:
        raise DataError(f"forecasts have shape {said.shape} and outcomes {came.shape}; they must be the same rows")
    for name, values, good, allowed in (
        ("forecast", said, (said >= 0.0) & (said <= 1.0), "in [0, 1]"),
        ("outcome", came, (came == 0.0) | (came == 1.0), "0 or 1"),
    ):
        if not good.all():
            row = int(np.argmin(good))
            raise DataError(
                f"{name}[{row}] of {len(values)} must be {allowed}, was {values[row]}; leave out rows without one"
            )
    return said, came


def log_odds(p: Floats) -> Floats:
    """Return log(p / (1 - p)) of forecasts kept inside (0, 1)."""
    inside = np.clip(p, NEAREST, 1.0 - NEAREST)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def _binned(p: Floats, y: Floats, bins: int) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Return rows sorted by forecast and where each bin starts."""
    order = np.argsort(p, kind="stable")
    p, y = p[order], y[order]
    wanted = max(1, min(bins, len(p) // 7))
    return p, y, np.unique(np.searchsorted(p, p[len(p) * np.arange(wanted) // wanted]))


def _ece(gaps: Floats, n: int) -> Floats:
    """Return the calibration error of each row of bin sums of outcome minus forecast."""
    return np.asarray(np.abs(gaps).sum(axis=1) / n)


def _null_gaps(p: Floats, starts: NDArray[np.intp], worth: float, seed: int) -> Floats:
    """Return bin sums of outcome minus forecast of simulated samples for which the forecasts are right."""
    rng = np.random.default_rng(seed)
    if len(p) <= EXACT_UP_TO and worth >= len(p):
        events = rng.random((SIMULATIONS, len(p))) < p
        return np.asarray(np.add.reduceat(events - p, starts, axis=1))
    deviation = np.sqrt(np.add.reduceat(p * (1.0 - p), starts) * len(p) / worth)
    return np.asarray(rng.standard_normal((SIMULATIONS, len(starts))) * deviation)


def _reliability_line(p: Floats, y: Floats) -> tuple[float | None, float | None, tuple[float, float] | None, str]:
    """Return slope, intercept and their standard errors of the outcomes on the forecasts' log odds (Newton)."""
    x = np.column_stack((np.ones(len(p)), log_odds(p)))
    if np.ptp(y) == 0.0 or np.ptp(x[:, 1]) < 1e-9:
        return None, None, None, "the outcomes or the forecasts are all the same"
    line = np.array([0.0, 1.0])
    for _ in range(50):
        fitted = 1.0 / (1.0 + np.exp(-np.clip(x @ line, -40.0, 40.0)))
        curvature = (x * (fitted * (1.0 - fitted))[:, None]).T @ x
        if np.linalg.cond(curvature) > 1e12:
            break
        step = np.linalg.solve(curvature, x.T @ (y - fitted))
        line = line + step
        if np.abs(step).max() < 1e-9:
            errors = np.sqrt(np.diag(np.linalg.inv(curvature)))
            return float(line[1]), float(line[0]), (float(errors[0]), float(errors[1])), ""
    return None, None, None, "the forecasts separate the outcomes: there is no reliability line"
