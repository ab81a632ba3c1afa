"""A whole bot at the loopback exchange, and everything that can befall it: what the fault schedules are played in."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import TradingError
from engine.rules import Rules
from engine.synthetic import random_bars
from live.account import AccountBook
from live.bot import Bot
from live.candles import Candles
from live.desk import Desk, Office
from live.exchange import Exchange as Broker
from live.follow import Manner
from live.hand import Hand
from live.journal import Journal
from live.keys import Keys
from live.ledger import Ledger
from live.limits import Limits
from live.runner import Account, ExchangeTime, Runner
from live.start import _begun
from tests.exchange.fixtures import serving
from tests.exchange.venue import KEY, SECRET, Exchange
from tests.exchange.wire import Killed, connect
from tests.live_desk import Momentum, identity

RULES = Rules(k_up=1.0, k_down=1.0, hold=3, exposure=0.9)
POLL_S = 15.0
STEP_MS = 5_000  # the longest the clock goes on between two turns
STRATEGY = Momentum(least=0.3)
MARKET = replace(random_bars(60, seed=29, timeframe="1m"), symbol="BTCUSDT")
FIRST = 20


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

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def now(self) -> int:
        return self.exchange.client_clock() * 10**6

    def sleep(self, seconds: float) -> None:
        self.exchange.advance(max(int(seconds * 1000), 1))


class World:
    """An exchange, a folder of ledgers, and a bot that lives and dies between them."""

    def __init__(self, folder: Path, exchange: Exchange, symbol: str = "spot", row: int = FIRST) -> None:
        self.folder, self.exchange, self.perpetual = folder, exchange, symbol != "spot"
        self.desk = exchange.perp if self.perpetual else exchange.spot
        self.clock, self.told = WorldClock(exchange), []  # type: ignore[var-annotated]
        self.at_wire: Callable[[int, str, str], None] | None = None
        self.at_file: Callable[[str, str], None] | None = None
        self.runner: Runner | None = None
        self.starts = self.disturbed = 0
        self.naked_since: int | None = None
        self.down_until = self.blind_until = 0  # the process is down; its clock was changed and it cannot know yet
        self.limits = Limits(max_exposure=1.0, max_day_loss=0.5, max_drawdown=0.5)
        exchange.load(MARKET, perpetual=self.perpetual)
        exchange.deposit(10_000, perpetual=self.perpetual)
        exchange.advance_to(MARKET.open_time[row] + np.timedelta64(5, "s"))
        self.first = row - 1
        self._closing = ExitStack()

    @property
    def size(self) -> float:
        """What the exchange says is held."""
        return float(self.exchange.perp.size.get("BTCUSDT", 0) if self.perpetual else self.exchange.spot.total("BTC"))

    def start(self) -> Runner:
        """Start the bot, as `live.start` does, with a strategy that needs no bundle."""
        self._closing.close()
        broker = self._broker()
        time = ExchangeTime(broker, self.clock)
        time.ask()
        book = self._kept(AccountBook(self.folder, time.now))
        terms = broker.terms("BTCUSDT")
        office = Office(book, time.now, self.limits, Manner(), int(POLL_S * 1e9), lambda *said: self.told.append(said))
        who = identity(MARKET, RULES, self.first, mode="testnet")
        ledger = self._kept(Ledger(self.folder / "BTCUSDT.db", who, power_safe=False))
        ledger.file._database = CutDatabase(ledger.file._database, self._cut_file)  # the wire to the disk
        candles = Candles(broker, "BTCUSDT", MARKET.timeframe_ns, STRATEGY.memory, ledger.seen(STRATEGY.memory))
        journal = Journal(ledger.file, "" if terms.perpetual else terms.base, office.now)
        hand = Hand(broker, journal, terms, self.clock, _begun(ledger, office))
        account = Account(broker, terms.quote, terms.perpetual)
        desk = Desk(Bot(STRATEGY, RULES, ledger), candles, office, journal, hand, lambda *_: 0.0)
        desk.units = lambda desk, price: account.units([desk], desk, price, self.limits.max_exposure)
        self.runner, self.starts = Runner([desk], office, time, account), self.starts + 1
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

    def up(self) -> None:
        """Start until it works; what breaks meanwhile is one more death."""
        for _ in range(20):
            try:
                self.start()
                return
            except (Killed, TradingError):
                self.kill()
                self.disturb()
                self.exchange.advance(3000)
        raise AssertionError("the bot did not start in twenty tries")

    def disturb(self) -> None:
        """Something was wrong just now: the time without protection is counted anew."""
        self.disturbed += 1
        self.naked_since = None

    def turn(self) -> None:
        """One turn of the bot, and the time until the next."""
        struck = len(self.exchange.faults.struck)
        if self.exchange.now < self.down_until:
            self.kill()
            self.disturb()
            self.exchange.advance(min(self.down_until - self.exchange.now, 20_000))
            return
        try:
            if self.runner is None:
                self.up()
            assert self.runner is not None
            self.runner.turn()
            if self.runner.failed:
                raise self.runner_failed()
        except (Killed, TradingError):
            self.kill()
            self.disturb()
        if len(self.exchange.faults.struck) > struck or self.exchange.now < self.blind_until:
            self.disturb()
        self.watch()
        self.exchange.advance(self._pause())

    def runner_failed(self) -> TradingError:
        assert self.runner is not None
        return TradingError(self.runner.failed[0].failed)

    def _pause(self) -> int:
        if self.runner is None:
            return 2000
        return max(min(int(self.runner.due_in() * 1000), STEP_MS), 500)

    def live_until(self, time: Any, before: Callable[[], None] = lambda: None) -> None:
        """Take turns until a time."""
        end = int(np.datetime64(time, "ms").astype(np.int64))
        while self.exchange.now < end:
            before()
            self.turn()

    def watch(self) -> None:
        """The laws that hold at every moment."""
        market, now = self.desk.markets["BTCUSDT"], self.exchange.now
        stops = sum(
            float(order.left)
            for order in self.desk.standing
            if order.waits and order.side * self.size < 0 and order.kind.startswith("STOP")
        )
        naked = abs(self.size) * float(market.price or 0) >= 6.0 and stops < abs(self.size) * 0.99
        if not naked:
            self.naked_since = None
        elif self.naked_since is None:
            self.naked_since = now
        else:
            waited = (now - self.naked_since) / 1000
            assert waited <= POLL_S + 10, f"{self.size} BTC had no protective order for {waited:.0f} s"
        names = [order.client_id for order in self.desk.orders if not order.client_id.startswith("algo_")]
        assert len(names) == len(set(names)), "an order was sent twice"
        worth = self.worth()
        assert abs(self.size) * float(market.price or 0) <= self.limits.max_exposure * worth * 1.02, "too much exposure"

    def worth(self) -> float:
        """What the account is worth at the exchange."""
        price = float(self.desk.markets["BTCUSDT"].price or 0)
        if self.perpetual:
            profit = sum(map(float, self.exchange.perp.margin("USDT")[:1]))
            return float(self.exchange.perp.wallet["USDT"]) + profit
        return float(self.exchange.spot.total("USDT")) + self.size * price

    def rows(self, query: str, file: str = "BTCUSDT.db") -> list[tuple[Any, ...]]:
        """What a query finds in a ledger."""
        database = sqlite3.connect(self.folder / file)
        try:
            return database.execute(query).fetchall()
        finally:
            database.close()

    def check(self) -> None:
        """The laws that hold once all is quiet: the account is the ledger, bars were decided once."""
        assert self.runner is not None
        journal = self.runner.desks[0].journal
        assert abs(journal.net + journal.baseline - self.size) < 1e-7, (journal.net, self.size)
        written = {int(row[0]) for row in self.rows("SELECT trade_id FROM exchange_fills")}
        assert written == {trade.id for trade in self.desk.trades}, "the ledger's fills are not the exchange's"
        known = {row[0] for row in self.rows("SELECT client_id FROM intents")}
        assert {order.client_id for order in self.desk.standing} <= known
        last = self.rows("SELECT client_id, status FROM acks ORDER BY number")
        said = {name for name, status in dict(last).items() if status == "open"}
        assert said == {order.client_id for order in self.desk.standing}
        decided = [row[0] for row in self.rows("SELECT open_time FROM decisions ORDER BY open_time")]
        opened, closed = MARKET.open_time.view(np.int64), MARKET.close_time.view(np.int64)
        due = (opened >= opened[self.first]) & (closed <= self.exchange.now * 10**6)
        assert decided == opened[due].tolist()
        entered = self.rows(
            "SELECT wish_time, count(DISTINCT client_id) FROM exchange_fills WHERE leg LIKE 'entry%' GROUP BY 1"
        )
        assert all(count == 1 for _, count in entered), "a wish was entered twice"


@contextmanager
def world(folder: Path, symbol: str = "spot", row: int = FIRST, served: bool = False):  # type: ignore[no-untyped-def]
    """A world for one schedule; ``served`` over real sockets."""
    with serving() if served else nullcontext(Exchange()) as exchange:
        made = World(folder, exchange, symbol, row)
        try:
            yield made
        finally:
            made.kill()
