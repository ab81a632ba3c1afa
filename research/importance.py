"""Which features matter, judged where the model was not fitted and against features that are noise by construction.

In-sample gain says "important" of anything a tree can split on: twelve columns of pure noise get 8 to 9 % each. Here
every figure stands beside its null: a dozen columns whose blocks of rows were shuffled in time, so that they keep
their distribution and memory and know nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from engine.bars import Floats
from research.measures import auc, auc_se, block_se, cross_entropy
from research.splits import purged_folds
from research.weights import Rows, sample_weights, uniqueness

NOISE = 12  # columns of the null
REPEATS = 5  # permutations of a column in every fold
LEVEL = 0.95
TERMS = {"max_depth": 3, "eta": 0.05, "min_child_weight": 25.0, "lambda": 10.0, "subsample": 0.7, "nthread": 1}
ROUNDS = 100

Matrix = NDArray[np.float32]


class Table(NamedTuple):
    """Labelled rows in time order.

    Parameters
    ----------
    x : float32 array of shape (n, F)
        Features of each row.
    y : float64 array of shape (n,)
        Zeros and ones.
    start, end : int64 arrays of shape (n,)
        First and last bar of each label.
    embargo : int
        Bars after a held-out run from which nothing is learned.
    """

    x: Matrix
    y: Floats
    start: Rows
    end: Rows
    embargo: int = 0


class Importance(NamedTuple):
    """What one feature, or one cluster of them, is worth.

    Parameters
    ----------
    name : str
        The feature, or the names of a cluster.
    gain : float
        MDI: share of the gain of all splits, in-sample.
    contribution : float
        Mean size of what it adds to the log-odds out of sample (XGBoost's exact SHAP values).
    loss : float
        MDA: what permuting it costs out of sample, in nats.
    loss_se : float
        Its standard error by the block bootstrap over the rows.
    alone : float
        SFI: AUC of a model of it alone, out of sample; 0.5 for clusters.
    alone_se : float
        DeLong, widened to n_eff.
    beats_noise : bool
        Whether MDA is above the 95 % quantile of the noise columns'.
    """

    name: str
    gain: float
    contribution: float
    loss: float
    loss_se: float
    alone: float
    alone_se: float
    beats_noise: bool


class Found(NamedTuple):
    """Features by MDA, greatest first, with what noise gets.

    Parameters
    ----------
    rows : list of Importance
        Every feature, or every cluster.
    noise_gain, noise_loss : float
        Mean gain share of a noise column, and the 95 % quantile of the noise columns' MDA.
    out_of_sample : float
        AUC of the whole model out of sample: where it is 0.5 nothing can be important.
    """

    rows: list[Importance]
    noise_gain: float
    noise_loss: float
    out_of_sample: float


def importances(
    table: Table,
    names: Sequence[str],
    folds: int = 5,
    seed: int = 0,
    clusters: Sequence[Sequence[int]] | None = None,
    tick: Callable[[float], None] | None = None,
) -> Found:
    """Return how much each feature matters by four measures, next to shuffled columns that matter not at all.

    Parameters
    ----------
    table : Table
        Rows in time order.
    names : sequence of str
        Of the F columns.
    folds : int
        Purged runs, each held out once.
    seed : int
        Of every permutation.
    clusters : sequence of sequences of int, optional
        Columns permuted together, such as `correlated`'s; by default each stands alone. Twins of one feature hide
        each other's worth when permuted alone.
    tick : callable, optional
        Told the finished share.

    Notes
    -----
    MDI, MDA and SFI of Lopez de Prado (2018), ch. 8, MDA with cross-entropy on purged folds; clustered MDA of
    Lopez de Prado (2020). Permutations move blocks as long as the longest label, so memory stays.
    """
    rng = np.random.default_rng(seed)
    block = int((table.end - table.start).max()) + 1
    groups = [[i] for i in range(len(names))] if clusters is None else [list(group) for group in clusters]
    sources = rng.integers(0, len(names), NOISE)
    noise = np.column_stack([_shuffled(table.x[:, j], block, rng) for j in sources])
    wide = Table(np.column_stack([table.x, noise]), *table[1:])
    groups += [[len(names) + i] for i in range(NOISE)]
    costs, gains, adds, p = _permuted(wide, groups, (folds, block), rng, tick)
    real, fake = np.arange(len(groups) - NOISE), np.arange(len(groups) - NOISE, len(groups))
    mda = costs.mean(axis=1)
    bar = float(np.quantile(mda[fake], LEVEL))
    rows = []
    for i in real:
        single = len(groups[i]) == 1
        area, error = _alone(table, groups[i][0], folds) if single else (0.5, 0.0)
        rows.append(
            Importance(
                ", ".join(names[j] for j in groups[i]),
                float(gains[groups[i]].sum()),
                float(adds[groups[i]].sum()),
                float(mda[i]),
                block_se(costs[i], block),
                area,
                error,
                bool(mda[i] > bar),
            )
        )
    rows.sort(key=lambda row: -row.loss)
    return Found(rows, float(gains[len(names) :].mean()), bar, auc(table.y, p))


def correlated(x: Matrix, least: float = 0.7) -> list[list[int]]:
    """Return clusters of columns whose ranks are correlated by at least ``least``, average linkage.

    Examples
    --------
    >>> a, b = np.random.default_rng(0).standard_normal((2, 500))
    >>> correlated(np.column_stack([a, b, a + 0.1 * b]).astype(np.float32))
    [[0, 2], [1]]
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform
    from scipy.stats import spearmanr

    if x.shape[1] < 3:
        return [[i] for i in range(x.shape[1])]
    apart = 1.0 - np.abs(np.nan_to_num(spearmanr(x).statistic))
    np.fill_diagonal(apart, 0.0)
    label = fcluster(linkage(squareform(apart, checks=False), "average"), 1.0 - least, "distance")
    found = [[int(i) for i in np.flatnonzero(label == k)] for k in np.unique(label)]
    return sorted(found)


def _permuted(
    table: Table,
    groups: list[list[int]],
    terms: tuple[int, int],
    rng: np.random.Generator,
    tick: Callable[[float], None] | None,
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return what permuting each group costs each row, gain shares, contributions, and forecasts out of sample."""
    folds, block = terms
    costs, p = np.zeros((len(groups), len(table.y))), np.empty(len(table.y))
    gains, adds = np.zeros(table.x.shape[1]), np.zeros(table.x.shape[1])
    for k, (held, booster) in enumerate(_models(table, folds)):
        gains += _gain(booster, len(gains)) / folds
        x, y = table.x[held], table.y[held]
        p[held] = _predict(booster, x)
        base = cross_entropy(y, p[held])
        adds += np.abs(_contributions(booster, x))[:, :-1].sum(axis=0) / len(table.y)
        for i, group in enumerate(groups):
            for _ in range(REPEATS):
                moved = x.copy()
                moved[:, group] = _shuffled(x[:, group], block, rng)
                costs[i, held] += (cross_entropy(y, _predict(booster, moved)) - base) / REPEATS
        if tick is not None:
            tick((k + 1) / folds)
    return costs, gains, adds, p


def _models(table: Table, folds: int) -> Iterator[tuple[Rows, object]]:
    for train, held in purged_folds(table.start, table.end, folds, table.embargo):
        yield held, _fit(table, train, slice(None))


def _alone(table: Table, column: int, folds: int) -> tuple[float, float]:
    """Return the AUC of one feature alone, out of sample, and its error."""
    p = np.empty(len(table.y))
    for train, held in purged_folds(table.start, table.end, folds, table.embargo):
        p[held] = _predict(_fit(table, train, [column]), table.x[held][:, [column]])
    wide = float(np.sqrt(len(p) / max(uniqueness(table.start, table.end).sum(), 1.0)))
    return auc(table.y, p), auc_se(table.y, p) * wide


def _fit(table: Table, train: Rows, columns: object) -> object:
    from xgboost import DMatrix
    from xgboost import train as boost

    weights = sample_weights(table.start[train], table.end[train])
    seen = DMatrix(table.x[train][:, columns], table.y[train], weight=weights, nthread=1)  # type: ignore[index]
    base = float(np.average(table.y[train], weights=weights))
    return boost({**TERMS, "objective": "binary:logistic", "base_score": base, "seed": 0, "verbosity": 0}, seen, ROUNDS)


def _predict(booster: object, x: Matrix) -> Floats:
    from xgboost import DMatrix

    margin = booster.predict(DMatrix(x, nthread=1), output_margin=True)  # type: ignore[attr-defined]
    p: Floats = expit(np.asarray(margin, np.float64))
    return p


def _contributions(booster: object, x: Matrix) -> Floats:
    from xgboost import DMatrix

    return np.asarray(booster.predict(DMatrix(x, nthread=1), pred_contribs=True), np.float64)  # type: ignore[attr-defined]


def _gain(booster: object, columns: int) -> Floats:
    """Return each column's share of the gain of all splits."""
    found = booster.get_score(importance_type="total_gain")  # type: ignore[attr-defined]
    gain = np.array([found.get(f"f{i}", 0.0) for i in range(columns)])
    return gain / max(gain.sum(), 1e-300)


def _shuffled(column: NDArray[np.float32], block: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return rows in another order, whole blocks at a time."""
    parts = np.array_split(np.arange(len(column)), max(len(column) // block, 2))
    return column[np.concatenate([parts[i] for i in rng.permutation(len(parts))])]
