"""A whole bot at the loopback exchange, and the laws it must keep whatever befalls it: what fault schedules play in."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import TradingError
from live.account import AccountBook
from tests.exchange.fixtures import serving
from tests.exchange.laws import Witness
from tests.exchange.trader import FIRST, MARKET, MARKETS, POLL_S, Trader
from tests.exchange.venue import Exchange
from tests.exchange.wire import Killed

STEP_MS = 5_000  # the longest the clock goes on between two turns


class World(Trader):
    """An exchange with one market and 10,000 USDT, a bot, and the laws that hold between them."""

    def __init__(self, folder: Path, exchange: Exchange, venue: str = "spot", market: str = "rising") -> None:
        super().__init__(folder, exchange, venue)
        self.desk = exchange.perp if self.perpetual else exchange.spot
        self.naked_since: int | None = None
        self.deaths = self.deaths_in_flight = 0
        self.down_until = self.blind_until = 0  # the process is down; its clock was changed and it cannot know yet
        self.hidden: set[int] = set()  # bars that the exchange did not show when they closed
        self.bars = MARKETS[venue, market]
        exchange.load(self.bars, perpetual=self.perpetual)
        exchange.deposit(10_000, perpetual=self.perpetual)
        exchange.advance_to(MARKET.open_time[FIRST] + np.timedelta64(5, "s"))
        self.witness = exchange.witness = Witness(self)

    @property
    def size(self) -> float:
        """What the exchange says is held."""
        return float(self.exchange.perp.size.get("BTCUSDT", 0) if self.perpetual else self.exchange.spot.total("BTC"))

    def up(self) -> None:
        """Start until it works; what breaks meanwhile is one more death."""
        for _ in range(20):
            self.witness.anew()
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
        self.naked_since = None

    def turn(self) -> None:
        """One turn of the bot, and the time until the next."""
        self.witness.begin_turn()
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
            self.deaths += 1
            self.deaths_in_flight += self._in_flight()
            self.kill()
            self.disturb()
        if len(self.exchange.faults.struck) > struck or self.exchange.now < self.blind_until:
            self.disturb()
        self.watch()
        self.exchange.advance(self._pause())

    def told_by_a_person(self, command: str) -> None:
        """Write down a command, as another process does."""
        book = AccountBook(self.folder, self.clock.now)
        book.ask("", command, "a person said so")
        book.close()
        if command == "resume":
            self.witness.resumed()

    def _in_flight(self) -> bool:
        """Whether an order was on its way."""
        return self.runner is not None and any(
            o.status == "intended" for o in self.runner.desks[0].journal.orders.values()
        )

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
        if self.witness.breach:
            raise self.witness.breach
        market, now = self.desk.markets["BTCUSDT"], self.exchange.now
        stops = sum(
            float(order.left)
            for order in self.desk.standing
            if order.waits and order.side * self.size < 0 and order.kind.startswith("STOP")
        )
        naked = abs(self.size) * float(market.price or 0) >= 6.0 and stops < abs(self.size) * 0.99
        if not naked or self.witness.silent:
            self.naked_since = None
        elif self.naked_since is None:
            self.naked_since = now
        else:
            waited = (now - max(self.naked_since, self.witness.unanswered)) / 1000  # only while the exchange answers
            assert waited <= POLL_S + 10, f"{self.size} BTC had no protective order for {waited:.0f} s"
        names = [order.client_id for order in self.desk.orders if not order.client_id.startswith("algo_")]
        assert len(names) == len(set(names)), "an order was sent twice"

    def worth(self) -> float:
        """What the account is worth at the exchange."""
        price = float(self.desk.markets["BTCUSDT"].price or 0)
        if self.perpetual:
            profit = sum(map(float, self.exchange.perp.margin("USDT")[:1]))
            return float(self.exchange.perp.wallet["USDT"]) + profit
        return float(self.exchange.spot.total("USDT")) + self.size * price

    def rows(self, query: str, file: str = "BTCUSDT.db") -> list[tuple[Any, ...]]:
        """What a query finds in a ledger; nothing before the bot was there."""
        if not (self.folder / file).exists():
            return []
        database = sqlite3.connect(self.folder / file)
        try:
            begun = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            return database.execute(query).fetchall() if begun else []
        finally:
            database.close()

    def check(self) -> None:
        """The laws that hold once all is quiet: the account is the ledger, bars were decided once."""
        assert self.runner is not None
        self.runner.desks[0].next_look = 0  # it looks now: what was filled since the last poll cannot be known
        self.runner.turn()
        journal = self.runner.desks[0].journal
        assert abs(journal.net + journal.baseline - self.size) < 1e-7, (journal.net, self.size)
        assert not self.rows("SELECT 1 FROM states WHERE cause = 'unexplained'", "account.db"), (
            "nothing is strange here"
        )
        written = {int(row[0]) for row in self.rows("SELECT trade_id FROM exchange_fills")}
        assert written == {trade.id for trade in self.desk.trades}, "the ledger's fills are not the exchange's"
        known = {row[0] for row in self.rows("SELECT client_id FROM intents")}
        assert {order.client_id for order in self.desk.standing} <= known
        last = self.rows("SELECT client_id, status FROM acks ORDER BY number")
        said = {name for name, status in dict(last).items() if status == "open"}
        assert said == {order.client_id for order in self.desk.standing}
        decided = [row[0] for row in self.rows("SELECT open_time FROM decisions ORDER BY open_time")]
        opened, closed = MARKET.open_time.view(np.int64), MARKET.close_time.view(np.int64)
        due = (opened >= opened[FIRST - 1]) & (closed <= self.exchange.now * 10**6)
        gaps = {time for time in opened[due].tolist() if time not in decided}
        assert decided == sorted(set(opened[due].tolist()) - gaps), "bars were not decided on in order, once each"
        assert gaps <= self.hidden, "a bar was passed over"
        entered = self.rows(
            "SELECT wish_time, count(DISTINCT client_id) FROM exchange_fills WHERE leg LIKE 'entry%' GROUP BY 1"
        )
        assert all(count == 1 for _, count in entered), "a wish was entered twice"


@contextmanager
def world(folder: Path, venue: str = "spot", market: str = "rising", served: bool = False):  # type: ignore[no-untyped-def]
    """A world for one schedule; ``served`` over real sockets."""
    with serving() if served else nullcontext(Exchange()) as exchange:
        made = World(folder, exchange, venue, market)
        try:
            yield made
        finally:
            made.kill()
