"""Whether what is seen now is still what was seen then: population stability, and sums that remember small errors."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from engine.bars import Floats

SLACK, LIMIT = 0.5, 5.0  # finds a shift of one deviation in some 10 values; of none, a false alarm in some 465


class Cusum(NamedTuple):
    """Sums of what lay above and below the expected; ``alarm`` is the first value at which one went too far."""

    high: Floats
    low: Floats
    alarm: int | None


def cusum(deviations: Floats, slack: float = SLACK, limit: float = LIMIT) -> Cusum:
    """Return the tabular CUSUM of deviations from what was expected, in standard deviations.

    Parameters
    ----------
    deviations : float64 array of shape (n,)
        Realised less expected, oldest first, divided by their standard deviation.
    slack : float
        What a single value may be off without counting.
    limit : float
        At which sum there is an alarm.

    References
    ----------
    E. S. Page, Continuous inspection schemes, Biometrika 41, 1954; D. C. Montgomery, Statistical Quality Control,
    chapter 9 (slack 0.5 and limit 5: 465 values between false alarms).

    Examples
    --------
    >>> cusum(np.r_[np.zeros(20), np.full(12, -1.5)]).alarm
    25
    """
    high, low = np.zeros(len(deviations)), np.zeros(len(deviations))
    above = below = 0.0
    for i, value in enumerate(deviations):
        above, below = max(0.0, above + value - slack), max(0.0, below - value - slack)
        high[i], low[i] = above, below
    far = np.flatnonzero(np.maximum(high, low) > limit)
    return Cusum(high, low, int(far[0]) if len(far) else None)


def stability_index(reference: Floats, recent: Floats, bins: int = 10) -> float:
    """Return the population stability index of recent values against reference ones; NaN where either is missing.

    The bins hold equal shares of the reference; a share of nothing counts as half a value. Rules of thumb: below 0.1
    alike, above 0.25 shifted. Of n and m independent draws of one population it is (bins - 1) (1/n + 1/m) on average.

    Examples
    --------
    >>> draws = np.random.default_rng(0).standard_normal((2, 5000))
    >>> stability_index(draws[0], draws[1]) < 0.02 < 0.25 < stability_index(draws[0], draws[1] + 0.6)
    True
    """
    reference, recent = reference[np.isfinite(reference)], recent[np.isfinite(recent)]
    if not len(reference) or not len(recent):
        return math.nan
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, bins + 1)[1:-1]))
    shares = [
        np.maximum(np.bincount(np.searchsorted(edges, part, side="right"), minlength=len(edges) + 1), 0.5) / len(part)
        for part in (reference, recent)
    ]
    return float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))
