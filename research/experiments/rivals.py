"""Sets of features against each other on the same rows: what one gains over another, by zone and by regime."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from engine.bars import Floats
from engine.inference.interval import Interval
from engine.trials import Trial
from research.experiments.bench import (
    THRESHOLD,
    VALIDATION,
    WALK_FORWARD,
    Told,
    gain,
    hear,
    hear_walk,
    standing_of,
    trade_told,
    trial_of,
)
from research.experiments.finding import Column, Standing
from research.experiments.lab import Lab
from research.fit_regime import fit_regime
from research.study import Study

ZONES = (VALIDATION, WALK_FORWARD)
ROLES = ("calm", "normal", "turbulent")
Heard = Mapping[tuple[str, str, str], Told]  # features, model, zone
Gains = dict[tuple[str, str, str], Interval]
Line = tuple[Any, ...]


def columns(features: str, base: str) -> tuple[Column, ...]:
    """Return the table's columns, under what the features are called and what they must beat."""
    return (
        Column(features),
        Column("model"),
        Column("zone"),
        Column("regime"),
        Column("n", "d"),
        Column("loss", ".5f"),
        Column("AUC", ".3f"),
        Column(f"gain over {base}", "+.3%"),
        Column("low", "+.3%"),
        Column("high", "+.3%"),
    )


def hear_zones(study: Study, way: str, kind: str, name: str) -> dict[tuple[str, str, str], Told]:
    """Fit a kind of model on some features and judge it in both zones."""
    return {
        (way, kind, VALIDATION): hear(study, kind, name=name),
        (way, kind, WALK_FORWARD): hear_walk(study, kind, name=name),
    }


def gains_over(told: Heard, base: str) -> Gains:
    """Return what every set of features gains over the base on the same rows; unknown for the base itself."""
    return {
        (way, kind, zone): gain(told[base, kind, zone], one.losses) if way != base else Interval(None)
        for (way, kind, zone), one in told.items()
    }


def gain_over_mean(base: Told, rivals: Iterable[Told], losses: Floats, level: float = 0.95) -> Interval:
    """Return what some losses gain over the mean of several rivals', as a share of the base's no skill."""
    mixed = np.mean([one.losses for one in rivals], axis=0)
    return gain(base._replace(losses=mixed), losses, level=level)


def lines(told: Heard, gains: Gains) -> list[Line]:
    """Return a line of the table for each."""
    return [
        (*key, "all", one.score.n, one.score.loss, one.score.auc, gains[key].value, gains[key].low, gains[key].high)
        for key, one in told.items()
    ]


def lines_by_regime(lab: Lab, told: Heard, base: str, way: str, kind: str) -> list[Line]:
    """Return a line for each regime of the walk-forward: what a way gains over the base there."""
    study, without, given = lab.study(), told[base, kind, WALK_FORWARD], told[way, kind, WALK_FORWARD]
    model, _ = fit_regime(lab.bars, study.regime_features, study.development.stop, study.config)
    belief = model.belief(lab.bars[: study.stop], study.regime_features[: study.stop])[without.rows]
    out: list[Line] = []
    for k, role in enumerate(ROLES):
        here = np.isfinite(belief).all(axis=1) & (belief.argmax(axis=1) == k)
        over = gain(without, given.losses, here)
        loss = float(given.losses[here].mean()) if here.any() else None
        out.append((way, kind, WALK_FORWARD, role, int(here.sum()), loss, None, over.value, over.low, over.high))
    return out


def traded_lines(
    told: Iterable[Told], experiment: str, target: str, funding: Floats | None = None
) -> tuple[tuple[Standing, ...], tuple[Trial, ...]]:
    """Return each one's line of the leaderboard and, for what trading it came to, its line of the trial ledger."""
    standings, trials = [], []
    for one in told:
        traded = trade_told(one, funding=funding)
        standings.append(standing_of(one, target, traded))
        trials.append(trial_of(traded, experiment, one.zone, {"threshold": THRESHOLD, "target": target}))
    return tuple(standings), tuple(trials)


def shown(x: Interval) -> str:
    """Return a gain as a sentence says it.

    Examples
    --------
    >>> shown(Interval(0.001, -0.002, 0.004)), shown(Interval(None))
    ('+0.10% [-0.20%, +0.40%]', 'unknown')
    """
    bounds = "" if x.low is None or x.high is None else f" [{x.low:+.2%}, {x.high:+.2%}]"
    return "unknown" if x.value is None else f"{x.value:+.2%}{bounds}"
