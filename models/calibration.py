"""From raw outputs to probabilities, and from probabilities to confidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.bars import Floats
from models.manifest import LEVELS

DIGITS = 6  # float32 carries no more; decisions stay the same on machines that differ in the last bit


def sigmoid(logit: ArrayLike) -> Floats:
    """Return the probability of a logit, without overflow at either end.

    Examples
    --------
    >>> sigmoid([-800.0, 0.0, 800.0]).tolist()
    [0.0, 0.5, 1.0]
    """
    z = np.asarray(logit, np.float64)
    small = np.exp(-np.abs(z))
    return np.where(z >= 0.0, 1.0, small) / (1.0 + small)


def at_the_door(chances: ArrayLike) -> Floats:
    """Return probabilities to the 6 decimals that every decision, record and report shares."""
    return np.asarray(np.round(np.asarray(chances, np.float64), DIGITS), np.float64)


def calibrate(logit: ArrayLike, a: float = 1.0, b: float = 0.0) -> Floats:
    """Return calibrated probabilities: Platt's sigmoid(a z + b); a temperature T is a = 1/T, b = 0.

    Sources: Platt 1999; Guo et al. 2017.
    """
    return sigmoid(a * np.asarray(logit, np.float64) + b)


@dataclass(frozen=True, slots=True, eq=False)
class ConfidenceTable:
    """How rare each probability was among the predictions of the validation zone.

    Parameters
    ----------
    levels : float64 array of shape (1001,)
        Rising quantiles of the calibrated probability, one per thousandth.

    Examples
    --------
    >>> table = ConfidenceTable.from_predictions(np.linspace(0.4, 0.6, 5001))
    >>> table.rank([0.3, 0.5, 0.59, 0.7]).round(6).tolist()
    [0.0, 0.5, 0.95, 1.0]
    """

    levels: Floats

    @staticmethod
    def from_predictions(p: ArrayLike) -> ConfidenceTable:
        """Return the table of some predictions; NaN is left out."""
        known = np.asarray(p, np.float64)
        return ConfidenceTable(np.quantile(known[np.isfinite(known)], np.linspace(0.0, 1.0, LEVELS)))

    def rank(self, p: ArrayLike) -> Floats:
        """Return the share of validation predictions below each probability, to 6 decimals; NaN stays NaN.

        Equal predictions share the lowest rank among them, so that rank 0.95 never admits more
        than 5 % of the validation zone, even for a model that says the same thing all day.
        """
        asked = np.asarray(p, np.float64)
        return self._interpolate(asked, self.levels)

    def rank_of_lean(self, p: ArrayLike, lean: NDArray[np.int8]) -> Floats:
        """Return the rank for the side taken: for shorts, the share of validation predictions above."""
        asked = np.asarray(p, np.float64)
        return np.where(lean > 0, self.rank(asked), self._interpolate(-asked, -self.levels[::-1]))

    @staticmethod
    def _interpolate(asked: Floats, levels: Floats) -> Floats:
        last = len(levels) - 1
        above = np.searchsorted(levels, asked, side="left")
        inside = np.clip(above, 1, last)
        low, high = levels[inside - 1], levels[inside]
        share = (asked - low) / np.where(high > low, high - low, 1.0)
        out = np.where(above == 0, 0.0, np.where(above > last, 1.0, (inside - 1 + share) / last))
        return at_the_door(np.where(np.isnan(asked), np.nan, out))


def lean_of(p_up: Floats, sides: tuple[str, ...]) -> NDArray[np.int8]:
    """Return the side the predictor would take: the more probable one, or always 1 in a long-only bundle."""
    if "short" not in sides:
        return np.ones(len(p_up), np.int8)
    return np.where(p_up < 0.5, np.int8(-1), np.int8(1)).astype(np.int8)
