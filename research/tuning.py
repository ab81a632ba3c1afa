"""One trial of a tuner: a configuration judged on purged folds of the development zone, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
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
from research.events import Split
from research.measures import cross_entropy, entropy
from research.search_space import KIND, configured, widest
from research.splits import inner_split, purged_folds
from research.study import Study, make_study
from research.weights import Rows

BLOCKS = 64  # stretches of time whose losses are compared pair by pair
ZONE = "development"


class Fold(NamedTuple):
    """What one held-out run of labels said.

    Parameters
    ----------
    number : int
        Of the fold: the same rows in every trial.
    rows : int64 array of shape (m,)
        Bars of the home market held out.
    p, rank : float64 arrays of shape (m,)
        Calibrated forecasts of a model that never saw them, and the place of the side each leans to among the
        forecasts of its inner rows.
    loss : float
        Mean cross-entropy; NaN if the training broke down.
    size : int
        Numbers the model learned.
    """

    number: int
    rows: Rows
    p: Floats
    rank: Floats
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
        The home market: its labels are held out and judged.
    folds : int
        Purged folds of development.
    kinds : tuple of str
        Kinds of models to choose from.
    others : tuple of Bars
        Further markets that teach, as in a pooled training.
    """

    config: TrainConfig
    bars: Bars
    folds: int
    kinds: tuple[str, ...]
    others: tuple[Bars, ...] = ()

    @cached_property
    def study(self) -> Study:
        """Features, labels and zones under which every trial can be judged on the same rows, purged alike."""
        return make_study(widest(self.config, self.kinds), self.bars, self.others)

    def __getstate__(self) -> dict[str, Any]:
        """Travel to another process without what it can make itself."""
        return {name: value for name, value in self.__dict__.items() if name != "study"}


def fold_splits(study: Study, folds: int) -> Iterator[tuple[Rows, Split]]:
    """Yield the home market's rows that each fold holds out, and what all markets teach without them.

    The time of the held-out labels, with the embargo after it, is purged from every market's rows: what falls together
    with a held-out label on another market tells it away as well as a neighbour does.
    """
    examples, config = study.examples, study.config
    rows = examples.between(study.development.start, study.development.stop)
    for train, held in purged_folds(rows + 1, examples.end[rows], folds, config.embargo):
        away, last = rows[held], int(examples.end[rows[held]].max())
        fit, inner = inner_split(rows[train], examples.end, config.folds.inner, config.embargo)
        taught = (apart(study, study.pooled(some), int(away[0]) + 1, last) for some in (fit, inner))
        yield away, examples.split(*taught)


def apart(study: Study, rows: Rows, first: int, last: int) -> Rows:
    """Return the rows of any market whose label is over before a bar of the home market, or begins after another.

    Parameters
    ----------
    study : Study
        Markets and the time of their rows.
    rows : int64 array
        Of all markets.
    first, last : int
        Bars between which labels are held out; the embargo comes after.
    """
    end = study.place[study.examples.end[rows]]
    start = np.minimum(study.place[rows] + 1, end)
    return rows[(end < first) | (start > last + study.config.embargo)]


def judged_folds(study: Study, config: TrainConfig, folds: int) -> Iterator[Fold]:
    """Fit, calibrate and judge fold by fold; whoever prunes just stops asking.

    Each fold's model is stopped and calibrated on the last part of its own training rows, so nothing of the held-out
    run is known to it. Models of early folds have seen later bars: this compares models, it is no walk-forward.

    Parameters
    ----------
    study : Study
        Of all trials.
    config : TrainConfig
        Of this one, with one candidate.
    folds : int
        Held-out runs of development.
    """
    examples = study.examples
    for number, (held, split) in enumerate(fold_splits(study, folds)):
        model = None
        with suppress(DataError):  # a network whose losses were no numbers
            model, _ = fit_candidate(config.candidates[0], examples, split, config)
        inner = np.full(1, np.nan) if model is None else model.logits(examples, split.inner)
        if model is None or not np.isfinite(inner).all():
            yield Fold(number, held, *np.full((2, len(held)), np.nan), float("nan"), 0)
            continue
        line = fit_line(inner, examples.y[split.inner], study.uniqueness(split.inner), config.calibration.method)
        p, table = line.apply(model.logits(examples, held)), ConfidenceTable.from_predictions(line.apply(inner))
        loss = float(cross_entropy(examples.y[held], p).mean())
        size = sum(array.size for array in model.state().values())
        yield Fold(number, held, p, table.rank_of_lean(p, lean_of(p, config.sides)), loss, size)


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
    study, status = task.study, OK
    done: list[Fold] = []
    for fold in judged_folds(study, configured(task.config, chosen), task.folds):
        done.append(fold)
        if not np.isfinite(fold.loss):
            status = NAN
            break
        if prune(fold) and len(done) < task.folds:
            status = PRUNED
            break
    rows, p, rank = (np.concatenate([getattr(fold, part) for fold in done]) for part in ("rows", "p", "rank"))
    losses = cross_entropy(study.examples.y[rows], p) if status != NAN else np.array([np.nan])
    blocks = [float(part.mean()) for part in np.array_split(losses, BLOCKS)] if status == OK else []
    days, returns = _returns(study, rows, p, rank) if status == OK else (np.empty(0, np.int64), np.empty(0))
    size, base = int(np.mean([fold.size for fold in done])), float(study.examples.y[rows].mean())
    judged = Judged(float(losses.mean()), status, blocks, size, entropy(base))
    config = {"tuned": chosen, "window": study.config.window, "features": study.names, "folds": task.folds}
    pool = {"pool": [bars.symbol for bars in task.others]} if task.others else {}
    line = Trial(
        kind="tune",
        name=name or f"{task.config.name} {chosen[KIND]}",
        config=config | pool | {"barriers": study.config.barriers.__dict__, "sides": study.config.sides},
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


def _returns(study: Study, rows: Rows, p: Floats, rank: Floats) -> tuple[Any, Floats]:
    """Return days and daily net returns of trading the held-out forecasts at the widest profile's threshold."""
    bars, config = study.bars[: study.development.stop], study.config
    lean = lean_of(p, config.sides)
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
