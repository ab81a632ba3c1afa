"""``tradsys tune``: search a model's settings on purged folds of development, count every trial, pick the simplest.

Any number of processes, on any number of machines, may work on one search: they share Optuna's storage. A killed one
is simply missing; the same command goes on where the others stand.
"""

from __future__ import annotations

import multiprocessing
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from engine.errors import UsageError
from engine.trials import NAN, OK, PRUNED, TrialLedger
from research.config import KINDS
from research.search_space import KIND, defaults, suggest, widest
from research.tuning import Fold, Judged, Task, judge_trial, within_one_error

if TYPE_CHECKING:
    import optuna

STARTUP = 10  # random trials before the sampler has an opinion
RANDOM = " (random)"
Told = Callable[[str, float, float], None]


@dataclass(frozen=True, eq=False)
class Search:
    """One search: what is tried, how often, and where it is remembered.

    Parameters
    ----------
    task : Task
        Market, folds and all that does not vary.
    trials, random : int
        Trials of the sampler and of the random baseline, in all.
    storage : str
        Optuna's storage: an SQLite file as ``sqlite:///...``, or a server's address.
    ledger : Path
        The trial ledger.
    stamp : callable
        Tells the time, UTC.
    zoom : int or None
        Search only around this trial of the search before.
    """

    task: Task
    trials: int
    random: int
    storage: str
    ledger: Path
    stamp: Callable[[], str] = field(repr=False)
    zoom: int | None = None

    @property
    def name(self) -> str:
        """The search's name in the storage: another configuration, other bars or other rows make another search."""
        config, task = self.task.config, self.task
        bars = [market.fingerprint()[:8] for market in (task.bars, *task.others)]
        rows = widest(config, task.kinds)
        faded = "-faded" if "resnet" in rows.wanted else ""
        known = f"{config.digest()[:8]}-{'+'.join(bars)}-{task.folds}-{rows.reach}{faded}"
        return f"{config.name} {known}" + ("" if self.zoom is None else f" zoom {self.zoom}")


class Tuned(NamedTuple):
    """What a search found.

    Parameters
    ----------
    pick : dict
        Values of the simplest trial within one standard error of the best.
    number, best : int
        Of the pick, and of the trial that lost least.
    rows : list of dict
        Every finished trial by loss: number, kind, loss, gap to the best and its error, size, values.
    counts : dict of str to int
        Trials by status: ok, pruned, nan.
    random : dict
        The random baseline: its trials and its least loss, at equal numbers of trials for the sampler.
    no_skill : float
        What the best constant would lose on the rows held out.
    """

    pick: dict[str, Any]
    number: int
    best: int
    rows: list[dict[str, Any]]
    counts: dict[str, int]
    random: dict[str, Any]
    no_skill: float


def tune(search: Search, tell: Told | None = None, workers: int = 1) -> Tuned:
    """Work on a search until it has its trials, then pick.

    Raises
    ------
    UsageError
        If the trial to zoom in on is unknown, or no trial finished.
    """
    with quiet():
        open_studies(search)
        if workers > 1:
            context = multiprocessing.get_context("spawn")
            others = [context.Process(target=work, args=(search, i)) for i in range(1, workers)]
            for process in others:
                process.start()
            work(search, 0, tell)
            for process in others:
                process.join()
        else:
            work(search, 0, tell)
        return picked(search)


def work(search: Search, worker: int = 0, tell: Told | None = None) -> None:
    """Do trials of the sampler and of the random baseline in turn, until all workers together have done enough."""
    with quiet():
        guided, chance = open_studies(search, worker)
        near = _near(search)
        while True:
            left = [search.trials - _done(guided), search.random - _done(chance)]
            if tell is not None:
                whole = search.trials + search.random  # several workers may begin the last one at once
                tell(best_so_far(guided), min(whole - sum(left), whole), whole)
            if left[0] <= 0 and left[1] <= 0:
                return
            study = guided if left[0] * max(search.random, 1) >= left[1] * max(search.trials, 1) else chance
            _one(search, study, near)


def _one(search: Search, study: optuna.Study, near: dict[str, Any] | None) -> None:
    """Do one trial and write it to the trial ledger, whatever became of it."""
    import optuna

    trial = study.ask()
    chosen = suggest(trial, search.task.config, search.task.kinds, near)

    def prune(fold: Fold) -> bool:
        trial.report(fold.loss, fold.number)
        return bool(trial.should_prune())

    name = f"{search.task.config.name} {chosen[KIND]} {trial.number}"
    judged, line = judge_trial(search.task, chosen, prune, search.stamp(), name)
    _note(trial, chosen, judged)
    TrialLedger(search.ledger).append(line)
    if judged.status == NAN:
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    else:
        study.tell(trial, judged.loss)  # a pruned trial tells what it lost so far: WilcoxonPruner asks for that


def _note(trial: optuna.Trial, chosen: dict[str, Any], judged: Judged) -> None:
    for key, value in {"chosen": chosen, **judged._asdict()}.items():
        trial.set_user_attr(key, None if isinstance(value, float) and not np.isfinite(value) else value)


