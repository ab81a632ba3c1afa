"""What the tests of the bot at an exchange share: the bot, whole, against the loopback exchange, at its time."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from engine.bars import Bars
from engine.run import run
from engine.synthetic import random_bars
from live.exchange import Exchange as Ours
from live.keys import Keys
from live.settings import Settings
from live.start import Surroundings, opened
from models.bundle import load_bundle
from strategies import make_strategy
from tests.bundles import make_bundle
from tests.exchange.venue import KEY, SECRET, Exchange
from tests.exchange.wire import connect

BARS = replace(random_bars(1400, seed=13), symbol="BTCUSDT")
FIRST = 1200
HOUR_MS = 3_600_000


@dataclass
class VenueClock:
    """The exchange's clock, which sleeping moves; ``skew`` seconds ahead of it."""

    venue: Exchange
    ahead_s: float = 0.0

    def now(self) -> int:
        return self.venue.client_clock() * 10**6 + int(self.ahead_s * 1e9)

    def sleep(self, seconds: float) -> None:
        self.venue.advance(max(int(seconds * 1000), 1))


def broker_of(venue: Exchange, name: str = "binance", cut=None) -> Ours:
    """Our exchange, led to the loopback."""
    made = Ours(name, Keys(KEY, SECRET), timeout_ms=2000)
    made._ccxt.enableRateLimit = False
    connect(made._ccxt, venue, cut)
    return made


def toy_bundle(folder: Path, bars: Bars = BARS, sides=("long",), hold: int = 6) -> Path:
    """A small real bundle of these bars."""
    return make_bundle(folder, bars, sides=sides, hold=hold)


def settings_of(bundle: Path, folder: Path, mode: str = "testnet", **other) -> Settings:
    """The test bot's settings."""
    told = {"symbol": "BTCUSDT", "keys": Keys(KEY, SECRET), "poll_s": 60.0, **other}
    made = Settings("reckless", str(bundle), mode, "rank", folder / "bot", None, None, {})
    return replace(made, **told)


@contextmanager
def bot(settings: Settings, venue: Exchange, heard: list | None = None, cut=None, clock=None):
    """The whole bot, ready to take turns."""
    told = [] if heard is None else heard
    broker = broker_of(venue, settings.exchange, cut)
    outside = Surroundings(broker, clock or VenueClock(venue), lambda *said: told.append(said), settings.folder.parent)
    try:
        with opened(settings, outside) as runner:
            yield runner
    finally:
        broker.close()


def live_on(runner, venue: Exchange, until: int, least_ms: int = 500) -> None:
    """Take turns until a time of the exchange (ms), jumping from one thing due to the next."""
    while venue.now < until:
        runner.turn()
        pause = max(int(runner.due_in() * 1000), least_ms)
        venue.advance_to(min(max(venue.now + pause, venue.now + 1), until))


def backtest(settings: Settings, bars: Bars = BARS, first: int = FIRST):
    """The same bot's backtest."""
    bundle = load_bundle(settings.bundle)
    strategy = make_strategy(settings.profile, bundle, settings.confidence)
    return run(strategy, bars, bundle.rules(**settings.terms), since=first)


def rows(path: Path, query: str) -> list[tuple]:
    database = sqlite3.connect(path)
    found = database.execute(query).fetchall()
    database.close()
    return found


def open_ms(bars: Bars, row: int) -> int:
    return int(bars.open_time[row].astype(np.int64)) // 10**6
