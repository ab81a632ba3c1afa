"""Matching: what stands, what a moving price does to it, and what fills. One desk for spot, one for perpetuals."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests.exchange.market import Market
from tests.exchange.records import ZERO, ApiError, Lock, Order, Trade, cut

if TYPE_CHECKING:
    from tests.exchange.venue import Exchange


class Desk:
    """Orders and trades of one venue; `SpotDesk` and `PerpDesk` say what money moves."""

    duplicate = ApiError(-2010, "Duplicate order sent.")
    triggers_now = ApiError(-2010, "Stop price would trigger immediately.")
    takes_now = ApiError(-2010, "Order would immediately match and take.")

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.markets: dict[str, Market] = {}
        self.orders: list[Order] = []  # every order ever taken, oldest first
        self.standing: list[Order] = []
        self.trades: list[Trade] = []

    def market(self, name: str | None) -> Market:
        if name not in self.markets:
            raise ApiError(-1121, "Invalid symbol.")
        return self.markets[name]

    def open_orders(self, market: Market | None = None, algo: bool = False) -> list[Order]:
        mine = (order for order in self.standing if market is None or order.market is market)
        return [order for order in mine if order.algo == algo]

    def find(self, market: Market, order_id: Any, client_id: Any, algo: bool = False) -> Order:
        """An order by either of its names, the newest of a name given twice."""
        for order in reversed(self.orders):
            if order.market is market and order.algo == algo:
                same_id = order_id is not None and order.id == int(order_id)
                if same_id or (order_id is None and order.client_id == client_id):
                    return order
        raise ApiError(-2013, "Order does not exist.")

    def accept(self, order: Order) -> Order:
        """Check an order, set its money aside, and let it trade what it can at once."""
        market = order.market
        if market.price is None:
            raise ApiError(-1013, "Market is closed.")
        if any(each.client_id == order.client_id and each.algo == order.algo for each in self.standing):
            raise self.duplicate
        market.check(order, order.price or order.trigger or market.price)
        crosses = _reached(order, market.price)
        if order.waits and crosses:
            raise self.triggers_now
        if crosses and (order.kind == "LIMIT_MAKER" or order.tif == "GTX"):
            raise self.takes_now
        self.reserve(order)
        self.orders.append(order)
        self.standing.append(order)
        self.exchange.tell(self, order, "NEW")
        if order.kind == "MARKET":
            self._take(order)
        elif not order.waits and crosses:
            self._fill(order, market.price, maker=False)
        if order.standing and order.tif in ("IOC", "FOK"):
            self.finish(order, "EXPIRED")
        return order

    def cancel(self, order: Order) -> None:
        """Take back an order, and the other leg of its OCO."""
        if not order.standing:
            raise ApiError(-2011, "Unknown order sent.")
        for leg in (order, order.twin):
            if leg is not None and leg.standing:
                self.finish(leg, "CANCELED")

    def move(self, market: Market, price: Decimal, jump: bool) -> None:
        """Let the price go to another, at once or through all between, and do what is touched, in its order."""
        for order in self.standing:
            order.paused = False
        if jump:
            market.price = price
        while touched := self._touched(market, price):
            if not _reached(touched, market.price):
                market.price = touched.level[0]
            self._touch(touched, jump)
        market.price = price

    def _touched(self, market: Market, price: Decimal) -> Order | None:
        """The order nearest to the price now that a way to another price touches."""
        near: tuple[Decimal, int] | None = None
        found = None
        for order in self.standing:
            if order.market is not market or order.paused or not _reached(order, price):
                continue
            far = (abs(order.level[0] - market.price), order.id)
            if near is None or far < near:
                near, found = far, order
        return found

    def _touch(self, order: Order, jump: bool) -> None:
        if order.waits:
            self.trigger(order)
        else:
            better = order.market.terms.gap_improves_limit or not jump
            self._fill(order, order.market.price if better else order.price, maker=True)

    def trigger(self, order: Order) -> None:
        """A conditional becomes a market or a limit order."""
        order.triggered = order.updated = self.exchange.now
        if order.twin is not None and order.twin.standing:
            self.finish(order.twin, "EXPIRED")
        if not order.price:
            self._take(order)
        elif _reached(order, order.market.price):
            self._fill(order, order.market.price, maker=False)

    def _take(self, order: Order) -> None:
        market = order.market
        self._fill(order, market.price * (1 + order.side * market.terms.slippage), maker=False)
        if order.standing:  # nobody was left to trade with
            self.finish(order, "EXPIRED")

    def _fill(self, order: Order, price: Decimal, maker: bool) -> None:
        quantity = self.fillable(order, price)
        if quantity <= 0:
            self.finish(order, "EXPIRED")
            return
        share = self.exchange.faults.share()
        if share < 1:
            quantity = max((quantity * share) // order.market.terms.lot * order.market.terms.lot, ZERO)
            order.paused = True
        if quantity:
            self._trade(order, quantity, price, maker)

    def _trade(self, order: Order, quantity: Decimal, price: Decimal, maker: bool) -> None:
        market, now = order.market, self.exchange.now
        if order.twin is not None and order.twin.standing:  # of an OCO, the first fill ends the other leg
            self.finish(order.twin, "EXPIRED")
        rate = market.terms.maker if maker else market.terms.taker
        trade = Trade(self.exchange.next_id(), order, quantity, price, ZERO, "", maker, now)
        self.settle(trade, cut(quantity * price), rate)
        order.filled, order.spent, order.updated = order.filled + quantity, order.spent + cut(quantity * price), now
        order.fills.append(trade)
        self.trades.append(trade)
        if order.left == 0:
            self.finish(order, "FILLED", trade)
        else:
            order.status = "PARTIALLY_FILLED"
            self.exchange.tell(self, order, "TRADE", trade)

    def finish(self, order: Order, status: str, trade: Trade | None = None) -> None:
        """An order does not stand any more: what was set aside is free again."""
        order.status, order.updated = status, self.exchange.now
        self.standing.remove(order)
        if order.twin is None or not order.twin.standing:
            self.release(order.lock, None)
        self.exchange.tell(self, order, "TRADE" if trade else status, trade)

    def reserve(self, order: Order) -> None:
        raise NotImplementedError

    def release(self, lock: Lock | None, quantity: Decimal | None) -> None:
        """Free what was set aside: for a quantity, or (None) all."""

    def fillable(self, order: Order, price: Decimal) -> Decimal:
        """How much of an order can be paid."""
        raise NotImplementedError

    def settle(self, trade: Trade, worth: Decimal, rate: Decimal) -> None:
        """Move the money of a trade and write its fee."""
        raise NotImplementedError


def _reached(order: Order, price: Decimal) -> bool:
    """Whether something happens to an order at a price."""
    level, falls = order.level
    return level > 0 and (price <= level if falls else price >= level)