def open_studies(search: Search, worker: int = 0) -> tuple[optuna.Study, optuna.Study]:
    """Return the sampler's study and the random baseline's; made where they are missing."""
    import optuna

    studies = [
        optuna.create_study(
            study_name=name, storage=search.storage, pruner=optuna.pruners.WilcoxonPruner(), load_if_exists=True
        )
        for name in (search.name, search.name + RANDOM)
    ]
    seed = search.task.config.seed + 1000 * worker + len(studies[0].trials)  # what was drawn before a stop is not again
    studies[0].sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)
    studies[1].sampler = optuna.samplers.RandomSampler(seed=seed + 500)
    if not studies[0].trials and search.zoom is None and worker == 0:
        for kind in search.task.kinds:  # what one would train anyway takes part
            studies[0].enqueue_trial(defaults(search.task.config, kind))
    return studies[0], studies[1]


def picked(search: Search) -> Tuned:
    """Return the simplest of the trials within one standard error of the best (1-SE rule)."""
    guided, chance = open_studies(search)
    notes = {trial.number: trial.user_attrs for trial in guided.trials if "status" in trial.user_attrs}
    counts = {status: sum(note["status"] == status for note in notes.values()) for status in (OK, PRUNED, NAN)}
    finished = {number: note for number, note in notes.items() if note["status"] == OK}
    if not finished:
        raise UsageError(f"none of the {len(notes)} trials finished: {counts}; allow more --trials or other kinds")
    gaps = within_one_error({number: note["blocks"] for number, note in finished.items()})
    best = min(finished, key=lambda number: finished[number]["loss"])
    near = [number for number, (gap, error) in gaps.items() if gap <= error]
    number = min(near, key=lambda n: (KINDS.index(finished[n]["chosen"][KIND]), finished[n]["size"], gaps[n][0]))
    rows = [
        {"number": n, "kind": note["chosen"][KIND], "loss": note["loss"], "gap": gaps[n][0], "gap_se": gaps[n][1]}
        | {"size": note["size"], "chosen": note["chosen"]}
        for n, note in sorted(finished.items(), key=lambda item: item[1]["loss"])
    ]
    chosen, no_skill = finished[number]["chosen"], finished[number]["no_skill"]
    return Tuned(chosen, number, best, rows, counts, _baseline(guided, chance), no_skill)


def _baseline(guided: optuna.Study, chance: optuna.Study) -> dict[str, Any]:
    """Return what blind dice found, next to the sampler after as many trials."""
    thrown, tried = ([t.user_attrs for t in study.trials if "status" in t.user_attrs] for study in (chance, guided))
    blind = [note["loss"] for note in thrown if note["status"] == OK]
    led = [note["loss"] for note in tried[: len(thrown)] if note["status"] == OK]
    return {
        "trials": len(thrown),  # one that was stopped midway was never judged
        "best_loss": min(blind, default=None),
        "sampler_best_loss": min(led, default=None),
    }


def best_so_far(study: optuna.Study) -> str:
    """Return the least loss so far in words."""
    done = [t for t in study.trials if t.user_attrs.get("status") == OK]
    if not done:
        return f"trial {len(study.trials) + 1}"
    best = min(done, key=lambda t: t.user_attrs["loss"])
    return f"best {best.user_attrs['loss']:.5f} ({best.user_attrs['chosen'][KIND]}, trial {best.number})"


def _done(study: optuna.Study) -> int:
    return sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))


def _near(search: Search) -> dict[str, Any] | None:
    """Return the values of the trial to zoom in on."""
    if search.zoom is None:
        return None
    from dataclasses import replace

    whole, _ = open_studies(replace(search, zoom=None), worker=1)
    for trial in whole.trials:
        if trial.number == search.zoom and "chosen" in trial.user_attrs:
            found: dict[str, Any] = trial.user_attrs["chosen"]
            return found
    raise UsageError(f"--zoom {search.zoom}: there is no such finished trial; {len(whole.trials)} were made so far")


def check_storage(storage: str) -> None:
    """Refuse a storage that cannot be opened; a password in its address is not repeated.

    Raises
    ------
    UsageError
        Saying why, and how one is written.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with quiet():
            optuna.storages.get_storage(storage)
    except (SQLAlchemyError, ImportError, ValueError, RuntimeError) as error:
        shown, why = re.sub(r"//[^@/]*@", "//...@", storage), (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(
            f"--storage {shown} cannot be opened ({why}); write sqlite:///FILE, or the address of a database server"
            " that several machines share, such as postgresql://USER:PASSWORD@HOST/NAME"
        ) from None


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna's own lines and its warnings about what it calls experimental from the user."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def line_of(kind: str, chosen: dict[str, Any]) -> str:
    """Return a trial's values as one reads them.

    Examples
    --------
    >>> line_of("trees", {"kind": "trees", "trees.depth": 3, "trees.rate": 0.0312})
    'depth 3, rate 0.031'
    """
    told = {key.removeprefix(f"{kind}."): value for key, value in chosen.items() if key != KIND}
    return ", ".join(
        f"{key} {value:.2g}" if isinstance(value, float) else f"{key} {value}" for key, value in told.items()
    )
