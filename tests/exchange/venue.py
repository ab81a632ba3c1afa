"""The exchange: its clock, markets, accounts and faults. Tests hold this object; ccxt talks to its server."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from operator import itemgetter
from typing import Any

import numpy as np

from engine.bars import Bars
from tests.exchange.desk import Desk
from tests.exchange.faults import Faults
from tests.exchange.market import Market, milliseconds
from tests.exchange.perp_desk import PerpDesk
from tests.exchange.records import Order, Terms, Trade
from tests.exchange.spot_desk import SpotDesk

KEY, SECRET = "loopback-key", "loopback-secret"
QUOTES = ("USDT", "USDC", "FDUSD", "BTC", "BNB", "EUR")


class Exchange:
    """One account at one exchange with a clock that a test moves; see the package's page."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.now = 0  # ms since 1970
        self.skew = 0  # ms that clients' clocks are behind the exchange's
        self.faults = Faults()
        self.spot, self.perp = SpotDesk(self), PerpDesk(self)
        self.requests: list[tuple[str, str, dict[str, str], int]] = []  # method, path, parameters, status answered
        self.listeners: list[Any] = []
        self.witness: Any = None  # hears every request before it is done, and every answer: see `laws.Witness`
        self.before: tuple[SpotDesk, PerpDesk] | None = None  # as it was before the last order or cancel
        self.before_at = 0
        self.pending: list[tuple[int, Callable[[], Any]]] = []  # requests that are still on their way
        self.url = ""  # of its server; without one, `tests.exchange.wire` asks it directly
        self.weight: dict[int, int] = {}
        self._ids = 1000

    def next_id(self) -> int:
        self._ids += 1
        return self._ids

    def load(self, bars: Bars, perpetual: bool = False, terms: Terms | None = None, **changes: Any) -> Market:
        """List a market, or add a timeframe to one; the clock starts at the first bar's open.

        ``changes`` are fields of `Terms`. The finest timeframe is what prices walk through.
        """
        desk: Desk = self.perp if perpetual else self.spot
        name = bars.symbol
        quote = next(quote for quote in QUOTES if name.endswith(quote))
        with self.lock:
            market = desk.markets.get(name)
            if market is None:
                made = replace(terms or Terms(), **changes)
                market = desk.markets[name] = Market(name, name.removesuffix(quote), quote, perpetual, made)
            market.series[bars.timeframe] = bars
            market.step, market.price = 0, None
            self.now = self.now or milliseconds(bars.open_time[0])
            market.skip_to(self.now)
        return market

    def deposit(self, amount: float | str, asset: str = "USDT", perpetual: bool = False) -> None:
        """Put money into the account."""
        with self.lock:
            purse = self.perp.wallet if perpetual else self.spot.free
            purse[asset] = purse.get(asset, Decimal(0)) + Decimal(str(amount))

    def pay_funding(self, symbol: str, times: Any, rates: Any) -> None:
        """Set the funding rates of a perpetual: times and fractions of the notional."""
        rows = sorted(zip((milliseconds(time) for time in times), map(float, rates), strict=True))
        self.perp.markets[symbol].funding = rows

    def advance_to(self, time: Any) -> None:
        """Move the clock (datetime64, or ms since 1970) and let all that happens meanwhile happen, in order."""
        until = milliseconds(time)
        with self.lock:
            if until < self.now:
                raise ValueError(f"the clock only goes forward: {until} is before {self.now}")
            while late := min((each for each in self.pending if each[0] <= until), key=itemgetter(0), default=None):
                self.pending.remove(late)
                self._walk(late[0])
                late[1]()
            self._walk(until)

    def _walk(self, until: int) -> None:
        while step := self._next(until):
            desk, market = step
            self.now = max(market.due(), self.now)
            price, jump = market.next_price()
            self._fund(market, price if jump else market.price)
            desk.move(market, price, jump)
        self.now = max(until, self.now)

    def advance(self, ms: int) -> None:
        """Move the clock by some milliseconds."""
        self.advance_to(self.now + ms)

    def _next(self, until: int) -> tuple[Desk, Market] | None:
        due = [(m.due(), id(m), desk, m) for desk in (self.spot, self.perp) for m in desk.markets.values()]
        if not self.spot.standing and not self.perp.standing and not any(self.perp.size.values()):
            for _, _, _, market in due:
                market.skip_to(until)
                market.funded = sum(time <= until for time, _ in market.funding)  # nobody owes any
            return None
        soonest = min(due, key=lambda each: each[:2], default=None)
        return soonest[2:] if soonest and soonest[0] <= until else None

    def _fund(self, market: Market, price: Decimal | None) -> None:
        while market.funded < len(market.funding) and market.funding[market.funded][0] <= self.now:
            time, rate = market.funding[market.funded]
            if price is not None and time > self.now - market.bars.timeframe_ns // 10**6:
                self.perp.pay_funding(market, rate, price)
            market.funded += 1

    def revise(self, symbol: str, opened: Any, row: tuple[float, ...] | None, **when: Any) -> None:
        """Let klines show another version (open, high, low, close, volume) of a bar, or (None) not show it.

        ``start`` and ``end`` are the exchange times between which it is shown so; ``perpetual`` which market.
        """
        desk: Desk = self.perp if when.pop("perpetual", False) else self.spot
        start, end = when.get("start", 0), when.get("end", np.datetime64("2100-01-01"))
        desk.markets[symbol].versions.append((milliseconds(opened), milliseconds(start), milliseconds(end), row))

    def remember(self) -> None:
        """Keep the accounts as they are, for a stale answer."""
        if any(fault.kind == "stale" for fault in self.faults.planned):
            memo: dict[int, Any] = {id(self): self}
            self.before, self.before_at = copy.deepcopy((self.spot, self.perp), memo), self.now

    def tell(self, desk: Desk, order: Order, kind: str, trade: Trade | None = None) -> None:
        """Let user streams know: kind is NEW, TRADE, CANCELED, EXPIRED, REJECTED or FINISHED."""
        for listener in self.listeners:
            listener(desk, order, kind, trade)

    def client_clock(self) -> int:
        """What a client's own clock shows, in ms."""
        return self.now - self.skew
