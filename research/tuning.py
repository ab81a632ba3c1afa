"""One trial of a tuner: a configuration judged on purged folds of the development zone, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from engine.bars import Bars, Floats
from engine.errors import DataError
from engine.score import daily_returns
from engine.signals import Signals
from engine.simulate import simulate
from engine.trials import NAN, OK, PRUNED, Trial, market_key
from models.calibration import ConfidenceTable, lean_of
from research.calibrate import fit_line
from research.candidates import fit_candidate
from research.config import TrainConfig
from research.measures import cross_entropy, entropy
from research.search_space import KIND, configured
from research.splits import inner_split, purged_folds
from research.study import Study, make_study

BLOCKS = 64  # stretches of time whose losses are compared pair by pair
ZONE = "development"


class Fold(NamedTuple):
    """What one held-out run of labels said.

    Parameters
    ----------
    number : int
        Of the fold: the same rows in every trial.
    rows : int64 array of shape (m,)
        Bars held out.
    p : float64 array of shape (m,)
        Calibrated forecasts of a model that never saw them.
    loss : float
        Their mean cross-entropy; NaN if the training broke down.
    size : int
        Numbers the model learned.
    """

    number: int
    rows: Any
    p: Floats
    loss: float
    size: int


@dataclass(frozen=True, eq=False)
class Task:
    """What every trial of one search shares.

    Parameters
    ----------
    config : TrainConfig
        All that does not vary.
    bars : Bars
        The market.
    folds : int
        Purged folds of development.
    """

    config: TrainConfig
    bars: Bars
    folds: int


def judged_folds(study: Study, kind: str, folds: int) -> Iterator[Fold]:
    """Fit, calibrate and judge fold by fold; whoever prunes just stops asking.

    Each fold's model is stopped and calibrated on the last part of its own training rows, so nothing of the held-out
    run is known to it. Models of early folds have seen later bars: this compares models, it is no walk-forward.
    """
    examples, config = study.examples, study.config
    rows = examples.between(study.development.start, study.development.stop)
    for number, (train, held) in enumerate(purged_folds(rows + 1, examples.end[rows], folds, config.embargo)):
        fit, inner = inner_split(rows[train], examples.end, config.folds.inner, config.embargo)
        split = examples.split(fit, inner)
        try:
            model, _ = fit_candidate(kind, examples, split, config)
        except DataError:  # a network whose losses were no numbers
            yield Fold(number, rows[held], np.full(len(held), np.nan), float("nan"), 0)
            continue
        line = fit_line(
            model.logits(examples, inner), examples.y[inner], examples.uniqueness(inner), config.calibration.method
        )
        p = line.apply(model.logits(examples, rows[held]))
        loss = float(cross_entropy(examples.y[rows[held]], p).mean())
        yield Fold(number, rows[held], p, loss, sum(array.size for array in model.state().values()))


class Judged(NamedTuple):
    """What is kept of a trial.

    Parameters
    ----------
    loss : float
        Mean cross-entropy of all rows held out so far.
    status : str
        ok, pruned or nan.
    blocks : list of float
        Mean loss of each of 64 stretches of time; empty unless every fold was judged.
    size : int
        Numbers learned, mean over folds.
    no_skill : float
        What the best constant would lose on the same rows, known only in hindsight.
    """

    loss: float
    status: str
    blocks: list[float]
    size: int
    no_skill: float


def judge_trial(
    task: Task, chosen: dict[str, Any], prune: Callable[[Fold], bool] = lambda fold: False, at: str = "", name: str = ""
) -> tuple[Judged, Trial]:
    """Judge what a trial chose, fold by fold, and return it with its line for the trial ledger.

    Parameters
    ----------
    task : Task
        What is searched.
    chosen : dict
        From `research.search_space.suggest`.
    prune : callable
        Told each fold; True ends the trial.
    at, name : str
        The time, UTC, and what the ledger calls it.
    """
    study, status = make_study(configured(task.config, chosen), task.bars), OK
    done: list[Fold] = []
    for fold in judged_folds(study, chosen[KIND], task.folds):
        done.append(fold)
        if not np.isfinite(fold.loss):
            status = NAN
            break
        if prune(fold) and len(done) < task.folds:
            status = PRUNED
            break
    rows, p = (np.concatenate([getattr(fold, part) for fold in done]) for part in ("rows", "p"))
    losses = cross_entropy(study.examples.y[rows], p) if status != NAN else np.array([np.nan])
    blocks = [float(part.mean()) for part in np.array_split(losses, BLOCKS)] if status == OK else []
    days, returns = _returns(study, rows, p) if status == OK else (np.empty(0, np.int64), np.empty(0))
    size, base = int(np.mean([fold.size for fold in done])), float(study.examples.y[rows].mean())
    judged = Judged(float(losses.mean()), status, blocks, size, entropy(base))
    config = {"tuned": chosen, "window": study.config.window, "features": study.names, "folds": task.folds}
    line = Trial(
        kind="tune",
        name=name or f"{task.config.name} {chosen[KIND]}",
        config=config | {"barriers": study.config.barriers.__dict__, "sides": study.config.sides},
        data=market_key(task.bars),
        zone=ZONE,
        status=status,
        metric=judged.loss if status != NAN else None,
        days=days,
        returns=returns,
        seed=study.config.seed,
        at=at,
    )
    return judged, line


def _returns(study: Study, rows: Any, p: Floats) -> tuple[Any, Floats]:
    """Return days and daily net returns of trading the held-out forecasts at the widest profile's threshold."""
    bars, config = study.bars[: study.development.stop], study.config
    lean = lean_of(p, config.sides)
    rank = ConfidenceTable.from_predictions(p).rank_of_lean(p, lean)
    side = np.zeros(len(bars), np.int8)
    side[rows] = np.where(rank >= config.thresholds.reckless, lean, 0)
    zone = slice(study.development.start, study.development.stop)
    result = simulate(bars[zone], Signals(side[zone], study.atr[zone]), config.rules)
    days, returns = daily_returns(result)
    return days.astype("datetime64[D]").astype(np.int64), returns


def within_one_error(blocks: dict[int, list[float]]) -> dict[int, tuple[float, float]]:
    """Return each trial's mean loss above the best one's and the error of that difference, pair by pair of stretches.

    Examples
    --------
    >>> found = within_one_error({0: [0.5, 0.7, 0.6, 0.6], 1: [0.6, 0.9, 0.7, 0.7]})
    >>> found[0], [round(value, 3) for value in found[1]]
    ((0.0, 0.0), [0.125, 0.025])
    """
    best = min(blocks, key=lambda number: float(np.mean(blocks[number])))
    gaps = {number: np.array(losses) - np.array(blocks[best]) for number, losses in blocks.items()}
    return {number: (float(gap.mean()), float(gap.std(ddof=1) / np.sqrt(len(gap)))) for number, gap in gaps.items()}


def plain_task(config: TrainConfig, bars: Bars, folds: int) -> Task:
    """Return a task whose networks are trained from one seed: spread over seeds is for the final model."""
    single = replace(config, transformer=replace(config.transformer, seeds=1))
    return Task(replace(single, streaming=replace(config.streaming, seeds=1)), bars, folds)
