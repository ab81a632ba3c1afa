"""The same combo on several markets: a rule that needs one market to look good is that market's accident."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from engine.inference.winrate import FEW_TRADES
from engine.sweep.result import Place, SweepResult


class Everywhere(NamedTuple):
    """A combo and its Sharpe ratio on each market."""

    place: Place
    sharpes: tuple[float, ...]

    @property
    def median(self) -> float:
        """Of the markets' Sharpe ratios."""
        return float(np.median(self.sharpes))


def across(found: Sequence[SweepResult], count: int, fewest: int = FEW_TRADES) -> list[Everywhere]:
    """Return the combos with the highest median Sharpe ratio over markets, among those that traded enough on each.

    Parameters
    ----------
    found : sequence of SweepResult
        One sweep of the same grid for each market; none is ranked where the grids differ.
    count, fewest : int
        How many to return, and how many trades on every market are enough.

    Examples
    --------
    >>> from engine.rules import Rules
    >>> from engine.sweep import Grid, sweep
    >>> from engine.synthetic import random_bars
    >>> markets = [random_bars(2000, seed=seed) for seed in (1, 2)]
    >>> grid, sure = Grid(k_up=(1.0, 2.0)), np.ones(2000)
    >>> [round(one.median, 2) for one in across([sweep(b, sure, b.high - b.low, Rules(), grid) for b in markets], 2)]
    [-3.08, -4.72]
    """
    if any(one.grid != found[0].grid for one in found):
        return []
    enough = np.all([one.trades >= fewest for one in found], axis=0)
    sharpes = np.stack([np.where(enough, one.sharpe, np.nan).ravel() for one in found])
    known = np.flatnonzero(np.isfinite(sharpes).all(axis=0))
    best = known[np.argsort(-np.median(sharpes[:, known], axis=0), kind="stable")][:count]
    return [Everywhere(found[0].place(int(i)), tuple(sharpes[:, i].tolist())) for i in best]
