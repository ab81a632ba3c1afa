"""The causal forward filter of a Gaussian HMM (Hamilton 1989; Rabiner 1989), anchored on blocks of bars.

Every bar's belief comes from the start of the block before its own, so two filters run side by side: row 0 of
``prior`` and ``belief`` is the one that is served, row 1 began with this block and serves the next.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def log_densities(rows, scaler, whitening, means, volume):  # type: ignore[no-untyped-def]
    """Return the log density of each raw row in each state up to a constant, (n, d) -> (n, k).

    Parameters
    ----------
    rows : float64 array of shape (n, d)
        Raw features; a NaN makes the row's densities NaN.
    scaler : (mean, std), float64 arrays of shape (d,)
        That standardise them.
    whitening : float64 array of shape (k, d, d)
        Inverses of the covariances' Cholesky factors, lower triangular.
    means : float64 array of shape (k, d)
        Of the standardised features.
    volume : float64 array of shape (k,)
        Log determinants of ``whitening``.
    """
    mean, std = scaler
    n, d = rows.shape
    z, out = np.empty(d), np.empty((n, len(volume)))
    for t in range(n):
        for i in range(d):
            z[i] = (rows[t, i] - mean[i]) / std[i]
        for s in range(len(volume)):
            distance = 0.0
            for j in range(d):
                white = 0.0
                for i in range(j + 1):
                    if whitening[s, j, i] != 0.0:
                        white += whitening[s, j, i] * (z[i] - means[s, i])
                distance += white * white
            out[t, s] = volume[s] - 0.5 * distance
    return out


@njit(cache=True, nogil=True)
def hmm_filter(start, transition, log_likelihood, block):  # type: ignore[no-untyped-def]
    """Return the belief at every bar given the bars since the start of the block before its own, (n, k).

    Equal block numbers everywhere make it the ordinary filter since the first bar. A row of NaN
    tells nothing: the belief then only drifts with the transition.

    Parameters
    ----------
    start : float64 array of shape (k,)
        Belief before the first bar of a block.
    transition : float64 array of shape (k, k)
        Probability of state j after state i.
    log_likelihood : float64 array of shape (n, k)
        Log density of each bar in each state, up to a constant of the bar.
    block : int64 array of shape (n,)
        Ascending block numbers; "the block before" is the last that had bars.
    """
    states = len(start)
    out = _relative_densities(log_likelihood)
    prior, belief = np.empty((2, states)), np.empty((2, states))
    for j in range(states):
        prior[0, j] = prior[1, j] = start[j]
    for t in range(len(out)):
        if t > 0 and block[t] != block[t - 1]:
            for j in range(states):
                prior[0, j], prior[1, j] = prior[1, j], start[j]
        if not _learn(prior, out, t, belief):
            for of in range(2):
                _learn_apart(prior, log_likelihood, t, of, belief)
        for j in range(states):
            out[t, j] = belief[0, j]
        _drift(belief, transition, prior)
    return out


@njit(cache=True, nogil=True)
def _relative_densities(log_likelihood):  # type: ignore[no-untyped-def]
    """Return densities over each bar's largest, so that no bar underflows as a whole; NaN where nothing is known."""
    n, states = log_likelihood.shape
    out = np.empty((n, states))
    for t in range(n):
        top = -np.inf
        for j in range(states):
            if log_likelihood[t, j] > top:
                top = log_likelihood[t, j]
        for j in range(states):
            below = log_likelihood[t, j] - top
            out[t, j] = 1.0 if below == 0.0 else np.exp(below)
    return out


@njit(cache=True, nogil=True)
def _learn(prior, density, t, belief):  # type: ignore[no-untyped-def]
    """Weigh both priors by a bar's densities into ``belief``; return whether both could be."""
    served, fresh = 0.0, 0.0
    for j in range(prior.shape[1]):
        belief[0, j], belief[1, j] = prior[0, j] * density[t, j], prior[1, j] * density[t, j]
        served, fresh = served + belief[0, j], fresh + belief[1, j]
    if not (served > 0.0 and fresh > 0.0):
        return False
    for j in range(prior.shape[1]):
        belief[0, j], belief[1, j] = belief[0, j] / served, belief[1, j] / fresh
    return True


@njit(cache=True, nogil=True)
def _learn_apart(prior, log_likelihood, t, of, belief):  # type: ignore[no-untyped-def]
    """Weigh one prior by a bar's densities over the largest that it allows; if none is known, learn nothing."""
    states, top, total = prior.shape[1], -np.inf, 0.0
    for j in range(states):
        if prior[of, j] > 0.0 and log_likelihood[t, j] > top:
            top = log_likelihood[t, j]
    for j in range(states):
        possible = prior[of, j] > 0.0 and top > -np.inf
        belief[of, j] = prior[of, j] * np.exp(log_likelihood[t, j] - top) if possible else 0.0
        total += belief[of, j]
    for j in range(states):
        belief[of, j] = belief[of, j] / total if total > 0.0 else prior[of, j]


@njit(cache=True, nogil=True)
def _drift(belief, transition, prior):  # type: ignore[no-untyped-def]
    """Move both beliefs to the next bar."""
    states = len(transition)
    for j in range(states):
        served, fresh = 0.0, 0.0
        for i in range(states):
            served += belief[0, i] * transition[i, j]
            fresh += belief[1, i] * transition[i, j]
        prior[0, j], prior[1, j] = served, fresh
