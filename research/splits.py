"""Who may learn from what: splits in which no label of the one side shares a bar with the other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import DataError
from research.weights import Rows


class Fold(NamedTuple):
    """One step of the walk-forward.

    Parameters
    ----------
    number : int
        From 0, in time order.
    train, inner : int64 arrays
        Bars whose labels fit the model, and later ones whose labels stop, calibrate and rank it.
    fence : int
        The last bar any of these labels has seen.
    test : slice
        Bars to predict: later than the fence by more than the embargo.
    """

    number: int
    train: Rows
    inner: Rows
    fence: int
    test: slice


def purged(start: Rows, end: Rows, tests: Sequence[slice], embargo: int) -> NDArray[np.bool_]:
    """Say which labels may train when runs of other labels are held out.

    A label is left out if it shares a bar with a held-out run, or begins within the embargo after
    it: the features there still remember what was held out.

    Parameters
    ----------
    start, end : int64 arrays of shape (n,)
        First and last bar of each label, sorted by start; ends may differ in any way.
    tests : sequence of slices
        Runs of labels held out.
    embargo : int
        Bars after each run from which nothing may be learned.

    Returns
    -------
    bool array of shape (n,)

    Examples
    --------
    >>> start = np.arange(8)
    >>> purged(start, start + 1, [slice(3, 5)], embargo=1).nonzero()[0].tolist()
    [0, 1, 7]
    """
    keep = np.ones(len(start), np.bool_)
    for run in tests:
        first, last = start[run].min(), end[run].max()
        keep &= (end < first) | (start > last + embargo)
    return keep


def purged_folds(start: Rows, end: Rows, folds: int, embargo: int) -> list[tuple[Rows, Rows]]:
    """Return k splits: each run of labels is held out once, the purged rest trains (AFML 7).

    Parameters
    ----------
    start, end : int64 arrays of shape (n,)
        First and last bar of each label, sorted by start.
    folds : int
        Runs, of about equal numbers of labels.
    embargo : int
        Bars after a held-out run from which nothing may be learned.

    Examples
    --------
    >>> start = np.arange(6)
    >>> [(train.tolist(), held.tolist()) for train, held in purged_folds(start, start + 1, 3, embargo=0)]
    [([3, 4, 5], [0, 1]), ([0, 5], [2, 3]), ([0, 1, 2], [4, 5])]
    """
    everything = np.arange(len(start))
    runs = _runs(len(start), folds)
    return [(everything[purged(start, end, [run], embargo)], everything[run]) for run in runs]


def combinatorial_paths(groups: int, held_out: int) -> NDArray[np.int64]:
    """Return which split foresees each group on each path through the whole history (AFML 12).

    A path is a walk through all groups in time order, each foreseen by a model that had it held out. Paths share
    models and bars: their spread is no standard error, and their models have seen the future of what they foresee.

    Returns
    -------
    int64 array of shape (paths, groups)
        Rows of `combinatorial_splits`: path j takes each group's j-th split; ``groups - 1`` choose
        ``held_out - 1`` paths.

    Examples
    --------
    >>> combinatorial_paths(groups=4, held_out=2).tolist()
    [[0, 0, 1, 2], [1, 3, 3, 4], [2, 4, 5, 5]]
    """
    chosen = list(combinations(range(groups), held_out))
    return np.array([[i for i, held in enumerate(chosen) if group in held] for group in range(groups)]).T


def combinatorial_splits(
    start: Rows, end: Rows, groups: int, held_out: int, embargo: int
) -> list[tuple[Rows, list[Rows]]]:
    """Return every way to hold out some of the groups of labels, purged at every border (AFML 12).

    Returns
    -------
    list of (training labels, [labels of each held-out group])
        ``groups`` choose ``held_out`` of them, in lexicographic order.

    Examples
    --------
    >>> start = np.arange(100)
    >>> len(combinatorial_splits(start, start, groups=10, held_out=2, embargo=0))
    45
    """
    runs, everything = _runs(len(start), groups), np.arange(len(start))
    out = []
    for chosen in combinations(runs, held_out):
        keep = purged(start, end, chosen, embargo)
        out.append((everything[keep], [everything[run] for run in chosen]))
    return out


def _runs(labels: int, count: int) -> list[slice]:
    edges = np.linspace(0, labels, count + 1).astype(np.int64)
    return [slice(int(a), int(b)) for a, b in pairwise(edges)]


def inner_split(rows: Rows, end: Rows, share: float, embargo: int) -> tuple[Rows, Rows]:
    """Divide training bars in time: the last share validates, the rest, purged, fits.

    Parameters
    ----------
    rows : int64 array of shape (m,)
        Bars with a label, ascending.
    end : int64 array of shape (n,)
        Last bar of every bar's label.
    share : float
        Of the rows that validate.
    embargo : int
        Bars between the end of a fitting label and the first validating bar.

    Raises
    ------
    DataError
        If nothing would be left to fit on.
    """
    inner = rows[int(len(rows) * (1.0 - share)) :]
    train = rows[end[rows] < inner[0] - embargo] if len(inner) else rows[:0]
    if len(train) == 0:
        raise DataError(f"{len(rows)} labelled bars are too few to train on; bring more history or a shorter window")
    return train, inner


def walk_forward_folds(rows: Rows, end: Rows, edges: Sequence[int], inner: float, embargo: int) -> list[Fold]:
    """Return the anchored walk-forward: every tile is predicted from all that came before it.

    Parameters
    ----------
    rows : int64 array of shape (m,)
        Bars with a label, ascending.
    end : int64 array of shape (n,)
        Last bar of every bar's label.
    edges : sequence of int
        Borders of the tiles, in bars.
    inner : float
        Share of the training bars for the inner validation.
    embargo : int
        Bars between the last bar any training label has seen and the first bar predicted.
    """
    folds = []
    for number, (first, stop) in enumerate(pairwise(edges)):
        past = rows[(rows < first) & (end[rows] < first - embargo)]
        train, validate = inner_split(past, end, inner, embargo)
        fence = int(max(end[train].max(), end[validate].max()))
        folds.append(Fold(number, train, validate, fence, slice(int(first), int(stop))))
    return folds


def tile_edges(first: int, stop: int, count: int) -> list[int]:
    """Return the borders of count equal tiles.

    Examples
    --------
    >>> tile_edges(10, 20, 3)
    [10, 13, 16, 20]
    """
    return [int(edge) for edge in np.linspace(first, stop, count + 1)]
