"""Spot: balances, money set aside, one-cancels-the-other."""

from __future__ import annotations

from decimal import Decimal

from tests.exchange.desk import Desk
from tests.exchange.records import ZERO, ApiError, Lock, Order, Trade, cut

POOR = ApiError(-2010, "Account has insufficient balance for requested action.")


class SpotDesk(Desk):
    """Spot markets and the balances of one account; ``free`` and ``locked`` by currency."""

    def __init__(self, exchange) -> None:  # type: ignore[no-untyped-def]
        super().__init__(exchange)
        self.free: dict[str, Decimal] = {}
        self.locked: dict[str, Decimal] = {}
        self.lists: dict[int, tuple[str, list[Order]]] = {}
        self.bnb_price: Decimal | None = None  # set: fees are paid in BNB while there is some

    def total(self, asset: str) -> Decimal:
        return self.free.get(asset, ZERO) + self.locked.get(asset, ZERO)

    def reserve(self, order: Order) -> None:
        market = order.market
        if order.kind == "MARKET":
            needed = order.quantity * (market.price if order.side > 0 else 1)
            if self.free.get(market.quote if order.side > 0 else market.base, ZERO) < needed:
                raise POOR
            return
        if order.twin is not None and order.twin.lock is not None:  # an OCO sets aside once
            order.lock = order.twin.lock
            return
        rate = max(order.price, order.trigger) if order.side > 0 else Decimal(1)
        self._set_aside(order, rate)

    def _set_aside(self, order: Order, rate: Decimal) -> None:
        asset = order.market.quote if order.side > 0 else order.market.base
        needed = order.quantity * rate
        if self.free.get(asset, ZERO) < needed:
            raise POOR
        order.lock = Lock(asset, needed, rate)
        self._move(order.lock, -needed)

    def accept_pair(self, above: Order, below: Order) -> None:
        """Take the two legs of an OCO, or neither."""
        price = above.market.price
        if price is None or not above.level[0] > price > below.level[0]:
            raise ApiError(-2010, "The relationship of the prices for the orders is not correct.")
        above.twin, below.twin = below, above
        highest = max(above.price, above.trigger, below.price, below.trigger)
        below.market.check(below, below.price or below.trigger)
        if any(each.client_id in (above.client_id, below.client_id) for each in self.standing):
            raise self.duplicate
        self._set_aside(above, highest if above.side > 0 else Decimal(1))
        lock, above.lock = above.lock, None
        below.lock = lock  # `reserve` finds it at the twin
        try:
            self.accept(above)
        except ApiError:
            self.release(lock, None)
            raise
        self.accept(below)

    def _move(self, lock: Lock, freed: Decimal) -> None:
        self.free[lock.asset] = self.free.get(lock.asset, ZERO) + freed
        self.locked[lock.asset] = self.locked.get(lock.asset, ZERO) - freed

    def release(self, lock: Lock | None, quantity: Decimal | None) -> None:
        if lock is not None:
            freed = lock.amount if quantity is None else min(quantity * lock.rate, lock.amount)
            lock.amount -= freed
            self._move(lock, freed)

    def fillable(self, order: Order, price: Decimal) -> Decimal:
        lock, market = order.lock, order.market
        asset = market.quote if order.side > 0 else market.base
        money = self.free.get(asset, ZERO) + (lock.amount if lock else ZERO)
        return order.left if money >= order.left * (price if order.side > 0 else 1) else ZERO

    def settle(self, trade: Trade, worth: Decimal, rate: Decimal) -> None:
        order, market = trade.order, trade.order.market
        self.release(order.lock, trade.quantity)
        got, gained = (market.base, trade.quantity) if order.side > 0 else (market.quote, worth)
        gave, paid = (market.quote, worth) if order.side > 0 else (market.base, trade.quantity)
        trade.fee, trade.fee_asset = cut(gained * rate), got
        if self.bnb_price is not None and self.free.get("BNB", ZERO) >= (bnb := cut(worth * rate / self.bnb_price)):
            trade.fee, trade.fee_asset = bnb, "BNB"
        for asset, change in ((got, gained), (gave, -paid), (trade.fee_asset, -trade.fee)):
            self.free[asset] = self.free.get(asset, ZERO) + change
