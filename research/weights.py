"""How much each label is worth when many of them describe the same bars."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.bars import Floats

Rows = NDArray[np.int64]


def concurrency(start: Rows, end: Rows) -> Rows:
    """Count the labels alive at each bar, from the first label's first bar to the last label's last.

    Parameters
    ----------
    start, end : int64 arrays of shape (n,)
        First and last bar of each label, both inclusive.

    Returns
    -------
    int64 array of shape (end.max() - start.min() + 1,)

    Examples
    --------
    >>> concurrency(np.array([0, 2, 4]), np.array([2, 3, 5])).tolist()
    [1, 1, 2, 1, 1, 1]
    """
    first = int(start.min())
    change = np.zeros(int(end.max()) - first + 2, np.int64)
    np.add.at(change, start - first, 1)
    np.add.at(change, end - first + 1, -1)
    return np.cumsum(change)[:-1]


def uniqueness(start: Rows, end: Rows) -> Floats:
    """Return each label's mean share of the bars it lives through (AFML chapter 4).

    The sum over all labels is ``n_eff``: how many labels that share no bar these are worth.

    Parameters
    ----------
    start, end : int64 arrays of shape (n,)
        First and last bar of each label, both inclusive.

    Returns
    -------
    float64 array of shape (n,)
        In (0, 1]; labels of h bars at every bar have 1/h.

    Examples
    --------
    >>> uniqueness(np.array([0, 2, 4]), np.array([2, 3, 5])).round(4).tolist()
    [0.8333, 0.75, 1.0]
    """
    if len(start) == 0:
        return np.empty(0)
    alive = concurrency(start, end)
    share = np.r_[0.0, np.cumsum(np.where(alive > 0, 1.0 / np.maximum(alive, 1), 0.0))]  # a gap's length is no matter
    first = int(start.min())
    unique: Floats = (share[end - first + 1] - share[start - first]) / (end - start + 1)
    return unique


def sample_weights(start: Rows, end: Rows) -> Floats:
    """Return uniqueness scaled to a mean of 1: the weight of each row in a fit."""
    unique = uniqueness(start, end)
    return unique / unique.mean() if len(unique) else unique


def sequential_chances(start: Rows, end: Rows, drawn: Rows) -> Floats:
    """Return the chance of each label to be drawn next, given those drawn (AFML 4.5.2).

    Examples
    --------
    >>> first, last = np.array([0, 2, 4]), np.array([2, 3, 5])
    >>> (sequential_chances(first, last, np.array([1])) * 14).round(9).tolist()
    [5.0, 3.0, 6.0]
    """
    low = int(start.min())
    alive = np.zeros(int(end.max()) - low + 1, np.int64)
    for label in drawn:
        alive[start[label] - low : end[label] - low + 1] += 1
    mean = np.array([np.mean(1.0 / (alive[a - low : b - low + 1] + 1)) for a, b in zip(start, end, strict=True)])
    chances: Floats = mean / mean.sum()
    return chances


def sequential_bootstrap(start: Rows, end: Rows, draws: int, seed: int) -> Rows:
    """Draw labels with replacement so that those drawn share as few bars as can be (AFML 4.5.3).

    Each draw prefers labels whose bars are not taken yet; the chances are `sequential_chances`.

    Parameters
    ----------
    start, end : int64 arrays of shape (n,)
        First and last bar of each label, both inclusive.
    draws : int
        How many; time and memory grow with ``draws * bars``.
    seed : int
        Of the dice.

    Returns
    -------
    int64 array of shape (draws,)

    Examples
    --------
    >>> first, last = np.array([0, 2, 4]), np.array([2, 3, 5])
    >>> sequential_bootstrap(first, last, 4, seed=1).shape
    (4,)
    """
    rng, low = np.random.default_rng(seed), int(start.min())
    alive = np.zeros(int(end.max()) - low + 1, np.int64)
    length = end - start + 1
    drawn = np.empty(draws, np.int64)
    for i in range(draws):
        share = np.r_[0.0, np.cumsum(1.0 / (alive + 1))]
        mean = (share[end - low + 1] - share[start - low]) / length
        drawn[i] = rng.choice(len(start), p=mean / mean.sum())
        alive[start[drawn[i]] - low : end[drawn[i]] - low + 1] += 1
    return drawn
