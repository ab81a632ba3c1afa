"""What one may ask and tell a bot, running or not: it reads the ledgers, and writes commands that the bot obeys."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from engine.bars import format_time
from engine.errors import UsageError, unknown
from live.account import ACTIVE, FILE, SEVERITY, AccountBook
from live.clock import Clock
from live.exchange import SPOT
from live.lock import holder
from live.settings import Settings

WAIT_S, LOOK_S = 15.0, 0.2
Row = dict[str, Any]


def ledgers(settings: Settings) -> dict[str, Path]:
    """Return the ledgers there are, by symbol.

    Raises
    ------
    UsageError
        If no bot was ever started with these settings.
    """
    if settings.mode == "replay":
        paths = [settings.ledger] if settings.ledger.is_file() else []
    else:
        paths = sorted(path for path in settings.folder.glob("*.db") if path.name != FILE)
    if not paths:
        where = settings.ledger if settings.mode == "replay" else settings.folder
        raise UsageError(f"no bot was started with this BOT_LEDGER yet: {where} holds no ledger; start `tradsys live`")
    return {read(path, "SELECT symbol FROM bot")[0]["symbol"]: path for path in paths}


def ledger_of(settings: Settings, symbol: str | None) -> Path:
    """Return the ledger of a symbol, or of the only one."""
    found = ledgers(settings)
    if symbol is None and len(found) > 1:
        raise UsageError(f"name one of the symbols: {', '.join(found)}")
    if symbol is not None and symbol not in found:
        raise unknown("symbol", symbol, found)
    return found[symbol or next(iter(found))]


def read(path: Path, query: str, *values: Any) -> list[Row]:
    """Return the rows of a query, by column name; the bot may go on writing meanwhile."""
    database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=10.0)
    database.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in database.execute(query, values)]
    except sqlite3.DatabaseError as why:
        raise UsageError(f"{path} cannot be read as a ledger of this code: {why}") from None
    finally:
        database.close()


def status(settings: Settings) -> Row:
    """Return how the bot and each of its symbols stand."""
    found, account = ledgers(settings), settings.folder / FILE
    lock = settings.ledger if settings.mode == "replay" else account
    kept = settings.mode != "replay" and account.is_file()
    states = _states(account) if kept else []
    worth = read(account, "SELECT equity FROM equities ORDER BY number DESC LIMIT 1") if kept else []
    return {
        "mode": settings.mode,
        "pid": holder(lock),
        "equity": worth[0]["equity"] if worth else None,
        "symbols": [_symbol(name, path, states, settings.exchange == SPOT) for name, path in found.items()],
    }


def _states(account: Path) -> list[Row]:
    """The last word on each symbol and cause, where it is not ACTIVE and did not end by itself."""
    query = "SELECT * FROM states WHERE number IN (SELECT max(number) FROM states GROUP BY symbol, cause)"
    now = Clock().now()
    return [
        row for row in read(account, query) if row["state"] != ACTIVE and (row["until"] is None or now < row["until"])
    ]


def _symbol(name: str, path: Path, states: list[Row], spot: bool) -> Row:
    """How one symbol stands."""
    mine = [row for row in states if row["symbol"] in ("", name)]
    worst = max(mine, key=lambda row: SEVERITY.index(row["state"]), default=None)
    accounts = read(path, "SELECT * FROM accounts ORDER BY open_time DESC LIMIT 1")
    counts = read(path, "SELECT (SELECT count(*) FROM decisions) AS bars, (SELECT count(*) FROM trades) AS trades")[0]
    fills = _held_units(path, name if spot else "")
    told = read(path, "SELECT kind, message FROM events ORDER BY number DESC LIMIT 1")
    held = accounts[0] if accounts else None
    return {
        "symbol": name,
        "state": worst["state"] if worst else ACTIVE,
        "why": [f"{row['cause']}: {row['reason']}" if row["reason"] else row["cause"] for row in mine],
        "last_bar": _time(held["open_time"]) if held else None,
        **counts,
        "equity": held["equity"] if held else None,
        "side": held["side"] if held else 0,
        "units": held["units"] if held else 0.0,
        "entry_price": held["entry_price"] if held and held["side"] else None,
        "target": held["target"] if held and held["side"] else None,
        "stop": held["stop"] if held and held["side"] else None,
        "wish": held["wish"] if held else 0,
        "exchange_units": fills or 0.0,
        "standing_orders": _standing(path),
        "last_event": f"{told[0]['kind']}: {told[0]['message']}" if told else None,
    }


def _held_units(path: Path, spot: str) -> float | None:
    """Units that the bot's fills left; at a spot market, less the fees paid in what was traded."""
    query = """SELECT sum(side * quantity - CASE WHEN fee_currency <> '' AND ? LIKE fee_currency || '%' THEN fee ELSE 0
        END) AS net FROM exchange_fills WHERE client_id <> ''"""
    return read(path, query, spot)[0]["net"]  # type: ignore[no-any-return]


