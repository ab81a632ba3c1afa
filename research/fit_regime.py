"""Volatility regimes: hmmlearn finds them in the past, our own causal filter serves them."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from engine.bars import Bars, Floats
from models.regime import RegimeModel, stationary
from research.config import TrainConfig
from research.weights import Rows

SHORTEST_BLOCK = 64  # slots
PIECES = 10  # stretches of the training bars on which the starts are compared
SCREEN_STEPS, MOST_STEPS = 15, 200
POLISHED = 2  # starts that see all training bars
TOLERANCE = 1e-6  # of log-likelihood per bar: below it a step of EM is convergence


class Sequences(NamedTuple):
    """Standardised features in unbroken stretches.

    Parameters
    ----------
    x : float64 array of shape (m, d)
        The stretches, one after another.
    lengths : int64 array
        Their lengths, which sum to m.
    """

    x: Floats
    lengths: Rows


def fit_regime(bars: Bars, matrix: Floats, stop: int, config: TrainConfig) -> tuple[RegimeModel, dict[str, Any]]:
    """Fit the regimes of the bars before ``stop``.

    Many random starts are compared on stretches of the past; the best few then see all of it, and
    the likeliest one that has no negligible regime is served.

    Parameters
    ----------
    bars : Bars
        The market.
    matrix : float64 array of shape (n, d)
        The regime's features of every bar, raw; the first is the return.
    stop : int
        First bar that may not be seen.
    config : TrainConfig
        States, starts, seed.

    Returns
    -------
    model, notes
        The notes hold every start's likelihood, convergence, and the table of the regimes.
    """
    s = config.regime
    known = np.flatnonzero(np.isfinite(matrix[:stop]).all(axis=1))
    mean, std = matrix[known].mean(axis=0), matrix[known].std(axis=0)
    follows = bars.follows[known] & np.r_[False, np.diff(known) == 1]
    whole = _sequences((matrix[known] - mean) / std, ~follows)
    screen = _screen(whole, s.screen_bars)
    rng = np.random.default_rng(config.seed)
    starts = [_em(screen, _random_start(screen.x, s.states, rng), SCREEN_STEPS) for _ in range(s.starts)]
    starts.sort(key=lambda fit: (_rarest(fit) < s.least_share, -fit.monitor_.history[-1]))
    finals = [_em(whole, _where(fit), MOST_STEPS) for fit in starts[:POLISHED]]
    best = min(finals, key=lambda fit: (_rarest(fit) < s.least_share, -fit.monitor_.history[-1]))
    model = _anchored(best, (mean, std), bars[:stop], matrix[:stop], config)
    notes = {
        "start_likelihoods": [float(fit.monitor_.history[-1]) / len(screen.x) for fit in starts],
        "likelihood": float(best.monitor_.history[-1]) / len(whole.x),
        "steps": len(best.monitor_.history),
        "converged": len(best.monitor_.history) < MOST_STEPS,
        "rarest_share": _rarest(best),
    }
    return model, notes | regime_table(model, bars[:stop], matrix[:stop])


def regime_table(model: RegimeModel, bars: Bars, matrix: Floats) -> dict[str, Any]:
    """Return what each regime looks like: volatility and mean of a bar, how often, how long.

    The mean return comes with its standard error: regimes separate volatility, and a mean within
    two errors of zero is not a trend.
    """
    belief = model.belief(bars, matrix)
    known = np.isfinite(belief).all(axis=1)
    weight, value = belief[known], matrix[known, 0]
    mass = weight.sum(axis=0)
    mean = weight.T @ value / mass
    spread = np.sqrt((weight.T @ value**2) / mass - mean**2)
    table = [
        {
            "role": role,
            "volatility": float(spread[i]),
            "mean": float(mean[i]),
            "mean_se": float(spread[i] / np.sqrt(mass[i])),
            "share": float(mass[i] / known.sum()),
            "dwell_bars": float(1.0 / max(1.0 - model.transition[i, i], 1e-9)),
        }
        for i, role in enumerate(model.roles)
    ]
    return {"table": table, "block": model.block, "forgetting": model.forgetting}


def _anchored(fit: Any, scaler: tuple[Floats, Floats], bars: Bars, matrix: Floats, config: TrainConfig) -> RegimeModel:
    """Return the served model, its block as long as its memory, to the next power of two."""
    longest = config.regime.longest_block
    volatility = np.sqrt(np.asarray(fit.covars_)[:, 0, 0]) * scaler[1][0]
    model = RegimeModel.ordered(config.regime.features, scaler, fit, volatility, longest)
    forgetting = model.measure_forgetting(matrix)
    slots = bars.slots
    needed = forgetting * float(slots[-1] - slots[0] + 1) / len(slots)
    block = SHORTEST_BLOCK
    while block < min(needed, longest):
        block *= 2
    return replace(model, block=block, forgetting=forgetting)


def _sequences(x: Floats, begins: Any) -> Sequences:
    first = np.flatnonzero(np.r_[True, begins[1:]])
    return Sequences(x, np.diff(np.r_[first, len(x)]))


def _screen(whole: Sequences, most: int) -> Sequences:
    """Return stretches spread evenly over all bars, ``most`` bars in total."""
    n = len(whole.x)
    if n <= most:
        return whole
    size = most // PIECES
    rows = np.concatenate([np.arange(size) + first for first in np.linspace(0, n - size, PIECES).astype(np.int64)])
    begins = np.zeros(n, np.bool_)
    begins[np.r_[0, np.cumsum(whole.lengths)[:-1]]] = True
    return _sequences(whole.x[rows], begins[rows] | (np.arange(len(rows)) % size == 0))


class Start(NamedTuple):
    """Where EM begins."""

    chances: Floats
    transition: Floats
    means: Floats
    variances: Floats


def _random_start(x: Floats, states: int, rng: np.random.Generator) -> Start:
    """Return states that stand at random bars."""
    stay = rng.uniform(0.8, 0.99)
    transition = np.full((states, states), (1.0 - stay) / (states - 1))
    np.fill_diagonal(transition, stay)
    means = x[rng.choice(len(x), states, replace=False)]
    return Start(np.full(states, 1.0 / states), transition, means, x.var(axis=0) * rng.uniform(0.3, 2.0, (states, 1)))


def _where(fit: Any) -> Start:
    """Return where a fit stands, to go on from there."""
    return Start(fit.startprob_, fit.transmat_, fit.means_, np.diagonal(fit.covars_, axis1=1, axis2=2))


def _em(sequences: Sequences, start: Start, steps: int) -> Any:
    """Return the fit after EM from a start."""
    from hmmlearn.hmm import GaussianHMM

    logging.getLogger("hmmlearn").setLevel(logging.ERROR)  # its notes on convergence are in ours
    fit = GaussianHMM(
        n_components=len(start.chances),
        covariance_type="diag",
        init_params="",
        min_covar=1e-4,
        n_iter=steps,
        tol=TOLERANCE * len(sequences.x),
    )
    fit.n_features = sequences.x.shape[1]
    fit.startprob_, fit.transmat_ = start.chances.copy(), start.transition.copy()
    fit.means_, fit.covars_ = start.means.copy(), start.variances.copy()
    return fit.fit(sequences.x, sequences.lengths)


def _rarest(fit: Any) -> float:
    return float(stationary(np.asarray(fit.transmat_)).min())
