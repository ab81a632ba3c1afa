"""From a raw logit to a probability one may bet on: two numbers, fitted where the model was not."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.bars import Floats
from research.measures import logistic_line

PRIOR = np.array([1.0, 4.0])  # a slope of 0 +- 1 and an intercept of 0 +- 0.5 before any row is seen
LEAST_SLOPE = 0.02  # a model without skill may get a slope below 0: its order is flattened, never reversed


class Line(NamedTuple):
    """A calibration: probability = sigmoid(a * logit + b).

    Parameters
    ----------
    method : str
        ``platt`` or ``temperature`` (b is 0).
    a, b : float
        Slope and intercept.
    flattened : bool
        The slope that fitted best was below the least allowed: the model showed no skill here.
    """

    method: str
    a: float
    b: float
    flattened: bool

    def apply(self, logits: Floats) -> Floats:
        """Return calibrated probabilities, rounded as the served predictor rounds them."""
        from models.calibration import calibrate
        from models.predictor import DIGITS

        p: Floats = np.round(calibrate(logits, self.a, self.b), DIGITS)
        return p


def fit_line(logits: Floats, y: Floats, weights: Floats, method: str) -> Line:
    """Fit the calibration on rows the model was not fitted on.

    Overlapping labels count as the few independent ones they are worth, and a sceptical prior keeps
    few rows from claiming much: a forecast is believed as far as unseen labels bear it out.

    Parameters
    ----------
    logits, y, weights : float64 arrays of shape (n,)
        Raw log-odds, outcomes and uniqueness; the weights sum to n_eff.
    method : str
        ``platt`` for slope and intercept, ``temperature`` for the slope alone.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> z = rng.standard_normal(20_000)
    >>> y = (rng.random(20_000) < 1 / (1 + np.exp(-(0.5 * z + 0.2)))).astype(float)
    >>> line = fit_line(z, y, np.ones(20_000), "platt")
    >>> round(line.a, 1), round(line.b, 1)
    (0.5, 0.2)
    """
    alone = method == "temperature"
    a, b = logistic_line(logits, y, weights, PRIOR, slope_only=alone)
    if a >= LEAST_SLOPE:
        return Line(method, a, b, False)
    if alone:
        return Line(method, LEAST_SLOPE, 0.0, True)
    base = float(np.average(y, weights=weights))
    b = float(np.log(base / (1.0 - base)) - LEAST_SLOPE * np.average(logits, weights=weights))
    return Line(method, LEAST_SLOPE, b, True)
