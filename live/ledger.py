"""The bot's whole memory: an append-only SQLite file, written one whole bar at a time.

Each bar is one transaction (bar, decision, account, fills, trades), so a bot killed at any instant
leaves whole bars and nothing else, and restart is reading the last one. Nothing is ever changed or
deleted: triggers refuse it. Others may read (``sqlite3 runs/bot.db``) while the bot runs.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from engine.bars import Bars, Floats, Times, parse_timeframe
from engine.errors import SettingsError
from engine.signals import Signals
from engine.simulate import Trades
from engine.terms import Account
from live.append_only import AppendOnly, Connect, code_version
from live.clock import now
from live.identity import Identity
from live.lock import Lock
from live.orders import Fill
from live.schema import (
    TABLES,
    account_from,
    account_row,
    bar_rows,
    bars_from,
    decision_row,
    plain,
    trade_rows,
    trades_from,
)


class Receipt(NamedTuple):
    """When a final candle arrived, in nanoseconds since 1970, and its hash."""

    arrived: int
    hash: str


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
    receipt : Receipt or None
        Of the last bar, where it came from an exchange.
    """

    bars: Bars
    signals: Signals
    account: Account
    fills: list[Fill]
    trades: Trades
    receipt: Receipt | None = None


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
            self.file = AppendOnly(path, TABLES, power_safe, connect)
            self._begin()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file and let another bot have it; an unfinished bar is as if it never was."""
        if file := self.__dict__.pop("file", None):
            file.close()
        self._lock.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def write(self, record: BarRecord) -> None:
        """Add one bar, whole or not at all."""
        time = record.bars.open_time[-1]
        with self.file.transaction():
            self.file.insert("bars", bar_rows(record.bars))
            self.file.insert("decisions", [decision_row(time, record.signals)])
            self.file.insert("accounts", [account_row(record.account)])
            self.file.insert("fills", record.fills)
            self.file.insert("trades", trade_rows(record.trades))
            if record.receipt is not None:
                row = (plain(time), record.receipt.arrived, plain(now()), record.receipt.hash)
                self.file.insert("receipts", [row])

    def note(self, error: Exception, bar: np.datetime64 | None = None) -> None:
        """Add what went wrong, and at which bar."""
        time = None if bar is None else plain(bar)
        with self.file.transaction():
            self.file.insert("errors", [(None, plain(now()), time, type(error).__name__, str(error))])

    def account(self) -> Account | None:
        """Return the account after the last bar, or None before the first."""
        rows = self.file.select("SELECT * FROM accounts ORDER BY open_time DESC LIMIT 1")
        return account_from(rows[0]) if rows else None

    def seen(self, last: int | None = None) -> Bars | None:
        """Return the bars decided on and warmed up with (the last few of them), or None before the first."""
        rows = self.file.select(f"SELECT * FROM bars ORDER BY open_time DESC LIMIT {-1 if last is None else last}")
        mine = self.identity
        return bars_from(rows[::-1], parse_timeframe(mine.timeframe), mine.symbol, mine.sessions) if rows else None

    def decided(self) -> int:
        """Return how many bars were decided on."""
        return int(self.file.select("SELECT count(*) FROM decisions")[0][0])

    def wishes(self) -> Any:
        """Return the wish of every bar, int8 array of shape (n,)."""
        return np.array([row[0] for row in self.file.select("SELECT side FROM decisions ORDER BY open_time")], np.int8)

    def equity(self) -> tuple[Times, Floats]:
        """Return open time of every bar decided on and equity at its close, shapes (n,)."""
        rows = self.file.select("SELECT open_time, equity FROM accounts ORDER BY open_time")
        times, equity = zip(*rows, strict=True) if rows else ((), ())
        return np.array(times, np.int64).view("datetime64[ns]"), np.array(equity, np.float64)

    def trades(self) -> Trades:
        """Return finished trades, oldest first, as ``Result.trades`` has them but for the row numbers."""
        return trades_from(self.file.select("SELECT * FROM trades ORDER BY exit_time, entry_time"))

    def _begin(self) -> None:
        """Check that the file is whole and this bot's, and note the start."""
        if not self.file.select("SELECT count(*) FROM bot")[0][0]:
            self.file.add("bot", self.identity.row())
        self.identity.check(self.file.select("SELECT * FROM bot")[0], self.path)
        ends = self.file.select(
            "SELECT (SELECT max(open_time) FROM bars), (SELECT max(open_time) FROM decisions),"
            " (SELECT max(open_time) FROM accounts)"
        )[0]
        if len(set(ends)) != 1:
            raise self.file.damage("its last bar, decision and account are not of the same time")
        self.file.add("starts", (None, plain(now()), os.getpid(), code_version()))
