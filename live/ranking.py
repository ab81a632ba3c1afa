"""How well a forecast ranked outcomes that overlap in time, and how likely luck alone does as well."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.bars import Floats
from engine.inference.sharpe import NORMAL
from engine.terms import Labels

Rows = NDArray[np.int64]

LEAST = 12.0  # labels that share no bar: fewer say nothing


class Ranking(NamedTuple):
    """How well a forecast ranked some outcomes.

    Parameters
    ----------
    auc : float
        Chance that an event was forecast higher than a non-event.
    worth : float
        Labels that share no bar.
    error : float
        Standard deviation of the AUC of a forecast that knows nothing.
    """

    auc: float
    worth: float
    error: float

    def above(self, level: float) -> float:
        """Return the p-value of the AUC against a true one of at most a level."""
        return 1.0 - NORMAL.cdf((self.auc - level) / self.error)

    def __str__(self) -> str:
        low, high = self.auc - 1.96 * self.error, self.auc + 1.96 * self.error
        return f"AUC {self.auc:.3f} [{max(low, 0.0):.3f}, {min(high, 1.0):.3f}] of {self.worth:.0f} labels"


def ranking(p: Floats, y: Floats, worth: float) -> Ranking | None:
    """Return how p ranked y, NaN left out; None where that says nothing.

    Examples
    --------
    >>> y = np.tile([0.0, 1.0], 50)
    >>> print(ranking(y, y, 100.0))
    AUC 1.000 [0.886, 1.000] of 100 labels
    """
    known = np.isfinite(p) & np.isfinite(y)
    p, event = p[known], y[known] == 1.0
    ones, zeros = int(event.sum()), int((~event).sum())
    if worth < LEAST or min(ones, zeros) == 0:
        return None
    down = np.sort(p[~event])
    beaten = np.searchsorted(down, p[event], "left") + np.searchsorted(down, p[event], "right")
    n1, n0 = (max(worth * share / len(p), 1.0) for share in (ones, zeros))
    error = float(np.sqrt((1 / n1 + 1 / n0 + 1 / (n1 * n0)) / 12.0))
    return Ranking(float(beaten.mean()) / (2 * zeros), worth, error)


def mean_ranking(parts: list[tuple[Ranking | None, float]]) -> Ranking | None:
    """Return the mean of several rankings with weights; each was made among its own rows alone."""
    told = [(ranking, weight) for ranking, weight in parts if ranking is not None and weight > 0.0]
    total = sum(weight for _, weight in told)
    if not told:
        return None
    value = sum(ranking.auc * weight for ranking, weight in told) / total
    error = float(np.sqrt(sum((ranking.error * weight) ** 2 for ranking, weight in told))) / total
    return Ranking(value, sum(ranking.worth for ranking, _ in told), error)


def won(labels: Labels, vertical: str) -> Floats:
    """Return the predictor's outcome of each bar: 1 right for a long trade, 0 not, NaN without a label.

    Parameters
    ----------
    labels : Labels
        Of long trades.
    vertical : str
        What a trade that timed out counts as: ``sign`` of its gross return, ``zero``, or ``drop`` it.
    """
    late = {"sign": (labels.gross > 0.0).astype(np.float64), "zero": np.zeros(len(labels.end))}
    y = np.where(labels.outcome != 0, labels.outcome > 0, late.get(vertical, np.nan))
    return np.where(labels.end >= 0, y, np.nan)


def worth_of(rows: Rows, end: Rows) -> float:
    """Return how many labels that share no bar the labels of some rows are worth (AFML 4).

    Examples
    --------
    >>> rows = np.arange(100)
    >>> round(worth_of(rows, rows + 10), 1)
    10.9
    """
    if len(rows) == 0:
        return 0.0
    first, last = rows + 1 - rows[0], end - rows[0]
    alive = np.zeros(int(last.max()) + 2, np.int64)
    np.add.at(alive, first, 1)
    np.add.at(alive, last + 1, -1)
    share = np.r_[0.0, np.cumsum(1.0 / np.maximum(np.cumsum(alive), 1))]
    return float(np.sum((share[last + 1] - share[first]) / (last - first + 1)))


class Told(NamedTuple):
    """What was said of some bars, and what became of them.

    Parameters
    ----------
    time : datetime64[ns] array of shape (m,)
        Bars, in time order.
    fold : float64 array of shape (m,)
        Whose models spoke; zeros for the bundle's own.
    p_up, audit : float64 arrays of shape (m,)
        What they said; an audit only where the audited profile would have proposed a trade, else NaN.
    y, net : float64 arrays of shape (m,)
        The predictor's outcome, and whether the trade to the lean side earned anything after costs; NaN if unknown.
    row, end : int64 arrays of shape (m,)
        The bar, and the last bar of its label; -1 without one.
    """

    time: NDArray[np.datetime64]
    fold: Floats
    p_up: Floats
    audit: Floats
    y: Floats
    net: Floats
    row: Rows
    end: Rows

    def some(self, keep: NDArray[np.bool_]) -> Told:
        """Return some of the bars."""
        columns: list[Any] = [column[keep] for column in self]
        return Told(*columns)

    def worth(self, *columns: Floats) -> float:
        """Return how many labels that share no bar the rows with some columns known are worth."""
        known = (self.end >= 0) & np.all([np.isfinite(column) for column in columns], axis=0)
        return worth_of(self.row[known], self.end[known])

    def ranked(self) -> Ranking | None:
        """Return how the predictor ranked, within each fold."""
        parts = [self.some(self.fold == number) for number in np.unique(self.fold)]
        found = [(part, part.worth(part.p_up, part.y)) for part in parts]
        return mean_ranking([(ranking(part.p_up, part.y, worth), worth) for part, worth in found])

    def audited(self) -> Ranking | None:
        """Return how the auditor ranked the trades proposed to it."""
        return ranking(self.audit, self.net, self.worth(self.audit, self.net))

    def skill(self) -> tuple[float, float]:
        """Return the skill of the log loss over the best constant, and its standard error."""
        known = np.isfinite(self.p_up) & np.isfinite(self.y)
        p, y = np.clip(self.p_up[known], 1e-6, 1.0 - 1e-6), self.y[known]
        base = float(y.mean())
        if not 0.0 < base < 1.0:
            return 0.0, 0.0
        none = -(base * np.log(base) + (1.0 - base) * np.log(1.0 - base))
        gain = (y * np.log(p / base) + (1.0 - y) * np.log((1.0 - p) / (1.0 - base))) / none
        return float(gain.mean()), float(gain.std() / np.sqrt(max(self.worth(self.p_up, self.y), 1.0)))
