"""How deep the equity fell, and how deep it might have fallen in histories like this one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.inference.bootstrap import LEAST_DAYS, common_block
from engine.inference.interval import Draws, Floats, flaw
from engine.inference.resample import resample_drawdowns


@dataclass(frozen=True, slots=True)
class DrawdownRange:
    """The deepest fall from a peak that happened, and those that could have; positive fractions.

    Parameters
    ----------
    observed : float or None
        Maximum drawdown of the history itself.
    median, deep, deepest : float or None
        Falls that 50 %, 5 % and 1 % of the resampled histories exceed.
    share_deeper : float or None
        Share of the resampled histories that fell deeper than the observed one.
    n : int
        Number of days.
    block : float
        Mean block length in days.
    why : str
        Why something is None; empty when everything is known.
    """

    observed: float | None
    median: float | None = None
    deep: float | None = None
    deepest: float | None = None
    share_deeper: float | None = None
    n: int = 0
    block: float = 0.0
    why: str = ""


def drawdown_range(returns: Floats, draws: Draws | None = None) -> DrawdownRange:
    """Return how deep the equity fell and how deep it might have fallen.

    Parameters
    ----------
    returns : float64 array of shape (n,)
        Net returns per day as fractions; -1 is ruin.
    draws : Draws or None
        How to resample.

    Examples
    --------
    >>> round(drawdown_range(np.tile([0.1, -0.1], 20)).observed, 3)
    0.256
    """
    draws = draws or Draws()
    series = np.asarray(returns, dtype=np.float64)
    why = flaw(series, LEAST_DAYS)
    if not np.isfinite(series).all() or len(series) == 0:
        return DrawdownRange(None, n=len(series), why=why)
    with np.errstate(divide="ignore"):
        growth = np.log1p(np.maximum(series, -1.0))
    level = np.concatenate(([0.0], np.cumsum(growth)))
    observed = float(1.0 - np.exp(np.min(level - np.maximum.accumulate(level))))
    if why:
        return DrawdownRange(observed, n=len(series), why=why)
    block = common_block(series[:, None], draws)
    falls = resample_drawdowns(growth, 1.0 / block, draws.seed, draws.resamples)
    deeper = float((falls > observed + 1e-12).mean())  # a resample may hold the very same fall
    median, deep, deepest = (float(q) for q in np.quantile(falls, [0.5, 0.95, 0.99]))
    return DrawdownRange(observed, median, deep, deepest, deeper, len(series), block)
