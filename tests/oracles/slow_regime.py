"""Regime belief the slow way: every path of states, weighed by its probability."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
from scipy.stats import multivariate_normal


def belief_by_enumeration(start, transition, means, covars, x) -> np.ndarray:
    """Return P(state of the last row | all rows) by summing over all k**T paths; covars of shape (k, d, d)."""
    states, out = range(len(start)), np.zeros(len(start))
    density = [[multivariate_normal.pdf(row, means[k], covars[k]) for k in states] for row in x]
    for path in product(states, repeat=len(x)):
        weight = start[path[0]]
        for before, after in pairwise(path):
            weight *= transition[before, after]
        for t, state in enumerate(path):
            weight *= density[t][state]
        out[path[-1]] += weight
    return out / out.sum()
