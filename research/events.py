"""The rows a model may learn from: complete windows, each with the label the trade kernel gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.barriers import label_barriers
from engine.bars import Bars, Floats
from engine.errors import DataError
from engine.terms import Labels
from research.config import TrainConfig
from research.loader import gather
from research.weights import Rows, sample_weights, uniqueness


class Split(NamedTuple):
    """Bars that fit a model and later ones that validate it, weighted by the uniqueness of their labels.

    Parameters
    ----------
    train, inner : int64 arrays
        Bars, ascending.
    weights, inner_weights : float64 arrays
        Mean 1, each computed among its own rows alone.
    """

    train: Rows
    inner: Rows
    weights: Floats
    inner_weights: Floats


class Fades(NamedTuple):
    """What became of trades against the last move.

    Parameters
    ----------
    y : float64 array of shape (n,)
        1 the trade against the move reached its target first, 0 it did not; NaN where nothing moved enough.
    columns : (int, int)
        Features of the move, and of an ATR in the same scale.
    """

    y: Floats
    columns: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Examples:
    """Features and labels of every bar, from which windows are cut when needed.

    Parameters
    ----------
    matrix : float32 array of shape (n, F)
        Raw features, as the served graph gets them.
    window : int
        L, bars of a window.
    decidable : bool array of shape (n,)
        The window is complete: no gap in it and every feature known.
    y : float64 array of shape (n,)
        1 the upper barrier is right for a long trade, 0 it is not; NaN without a label.
    end : int64 array of shape (n,)
        Last bar that a row's label, or a trade of either side from there, has seen; -1 without a label.
    net : float64 array of shape (n, 2)
        Return after costs of a long and of a short trade; NaN without a label.
    fades : Fades or None
        Labels of trades against the last move, where a candidate learns from them.
    """

    matrix: NDArray[np.float32]
    window: int
    decidable: NDArray[np.bool_]
    y: Floats
    end: Rows
    net: Floats
    fades: Fades | None = None

    @property
    def rows(self) -> Rows:
        """Bars with a complete window and a label, ascending."""
        return np.flatnonzero(self.decidable & np.isfinite(self.y))

    def windows(self, rows: Rows) -> NDArray[np.float32]:
        """Return the windows that end at some bars, shape (len(rows), L, F): one gather."""
        return gather(self.matrix, rows, self.window)

    def lagged(self, rows: Rows, lags: tuple[int, ...]) -> NDArray[np.float32]:
        """Return the features of each row and of the bars some lags before it, shape (len(rows), len(lags) * F)."""
        return self.matrix[rows[:, None] - np.array(lags)].reshape(len(rows), -1)

    def between(self, first: int, stop: int) -> Rows:
        """Return the bars of [first, stop) whose windows and labels lie inside it.

        A window may reach back before ``first``: what lies there is the past.
        """
        rows = self.rows
        return rows[(rows >= first) & (self.end[rows] < stop)]

    def uniqueness(self, rows: Rows) -> Floats:
        """Return the uniqueness of some bars' labels among each other; the sum is their n_eff."""
        return uniqueness(rows + 1, self.end[rows])

    def split(self, train: Rows, inner: Rows) -> Split:
        """Return the split with the weights of each side.

        Raises
        ------
        DataError
            If the labels of a side are all alike: nothing can be learned from or judged on them.
        """
        for side, rows in (("training", train), ("inner validation", inner)):
            if len(set(self.y[rows])) < 2:
                raise DataError(f"all {len(rows)} labels of the {side} rows are alike; bring more or livelier history")
        return Split(
            train,
            inner,
            sample_weights(train + 1, self.end[train]),
            sample_weights(inner + 1, self.end[inner]),
        )


def label_examples(
    bars: Bars, config: TrainConfig, features: Floats, decidable: NDArray[np.bool_], unit: Floats
) -> Examples:
    """Label every bar with what the trade kernel makes of an entry after it.

    Parameters
    ----------
    bars : Bars
        n bars.
    config : TrainConfig
        Window, barriers and costs.
    features : float64 array of shape (n, F)
        Raw.
    decidable : bool array of shape (n,)
        Where a complete window ends.
    unit : float64 array of shape (n,)
        ATR, the barriers' unit.
    """
    long = label_barriers(bars, unit, config.rules, side=1)
    net, end = np.full((len(bars), 2), np.nan), long.end
    net[:, 0] = long.ret
    if "short" in config.sides:
        short = label_barriers(bars, unit, config.rules, side=-1)
        net[:, 1], end = short.ret, np.where(end >= 0, np.maximum(end, short.end), -1)
    return Examples(features.astype(np.float32), config.window, decidable, was_right(long, config), end, net)


def was_right(labels: Labels, config: TrainConfig) -> Floats:
    """Return 1 where a trade's target came first and 0 where it did not, shape (n,); NaN without an end."""
    y = np.where(labels.outcome != 0, (labels.outcome > 0).astype(np.float64), _timed_out(labels.gross, config))
    y[labels.end < 0] = np.nan
    return y


def _timed_out(gross: Floats, config: TrainConfig) -> Floats:
    """Return the label of trades that reached no barrier."""
    if config.barriers.vertical == "sign":
        return (gross > 0).astype(np.float64)
    return np.full(len(gross), 0.0 if config.barriers.vertical == "zero" else np.nan)
