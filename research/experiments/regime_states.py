"""A4: calm, trend and panic, the states a hidden Markov model is said to find.

Three states are fitted on development from several seeds and filtered, causally, through validation. What a state is
called must show on bars it was not fitted on: its volatility, and the mean of the *next* bar's return, which is the one
that can still be traded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import norm

from engine.bars import Floats
from engine.inference.blocks import block_length, long_run_variance
from research.experiments.finding import CONFIRMED, REFUTED, UNDECIDED, Column, Finding, holm
from research.experiments.lab import Lab
from research.fit_regime import fit_regime

CLAIM = "the HMM finds states Low-Vol, Trend (positive mean) and Panic"
LEVEL = 0.05
SEEDS = (7, 8, 9, 10, 11)
COLUMNS = (
    Column("zone"),
    Column("state"),
    Column("share", ".0%"),
    Column("volatility", ".3%"),
    Column("dwell, bars", ".0f"),
    Column("mean of the bar, bp", "+.2f"),
    Column("mean of the next, bp", "+.2f"),
    Column("HAC t", "+.2f"),
    Column("p after Holm", ".2f"),
)


class State(NamedTuple):
    """One state on one zone; the mean is the next bar's return, t its ratio to a HAC error."""

    share: float
    volatility: float
    dwell: float
    own: float
    mean: float
    t: float


def verdict(development: Sequence[float], validation: Sequence[float]) -> str:
    """Return the verdict from each state's t of the mean, on the bars it was fitted on and on later ones.

    Confirmed when a state's mean is above zero on later bars, one-sided after Holm. Refuted when it is not and no state
    has such a mean even where it was fitted: there is no trend to name. Otherwise later bars are too few.
    """
    if min(_p_values(validation)) < LEVEL:
        return CONFIRMED
    return UNDECIDED if min(_p_values(development)) < LEVEL else REFUTED


def _p_values(ts: Sequence[float]) -> tuple[float, ...]:
    return holm([float(norm.sf(t)) for t in ts])


def hac_t(values: Floats) -> float:
    """Return the mean over its standard error, neighbours counted together."""
    if len(values) < 30 or np.ptp(values) == 0.0:
        return 0.0
    error = math.sqrt(float(long_run_variance(values[:, None], block_length(values))[0]) / len(values))
    return float(values.mean()) / error


def next_moves(move: Floats, follows: np.ndarray) -> Floats:
    """Return what the bar after each one earned, which is what its state can still be traded on; NaN across a gap."""
    return np.where(np.r_[follows[1:], False], np.r_[move[1:], np.nan], np.nan)


def states_of(state: np.ndarray, move: Floats, following: Floats) -> list[State]:
    """Return what each state was like, from the state believed at each bar, its return and the next one's."""
    out = []
    for k in range(3):
        here = state == k
        runs = np.count_nonzero(np.diff(np.r_[0, here.astype(np.int8)]) == 1)
        own, later = move[here], following[here & np.isfinite(following)]
        if not here.any():
            out.append(State(0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
            continue
        mean = float(later.mean()) if len(later) else 0.0
        out.append(State(here.mean(), own.std(), here.sum() / max(runs, 1), float(own.mean()), mean, hac_t(later)))
    return out


def run(lab: Lab) -> Finding:
    """Fit from several seeds, filter through both zones, name what is there."""
    from sklearn.metrics import adjusted_rand_score

    study, seeds = lab.study(), lab.pick(SEEDS, SEEDS[:2])
    stop, paths = study.development.stop, []
    matrix = study.regime_features
    for i, seed in enumerate(seeds):
        model, _ = fit_regime(lab.bars, matrix, stop, replace(study.config, seed=seed))
        belief = model.belief(lab.bars[: study.stop], matrix[: study.stop])
        paths.append(np.where(np.isfinite(belief).all(axis=1), belief.argmax(axis=1), -1))
        lab.tell(f"seed {seed}", (i + 1) / len(seeds))
    move = matrix[: study.stop, 0]
    following = next_moves(move, lab.bars.follows[: study.stop])
    zones = {"development": study.development, "validation": study.validation}
    found: dict[str, list[State]] = {}
    rows: list[tuple[Any, ...]] = []
    for zone, where in zones.items():
        known = paths[0][where] >= 0
        found[zone] = states_of(paths[0][where][known], move[where][known], following[where][known])
        p_values = _p_values([s.t for s in found[zone]])
        for role, s, p in zip(("calm", "normal", "turbulent"), found[zone], p_values, strict=True):
            rows.append((zone, role, s.share, s.volatility, s.dwell, 1e4 * s.own, 1e4 * s.mean, s.t, p))
    both = paths[0] >= 0
    agreement = [adjusted_rand_score(paths[0][both], path[both]) for path in paths[1:]]
    word = verdict(*([s.t for s in found[zone]] for zone in zones))
    return Finding(
        verdict=word,
        sentence=_sentence(word, found, min(agreement)),
        columns=COLUMNS,
        rows=tuple(rows),
        numbers={"agreement_with_first_seed": agreement, "volatility": [s.volatility for s in found["validation"]]},
        n=int(np.count_nonzero(paths[0][study.validation] >= 0)),
        seeds=seeds,
    )


def _sentence(word: str, found: dict[str, list[State]], agreement: float) -> str:
    calm, _, wild = found["validation"]
    best = {zone: max(states, key=lambda s: s.t) for zone, states in found.items()}
    told = (
        f"on later bars the states differ in volatility ({calm.volatility:.2%} to {wild.volatility:.2%} a bar) and"
        f" other seeds find the same ones (Rand index at least {agreement:.2f}), but the highest t of a mean is"
        f" {best['validation'].t:+.2f} there and {best['development'].t:+.2f} where they were fitted"
    )
    end = {
        CONFIRMED: ": one state does trend upwards",
        REFUTED: ": calm, normal and turbulent are there, a trend is not",
        UNDECIDED: ": the mean seen in the past is not seen again, nor excluded",
    }
    return told + end[word]
