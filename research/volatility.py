"""The volatility agent: log realised variance foreseen by ridge, against HAR and EWMA, by QLIKE on a walk-forward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.bars import Bars, Floats, format_time
from engine.errors import DataError
from models.volatility import INPUTS, volatility_inputs, volatility_memory
from research.checkpoints import Checkpoints
from research.fit_logistic import moments

DAY_NS = 86_400 * 10**9
HAR = (1, 2, 3)  # columns of day, week and month
EVERYTHING = tuple(range(len(INPUTS)))
RIDGE = 10.0  # standard inputs, thousands of rows: only keeps twins from taking opposite signs
DECAYS = (0.9, 0.94, 0.97, 0.985, 0.993, 0.997)
NAMES = ("agent", "HAR", "EWMA")


class VolatilityModel(NamedTuple):
    """A linear model of log realised variance.

    Parameters
    ----------
    columns : tuple of int
        Inputs it sees.
    mean, deviation, slope : float64 arrays of shape (k,)
        Of its inputs, and the coefficients of standard ones.
    intercept : float
        Log variance of average inputs.
    scale : float
        What exp of the answer is multiplied by so that it is the mean variance, not the median one.
    spread : float
        Standard deviation of the training residuals.
    """

    columns: tuple[int, ...]
    mean: Floats
    deviation: Floats
    slope: Floats
    intercept: float
    scale: float
    spread: float

    def log_variance(self, inputs: Floats) -> Floats:
        """Return the expected log of the variance per bar, shape (m,)."""
        x = (inputs[:, list(self.columns)] - self.mean) / self.deviation
        out: Floats = x @ self.slope + self.intercept
        return out

    def variance(self, inputs: Floats) -> Floats:
        """Return the expected variance per bar, shape (m,)."""
        return self.scale * np.exp(self.log_variance(inputs))


class Race(NamedTuple):
    """One forecaster on the rows of the walk-forward.

    Parameters
    ----------
    name : str
        Of the forecaster.
    qlike : float
        Mean loss.
    r2 : float
        Of log variance, against the mean of the rows themselves.
    gain, t, p : float
        HAR's mean loss less its own, Diebold-Mariano's statistic, and its two-sided p-value; 0, 0, 1 for HAR.
    """

    name: str
    qlike: float
    r2: float
    gain: float
    t: float
    p: float


def qlike(realised: Floats, foreseen: Floats) -> Floats:
    """Return s / h - log(s / h) - 1 of each row: least at h = s, and in the mean also for a noisy s (Patton 2011).

    Examples
    --------
    >>> qlike(np.array([2.0, 2.0]), np.array([2.0, 1.0])).round(4).tolist()
    [0.0, 0.3069]
    """
    share = realised / foreseen
    return share - np.log(share) - 1.0


def realised_ahead(bars: Bars, ahead: int) -> Floats:
    """Return the variance per bar that the bars after each close realised, shape (n,); NaN where not known."""
    out = np.full(len(bars), np.nan)
    out[: max(len(bars) - ahead, 0)] = np.exp(volatility_inputs(bars, ahead)[ahead:, 1])
    return out


def fit_volatility(inputs: Floats, realised: Floats, columns: tuple[int, ...], ridge: float = RIDGE) -> VolatilityModel:
    """Fit log variance on rows whose future is known; ridge 0 and HAR's columns make it Corsi's model.

    Parameters
    ----------
    inputs : float64 array of shape (m, 6)
        Of `models.volatility.volatility_inputs`.
    realised : float64 array of shape (m,)
        Variance per bar after each.
    columns : tuple of int
        Inputs it may see.
    ridge : float
        Penalty of standard coefficients.
    """
    y = np.log(realised)
    mean, deviation = moments(inputs[:, list(columns)])
    x = (inputs[:, list(columns)] - mean) / deviation
    slope = np.linalg.solve(x.T @ x + ridge * np.eye(len(columns)), x.T @ (y - y.mean()))
    residual = y - y.mean() - x @ slope
    return VolatilityModel(
        columns, mean, deviation, slope, float(y.mean()), float(np.exp(residual).mean()), float(residual.std())
    )


def ewma(returns: Floats, decay: float) -> Floats:
    """Return the exponentially weighted mean of squared returns up to each bar (RiskMetrics 1996); gaps are skipped.

    Examples
    --------
    >>> ewma(np.array([1.0, 0.0, 2.0]), 0.5).tolist()
    [1.0, 0.5, 2.25]
    """
    from scipy.signal import lfilter

    squares = np.nan_to_num(returns**2)
    start = np.array([decay * squares[0]]) if len(squares) else np.zeros(1)
    smooth: Floats = lfilter([1.0 - decay], [1.0, -decay], squares, zi=start)[0]
    return smooth


def diebold_mariano(gain: Floats, lags: int) -> tuple[float, float]:
    """Return statistic and two-sided p-value of a mean loss difference whose neighbours overlap (1995).

    Parameters
    ----------
    gain : float64 array of shape (m,)
        Loss of the one less loss of the other, in time order.
    lags : int
        Neighbours whose losses hang together: Newey & West's variance with so many lags.
    """
    from scipy.stats import norm

    n, centred = len(gain), gain - gain.mean()
    variance = float(centred @ centred) / n
    for lag in range(1, min(lags, n - 1) + 1):
        variance += 2.0 * (1.0 - lag / (lags + 1)) * float(centred[lag:] @ centred[:-lag]) / n
    t = float(gain.mean() / np.sqrt(variance / n)) if variance > 0 else 0.0
    return t, float(2.0 * norm.sf(abs(t)))


def race(
    bars: Bars,
    ahead: int,
    first: float = 0.4,
    folds: int = 8,
    tell: Callable[[str, float, float], None] | None = None,
    parts: Checkpoints | None = None,
) -> tuple[list[Race], dict[str, Any]]:
    """Return how the agent, HAR and EWMA foresee the variance of the next bars on a purged, anchored walk-forward.

    Parameters
    ----------
    bars : Bars
        The market.
    ahead : int
        Bars foreseen.
    first : float
        Share of the rows before the first fold.
    folds : int
        Refits; each learns only from rows whose future had ended before its first bar.
    tell : callable, optional
        Told a text, the work done and the work in all.
    parts : Checkpoints, optional
        Where finished folds are kept, and taken from when resuming.

    Raises
    ------
    DataError
        If the bars are too few.
    """
    inputs, realised = volatility_inputs(bars, ahead), realised_ahead(bars, ahead)
    known = np.flatnonzero(np.isfinite(inputs).all(axis=1) & (realised > 0))
    if len(known) * first < 30 * ahead:
        need = int(30 * ahead / first) + volatility_memory(ahead)
        raise DataError(f"{len(bars)} bars of {bars.symbol} are too few to race volatility forecasts; bring {need}")
    squares = np.r_[np.nan, np.diff(np.log(bars.close))]
    smooth = {decay: ewma(squares, decay) for decay in DECAYS}
    edges = known[np.linspace(int(len(known) * first), len(known) - 1, folds + 1).astype(int)]
    done: list[dict[str, NDArray[Any]]] = []
    for fold in range(folds):
        if tell is not None:
            tell(f"fold {fold + 1} of {folds}", fold, folds)
        kept = parts.load(f"fold-{fold}") if parts is not None else None
        if kept is None:
            past = taught(known, int(edges[fold]), ahead)
            now = known[(known >= edges[fold]) & (known < edges[fold + 1] + (fold + 1 == folds))]
            kept = {"rows": now} | foreseen((inputs, realised, smooth), past, now), {}
            if parts is not None:
                parts.save(f"fold-{fold}", *kept)
        done.append(kept[0])
    if tell is not None:
        tell("done", folds, folds)
    judged, *told = (np.concatenate([part[name] for part in done]) for name in ("rows", *NAMES))
    notes = {"rows": len(judged), "from": format_time(bars.open_time[judged[0]]), "ahead": ahead}
    races = _judge(realised[judged], dict(zip(NAMES, told, strict=True)), ahead)
    return races, notes | {"to": format_time(bars.open_time[judged[-1]])}


def foreseen(
    market: tuple[Floats, Floats, dict[float, Floats]], past: NDArray[np.int64], now: NDArray[np.int64]
) -> dict[str, Floats]:
    """Return each forecaster's variance at some rows, fitted on earlier ones.

    Parameters
    ----------
    market : (float64 array of shape (n, 6), float64 array of shape (n,), dict of float to float64 array of shape (n,))
        Inputs, realised variance ahead, and the averages of squared returns by decay.
    past, now : int64 arrays
        Rows that teach, and rows to foresee.
    """
    inputs, realised, smooth = market
    agent = fit_volatility(inputs[past], realised[past], EVERYTHING)
    har = fit_volatility(inputs[past], realised[past], HAR, 0.0)
    scales = {decay: float((realised[past] / one[past]).mean()) for decay, one in smooth.items()}
    best = min(DECAYS, key=lambda d: float(qlike(realised[past], scales[d] * smooth[d][past]).mean()))
    return {
        "agent": agent.variance(inputs[now]),
        "HAR": har.variance(inputs[now]),
        "EWMA": scales[best] * smooth[best][now],
    }


def taught(known: NDArray[np.int64], first: int, ahead: int) -> NDArray[np.int64]:
    """Return the rows whose future had ended before a fold's first bar."""
    return known[known + ahead < first]


def _judge(realised: Floats, foreseen: dict[str, Floats], ahead: int) -> list[Race]:
    losses = {name: qlike(realised, h) for name, h in foreseen.items()}
    truth = np.log(realised)
    out = []
    for name, h in foreseen.items():
        gain = losses["HAR"] - losses[name]
        t, p = diebold_mariano(gain, ahead) if name != "HAR" else (0.0, 1.0)
        missed = np.log(h) - truth
        r2 = 1.0 - float(((missed - missed.mean()) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())
        out.append(Race(name, float(losses[name].mean()), r2, float(gain.mean()), t, p))
    return out


def bars_of_a_day(bars: Bars) -> int:
    """Return how many bars make a day, 5 where a bar is a day or longer."""
    return DAY_NS // bars.timeframe_ns if bars.timeframe_ns < DAY_NS else 5
