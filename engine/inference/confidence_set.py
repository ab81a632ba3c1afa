"""Which forecasters could be the best one: the model confidence set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.inference.bootstrap import LEAST_DAYS, common_block, resample_means
from engine.inference.interval import Draws, Floats, flaw


@dataclass(frozen=True, slots=True)
class ConfidenceSet:
    """The models that the data cannot tell from the best.

    Parameters
    ----------
    p_values : tuple of float
        One per model; those below the size are not the best.
    included : tuple of int
        Columns of the models that remain.
    size : float
        Chance that the best model is not among them.
    n : int
        Number of observations.
    block : float
        Mean block length.
    why : str
        Why there is no set; empty when there is one.
    """

    p_values: tuple[float, ...]
    included: tuple[int, ...]
    size: float = 0.05
    n: int = 0
    block: float = 0.0
    why: str = ""


def model_confidence_set(losses: Floats, size: float = 0.05, draws: Draws | None = None) -> ConfidenceSet:
    """Return the models which, with confidence ``1 - size``, include the one with the smallest expected loss.

    Hansen, Lunde & Nason (2011) with the range statistic: models leave one by one, the worst first,
    until those left cannot be told apart. Each difference is divided by its own bootstrap deviation,
    so the models need no scaling.

    Parameters
    ----------
    losses : float64 array of shape (n, k)
        Loss of each model on the same observations in time order: log losses, or negated returns.
    size : float
        In (0, 1).
    draws : Draws or None
        How to resample.

    Returns
    -------
    ConfidenceSet
        Empty, with the reason, when a loss is not finite or there are too few observations.

    Examples
    --------
    >>> noise = np.random.default_rng(1).standard_normal((500, 3)) + [0.0, 0.05, 1.0]
    >>> model_confidence_set(noise).included
    (0, 1)
    """
    draws = draws or Draws()
    values = np.asarray(losses, dtype=np.float64)
    n, k = values.shape
    flaws = [flaw(column, LEAST_DAYS) for column in values.T] or ["there is no model"]
    hopeless = [why for why in flaws if why and "never move" not in why]  # a constant loss can be compared
    if hopeless:
        return ConfidenceSet((), (), size, n, why=hopeless[0])
    excess = values - values.mean(axis=1, keepdims=True)  # what all models share says nothing about any
    moving = [j for j in range(k) if not flaw(excess[:, j])]
    block, means = float(n), np.tile(excess.mean(axis=0), (draws.resamples, 1))
    if moving:
        block = common_block(excess[:, moving], draws)
        means[:, moving] = resample_means(excess[:, moving], block, draws)
    p_values = _eliminate(excess.mean(axis=0), means)
    return ConfidenceSet(tuple(p_values.tolist()), tuple(np.flatnonzero(p_values > size).tolist()), size, n, block)


def _eliminate(mean: Floats, means: Floats) -> Floats:
    """Return each model's p-value: the largest of those of the tests up to the one that removed it."""
    noise = means - mean
    lead = mean[:, None] - mean[None, :]
    deviation = np.sqrt([((noise[:, [i]] - noise) ** 2).mean(axis=0) for i in range(len(mean))])
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 1e-15)
    left, p, out = list(range(len(mean))), 0.0, np.ones(len(mean))
    while len(left) > 1:
        t = (lead * scale)[np.ix_(left, left)]
        drawn = np.max([np.max((noise[:, [i]] - noise[:, left]) * scale[i, left], axis=1) for i in left], axis=0)
        p = max(p, float((drawn >= t.max()).mean()))
        worst = left[int(t.max(axis=1).argmax())]
        out[worst] = p
        left.remove(worst)
    return out