def _standing(path: Path) -> list[Row]:
    """Orders that may still be filled, as far as the ledger knows."""
    query = """SELECT i.leg, i.side, i.quantity, i.kind, i.price, i.client_id FROM intents i
        LEFT JOIN (SELECT client_id, status, max(number) FROM acks GROUP BY client_id) a USING (client_id)
        WHERE i.act = 'send' AND ifnull(a.status, 'open') IN ('open', 'intended') ORDER BY i.number"""
    return read(path, query)


def trades(settings: Settings, symbol: str | None, last: int) -> list[Row]:
    """Return finished trades, simulated and real side by side, oldest first."""
    path = ledger_of(settings, symbol)
    found = read(path, "SELECT * FROM trades ORDER BY exit_time DESC, entry_time DESC LIMIT ?", last)[::-1]
    return [_trade(path, row) for row in found]


def _trade(path: Path, row: Row) -> Row:
    """One trade: the simulation's prices, and those of the fills."""
    from engine.barriers import REASONS

    fills = read(path, "SELECT leg, quantity, price FROM exchange_fills WHERE wish_time = ?", row["wish_time"])
    entry = [fill for fill in fills if fill["leg"].split(".")[0] == "entry"]
    left = [fill for fill in fills if fill not in entry]
    return {
        "wished": _time(row["wish_time"]),
        "entered": _time(row["entry_time"]),
        "left": _time(row["exit_time"]),
        "side": "long" if row["side"] > 0 else "short",
        "reason": REASONS[row["reason"]],
        "entry_price": row["entry_price"],
        "exit_price": row["exit_price"],
        "return": row["ret"],
        "exchange_units": sum(fill["quantity"] for fill in entry) if fills else None,
        "exchange_entry": _mean(entry),
        "exchange_exit": _mean(left),
        "exchange_reason": left[-1]["leg"] if left else None,
    }


def _mean(fills: list[Row]) -> float | None:
    units = sum(fill["quantity"] for fill in fills)
    return sum(fill["quantity"] * fill["price"] for fill in fills) / units if units else None


def explain(settings: Settings, symbol: str | None, at: str | None) -> Row:
    """Return a decision with its evidence, and all that was sent, filled and noted because of it."""
    path = ledger_of(settings, symbol)
    where, values = ("", ()) if at is None else ("WHERE open_time = ?", (_stamp(at),))
    found = read(path, f"SELECT * FROM decisions {where} ORDER BY open_time DESC LIMIT 1", *values)
    if not found:
        span = read(path, "SELECT min(open_time) AS first, max(open_time) AS last FROM decisions")[0]
        if span["first"] is None:
            raise UsageError(f"{path} holds no decision yet; wait for a bar to close")
        raise UsageError(
            f"no bar of {path.name} opens at {at}; decisions are from {_time(span['first'])} to {_time(span['last'])}"
        )
    decision, bar = found[0], found[0]["open_time"]
    for name in ("gates", "belief"):
        decision[name] = json.loads(decision[name]) if decision[name] else None
    tables = {"orders": "intents", "fills": "exchange_fills"}
    sent = {name: read(path, f"SELECT * FROM {table} WHERE wish_time = ?", bar) for name, table in tables.items()}
    return {
        "bar": _time(bar),
        "candle": read(path, "SELECT * FROM bars WHERE open_time = ?", bar)[0],
        "decision": decision,
        "simulated": read(path, "SELECT * FROM accounts WHERE open_time = ?", bar)[0],
        **sent,
        "events": read(path, "SELECT kind, message FROM events WHERE open_time = ?", bar),
    }


def tell(settings: Settings, command: str, symbol: str | None, reason: str, clock: Clock | None = None) -> str:
    """Write down a command, wait for the bot's answer, and return it.

    Raises
    ------
    UsageError
        If there is no such symbol or bot.
    """
    time = clock or Clock()
    if settings.mode == "replay":
        raise UsageError("a replay trades nothing that could be told; BOT_MODE must be paper, testnet or live")
    found = ledgers(settings)
    if symbol is not None and symbol not in found:
        raise unknown("symbol", symbol, found)
    book = AccountBook(settings.folder, time.now)
    try:
        number = book.ask(symbol or "", command, reason)
        pid = holder(settings.folder / FILE)
        if pid is None:
            return f"the bot is not running: it will {command} as soon as it is started"
        return _answer(book, number, time.sleep) or f"bot {pid} has not answered yet; see `tradsys live status`"
    finally:
        book.close()


def _answer(book: AccountBook, number: int, sleep: Callable[[float], None]) -> str | None:
    """Wait for what comes of a command."""
    for _ in range(int(WAIT_S / LOOK_S)):
        if (said := book.answered(number)) is not None:
            return said
        sleep(LOOK_S)
    return None


def _time(time: int) -> str:
    return format_time(np.datetime64(time, "ns"))


def _stamp(text: str) -> int:
    from live.setting_table import parse_time

    try:
        return int(parse_time(text).astype("datetime64[ns]").astype(np.int64))
    except ValueError as why:
        raise UsageError(f"--at {text} {why}") from None
