"""What a sweep found: figures for every combo, the best of them, and the ground it stands on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.bars import Bars, Floats
from engine.inference.winrate import FEW_TRADES
from engine.rules import Rules
from engine.sweep.grid import Combo, Grid
from engine.sweep.market import COLUMNS

Place = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plateau:
    """The combos within one grid step of another, in every direction.

    Parameters
    ----------
    neighbours : int
        How many there are.
    known : int
        How many of them have a Sharpe ratio.
    median, worst : float or None
        Of their Sharpe ratios; None without any.
    """

    neighbours: int
    known: int
    median: float | None
    worst: float | None


@dataclass(frozen=True, eq=False)
class SweepResult:
    """The figures of every combo of a grid, equal to those of `simulate` and `score`.

    Parameters
    ----------
    bars : Bars
        The bars traded on.
    rules : Rules
        Costs, size and fills of every combo; barriers are the grid's.
    grid : Grid
        What was tried.
    figures : float64 array of shape (6, combos)
        One row per name in `engine.sweep.market.COLUMNS`, thresholds the slowest axis; NaN where undefined.
    road : str
        How trades were followed: ``scan`` or ``touch``.

    Notes
    -----
    Total return, drawdown, trades and win rate have the bits of `simulate` and `score`; Sharpe ratio and expectancy
    are sums taken in another order, equal to about 1e-14.
    """

    bars: Bars
    rules: Rules
    grid: Grid
    figures: Floats
    road: str

    def __len__(self) -> int:
        return len(self.grid)

    def _column(self, name: str) -> Floats:
        return self.figures[COLUMNS.index(name)].reshape(self.grid.shape)

    @property
    def total_return(self) -> Floats:
        """Final equity over the start's, minus 1; of the grid's shape, as all columns."""
        return self._column("total_return")

    @property
    def sharpe(self) -> Floats:
        """Annualised Sharpe ratio of daily returns, flat days included; NaN without variance."""
        return self._column("sharpe")

    @property
    def max_drawdown(self) -> Floats:
        """Deepest fall of the equity at bar closes, as a negative fraction."""
        return self._column("max_drawdown")

    @property
    def trades(self) -> NDArray[np.int64]:
        """Finished trades."""
        return self._column("trades").astype(np.int64)

    @property
    def win_rate(self) -> Floats:
        """Share of trades that gained; NaN without trades."""
        return self._column("win_rate")

    @property
    def expectancy_bp(self) -> Floats:
        """Mean net return per trade in basis points of its notional; NaN without trades."""
        return self._column("expectancy_bp")

    def at(self, place: Place) -> dict[str, float | int | None]:
        """Return the figures of one combo; None where undefined."""
        found = {name: float(self._column(name)[place]) for name in COLUMNS}
        plain: dict[str, float | int | None] = {k: v if np.isfinite(v) else None for k, v in found.items()}
        return plain | {"trades": int(found["trades"])}

    def combo(self, place: Place) -> Combo:
        """Return the combo at a place."""
        return self.grid[place]

    def place(self, index: int) -> Place:
        """Return the place of a combo counted through the grid, thresholds the slowest axis."""
        return tuple(int(i) for i in np.unravel_index(index, self.grid.shape))

    def ranked(self, count: int, fewest: int = FEW_TRADES) -> list[Place]:
        """Return the places of the best Sharpe ratios, best first, among combos with enough trades.

        Under 30 trades nothing is ranked: the best of many combos with a handful of trades each is luck.
        """
        sharpe = np.where(self.trades >= fewest, self.sharpe, np.nan).ravel()
        order = np.argsort(-sharpe, kind="stable")[: min(count, int(np.isfinite(sharpe).sum()))]
        return [self.place(int(one)) for one in order]

    def plateau(self, place: Place) -> Plateau:
        """Return what the neighbours of a combo earned: a good combo stands on a plateau, a lonely peak is luck."""
        around = list(self.grid.around(place))
        found = np.array([self.sharpe[near] for near in around])
        known = found[np.isfinite(found)]
        if not len(known):
            return Plateau(len(around), 0, None, None)
        return Plateau(len(around), len(known), float(np.median(known)), float(known.min()))
