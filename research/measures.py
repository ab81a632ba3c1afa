"""How good a probability is: every loss with what no skill would lose, every number with its luck."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import expit
from scipy.stats import rankdata

from engine.bars import Floats

TINY = 1e-12
LEAST_MOVE = 0.02  # deviation of a logit below which a line through it says nothing


class Score(NamedTuple):
    """A forecast on one set of rows.

    Parameters
    ----------
    n, n_eff : float
        Rows, and how many labels that share no bar they are worth.
    base_rate : float
        Share of ones among these rows.
    loss, no_skill, skill : float
        Binary cross-entropy in nats; that of the best constant, known only in hindsight; 1 - loss / no_skill.
    skill_se : float
        Standard error of skill by the block bootstrap.
    auc, auc_low, auc_high : float
        Area under the ROC curve and its 95 % interval (DeLong, widened from n to n_eff).
    slope, intercept : float or None
        Of the truth on the forecast's logit: 1 and 0 when calibrated; None where the forecast hardly moves.
    ece, ece_null : float
        Expected calibration error over ten bins of equal mass, and the 95 % quantile that a
        perfectly calibrated forecast of n_eff independent rows has by luck.
    """

    n: int
    n_eff: float
    base_rate: float
    loss: float
    no_skill: float
    skill: float
    skill_se: float
    auc: float
    auc_low: float
    auc_high: float
    slope: float | None
    intercept: float | None
    ece: float
    ece_null: float


def score_forecast(y: Floats, p: Floats, n_eff: float, block: int, seed: int = 0) -> Score:
    """Return the score of probabilities p for outcomes y.

    Parameters
    ----------
    y : float64 array of shape (n,)
        Zeros and ones, in time order.
    p : float64 array of shape (n,)
        Forecasts in (0, 1).
    n_eff : float
        Sum of the rows' uniqueness.
    block : int
        Rows a label overlaps with: the bootstrap's block.
    seed : int
        Of the calibration error's null band.
    """
    losses = cross_entropy(y, p)
    base = float(y.mean())
    no_skill = entropy(base)
    area, se = auc(y, p), auc_se(y, p) * float(np.sqrt(len(y) / max(n_eff, 1.0)))
    gain = cross_entropy(y, np.full(len(y), base)) - losses
    moves = float(logit(p).std()) >= LEAST_MOVE
    slope, intercept = logistic_line(logit(p), y) if moves else (None, None)
    return Score(
        n=len(y),
        n_eff=float(n_eff),
        base_rate=base,
        loss=float(losses.mean()),
        no_skill=no_skill,
        skill=1.0 - float(losses.mean()) / no_skill if no_skill > 0 else 0.0,
        skill_se=block_se(gain, block) / no_skill if no_skill > 0 else 0.0,
        auc=area,
        auc_low=area - 1.96 * se,
        auc_high=area + 1.96 * se,
        slope=slope,
        intercept=intercept,
        ece=calibration_error(y, p),
        ece_null=calibration_error_null(p, n_eff, seed),
    )


def cross_entropy(y: Floats, p: Floats) -> Floats:
    """Return the loss of each row in nats."""
    safe = np.clip(p, TINY, 1.0 - TINY)
    losses: Floats = -(y * np.log(safe) + (1.0 - y) * np.log1p(-safe))
    return losses


def entropy(rate: float) -> float:
    """Return what the best constant forecast loses at a base rate, in nats.

    Examples
    --------
    >>> round(entropy(0.5), 4), round(entropy(0.2), 4)
    (0.6931, 0.5004)
    """
    return float(cross_entropy(np.array([rate]), np.array([rate]))[0]) if 0.0 < rate < 1.0 else 0.0


def logit(p: Floats) -> Floats:
    """Return log-odds of probabilities."""
    safe = np.clip(p, TINY, 1.0 - TINY)
    odds: Floats = np.log(safe) - np.log1p(-safe)
    return odds


def auc(y: Floats, score: Floats) -> float:
    """Return the chance that a one outranks a zero; 0.5 where only one class is there.

    Examples
    --------
    >>> auc(np.array([0.0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.75
    """
    ones = int(y.sum())
    zeros = len(y) - ones
    if ones == 0 or zeros == 0:
        return 0.5
    return float((rankdata(score)[y == 1].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def auc_se(y: Floats, score: Floats) -> float:
    """Return DeLong's standard error of the AUC of independent rows (Sun & Xu 2014)."""
    up, down = score[y == 1], score[y == 0]
    if len(up) < 2 or len(down) < 2:
        return 0.5
    ranks = rankdata(np.r_[up, down])
    above = (ranks[: len(up)] - rankdata(up)) / len(down)
    below = (ranks[len(up) :] - rankdata(down)) / len(up)
    return float(np.sqrt(above.var(ddof=1) / len(up) + below.var(ddof=1) / len(down)))


def block_se(values: Floats, block: int) -> float:
    """Return the standard error of a mean by the circular block bootstrap, in its closed form.

    Parameters
    ----------
    values : float64 array of shape (n,)
        In time order.
    block : int
        Neighbouring values that are drawn together.

    Examples
    --------
    >>> values = np.random.default_rng(0).standard_normal(10_000)
    >>> 0.0095 < block_se(values, 1) < 0.0105
    True
    """
    n = len(values)
    block = max(1, min(block, n // 4))
    if n < 2:
        return 0.0
    total = np.cumsum(np.r_[0.0, np.r_[values, values[:block]] - values.mean()])
    means = (total[block : block + n] - total[:n]) / block
    return float(np.sqrt(means.var() * block / n))


def calibration_error(y: Floats, p: Floats, bins: int = 10) -> float:
    """Return the mean distance between claimed and realised frequency over bins of equal mass."""
    order = np.argsort(p, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return float(sum(abs(y[part].mean() - p[part].mean()) * len(part) for part in parts) / len(y))


def calibration_error_null(p: Floats, n_eff: float, seed: int = 0, draws: int = 200) -> float:
    """Return the 95 % quantile of the calibration error of a forecast that is perfectly calibrated."""
    rng = np.random.default_rng(seed)
    size = max(20, min(len(p), int(n_eff)))
    found = np.empty(draws)
    for i in range(draws):
        drawn = p[rng.integers(0, len(p), size)]
        found[i] = calibration_error((rng.random(size) < drawn).astype(np.float64), drawn)
    return float(np.quantile(found, 0.95))


def logistic_line(
    x: Floats, y: Floats, weights: Floats | None = None, prior: Floats | None = None, slope_only: bool = False
) -> tuple[float, float]:
    """Return slope and intercept of the logistic regression of y on x, by Newton's method.

    Parameters
    ----------
    x, y : float64 arrays of shape (n,)
        Logits and outcomes.
    weights : float64 array of shape (n,), optional
        How many independent rows each row is worth.
    prior : float64 array of shape (2,), optional
        Precisions of a normal prior around slope 0 and intercept 0: no skill is believed before any row.
    slope_only : bool
        Keep the intercept at 0: temperature scaling.
    """
    w = np.ones(len(x)) if weights is None else weights
    design = np.column_stack([x, np.zeros(len(x)) if slope_only else np.ones(len(x))])
    precision = np.diag((np.zeros(2) if prior is None else prior) + TINY * w.sum() + [0.0, float(slope_only)])
    line = np.array([1.0, 0.0])
    for _ in range(100):
        p = expit(np.clip(design @ line, -40.0, 40.0))
        gradient = design.T @ (w * (y - p)) - precision @ line
        curvature = (design * (w * p * (1.0 - p))[:, None]).T @ design + precision
        step = np.linalg.solve(curvature, gradient)
        line = line + np.clip(step, -5.0, 5.0)
        if np.abs(step).max() < 1e-10:
            break
    return float(line[0]), float(line[1])
