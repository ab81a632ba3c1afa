"""What the sweep's kernels read and write: plain numbers and arrays in named tuples."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.bars import DAY_NS, Bars, Floats
from engine.rules import Rules
from engine.sweep.grid import Grid
from engine.terms import Prices, prices_of, readonly

STRETCH = 32  # bars whose highest and lowest close are kept: longer skips more, shorter skips more often
NO_TOUCH = int(np.iinfo(np.int16).max)
COLUMNS = ("total_return", "sharpe", "max_drawdown", "trades", "win_rate", "expectancy_bp")


class Market(NamedTuple):
    """The bars as every combo reads them.

    Parameters
    ----------
    prices : Prices
        Columns a trade is walked through.
    close, funding : float64 arrays of shape (n,)
        ``funding`` is what one unit long pays at each bar's open, in money; empty where none is paid.
    extremes : float64 array of shape (2, n // STRETCH)
        Lowest close of each whole stretch of bars, and its highest.
    day_of : int64 array of shape (n,)
        Day of each bar, counted from 0 over days that hold bars.
    day_last : int64 array of shape (days + 1,)
        Last bar of each of these days, and n at the end.
    """

    prices: Prices
    close: Floats
    funding: Floats
    extremes: Floats
    day_of: NDArray[np.int64]
    day_last: NDArray[np.int64]


class Wishes(NamedTuple):
    """Every wish that the lowest threshold lets through and the market could fill, oldest first; m of them.

    ``up`` and ``down`` hold after how many bars each level of target and stop was touched, int16 arrays of shapes
    (m, targets) and (m, stops); without rows when trades are walked bar by bar.
    """

    row: NDArray[np.int64]
    side: NDArray[np.int64]
    atr: Floats
    confidence: Floats
    up: NDArray[np.int16]
    down: NDArray[np.int16]


class Axes(NamedTuple):
    """The grid as arrays."""

    threshold: Floats
    k_up: Floats
    k_down: Floats
    hold: NDArray[np.int64]


class Purse(NamedTuple):
    """Cash at the start, number of daily returns, and the root of days in a year."""

    cash: float
    days: int
    root: float


class Depth(NamedTuple):
    """Highest equity so far, the worth below which a new low begins, and the deepest fall."""

    top: float
    floor: float
    worst: float


class Paid(NamedTuple):
    """The bar a position that pays funding ended in, slips written, cash left and funding paid."""

    bar: int
    slips: int
    cash: float
    funding: float


def market_of(bars: Bars, funding: Floats) -> Market:
    """Return bars as every combo reads them, ``funding`` in money per unit."""
    n, whole = len(bars), len(bars) // STRETCH * STRETCH
    close = np.ascontiguousarray(bars.close[:whole]).reshape(-1, STRETCH)
    day = day_of(bars)
    ends = np.flatnonzero(np.append(np.diff(day) > 0, True))
    return Market(
        prices=prices_of(bars),
        close=readonly(bars.close),
        funding=readonly(funding),
        extremes=readonly(np.stack((close.min(axis=1), close.max(axis=1)))),
        day_of=readonly(np.cumsum(np.r_[False, np.diff(day) > 0])),
        day_last=readonly(np.append(ends, n)),
    )


def day_of(bars: Bars) -> NDArray[np.int64]:
    """Return the UTC day in which each bar ends; one that ends at midnight belongs to the day before."""
    return (bars.open_time.view(np.int64) + bars.timeframe_ns - 1) // DAY_NS


def purse_of(bars: Bars, rules: Rules) -> Purse:
    """Return what a combo starts with, and how many daily returns it will have (`engine.score`)."""
    day = day_of(bars)
    days = len(np.unique(day)) if bars.sessions else int(day[-1] - day[0]) + 1
    return Purse(float(rules.cash), days, float(np.sqrt(bars.days_per_year)))


def axes_of(grid: Grid) -> Axes:
    """Return a grid as arrays."""
    threshold, k_up, k_down = (readonly(np.array(v, np.float64)) for v in (grid.threshold, grid.k_up, grid.k_down))
    return Axes(threshold, k_up, k_down, readonly(np.array(grid.hold, np.int64)))
