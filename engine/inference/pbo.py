"""The probability that picking the best backtest picks luck.

Combinatorially symmetric cross-validation (Bailey, Borwein, Lopez de Prado & Zhu 2015): cut the
days into S blocks, choose the best trial on every half of them, look where it ranks on the other half.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from engine.errors import UsageError
from engine.inference.interval import Floats

FEWEST_TRIALS = 5
LEAST_DAYS_PER_BLOCK = 2
CHUNK = 2_000_000  # halves times trials held in memory at once


@dataclass(frozen=True, slots=True)
class Overfit:
    """How often the best of one half disappoints on the other.

    Parameters
    ----------
    pbo : float or None
        Share of the halves whose winner ranks in the lower half of all trials elsewhere. About 0.5
        means that choosing is worth nothing; up to 0.2 is good.
    slope : float or None
        Slope of the winner's Sharpe ratio out of sample on that in sample; below 0 the better the
        choice looked, the worse it did.
    loss : float or None
        Share of the halves whose winner lost money elsewhere.
    trials, days, blocks, halves : int
        Size of the experiment; days that do not fill a block are dropped at the start.
    why : str
        Why something is None; empty when everything is known.
    """

    pbo: float | None
    slope: float | None = None
    loss: float | None = None
    trials: int = 0
    days: int = 0
    blocks: int = 0
    halves: int = 0
    why: str = ""


def backtest_overfitting(returns: Floats, blocks: int = 16) -> Overfit:
    """Return the probability of backtest overfitting of a set of trials.

    Parameters
    ----------
    returns : float64 array of shape (n, k)
        Daily net returns of *all* trials, not of the survivors, on the same days. A trial that
        never moves in a half has a Sharpe ratio of zero there.
    blocks : int
        Even number of blocks, 4 to 20; a block should be longer than a trade.

    Returns
    -------
    Overfit
        Without numbers for fewer than 5 trials, where the answer would mean nothing.

    Raises
    ------
    UsageError
        If the number of blocks is odd or out of range.

    Examples
    --------
    >>> noise = np.random.default_rng(1).normal(0, 0.01, (1000, 20))
    >>> backtest_overfitting(noise, blocks=10).halves
    252
    """
    if blocks % 2 or not 4 <= blocks <= 20:
        raise UsageError(f"blocks must be even and in [4, 20], was {blocks}")
    values = np.asarray(returns, dtype=np.float64)
    rows, trials = values.shape
    days = rows - rows % blocks
    if trials < FEWEST_TRIALS:
        why = f"only {trials} trials; choosing among fewer than {FEWEST_TRIALS} says nothing"
    elif days < blocks * LEAST_DAYS_PER_BLOCK:
        why = f"only {rows} days for {blocks} blocks"
    elif not np.isfinite(values).all():
        why = "the returns hold values that are not finite"
    else:
        return _overfit(values[rows - days :], blocks)
    return Overfit(None, trials=trials, days=days, blocks=blocks, why=why)


def _overfit(values: Floats, blocks: int) -> Overfit:
    """Return the answer for clean returns whose length the blocks divide."""
    days, trials = values.shape
    cut = values.reshape(blocks, days // blocks, trials)
    sums, squares = cut.sum(axis=1), (cut * cut).sum(axis=1)
    halves = _halves(blocks)
    step = max(1, CHUNK // trials)
    parts = [_winners(halves[i : i + step], sums, squares, days // 2) for i in range(0, len(halves), step)]
    chosen, realised, rank = (np.concatenate(part) for part in zip(*parts, strict=True))
    spread = float(np.var(chosen))
    slope = float(np.cov(chosen, realised, bias=True)[0, 1]) / spread if spread > 0.0 else None
    why = "" if slope is not None else "the winners all look the same in sample"
    pbo, loss = float((rank <= 0.5).mean()), float((realised < 0.0).mean())
    return Overfit(pbo, slope, loss, trials, days, blocks, len(halves), why)


def _halves(blocks: int) -> NDArray[np.bool_]:
    """Return every choice of half the blocks, one per row."""
    chosen = np.array(list(combinations(range(blocks), blocks // 2)))
    out = np.zeros((len(chosen), blocks), dtype=bool)
    np.put_along_axis(out, chosen, True, axis=1)
    return out


def _winners(halves: NDArray[np.bool_], sums: Floats, squares: Floats, days: int) -> tuple[Floats, Floats, Floats]:
    """Return, for each half, the winner's Sharpe ratio there, elsewhere, and its relative rank elsewhere."""
    inside = _sharpes(halves.astype(np.float64), sums, squares, days)
    outside = _sharpes((~halves).astype(np.float64), sums, squares, days)
    winner = inside.argmax(axis=1)[:, None]
    chosen = np.take_along_axis(inside, winner, axis=1)
    realised = np.take_along_axis(outside, winner, axis=1)
    below = (outside < realised).sum(axis=1) + 0.5 * ((outside == realised).sum(axis=1) - 1)
    return chosen[:, 0], realised[:, 0], (below + 1.0) / (sums.shape[1] + 1.0)


def _sharpes(halves: Floats, sums: Floats, squares: Floats, days: int) -> Floats:
    """Return every trial's Sharpe ratio on every half, from the sums of its blocks."""
    mean = halves @ sums / days
    square = halves @ squares / days
    variance = square - mean * mean
    moves = variance > 1e-12 * square
    return np.asarray(np.divide(mean, np.sqrt(np.where(moves, variance, 1.0)), out=np.zeros_like(mean), where=moves))
