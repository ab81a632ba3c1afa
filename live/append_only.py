"""A SQLite file to which rows can only be added, and whose own errors name the file and what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from engine.errors import DataError, SettingsError
from live.schema import APPLICATION_ID, SCHEMA, statements

Connect = Callable[..., sqlite3.Connection]
BUSY_S = 30.0  # another process writes a row: a command, say


class AppendOnly:
    """One file of ours, made when it is not there.

    Parameters
    ----------
    path : Path
        The SQLite file; its folder exists.
    tables : mapping of str to str
        Columns by table; triggers refuse every change of a row.
    power_safe : bool
        True waits for the disk at every transaction, some 4 ms: what was sent to an exchange must be known after a
        power cut. False is safe against every death of the process.
    connect : callable
        How SQLite is reached.

    Raises
    ------
    SettingsError
        If the file is something else's, of another schema, or out of reach.
    DataError
        If the file is damaged.
    """

    def __init__(
        self, path: Path, tables: Mapping[str, str], power_safe: bool = True, connect: Connect = sqlite3.connect
    ) -> None:
        self.path = path
        try:
            with self.named():
                self._database = connect(path, isolation_level=None, timeout=BUSY_S)
                self._database.execute("PRAGMA journal_mode = WAL")
                self._database.execute(f"PRAGMA synchronous = {'FULL' if power_safe else 'NORMAL'}")
                self.is_new = self._make(tables)
                self._recognise()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; an unfinished transaction is as if it never was."""
        if database := self.__dict__.pop("_database", None):
            with suppress(sqlite3.Error):
                database.close()

    def insert(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        """Add rows to a table, inside a transaction."""
        if rows:
            self._database.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)

    def add(self, table: str, *rows: Sequence[Any]) -> None:
        """Add rows to a table, in a transaction of their own."""
        with self.transaction():
            self.insert(table, rows)

    def select(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with self.named():
            return self._database.execute(query, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or none of it."""
        with self.named():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._database.execute("ROLLBACK")
                raise

    def damage(self, what: str) -> DataError:
        """Return the error of a file that cannot be trusted."""
        return DataError(f"ledger {self.path} is damaged ({what}); keep it for a look and set another BOT_LEDGER")

    @contextmanager
    def named(self) -> Iterator[None]:
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
            raise self.damage(str(why)) from None

    def _make(self, tables: Mapping[str, str]) -> bool:
        """Make the tables of a new file, once even if two processes try."""
        if self.select("SELECT count(*) FROM sqlite_master")[0][0]:
            return False
        with self.transaction():
            if self.select("SELECT count(*) FROM sqlite_master")[0][0]:
                return False
            for statement in statements(tables):
                self._database.execute(statement)
        return True

    def _recognise(self) -> None:
        if self.select("PRAGMA application_id")[0][0] != APPLICATION_ID:
            raise SettingsError(f"BOT_LEDGER: {self.path} is a database of something else; set another BOT_LEDGER")
        schema = self.select("PRAGMA user_version")[0][0]
        if schema != SCHEMA:
            raise SettingsError(
                f"BOT_LEDGER: {self.path} has schema {schema}, this code writes {SCHEMA}; set another BOT_LEDGER"
            )
        faults = [row[0] for row in self.select("PRAGMA quick_check(1)")]
        if faults != ["ok"]:
            raise self.damage(faults[0])


def code_version() -> str:
    """Return the version of this code, as starts are noted with."""
    try:
        return version("tradsys")
    except PackageNotFoundError:
        return "unknown"
