"""The bot in numbers, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from live.account import SEVERITY
from live.control import Row, ledgers, status
from live.scene import event_counts
from live.settings import Settings

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Sample = tuple[Mapping[str, str], float | None]


def exposition(settings: Settings) -> str:
    """Return all measures in Prometheus' text format.

    Raises
    ------
    UsageError
        If no bot was ever started with these settings.
    """
    told, found = status(settings), ledgers(settings)
    counts = {name: event_counts(path) for name, path in found.items()}
    return "".join(f"{line}\n" for line in _lines(told, counts))


def _lines(told: Row, counts: dict[str, dict[str, int]]) -> Iterator[str]:
    each = [(row["symbol"], row) for row in told["symbols"]]
    yield from _measure("up", "gauge", "1 while the bot runs", [({"mode": told["mode"]}, float(bool(told["pid"])))])
    yield from _measure("account_equity", "gauge", "Worth of the account in its currency", [({}, told["equity"])])
    states = [({"symbol": s, "state": name}, float(row["state"] == name)) for s, row in each for name in SEVERITY]
    yield from _measure("state", "gauge", "1 for the state that holds", states)
    for name, words, key in (
        ("simulated_equity", "Equity of the simulation that the account follows", "equity"),
        ("exchange_units", "Units held at the exchange by the bot", "exchange_units"),
    ):
        yield from _measure(name, "gauge", words, [({"symbol": s}, row[key]) for s, row in each])
    held = [({"symbol": s}, row["side"] * row["units"]) for s, row in each]
    yield from _measure("simulated_units", "gauge", "Units held in the simulation, negative when short", held)
    orders = [({"symbol": s}, float(len(row["standing_orders"]))) for s, row in each]
    yield from _measure("standing_orders", "gauge", "Orders that may still be filled", orders)
    last = [({"symbol": s}, _seconds(row["last_bar"])) for s, row in each]
    yield from _measure("last_bar_seconds", "gauge", "Open time of the last bar decided on, since 1970", last)
    for name, words, key in (("decisions", "Bars decided on", "bars"), ("trades", "Trades finished", "trades")):
        yield from _measure(f"{name}_total", "counter", words, [({"symbol": s}, float(row[key])) for s, row in each])
    told_events = [({"symbol": s, "kind": kind}, float(n)) for s, kinds in counts.items() for kind, n in kinds.items()]
    yield from _measure("events_total", "counter", "What a person should know, by kind", told_events)


def _measure(name: str, kind: str, words: str, samples: Sequence[Sample]) -> Iterator[str]:
    known = [(labels, value) for labels, value in samples if value is not None]
    if not known:
        return
    yield f"# HELP tradsys_{name} {words}"
    yield f"# TYPE tradsys_{name} {kind}"
    for labels, value in known:
        shown = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        yield f"tradsys_{name}{{{shown}}} {value!r}" if shown else f"tradsys_{name} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _seconds(bar: str | None) -> float | None:
    return None if bar is None else float(np.datetime64(bar, "s").astype(np.int64))
