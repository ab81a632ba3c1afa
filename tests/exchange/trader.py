"""The bot put together at the loopback exchange as `live.start` does it, with a strategy that needs no bundle."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import requests

from engine.bars import Bars
from engine.rules import Rules
from engine.synthetic import random_bars
from live.account import AccountBook
from live.bot import Bot
from live.candles import Candles
from live.desk import Desk
from live.exchange import Exchange as Broker
from live.follow import Manner
from live.hand import Hand
from live.journal import Journal
from live.keys import Keys
from live.ledger import Ledger
from live.limits import Limits
from live.office import Office
from live.runner import Account, ExchangeTime, Runner
from live.start import _begun
from live.stop import StopRequest
from tests.exchange.faults import Faults
from tests.exchange.venue import KEY, SECRET
from tests.exchange.wire import connect
from tests.live_desk import Momentum, identity

RULES = Rules(k_up=1.0, k_down=1.0, hold=2, exposure=0.4)  # money for a second entry, which must not be
POLL_S = 15.0
STRATEGY = Momentum(least=0.1)
LIMITS = Limits(max_exposure=0.45, max_day_loss=0.5, max_drawdown=0.5)
FIRST = 20  # bar in which the bot is started; it decides on the one before


def _minutes(seed: int, drift: float) -> Bars:
    """A market that trades at once, and passes midnight after the fourth bar of the bot's life."""
    bars = random_bars(120, seed=seed, timeframe="1m", drift=drift)
    return replace(bars, symbol="BTCUSDT", open_time=bars.open_time - np.timedelta64(FIRST + 4, "m"))


MARKETS = {  # what the bot's first eight bars hold
    ("spot", "rising"): _minutes(378, -0.001),  # five longs, by target, stop and time
    ("spot", "falling"): _minutes(160, 0.002),  # five longs, three of them stopped
    ("perpetual", "rising"): _minutes(178, 0.0),  # seven trades of both sides, five by their target
    ("perpetual", "falling"): _minutes(78, -0.002),  # six of both sides, five of them lost
}
MARKET = MARKETS["spot", "rising"]  # for its times: they are the same


class CutDatabase:
    """A connection to SQLite that may break at a statement: ``cut(statement, "before" or "after")`` may raise."""

    def __init__(self, real: sqlite3.Connection, cut: Callable[[str, str], None]) -> None:
        self._real, self._cut = real, cut

    def execute(self, statement: str, *values: Any) -> Any:
        self._cut(statement, "before")
        done = self._real.execute(statement, *values)
        self._cut(statement, "after")
        return done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class WorldClock:
    """The exchange's clock as the bot's machine shows it; sleeping moves it."""

    def __init__(self, exchange: Any) -> None:
        self.exchange = exchange

    def now(self) -> int:
        return self.exchange.client_clock() * 10**6

    def sleep(self, seconds: float) -> None:
        self.exchange.advance(max(int(seconds * 1000), 1))


class Trader:
    """A folder of ledgers, and a bot that lives and dies there."""

    def __init__(self, folder: Path, exchange: Any, venue: str) -> None:
        self.folder, self.exchange, self.perpetual = folder, exchange, venue != "spot"
        self.clock, self.told = WorldClock(exchange), []  # type: ignore[var-annotated]
        self.at_wire: Callable[[int, str, str], None] | None = None
        self.at_file: Callable[[str, str], None] | None = None
        self.runner: Runner | None = None
        self.limits, self.manner = LIMITS, Manner()
        self._closing = ExitStack()

    def start(self) -> Runner:
        """Start the bot, as `live.start` does, with a strategy that needs no bundle."""
        self._closing.close()
        broker = self._broker()
        time = ExchangeTime(broker, self.clock)
        time.ask()
        book = self._kept(AccountBook(self.folder, time.now))
        book.begin(broker.name, "testnet", broker.keys.fingerprint)
        terms = broker.terms("BTCUSDT")
        office = Office(
            book, time.now, self.limits, self.manner, int(POLL_S * 1e9), lambda *said: self.told.append(said)
        )
        who = identity(MARKET, RULES, FIRST - 1, mode="testnet")
        ledger = self._kept(Ledger(self.folder / "BTCUSDT.db", who, power_safe=False))
        ledger.file._database = CutDatabase(ledger.file._database, self._cut_file)  # the wire to the disk
        candles = Candles(broker, "BTCUSDT", MARKET.timeframe_ns, STRATEGY.memory, ledger.seen(STRATEGY.memory))
        journal = Journal(ledger.file, "" if terms.perpetual else terms.base, office.now)
        hand = Hand(broker, journal, terms, self.clock, _begun(ledger, office))
        account = Account(broker, terms.quote, terms.perpetual)
        desk = Desk(Bot(STRATEGY, RULES, ledger), candles, office, journal, hand, lambda *_: 0.0)
        desk.units = lambda desk, price: account.units([desk], desk, price, self.limits.max_exposure)
        self.runner = Runner([desk], office, time, account)
        book.clear("BTCUSDT", "failed")
        return self.runner

    def _broker(self) -> Broker:
        broker = Broker("binanceusdm" if self.perpetual else "binance", Keys(KEY, SECRET))
        broker._ccxt.enableRateLimit = False
        connect(broker._ccxt, self.exchange, self._cut_wire)
        self._closing.callback(broker.close)
        return broker

    def _kept(self, thing: Any) -> Any:
        self._closing.callback(thing.close)
        return thing

    def _cut_wire(self, number: int, request: str, when: str) -> None:
        if self.at_wire:
            self.at_wire(number, request, when)

    def _cut_file(self, statement: str, when: str) -> None:
        if self.at_file:
            self.at_file(statement, when)

    def kill(self) -> None:
        """End the bot where it is; locks and files are let go as the system does."""
        self._closing.close()
        self.runner = None


class RemoteExchange:
    """The exchange of another process, as a child sees it: only the child's sleeping moves its clock."""

    def __init__(self, url: str) -> None:
        self.url, self.faults, self._session, self._now = url, Faults(), requests.Session(), 0
        self.advance(0)

    def client_clock(self) -> int:
        return self._now

    def advance(self, ms: int) -> None:
        self._now = int(self._session.post(f"{self.url}/loopback/advance", data=str(ms), timeout=20).text)


def main(folder: str, url: str, venue: str) -> int:
    """Run a bot until a signal ends it."""
    with StopRequest() as stop:
        trader = Trader(Path(folder), RemoteExchange(url), venue)
        code = trader.start().run(lambda: stop.received)
        trader.kill()
        return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
