"""The trial ledger: every configuration ever scored on a market, so that luck can be counted.

Append-only SQLite. Each row carries the hash of the row before it, so that a changed, removed or
inserted row breaks the chain, and :meth:`TrialLedger.broken` says where. Two processes may
write at once: SQLite queues them.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.bars import Bars, Floats
from engine.errors import DataError
from engine.jsons import dumps
from engine.refusals import ledger_refusal, unwritable_ledger

OK, NAN, PRUNED, FAILED = "ok", "nan", "pruned", "failed"
WAIT_S = 30.0
ADDED = "costs"  # ledgers of the first days have no such column
COLUMNS = (
    *("kind", "name", "config", "config_hash", "data", "zone", "status", "metric", "seed", "at", "days", "returns"),
    ADDED,
)

APPLICATION_ID = 0x54524C47  # "TRLG", in the file's header

TABLES = """
create table if not exists trials (
    id integer primary key autoincrement, kind text not null, name text not null, config text not null,
    config_hash text not null, data text not null, zone text not null, status text not null, metric real,
    seed integer, at text not null, days blob not null, returns blob not null,
    before text not null, hash text not null, costs text not null default '');
create index if not exists trials_by_data on trials (data, zone);
create table if not exists looks (
    id integer primary key autoincrement, bundle text not null, reason text not null, at text not null,
    before text not null, hash text not null);
create trigger if not exists trials_are_kept before delete on trials begin select raise(abort, 'append-only'); end;
create trigger if not exists trials_stand before update on trials begin select raise(abort, 'append-only'); end;
create trigger if not exists looks_are_kept before delete on looks begin select raise(abort, 'append-only'); end;
create trigger if not exists looks_stand before update on looks begin select raise(abort, 'append-only'); end;
"""


def market_key(bars: Bars) -> str:
    """Return the name under which a market's trials are counted, whatever stretch of it is at hand."""
    return f"{bars.symbol} {bars.timeframe}"


@dataclass(frozen=True, slots=True)
class Trial:
    """One configuration scored once on one zone of one market.

    Parameters
    ----------
    kind : str
        Who scored it: train, tune, sweep, compare, backtest.
    name : str
        What was scored.
    config : mapping
        All that defines it; equal configurations count as one trial however often they run.
    data : str
        The market, as :func:`market_key` names it: one more bar does not make a new market.
    zone : str
        Zone or stretch scored on.
    status : str
        ok, nan, pruned or failed: what did not finish was still tried.
    metric : float or None
        The figure it was judged by.
    days : int64 array of shape (n,)
        Days since 1970 of the daily returns; empty when there are none.
    returns : float64 array of shape (n,)
        Daily net returns.
    seed : int or None
        Seed of its dice.
    at : str
        When, in UTC; given by the caller because the engine reads no clock.
    costs : str
        At which costs and exposure the returns were earned; empty where there are none, or nobody wrote it down.
    """

    kind: str
    name: str
    config: Mapping[str, Any]
    data: str
    zone: str
    status: str = OK
    metric: float | None = None
    days: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    returns: Floats = field(default_factory=lambda: np.empty(0))
    seed: int | None = None
    at: str = ""
    costs: str = ""

    @property
    def config_hash(self) -> str:
        """Identity of the configuration."""
        return hashlib.sha256(_canonical(self.config).encode()).hexdigest()[:16]


