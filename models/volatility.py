"""The volatility agent's eyes: how much the market has moved over a quarter day, a day, a week and a month.

With ``ahead`` bars to a day (24 of an hour), the served graph answers two things at each close: the variance that
the next ``ahead`` bars will realise per bar, as a log, and the probability that it is more than in the last ``ahead``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.bars import Bars, Floats
from engine.indicators.windows import frozen, window_moments
from models.calibration import at_the_door
from models.predictor import Predictor

FILE = "volatility.onnx"
INPUTS = ("rv_quarter", "rv_day", "rv_week", "rv_month", "range_day", "drift_day")
STILL = 1e-14  # least variance of a bar: a market that stands still has a logarithm too


def volatility_memory(ahead: int) -> int:
    """Return the bars that an input depends on: a month's returns.

    Examples
    --------
    >>> volatility_memory(24)
    529
    """
    return 22 * ahead + 1


def volatility_inputs(bars: Bars, ahead: int) -> Floats:
    """Return what the agent sees at each close, float64 of shape (n, 6); NaN within a month of a gap.

    Log realised variance per bar over ``ahead / 4``, ``ahead``, ``5 ahead`` and ``22 ahead`` bars (the day,
    week and month of Corsi 2009), log range variance over ``ahead`` (Parkinson 1980), and the return over
    ``ahead`` in its own standard deviations (falls are followed by more than rises).
    """
    returns = np.r_[np.nan, np.diff(np.log(bars.close))] if len(bars) else np.empty(0)
    returns[~bars.follows] = np.nan
    spans = np.array(sorted({max(ahead // 4, 1), ahead, 5 * ahead, 22 * ahead}))
    realised = window_moments(frozen(returns**2), spans)[0]
    quarter, day, week, month = (realised[np.searchsorted(spans, k)] for k in (spans[0], ahead, 5 * ahead, 22 * ahead))
    one = np.array([ahead])
    ranged = window_moments(frozen(np.log(bars.high / bars.low) ** 2), one)[0, 0] / (4.0 * np.log(2.0))
    drift = window_moments(frozen(returns), one)[0, 0]
    logs = [np.log(np.maximum(part, STILL)) for part in (quarter, day, week, month, ranged)]
    return np.stack([*logs, drift * np.sqrt(ahead) / np.sqrt(np.maximum(day, STILL))], axis=1)


def foreseen_volatility(graph: Predictor, bars: Bars, ahead: int, since: int = 0) -> tuple[Floats, Floats]:
    """Return log variance per bar of the next ``ahead`` bars and the probability of more than in the last ones.

    Parameters
    ----------
    graph : Predictor
        Over a bundle's ``volatility.onnx``: one bar of 6 inputs.
    bars : Bars
        n bars.
    ahead : int
        As in training.
    since : int
        First row wanted.

    Returns
    -------
    two float64 arrays of shape (n,)
        NaN where the inputs are not known.
    """
    inputs = volatility_inputs(bars, ahead)
    known = np.asarray(np.isfinite(inputs).all(axis=1))
    known[: max(since, 0)] = False
    rows: NDArray[np.int64] = np.flatnonzero(known)
    out = np.full((2, len(bars)), np.nan)
    out[:, rows] = at_the_door(graph.outputs(inputs.astype(np.float32), rows))
    return out[0], out[1]
