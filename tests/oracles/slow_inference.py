"""The statistics again, slow and obvious: loops, definitions and textbook formulas."""

from __future__ import annotations

import math
from itertools import combinations, pairwise

import numpy as np


def sharpe(x):
    return x.mean() / x.std(ddof=1)


def influence(x):
    """Influence of each day on the Sharpe ratio, with the population deviation."""
    z = (x - x.mean()) / x.std()
    return z - 0.5 * sharpe(x) * (z * z - 1.0)


def block_error(moves, begin, end):
    """Standard error of a statistic on resampled days, from the sums of its influence over the blocks drawn."""
    edges = np.concatenate(([0], np.cumsum(end - begin)))
    return math.sqrt(sum(moves[a:b].sum() ** 2 for a, b in pairwise(edges))) / len(moves)


def long_run_variance(x, block):
    """Politis & Romano's formula, term by term."""
    n, stay, e = len(x), 1.0 - 1.0 / block, x - x.mean()
    total = (e * e).sum() / n
    for i in range(1, n):
        weight = (1 - i / n) * stay**i + (i / n) * stay ** (n - i)
        total += 2.0 * weight * (e[: n - i] * e[i:]).sum() / n
    return total


def overfitting(returns, blocks):
    """PBO by slicing out every half."""
    parts = np.array_split(np.arange(len(returns)), blocks)
    below, losses = [], []
    for chosen in combinations(range(blocks), blocks // 2):
        inside = np.concatenate([parts[b] for b in chosen])
        outside = np.concatenate([parts[b] for b in range(blocks) if b not in chosen])
        winner = int(np.argmax([sharpe(column) for column in returns[inside].T]))
        scores = np.array([sharpe(column) for column in returns[outside].T])
        rank = 1 + (scores < scores[winner]).sum()
        w = rank / (len(scores) + 1)
        below.append(math.log(w / (1 - w)) <= 0.0)
        losses.append(scores[winner] < 0.0)
    return float(np.mean(below)), float(np.mean(losses))


def delong(p, y):
    """AUC and DeLong's standard error, pair by pair."""
    up, down = p[y == 1], p[y == 0]
    wins = np.array([[1.0 if a > b else 0.5 if a == b else 0.0 for b in down] for a in up])
    variance = wins.mean(axis=1).var(ddof=1) / len(up) + wins.mean(axis=0).var(ddof=1) / len(down)
    return wins.mean(), math.sqrt(variance)


def difference_error(a, b):
    """Standard error of a difference of Sharpe ratios of iid normal returns (Jobson & Korkie, Memmel 2003)."""
    rho, x, y = np.corrcoef(a, b)[0, 1], sharpe(a), sharpe(b)
    return math.sqrt((2.0 - 2.0 * rho + 0.5 * (x * x + y * y - 2.0 * x * y * rho * rho)) / len(a))


def calibration_error(p, y, bins):
    """ECE with bins of equal mass for forecasts that are all different and bins that divide them."""
    order = np.argsort(p)
    groups = np.array_split(order, bins)
    return sum(len(g) * abs(y[g].mean() - p[g].mean()) for g in groups) / len(p)


def autocorrelated(rng, n, columns=1, rho=0.2):
    """AR(1) with Student-t(5) shocks: what daily returns look like, at mean 0 and variance 1."""
    shocks = rng.standard_t(5, (n + 50, columns)) / math.sqrt(5 / 3)
    x = shocks.copy()
    for i in range(1, len(x)):
        x[i] = rho * x[i - 1] + math.sqrt(1 - rho * rho) * shocks[i]
    return x[50:]
