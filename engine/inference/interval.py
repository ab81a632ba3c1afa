"""A number with the range the data allow, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.errors import UsageError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
ABSURD = 1e100  # squares of returns beyond it would overflow


@dataclass(frozen=True, slots=True)
class Draws:
    """How the bootstrap draws its histories.

    Parameters
    ----------
    resamples : int
        Number of resampled histories; at least 100.
    seed : int
        Same seed, same days drawn; not negative.
    block : float or None
        Mean length of a block in days, at least 1; None lets the data choose (Politis & White).
    level : float
        Confidence of the two-sided intervals, in (0, 1).

    Raises
    ------
    UsageError
        Naming the term and what is allowed.
    """

    resamples: int = 2000
    seed: int = 0
    block: float | None = None
    level: float = 0.95

    def __post_init__(self) -> None:
        """Refuse draws that say nothing."""
        for name, good, allowed in (
            ("resamples", self.resamples >= 100, "at least 100"),
            ("seed", 0 <= self.seed < 2**63, "in [0, 2**63)"),
            ("block", self.block is None or self.block >= 1.0, "at least 1 day, or None"),
            ("level", 0.0 < self.level < 1.0, "in (0, 1)"),
        ):
            if not good:
                raise UsageError(f"{name} must be {allowed}, was {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its confidence interval; None where the data cannot say.

    Parameters
    ----------
    value : float or None
        The estimate.
    low, high : float or None
        Two-sided confidence interval at ``level``.
    median : float or None
        Median of the resampled estimates.
    n : int
        Number of observations.
    block : float
        Mean block length used, in observations; 0 where nothing was drawn.
    level : float
        Confidence.
    why : str
        Why something is None; empty when everything is known.

    Examples
    --------
    >>> Interval(0.5, 0.1, 0.9, 0.5, n=100).scaled(2.0).high
    1.8
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    median: float | None = None
    n: int = 0
    block: float = 0.0
    level: float = 0.95
    why: str = ""

    def scaled(self, factor: float) -> Interval:
        """Return the interval in another unit, such as per year instead of per day."""
        numbers = (self.value, self.low, self.high, self.median)
        value, low, high, median = (None if x is None else x * factor for x in numbers)
        return replace(self, value=value, low=low, high=high, median=median)

    def moved(self, by: float) -> Interval:
        """Return the interval around another origin."""
        numbers = (self.value, self.low, self.high, self.median)
        value, low, high, median = (None if x is None else x + by for x in numbers)
        return replace(self, value=value, low=low, high=high, median=median)


def flaw(values: Floats, least: int = 2) -> str:
    """Return why a sample cannot be used (too few, not finite, absurd, no movement), or an empty string.

    Parameters
    ----------
    values : float64 array of shape (n,)
        One observation per entry.
    least : int
        Fewest observations that say something.

    Examples
    --------
    >>> flaw(np.zeros(5))
    'the 5 values never move'
    """
    if len(values) < least:
        return f"only {len(values)} values, at least {least} are needed"
    bad = len(values) - int(np.isfinite(values).sum())
    if bad:
        return f"{bad} of {len(values)} values are not finite"
    size = float(np.abs(values).max())
    if size > ABSURD:
        return f"the {len(values)} values reach {size:.0e}"
    if np.ptp(values) <= max(1e-14 * size, 1.0 / ABSURD):
        return f"the {len(values)} values never move"
    return ""
