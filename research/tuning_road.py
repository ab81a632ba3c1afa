"""``tradsys tune``: from names to a search, its progress, its answer and a configuration to train."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from research.road import named_config, named_markets
from research.search_space import searched


class Wish(NamedTuple):
    """What was asked for; see the verb's options."""

    name: str
    bars: str | None
    config: str | None
    kinds: str | None
    trials: int
    random: int | None
    folds: int
    zoom: int | None
    workers: int
    storage: str | None


def tune_named(wish: Wish, as_json: bool, ledger: Path | None, data_root: Path) -> None:
    """Search, print what was found, and write the pick where `tradsys train --config` takes it.

    Raises
    ------
    UsageError
        Before anything is tried, for names nobody knows; also if no trial finished.
    """
    config = named_config(wish.name, wish.config)
    kinds = searched(config, wish.kinds)
    home, *others = named_markets(wish.name, wish.bars, config, data_root)
    folder = Path("runs") / "tune" / wish.name
    folder.mkdir(parents=True, exist_ok=True)
    from research.progress import progress_bar
    from research.tune import Search, check_storage, tune
    from research.tuned import print_tuned, write_config
    from research.tuning import Task
    from strategies.ledgered import sound_ledger

    book = data_root / "trials.db" if ledger is None else ledger
    sound_ledger(book)
    storage = wish.storage or f"sqlite:///{folder / 'search.db'}"
    check_storage(storage)
    random = wish.trials if wish.random is None else wish.random
    task = Task(config, home, wish.folds, kinds, tuple(others))
    search = Search(task, wish.trials, random, storage, book, stamp, wish.zoom)
    with progress_bar() as tell:
        tuned = tune(search, tell, wish.workers)
    path = write_config(config, tuned, folder / "pick.toml")
    if as_json:
        import sys

        from engine.jsons import dumps

        sys.stdout.write(dumps({**tuned._asdict(), "config": str(path)}) + "\n")
        return
    print_tuned(tuned)
    from engine.report.terminal import console

    console().print(
        f"train it: tradsys train {wish.name} --bars {wish.bars or wish.name} --config {path}", soft_wrap=True
    )


def stamp() -> str:
    """Return the time in UTC to the second, as records carry it."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
