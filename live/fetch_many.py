"""``tradsys data fetch``: one series, or all that were fetched before, and what is said meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np

from engine.errors import BrokerError, TradingError, UsageError
from engine.history.store import Store
from engine.jsons import dumps
from live.check import Plain
from live.fetch import FUNDING, Fetch, stored_fetch
from live.fetch_source import Source, open_source
from live.fetch_told import Outcome, Tell

Asked = tuple[str, str, str, str]  # exchange, market, timeframe (empty: funding), symbol


def fetch_one(data: Path, asked: Asked, since: str | None, replace: bool, as_json: bool) -> bool:
    """Fetch one series and say what became of it; return whether all is well."""
    exchange, market, timeframe, symbol = asked
    begin = _time(since)
    with _telling() as tell, closing(open_source(exchange, market, tell)) as source:
        fetch = Fetch(source, Store(data), market, timeframe or FUNDING, symbol)
        return _ended([_run(fetch, begin, replace, tell)], as_json)


def fetch_all(data: Path, replace: bool, as_json: bool) -> bool:
    """Go on with every series that names an exchange; what fails for one is no reason not to try the next."""
    store = Store(data)
    named = [name for name in store.names() if _is_fetched(store, name)]
    if not named:
        raise UsageError(
            f"no series in {data} was fetched; begin with: tradsys data fetch BTC/USDT 1h --since 2019-01-01"
        )
    outcomes: list[Outcome | str] = []
    with _telling() as tell, closing(_Opened(tell)) as opened:
        for name in named:
            try:
                outcomes.append(_run(stored_fetch(store, name, opened), None, replace, tell))
            except TradingError as failure:
                outcomes.append(f"{name}: {failure}")
        return _ended(outcomes, as_json)


class _Opened:
    """Exchanges that are open, each once: their markets are asked for once."""

    def __init__(self, tell: Tell) -> None:
        self.tell, self.sources = tell, dict[tuple[str, bool], Source]()

    def __call__(self, name: str, market: str) -> Source:
        key = name, ":" in market
        if key not in self.sources:
            self.sources[key] = open_source(name, market, self.tell)
        return self.sources[key]

    def close(self) -> None:
        for source in self.sources.values():
            source.close()


def _run(fetch: Fetch, since: np.datetime64 | None, replace: bool, tell: Tell) -> Outcome | str:
    try:
        return fetch.run(since, replace, tell)
    except BrokerError as failure:
        return f"{fetch.about.name}: {failure}; what was fetched is kept, the same command goes on from there"
    except KeyboardInterrupt:
        sys.stderr.write(f"\n{fetch.about.name}: what was fetched is kept, the same command goes on from there\n")
        raise


def _ended(outcomes: list[Outcome | str], as_json: bool) -> bool:
    if as_json:
        told = [{"error": each} if isinstance(each, str) else _record(each) for each in outcomes]
        sys.stdout.write(dumps(told) + "\n")
    for each in () if as_json else outcomes:
        lines = [each] if isinstance(each, str) else list(each.lines())
        (sys.stderr if isinstance(each, str) else sys.stdout).write("\n".join(lines) + "\n")
    return all(not isinstance(each, str) and not each.stopped for each in outcomes)


def _record(outcome: Outcome) -> dict[str, object]:
    return {**asdict(outcome), "changes": [change._asdict() for change in outcome.changes]}


def _is_fetched(store: Store, name: str) -> bool:
    try:
        return bool(store.series(name).exchange)
    except TradingError:
        return True  # a damaged one is tried, and says so


def _time(text: str | None) -> np.datetime64 | None:
    try:
        return None if text is None else np.datetime64(text.removesuffix("Z"), "ns")
    except ValueError:
        raise UsageError(f"--since {text!r} is no time; write UTC as 2019-01-01 or 2019-01-01T08:00") from None


@contextmanager
def _telling() -> Iterator[Tell]:
    """A line that is written over where somebody watches; on a pipe, one every ten seconds."""
    if not sys.stderr.isatty():
        yield Plain(lambda line: sys.stderr.write(f"{line}\n"))
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield status.update
