"""USDT-M perpetuals: one wallet, one-way positions, reduce-only, conditionals of the algo service, funding."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.exchange.desk import Desk
from tests.exchange.market import Market
from tests.exchange.records import ZERO, ApiError, Order, Trade, cut


class PerpDesk(Desk):
    """Perpetual markets and one cross-margin wallet. There is no liquidation engine: leverage is 1 by default."""

    duplicate = ApiError(-4116, "ClientOrderId is duplicated.")
    triggers_now = ApiError(-2021, "Order would immediately trigger.")
    takes_now = ApiError(
        -5022, "Due to the order could not be executed as maker, the Post Only order will be rejected."
    )

    def __init__(self, exchange) -> None:  # type: ignore[no-untyped-def]
        super().__init__(exchange)
        self.wallet: dict[str, Decimal] = {}
        self.size: dict[str, Decimal] = {}
        self.entry: dict[str, Decimal] = {}
        self.income: list[dict[str, Any]] = []

    def unrealised(self, market: Market) -> Decimal:
        size = self.size.get(market.name, ZERO)
        return size * (market.price - self.entry[market.name]) if size else ZERO

    def margin(self, asset: str) -> tuple[Decimal, Decimal, Decimal]:
        """Unrealised profit, margin of positions, margin of open orders, in one currency."""
        mine = [market for market in self.markets.values() if market.quote == asset]
        profit = sum((self.unrealised(market) for market in mine), ZERO)
        held = [abs(self.size.get(m.name, ZERO)) * (m.price or ZERO) / m.leverage for m in mine]
        resting = [
            order.left * order.price / order.market.leverage
            for order in self.standing
            if order.market.quote == asset and not order.algo and not order.reduce_only
        ]
        return profit, sum(held, ZERO), sum(resting, ZERO)

    def available(self, asset: str) -> Decimal:
        profit, held, resting = self.margin(asset)
        return self.wallet.get(asset, ZERO) + profit - held - resting

    def reserve(self, order: Order) -> None:
        market, size = order.market, self.size.get(order.market.name, ZERO)
        if order.algo:
            return  # looked at when it triggers
        if order.reduce_only:
            if size * order.side >= 0:
                raise ApiError(-2022, "ReduceOnly Order is rejected.")
            return
        grows = order.quantity - min(max(-size * order.side, ZERO), order.quantity) * 2
        if grows * (order.price or market.price) / market.leverage > self.available(market.quote):
            raise ApiError(-2019, "Margin is insufficient.")

    def trigger(self, order: Order) -> None:
        """The algo service sends an ordinary order, under a name of its own."""
        exchange, market = self.exchange, order.market
        order.triggered = order.updated = exchange.now
        size = self.size.get(market.name, ZERO)
        quantity = abs(size) if order.close_position else order.quantity
        kind = "LIMIT" if order.price else "MARKET"
        name = f"algo_{order.id}"
        actual = Order(exchange.next_id(), name, market, order.side, kind, quantity, exchange.now, order.price)
        actual.reduce_only = order.reduce_only or order.close_position
        try:
            order.actual = self.accept(actual)
            self.finish(order, "FINISHED")
        except ApiError:
            self.finish(order, "REJECTED")

    def fillable(self, order: Order, price: Decimal) -> Decimal:
        if not order.reduce_only:
            return order.left
        size = self.size.get(order.market.name, ZERO)
        return min(order.left, abs(size)) if size * order.side < 0 else ZERO

    def settle(self, trade: Trade, worth: Decimal, rate: Decimal) -> None:
        order, market = trade.order, trade.order.market
        name, change = market.name, order.side * trade.quantity
        size, entry = self.size.get(name, ZERO), self.entry.get(name, ZERO)
        closes = min(abs(size), trade.quantity) if size * change < 0 else ZERO
        trade.realised = cut(closes * (trade.price - entry) * (1 if size > 0 else -1))
        after = size + change
        if size * after <= 0:
            self.entry[name] = trade.price if after else ZERO
        elif abs(after) > abs(size):
            self.entry[name] = (entry * abs(size) + trade.price * trade.quantity) / abs(after)
        self.size[name] = after
        trade.fee, trade.fee_asset = cut(worth * rate), market.quote
        self.wallet[market.quote] = self.wallet.get(market.quote, ZERO) + trade.realised - trade.fee

    def pay_funding(self, market: Market, rate: float, price: Decimal) -> None:
        """Longs pay a positive rate on what they hold at the mark price."""
        size = self.size.get(market.name, ZERO)
        if size:
            paid = cut(-size * price * Decimal(repr(float(rate))))
            self.wallet[market.quote] += paid
            row = {"symbol": market.name, "incomeType": "FUNDING_FEE", "income": f"{paid:.8f}", "asset": market.quote}
            row |= {"info": "", "time": self.exchange.now, "tranId": self.exchange.next_id(), "tradeId": ""}
            self.income.append(row)
