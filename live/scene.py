"""All that who looks at the bot from outside may see: read from the ledgers, written nowhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from live.account import ACTIVE, FILE
from live.clock import now, stamp
from live.control import Row, ledgers, read, status, trades
from live.settings import Settings

POINTS = 400  # of an equity line
LAST = 30  # decisions, trades and events that are shown
EVIDENCE = ("p_up", "rank", "confidence", "audit", "belief", "gates")
RECENT = np.timedelta64(24, "h")
ALARMS = ("unexplained", "difference", "refused", "failed", "candle changed", "entry missed")


def scene(settings: Settings) -> Row:
    """Return how the bot stands and what it did last: states, positions, orders, equity, decisions, events.

    Raises
    ------
    UsageError
        If no bot was ever started with these settings.
    """
    told = status(settings)
    found = ledgers(settings)
    for each in told["symbols"]:
        path = found[each["symbol"]]
        each["decisions"] = _decisions(path)
        each["done"] = trades(settings, each["symbol"], LAST)[::-1]
        each["simulated"] = _line(path, "open_time", "accounts")
        each["events"] = _events(path)
    account = settings.folder / FILE
    kept = settings.mode != "replay" and account.is_file()
    return {
        **told,
        "at": stamp(),
        "profile": settings.profile,
        "bundle": settings.bundle,
        "exchange": settings.exchange if settings.mode != "replay" else "",
        "account": _line(account, "at", "equities") if kept else [],
        "events": _events(account) if kept else [],
        "alarms": _alarms(told),
    }


def event_counts(path: Path) -> dict[str, int]:
    """Return how many events of each kind a ledger holds."""
    return {row["kind"]: row["n"] for row in read(path, "SELECT kind, count(*) AS n FROM events GROUP BY kind")}


def time_text(time: int) -> str:
    """Return nanoseconds since 1970 to the second."""
    return str(np.datetime64(time, "ns").astype("datetime64[s]"))


def _decisions(path: Path) -> list[Row]:
    rows = read(path, f"SELECT * FROM decisions ORDER BY open_time DESC LIMIT {LAST}")
    for row in rows:
        row["bar"] = time_text(row.pop("open_time"))
        for name in ("gates", "belief"):
            row[name] = json.loads(row[name]) if row[name] else None
        row["vetoes"] = [name for name, allowed in (row["gates"] or {}).items() if not allowed]
    return [{name: row[name] for name in ("bar", "side", "reason", "vetoes", *EVIDENCE)} for row in rows]


def _line(path: Path, time: str, table: str) -> list[tuple[str, float]]:
    """Some of the equities, spread evenly, the last one always."""
    count = read(path, f"SELECT count(*) AS n FROM {table}")[0]["n"]
    step = max(count // POINTS, 1)
    query = f"""SELECT {time} AS at, equity FROM (SELECT {time}, equity, row_number() OVER (ORDER BY {time} DESC) AS n
        FROM {table}) WHERE (n - 1) % ? = 0 ORDER BY {time}"""
    return [(time_text(row["at"]), row["equity"]) for row in read(path, query, step)]


def _events(path: Path) -> list[Row]:
    rows: list[dict[str, Any]] = read(path, f"SELECT * FROM events ORDER BY number DESC LIMIT {LAST}")
    return [{"at": time_text(row["at"]), "kind": row["kind"], "message": row["message"]} for row in rows]


def _alarms(told: Row) -> list[str]:
    """What asks for a person now."""
    found = [] if told["pid"] or told["mode"] == "replay" else ["the bot is not running"]
    for each in told["symbols"]:
        if each["state"] != ACTIVE:
            found.append(f"{each['symbol']} is {each['state']}: {'; '.join(each['why'])}")
        for event in each["events"]:
            if event["kind"] in ALARMS and now() - np.datetime64(event["at"]) < RECENT:
                found.append(f"{each['symbol']} {event['kind']} at {event['at']}: {event['message']}")
    return found
