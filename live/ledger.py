"""The bot's whole memory: an append-only SQLite file, written one whole bar at a time.

Each bar is one transaction (bar, decision, account, fills, trades), so a bot killed at any instant
leaves whole bars and nothing else, and restart is reading the last one. Nothing is ever changed or
deleted: triggers refuse it. Others may read (``sqlite3 runs/bot.db``) while the bot runs.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from engine.bars import Bars, Floats, Times, parse_timeframe
from engine.errors import DataError, SettingsError
from engine.signals import Signals
from engine.simulate import Trades
from engine.terms import Account
from live.clock import now
from live.identity import Identity
from live.lock import Lock
from live.orders import Fill
from live.schema import (
    APPLICATION_ID,
    SCHEMA,
    account_from,
    account_row,
    bar_rows,
    bars_from,
    decision_row,
    plain,
    statements,
    trade_rows,
    trades_from,
)

Connect = Callable[..., sqlite3.Connection]


class BarRecord(NamedTuple):
    """All that one close adds to the ledger.

    Parameters
    ----------
    bars : Bars
        Bars not seen before; the last is the one decided on, any others only warmed up.
    signals : Signals
        The decision, one row.
    account : Account
        After that bar.
    fills : list of Fill
        Orders filled in that bar.
    trades : structured array of `engine.simulate.TRADE_DTYPE`
        Trades finished in that bar.
    """

    bars: Bars
    signals: Signals
    account: Account
    fills: list[Fill]
    trades: Trades


class Ledger:
    """One bot's ledger, opened for writing by one process at a time.

    Parameters
    ----------
    path : Path
        The SQLite file; made when it is not there.
    identity : Identity
        Whose ledger it is to be. A ledger is never continued by a bot that would decide otherwise.
    power_safe : bool
        True waits for the disk at every bar, some 4 ms: what was sent to an exchange must be known after a
        power cut. False is safe against every death of the process; after a power cut the last bars may be
        missing, which a replay decides again to the same end.
    connect : callable
        How SQLite is reached.

    Raises
    ------
    SettingsError
        If the file is no ledger, another bot's, in use or out of reach.
    DataError
        If the file is damaged.
    """

    def __init__(
        self, path: Path, identity: Identity, power_safe: bool = True, connect: Connect = sqlite3.connect
    ) -> None:
        self.path = path
        self.identity = identity
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(path)
        except OSError as why:
            raise SettingsError(
                f"BOT_LEDGER: {path} cannot be written: {why.strerror}; set another BOT_LEDGER"
            ) from None
        try:
            with self._named():
                self._database = connect(path, isolation_level=None)
                self._open(power_safe)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file and let another bot have it; an unfinished bar is as if it never was."""
        if database := self.__dict__.pop("_database", None):
            with suppress(sqlite3.Error):
                database.close()
        self._lock.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def write(self, record: BarRecord) -> None:
        """Add one bar, whole or not at all."""
        time = record.bars.open_time[-1]
        with self._transaction():
            self._insert("bars", bar_rows(record.bars))
            self._insert("decisions", [decision_row(time, record.signals)])
            self._insert("accounts", [account_row(record.account)])
            self._insert("fills", record.fills)
            self._insert("trades", trade_rows(record.trades))

    def note(self, error: Exception, bar: np.datetime64 | None = None) -> None:
        """Add what went wrong, and at which bar."""
        time = None if bar is None else plain(bar)
        with self._transaction():
            self._insert("errors", [(None, plain(now()), time, type(error).__name__, str(error))])

    def account(self) -> Account | None:
        """Return the account after the last bar, or None before the first."""
        rows = self._select("SELECT * FROM accounts ORDER BY open_time DESC LIMIT 1")
        return account_from(rows[0]) if rows else None

    def seen(self, last: int | None = None) -> Bars | None:
        """Return the bars decided on and warmed up with (the last few of them), or None before the first."""
        rows = self._select(f"SELECT * FROM bars ORDER BY open_time DESC LIMIT {-1 if last is None else last}")
        mine = self.identity
        return bars_from(rows[::-1], parse_timeframe(mine.timeframe), mine.symbol, mine.sessions) if rows else None

    def decided(self) -> int:
        """Return how many bars were decided on."""
        return int(self._select("SELECT count(*) FROM decisions")[0][0])

    def wishes(self) -> Any:
        """Return the wish of every bar, int8 array of shape (n,)."""
        return np.array([row[0] for row in self._select("SELECT side FROM decisions ORDER BY open_time")], np.int8)

    def equity(self) -> tuple[Times, Floats]:
        """Return open time of every bar decided on and equity at its close, shapes (n,)."""
        rows = self._select("SELECT open_time, equity FROM accounts ORDER BY open_time")
        times, equity = zip(*rows, strict=True) if rows else ((), ())
        return np.array(times, np.int64).view("datetime64[ns]"), np.array(equity, np.float64)

    def trades(self) -> Trades:
        """Return finished trades, oldest first, as ``Result.trades`` has them but for the row numbers."""
        return trades_from(self._select("SELECT * FROM trades ORDER BY exit_time, entry_time"))

    def _open(self, power_safe: bool) -> None:
        """Make or recognise the ledger, check it is whole and this bot's, and note the start."""
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute(f"PRAGMA synchronous = {'FULL' if power_safe else 'NORMAL'}")
        is_new = self._select("SELECT count(*) FROM sqlite_master")[0][0] == 0
        if is_new:
            with self._transaction():
                for statement in statements():
                    self._database.execute(statement)
                self._insert("bot", [self.identity.row()])
        self._recognise()
        try:
            code = version("tradsys")
        except PackageNotFoundError:
            code = "unknown"
        with self._transaction():
            self._insert("starts", [(None, plain(now()), os.getpid(), code)])

    def _recognise(self) -> None:
        if self._select("PRAGMA application_id")[0][0] != APPLICATION_ID:
            raise SettingsError(f"BOT_LEDGER: {self.path} is a database of something else; set another BOT_LEDGER")
        schema = self._select("PRAGMA user_version")[0][0]
        if schema != SCHEMA:
            raise SettingsError(
                f"BOT_LEDGER: {self.path} has schema {schema}, this code writes {SCHEMA}; set another BOT_LEDGER"
            )
        faults = [row[0] for row in self._select("PRAGMA quick_check(1)")]
        if faults != ["ok"]:
            raise self._damage(faults[0])
        self.identity.check(self._select("SELECT * FROM bot")[0], self.path)
        ends = self._select(
            "SELECT (SELECT max(open_time) FROM bars), (SELECT max(open_time) FROM decisions),"
            " (SELECT max(open_time) FROM accounts)"
        )[0]
        if len(set(ends)) != 1:
            raise self._damage("its last bar, decision and account are not of the same time")

    def _damage(self, what: str) -> DataError:
        return DataError(f"ledger {self.path} is damaged ({what}); keep it for a look and set another BOT_LEDGER")

    def _insert(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            self._database.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)

    def _select(self, query: str) -> list[tuple[Any, ...]]:
        with self._named():
            return self._database.execute(query).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All of it or none of it."""
        with self._named():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Turn SQLite's own errors into ours, naming the file and what to do."""
        try:
            yield
        except sqlite3.OperationalError as why:  # disk full, read-only, out of reach
            raise SettingsError(
                f"BOT_LEDGER: {self.path} cannot be used ({why}); make room or set another BOT_LEDGER, then start again"
            ) from None
        except sqlite3.IntegrityError as why:
            raise DataError(f"ledger {self.path} refused a row ({why}); nothing of this bar was written") from None
        except sqlite3.DatabaseError as why:
            raise self._damage(str(why)) from None
