"""Whether two spans of bars look alike: a classifier is asked to tell them apart."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from research.measures import auc, auc_se
from research.splits import purged_folds

MOST = 50_000  # rows of each span: beyond them only the cost grows
FOLDS = 5


class Drift(NamedTuple):
    """How well two spans can be told apart.

    Parameters
    ----------
    auc, se : float
        Of the classifier on rows it was not fitted on; 0.5: they look alike. Markets drift, 0.9 is no alarm.
    features : list of (str, float)
        Each feature's own AUC, farthest from 0.5 first: what to transform, never what to reweight by.
    """

    auc: float
    se: float
    features: list[tuple[str, float]]


def drift(
    before: NDArray[np.float32], after: NDArray[np.float32], names: list[str], block: int = 1, seed: int = 0
) -> Drift:
    """Return how well bars of one span can be told from bars of another by their features.

    Parameters
    ----------
    before, after : float32 arrays of shape (n, F) and (m, F)
        Features in time order; no levels and no time of day, which tell any two spans apart.
    names : list of str
        Of the F columns.
    block : int
        Neighbouring rows that hang together: they are held out together.
    seed : int
        Of the rows taken where there are more than 50,000.

    Notes
    -----
    Logistic regression on standard features, blocked cross-validation. Two normal clouds whose means are delta
    apart have an AUC of Phi(delta / sqrt 2).

    Examples
    --------
    >>> a, b = np.random.default_rng(0).standard_normal((2, 4000, 3)).astype(np.float32)
    >>> abs(drift(a, b, ["x", "y", "z"]).auc - 0.5) < 0.03
    True
    """
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(seed)
    spans = [span[np.sort(rng.permutation(len(span))[:MOST])] for span in (before, after)]
    x = np.concatenate(spans).astype(np.float64)
    x = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-12)
    y = np.repeat([0.0, 1.0], [len(span) for span in spans])
    told = np.empty(len(y))
    held = [_folds(len(span), block) for span in spans]
    for k in range(FOLDS):
        out = np.concatenate([held[0][k], held[1][k] + len(spans[0])])
        rest = np.setdiff1d(np.arange(len(y)), out)
        told[out] = LogisticRegression(max_iter=500).fit(x[rest], y[rest]).decision_function(x[out])
    alone = sorted(((name, auc(y, x[:, i])) for i, name in enumerate(names)), key=lambda pair: -abs(pair[1] - 0.5))
    return Drift(auc(y, told), auc_se(y, told) * float(np.sqrt(block)), alone)


def _folds(n: int, block: int) -> list[NDArray[np.int64]]:
    start = np.arange(n)
    return [held for _, held in purged_folds(start, start + block - 1, FOLDS, 0)]
