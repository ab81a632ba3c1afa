"""The ledger's tables, and how the engine's records become rows and come back bit for bit.

SQLite's REAL is the same 8-byte number as ours, save that NaN is NULL and a zero has no sign. Times are
nanoseconds since 1970.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.bars import COLUMNS, Bars
from engine.signals import Signals
from engine.simulate import TRADE_DTYPE, Trades
from engine.terms import Account, Holding
from live.schema_orders import ORDER_TABLES

APPLICATION_ID = 0x74726473  # "trds": says that a SQLite file is a ledger of ours
SCHEMA = 2

_HOLDING = """side INTEGER, units REAL, entry_price REAL, entry_fee REAL, target REAL, stop REAL, bars INTEGER,
    funding REAL, wish_time INTEGER, entry_time INTEGER"""

TABLES = {
    "bot": """id TEXT PRIMARY KEY, mode TEXT, symbol TEXT, timeframe TEXT, sessions INTEGER, bundle TEXT,
    bundle_hash TEXT, profile TEXT, confidence TEXT, memory INTEGER, rules TEXT, first_bar INTEGER""",
    "starts": "number INTEGER PRIMARY KEY, at INTEGER, pid INTEGER, code TEXT",
    "bars": """open_time INTEGER PRIMARY KEY, open REAL, high REAL, low REAL, close REAL, volume REAL,
    context TEXT""",
    "decisions": """open_time INTEGER PRIMARY KEY, side INTEGER, atr REAL, reason TEXT, proposed INTEGER,
    confidence REAL, gates TEXT, p_up REAL, lean INTEGER, rank REAL, belief TEXT, audit REAL""",
    "accounts": f"open_time INTEGER PRIMARY KEY, cash REAL, equity REAL, wish INTEGER, wish_atr REAL, {_HOLDING}",
    "fills": "order_id TEXT PRIMARY KEY, open_time INTEGER, leg TEXT, side INTEGER, units REAL, price REAL, fee REAL",
    "trades": """wish_time INTEGER PRIMARY KEY, entry_time INTEGER, exit_time INTEGER, bars INTEGER, units REAL,
    entry_price REAL, exit_price REAL, entry_fee REAL, exit_fee REAL, funding REAL, pnl REAL, ret REAL,
    target REAL, stop REAL, side INTEGER, reason INTEGER, ambiguous INTEGER""",
    "errors": "number INTEGER PRIMARY KEY, at INTEGER, open_time INTEGER, kind TEXT, message TEXT",
    **ORDER_TABLES,
}
KEYS = {name: columns.split()[0] for name, columns in TABLES.items()}
NOT_KEPT = ("entry_bar", "exit_bar", "open")  # rows of some array, and true of no finished trade


def statements(tables: Mapping[str, str] = TABLES) -> list[str]:
    """Return what makes an empty database a ledger to which rows can only be added."""
    made = [f"PRAGMA application_id = {APPLICATION_ID}", f"PRAGMA user_version = {SCHEMA}"]
    for name, columns in tables.items():
        key = columns.split()[0]
        refuse = f"BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: {name}'); END"
        known = f"EXISTS (SELECT 1 FROM {name} WHERE {key} = NEW.{key})"
        made += [
            f"CREATE TABLE {name} ({columns})",
            f"CREATE TRIGGER {name}_keep BEFORE UPDATE ON {name} {refuse}",
            f"CREATE TRIGGER {name}_hold BEFORE DELETE ON {name} {refuse}",
            # INSERT OR REPLACE deletes without waking the trigger above
            f"CREATE TRIGGER {name}_once BEFORE INSERT ON {name} WHEN {known} {refuse}",
        ]
    return made


def plain(value: Any) -> int | float | str | None:
    """Return a number as SQLite keeps it; NaN is None."""
    if isinstance(value, np.datetime64):
        return int(value.astype("datetime64[ns]").astype(np.int64))
    number = value.item() if isinstance(value, np.generic) else value
    if isinstance(number, float) and math.isnan(number):
        return None
    return int(number) if isinstance(number, bool) else number


def bar_rows(bars: Bars) -> list[tuple[Any, ...]]:
    """Return rows of ``bars``."""
    columns = [bars.open_time.view(np.int64), *(getattr(bars, name) for name in COLUMNS)]
    return list(zip(*(column.tolist() for column in columns), _context_rows(bars), strict=True))


def _context_rows(bars: Bars) -> list[str | None]:
    """What was known beside each bar, as JSON; None where nothing is kept beside the bars."""
    if not bars.context:
        return [None] * len(bars)
    return [
        json.dumps({name: plain(column[row]) for name, column in bars.context.items()}, allow_nan=False)
        for row in range(len(bars))
    ]


def bars_from(rows: Sequence[tuple[Any, ...]], timeframe_ns: int, symbol: str, sessions: bool) -> Bars:
    """Return the bars that rows of ``bars`` hold."""
    time, *prices, beside = zip(*rows, strict=True)
    columns = {name: np.array(values, np.float64) for name, values in zip(COLUMNS, prices, strict=True)}
    stamps = np.array(time, np.int64).view("datetime64[ns]")
    known = [json.loads(row or "{}") for row in beside]
    context = {name: np.array([row.get(name) for row in known], np.float64) for name in known[-1]}
    return Bars(stamps, **columns, timeframe_ns=timeframe_ns, symbol=symbol, sessions=sessions, context=context)


def account_row(account: Account) -> tuple[Any, ...]:
    """Return a row of ``accounts``."""
    row = (account.time, account.cash, account.equity, account.wish, account.wish_atr, *account.holding)
    return tuple(plain(value) for value in row)


def account_from(row: Sequence[Any]) -> Account:
    """Return the account that a row of ``accounts`` holds."""
    values: list[Any] = [math.nan if value is None else value for value in row]
    time, cash, equity, wish, wish_atr, *holding = values
    return Account(cash, equity, time, wish, wish_atr, Holding(*holding))


def decision_row(time: np.datetime64, signals: Signals) -> tuple[Any, ...]:
    """Return a row of ``decisions`` from signals of one bar, with the evidence and each gate's verdict."""
    known = signals.evidence
    gates = {name: bool(verdict[0]) for name, verdict in signals.gates.items()}
    said = [known.p_up[0], known.lean[0], known.rank[0]] if known else [None, None, None]
    belief = None if known is None else json.dumps([plain(share) for share in known.belief[0]])
    return (
        plain(time),
        plain(signals.side[0]),
        plain(signals.atr[0]),
        signals.why(0),
        plain(signals.proposed[0]) if len(signals.proposed) else None,
        plain(signals.confidence[0]) if len(signals.confidence) else None,
        json.dumps(gates),
        *(plain(value) for value in said),
        belief,
        plain(known.audit[0]) if known else None,
    )


def trade_rows(trades: Trades) -> list[tuple[Any, ...]]:
    """Return rows of ``trades``."""
    names = [name for name in TRADE_DTYPE.names or () if name not in NOT_KEPT]
    return [tuple(plain(trade[name]) for name in names) for trade in trades]


def trades_from(rows: Sequence[Sequence[Any]]) -> Trades:
    """Return the trades that rows of ``trades`` hold; ``entry_bar`` and ``exit_bar``, rows of some array, are -1."""
    names = [name for name in TRADE_DTYPE.names or () if name not in NOT_KEPT]
    trades = np.zeros(len(rows), TRADE_DTYPE)
    trades["entry_bar"], trades["exit_bar"] = -1, -1
    for trade, row in zip(trades, rows, strict=True):
        for name, value in zip(names, row, strict=True):
            trade[name] = np.datetime64(value, "ns") if name.endswith("_time") else math.nan if value is None else value
    return trades