class TrialLedger:
    """All trials of one data folder.

    Parameters
    ----------
    path : Path
        The SQLite file; made when missing.

    Raises
    ------
    DataError
        If the file is not a ledger.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(unwritable_ledger(self.path, error.strerror or str(error))) from None
        with self._open() as db:
            if _is_foreign(db):
                raise DataError(f"{self.path} is not a trial ledger but another database; name another file")
            if not _tables(db):
                db.execute(f"pragma application_id = {APPLICATION_ID}")
            db.execute("pragma journal_mode=wal")
            db.executescript(TABLES)
            _complete(db)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=WAIT_S, isolation_level=None)) as db:
                yield db
        except sqlite3.DatabaseError as error:
            raise DataError(ledger_refusal(self.path, error)) from None

    def append(self, *trials: Trial) -> None:
        """Add trials in one transaction; all of them or none."""
        with self._open() as db:
            db.execute("begin immediate")
            before = _head(db, "trials")
            for trial in trials:
                row = _row(trial)
                digest = _link(before, row)
                marks = ", ".join("?" * (len(COLUMNS) + 2))
                db.execute(
                    f"insert into trials ({', '.join(COLUMNS)}, before, hash) values ({marks})", (*row, before, digest)
                )
                before = digest
            db.execute("commit")

    def look(self, bundle: str, reason: str, at: str) -> int:
        """Record a look at a sealed zone and return how many looks that bundle has had."""
        with self._open() as db:
            db.execute("begin immediate")
            before = _head(db, "looks")
            row = (bundle, reason, at)
            db.execute(
                "insert into looks (bundle, reason, at, before, hash) values (?, ?, ?, ?, ?)",
                (*row, before, _link(before, row)),
            )
            db.execute("commit")
        return self.looks(bundle)

    def looks(self, bundle: str) -> int:
        """Return how often the sealed zone of a bundle was looked at."""
        with self._open() as db:
            return int(db.execute("select count(*) from looks where bundle = ?", (bundle,)).fetchone()[0])

    def looks_since(self, seals: str, time: str) -> int:
        """Return how many looks, at seals that begin with some words, were had at or after a time.

        Parameters
        ----------
        seals : str
            How the names of the sealed zones begin: those of one market.
        time : str
            In ISO text, UTC. What was looked at before that time could not show what came after it.
        """
        with self._open() as db:
            asked = "select count(*) from looks where substr(bundle, 1, length(?1)) = ?1 and at >= ?2"
            return int(db.execute(asked, (seals, time)).fetchone()[0])

    def trials(self, data: str | None = None, zone: str | None = None) -> list[Trial]:
        """Return the trials of a market and zone in the order they were made."""
        with self._open() as db:
            rows = db.execute(
                f"select {', '.join(COLUMNS)} from trials"
                " where (?1 is null or data = ?1) and (?2 is null or zone = ?2) order by id",
                (data, zone),
            ).fetchall()
        return [_trial(row) for row in rows]

    def count(self, data: str) -> int:
        """Return the number of different configurations ever tried on a market, failed ones included."""
        with self._open() as db:
            return int(
                db.execute("select count(distinct config_hash) from trials where data = ?", (data,)).fetchone()[0]
            )

    def __len__(self) -> int:
        """Return the number of rows."""
        with self._open() as db:
            return int(db.execute("select count(*) from trials").fetchone()[0])

    def broken(self) -> str | None:
        """Return where the chain is broken, in words, or None when every row is as it was written."""
        with self._open() as db:
            for table, columns in (("trials", COLUMNS), ("looks", ("bundle", "reason", "at"))):
                before, expected = "", 0
                for row in db.execute(f"select id, {', '.join(columns)}, before, hash from {table} order by id"):
                    expected += 1
                    if row[0] != expected:
                        return f"row {expected} of {table} is missing"
                    if row[-2] != before or row[-1] != _link(before, row[1:-2]):
                        return f"row {expected} of {table} was changed"
                    before = row[-1]
                last = db.execute("select seq from sqlite_sequence where name = ?", (table,)).fetchone()
                if last is not None and last[0] != expected:
                    return f"rows {expected + 1} to {last[0]} of {table} are missing"
        return None


def _is_foreign(db: sqlite3.Connection) -> bool:
    """Return whether a database belongs to another program; an empty file belongs to nobody."""
    marked = db.execute("pragma application_id").fetchone()[0]
    least = {*COLUMNS, "before", "hash"} - {ADDED}
    return marked not in (0, APPLICATION_ID) or (bool(_tables(db)) and not _columns(db) >= least)


def _complete(db: sqlite3.Connection) -> None:
    """Give a ledger of the first days the column it lacks; its rows and their hashes stay as they are."""
    if ADDED in _columns(db):
        return
    db.execute("begin immediate")
    if ADDED not in _columns(db):  # another process may have been quicker
        db.execute(f"alter table trials add column {ADDED} text not null default ''")
    db.execute("commit")


def _columns(db: sqlite3.Connection) -> set[str]:
    return {row[1] for row in db.execute("pragma table_info(trials)")}


def _tables(db: sqlite3.Connection) -> set[str]:
    return {name for (name,) in db.execute("select name from sqlite_master where type = 'table'")}


def _canonical(config: Mapping[str, Any]) -> str:
    return json.dumps(json.loads(dumps(dict(config), indent=None)), sort_keys=True, separators=(",", ":"))


def _row(trial: Trial) -> tuple[Any, ...]:
    metric = None if trial.metric is None or not np.isfinite(trial.metric) else float(trial.metric)
    days = np.ascontiguousarray(trial.days, np.int64).tobytes()
    returns = np.ascontiguousarray(trial.returns, np.float64).tobytes()
    config = _canonical(trial.config)
    return (
        *(trial.kind, trial.name, config, trial.config_hash, trial.data, trial.zone, trial.status, metric),
        *(trial.seed, trial.at, days, returns, trial.costs),
    )


def _trial(row: tuple[Any, ...]) -> Trial:
    named = dict(zip(COLUMNS, row, strict=True))
    del named["config_hash"]
    named["config"] = json.loads(named["config"])
    named["days"] = np.frombuffer(named["days"], np.int64)
    named["returns"] = np.frombuffer(named["returns"], np.float64)
    return Trial(**named)


def _head(db: sqlite3.Connection, table: str) -> str:
    row = db.execute(f"select hash from {table} order by id desc limit 1").fetchone()
    return "" if row is None else str(row[0])


def _link(before: str, row: tuple[Any, ...]) -> str:
    """Return the hash of a row and all before it; a trial without costs is hashed as when there was no such column."""
    digest = hashlib.sha256(before.encode())
    for value in row if row[-1] != "" else row[:-1]:
        digest.update(b"\x1f" + (value if isinstance(value, bytes) else repr(value).encode()))
    return digest.hexdigest()
