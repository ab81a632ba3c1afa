"""Runs experiments: finished ones are kept, every scored configuration is counted, nothing half-written."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from engine.bars import Bars, format_time
from engine.errors import UsageError
from engine.history.atomic import write_whole
from engine.jsons import dumps
from engine.trials import Trial, TrialLedger
from research.experiments import EXPERIMENTS, chosen
from research.experiments.finding import Finding
from research.experiments.lab import Lab
from research.progress import Progress

SCHEMA = "tradsys.experiment/1"
RUNS = Path("runs/experiments")


class Asked(NamedTuple):
    """Which market, which form, and where everything lies.

    Parameters
    ----------
    bars : str
        A series or a file.
    extra : Path or None
        Folder of further series.
    quick, again : bool
        The small form; run what is finished, too.
    out, ledger : Path or None
        runs/experiments and the data folder's trials.db by default.
    data : Path
        Folder of the stored series.
    """

    bars: str
    extra: Path | None
    quick: bool
    again: bool
    out: Path | None
    ledger: Path | None
    data: Path


def conduct(name: str, lab: Lab) -> tuple[dict[str, Any], tuple[Trial, ...]]:
    """Run one experiment; return its page and the trials it scored.

    Everything outside ``measured`` is the same whenever it is run on the same bars.
    """
    from threadpoolctl import threadpool_limits

    module = importlib.import_module(f"research.experiments.{EXPERIMENTS[name].module}")
    begin = perf_counter()
    with threadpool_limits(1):  # other threads only wait for each other on a busy machine, and change last bits
        finding: Finding = module.run(lab)
    page = {
        "schema": SCHEMA,
        "id": name,
        "claim": module.CLAIM,
        "quick": lab.quick,
        "market": f"{lab.bars.symbol} {lab.bars.timeframe}",
        "first": format_time(lab.bars.open_time[0]),
        "last": format_time(lab.bars.open_time[lab.stop - 1]),
        "bars": lab.stop,
        "fingerprint": lab.fingerprint,
    } | finding.as_dict()
    page["measured"] = finding.measured | {"seconds": round(perf_counter() - begin, 1)}
    return page, finding.trials


def conduct_all(
    names: list[str], lab: Lab, out: Path, ledger: Path, again: bool, progress: Progress
) -> Iterator[tuple[dict[str, Any], bool]]:
    """Run experiments one after the other and write each page as soon as it is known.

    Yields
    ------
    page, kept
        ``kept`` when it was finished before on the same bars and was not run again.
    """
    weights = {name: EXPERIMENTS[name].quick_s if lab.quick else EXPERIMENTS[name].full_s for name in names}
    done, total = 0.0, sum(weights.values())
    for name in names:
        page = None if again else finished(out / f"{name}.json", lab)
        kept = page is not None
        if page is None:
            lab.tell = _telling(progress, name, done, weights[name], total)
            lab.tell("begins", 0.0)
            page, trials = conduct(name, lab)
            record(ledger, trials)
            write_page(out / f"{name}.json", page)
        done += weights[name]
        yield page, kept


def _telling(progress: Progress, name: str, done: float, weight: float, total: float) -> Callable[[str, float], None]:
    return lambda text, share: progress(f"{name}: {text}", done + weight * share, total)


def finished(path: Path, lab: Lab) -> dict[str, Any] | None:
    """Return the page of an experiment finished on the same bars in the same form, if there is one."""
    if not path.is_file():
        return None
    page: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    same = page.get("schema") == SCHEMA and page["quick"] == lab.quick and page["fingerprint"] == lab.fingerprint
    return page if same else None


def write_page(path: Path, page: dict[str, Any]) -> None:
    """Write a page, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, (dumps(page) + "\n").encode())


def record(ledger: Path, trials: tuple[Trial, ...]) -> None:
    """Write to the trial ledger what it does not hold yet: the same configuration counts once."""
    if not trials:
        return
    from strategies.ledgered import sound_ledger

    book: TrialLedger = sound_ledger(ledger)
    known = {(trial.config_hash, trial.zone) for trial in book.trials(trials[0].data)}
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    book.append(*(replace(trial, at=at) for trial in trials if (trial.config_hash, trial.zone) not in known))


def run_named(names: list[str], asked: Asked, everything: bool, as_json: bool) -> None:
    """Run experiments by name and print what they found, one as soon as it is known."""
    from engine.report.paths import writable
    from engine.report.terminal import console
    from research.experiments.show import print_page
    from research.progress import progress_bar

    picked = chosen(names, everything)
    if not picked:
        raise UsageError(f"name an experiment ({', '.join(EXPERIMENTS)}), or all of them with --all")
    out = writable(asked.out or RUNS / ("quick" if asked.quick else "full"), folder=True)
    ledger = writable(asked.ledger or asked.data / "trials.db")
    picked = _supplied(picked, asked.extra, everything)
    lab = Lab(load_bars(asked.bars, asked.data), asked.quick, extra=asked.extra)
    pages, screen = [], console()
    with progress_bar() as progress:
        for page, _ in conduct_all(picked, lab, out, ledger, asked.again or not everything, progress):
            pages.append(page)
            if not as_json:
                print_page(page, screen)
    if as_json:
        screen.out(dumps(pages if everything or len(pages) > 1 else pages[0]), highlight=False)
    else:
        screen.print(f"findings: {out}", soft_wrap=True)


def _supplied(picked: list[str], extra: Path | None, everything: bool) -> list[str]:
    """Return the experiments whose further series are there, before any is run.

    Raises
    ------
    UsageError
        If there is no such folder, or one that was named lacks what it needs.
    """
    if extra is not None and not extra.is_dir():
        raise UsageError(f"--extra {extra} is no folder; name the folder of further series")
    lacking = {}
    for name in picked:
        gone = [part for part in EXPERIMENTS[name].extra if extra is None or not (extra / part).is_dir()]
        if gone:
            lacking[name] = f"{name} ({', '.join(f'{part}/' for part in gone)})"
    if lacking and not everything:
        raise UsageError(f"further series are missing below --extra FOLDER: {', '.join(lacking.values())}")
    if lacking:
        sys.stderr.write(f"left out, for want of series below --extra FOLDER: {', '.join(lacking.values())}\n")
    return [name for name in picked if name not in lacking]


def load_bars(name: str, data: Path) -> Bars:
    """Return the bars experiments are run on, by the name of a series or the path of a file."""
    from engine.history.find import find_bars

    try:
        return find_bars(name, data)
    except UsageError as mistake:
        raise UsageError(f"{mistake}; name hourly bars with --bars FILE") from None
