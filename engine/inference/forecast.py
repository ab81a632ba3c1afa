"""What a forecast knows: its loss beside that of knowing nothing, and how well it ranks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.inference.blocks import block_length, effective_count, long_run_variance
from engine.inference.bootstrap import LEAST_DAYS, mean_interval
from engine.inference.calibration import NEAREST, checked_forecasts
from engine.inference.interval import Draws, Floats, Interval
from engine.inference.sharpe import NORMAL


@dataclass(frozen=True, slots=True)
class LogLoss:
    """The log loss of forecasts, never without the loss of a forecaster who knows only the base rate.

    Parameters
    ----------
    loss : float or None
        Mean binary cross-entropy in nats.
    base_rate : float or None
        Share of events that the no-skill forecaster names every time.
    no_skill : float or None
        Loss of that forecaster.
    skill : float or None
        1 - loss / no_skill: 0 knows nothing, 1 knows everything, below 0 misleads.
    low, high : float or None
        Interval of the skill by the stationary bootstrap.
    n : int
        Number of forecasts.
    n_eff : float
        Number of independent forecasts they are worth.
    why : str
        Why something is None; empty when everything is known.
    """

    loss: float | None
    base_rate: float | None = None
    no_skill: float | None = None
    skill: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    n_eff: float = 0.0
    why: str = ""


def log_loss(p: Floats, y: NDArray[np.generic], base_rate: float | None = None, draws: Draws | None = None) -> LogLoss:
    """Return the log loss of forecasts with its no-skill baseline.

    Parameters
    ----------
    p : float64 array of shape (n,)
        Forecast probabilities in time order; 0 and 1 count as 1e-6 and 1 - 1e-6.
    y : array of shape (n,)
        Outcomes, 0 or 1.
    base_rate : float or None
        Share of events the no-skill forecaster knows, as from the training data; None gives it the
        share of this very sample, which is the harder opponent.
    draws : Draws or None
        How to resample; set the block to the label's horizon when labels overlap.

    Raises
    ------
    DataError
        If a forecast is no probability or an outcome neither 0 nor 1.

    Examples
    --------
    >>> y = np.array([0, 0, 0, 1] * 10)
    >>> found = log_loss(np.full(40, 0.25), y)
    >>> round(found.loss, 4), found.skill
    (0.5623, 0.0)
    """
    p, y = checked_forecasts(p, y)
    n = len(p)
    if n == 0:
        return LogLoss(None, why="there are no forecasts")
    base = float(y.mean()) if base_rate is None else float(base_rate)
    losses, opponent = _losses(p, y), _losses(np.full(n, base), y)
    loss, no_skill = float(losses.mean()), float(opponent.mean())
    if not 0.0 < base < 1.0:
        return LogLoss(
            loss, base, n=n, n_eff=float(n), why="only one outcome occurs: no forecaster can be told from another"
        )
    worth = effective_count(y - p, None if draws is None else draws.block)
    gain = mean_interval((opponent - losses) / no_skill, draws)
    skill = 1.0 - loss / no_skill
    if np.ptp(p) == 0.0:
        return LogLoss(loss, base, no_skill, skill, skill, skill, n, worth)
    return LogLoss(loss, base, no_skill, skill, gain.low, gain.high, n, worth, gain.why)


def auc(p: Floats, y: NDArray[np.generic], draws: Draws | None = None) -> Interval:
    """Return the chance that an event was forecast higher than a non-event, with its interval.

    The interval is DeLong's (1988), with the variance of his structural components replaced by their
    long-run variance, since labels overlap in time; a block of 1 gives DeLong's own. It is built on
    log odds so that it stays inside (0, 1).

    Parameters
    ----------
    p : float64 array of shape (n,)
        Forecasts in time order; only their ranks count.
    y : array of shape (n,)
        Outcomes, 0 or 1.
    draws : Draws or None
        Its block and level are used; nothing is drawn.

    Returns
    -------
    Interval
        Without value when only one outcome occurs; without bounds when the forecasts rank perfectly.

    Examples
    --------
    >>> auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1])).value
    0.75
    """
    draws = draws or Draws()
    p, y = checked_forecasts(p, y)
    n, events = len(p), int(y.sum())
    if events in (0, n):
        return Interval(None, n=n, level=draws.level, why="only one outcome occurs: there is nothing to rank")
    value, influence = _auc_influence(p, y == 1.0)
    rarer = min(events, n - events)
    if rarer < 2 or n < LEAST_DAYS or np.ptp(influence) < 1e-12:
        why = "the forecasts rank perfectly" if rarer > 1 and n >= LEAST_DAYS else f"only {n} rows, {events} events"
        return Interval(value, n=n, level=draws.level, why=why)
    block = draws.block or block_length(influence)
    error = math.sqrt(float(long_run_variance(influence[:, None], block)[0]) / n)
    centre, width = math.log(value / (1.0 - value)), error / (value * (1.0 - value))
    reach = NORMAL.inv_cdf(0.5 + draws.level / 2.0) * width
    low, high = (1.0 / (1.0 + math.exp(-(centre + side * reach))) for side in (-1.0, 1.0))
    return Interval(value, low, high, None, n, block, draws.level)


def _losses(p: Floats, y: Floats) -> Floats:
    """Return the log loss of each forecast."""
    inside = np.clip(p, NEAREST, 1.0 - NEAREST)
    return np.asarray(-np.where(y == 1.0, np.log(inside), np.log1p(-inside)))


def _auc_influence(p: Floats, event: NDArray[np.bool_]) -> tuple[float, Floats]:
    """Return the AUC and each row's pull on it, so that the mean of the pulls varies as the AUC does."""
    up, down = np.sort(p[event]), np.sort(p[~event])
    beaten = np.searchsorted(down, p, "left") + np.searchsorted(down, p, "right")
    beating = 2 * len(up) - np.searchsorted(up, p, "left") - np.searchsorted(up, p, "right")
    share = np.where(event, beaten / (2 * len(down)), beating / (2 * len(up)))
    value = float(share[event].mean())
    up_weight, down_weight = (len(p) / math.sqrt(m * max(m - 1, 1)) for m in (len(up), len(down)))
    return value, (share - value) * np.where(event, up_weight, down_weight)
