"""The hand that trades: each order is written down, sent, and written down again; nothing is sent twice."""

from __future__ import annotations

from typing import NamedTuple

from live import schema_orders as kinds
from live.broker import (
    CANCELLED,
    REJECTED,
    BracketRequest,
    Broker,
    ExchangeFill,
    MarketTerms,
    Order,
    Refused,
    Retry,
    Unknown,
)
from live.clock import Clock
from live.exchange import ARRIVAL_NS, SEND_NS
from live.follow import Ask, Cancel, Send
from live.journal import UNSENT, Journal
from live.wanted import lots

TRIES = 3  # of an order that was turned away unread
LATE_FILLS_NS = 60 * 10**9  # fills are asked for again this long: exchanges report some late


class Seen(NamedTuple):
    """What stands at the exchange.

    Parameters
    ----------
    position : float
        Units, negative when short; on spot the whole base balance.
    strangers : tuple of Order
        Orders that are not ours.
    strange_fills : tuple of ExchangeFill
        Fills of orders that are not ours.
    """

    position: float
    strangers: tuple[Order, ...]
    strange_fills: tuple[ExchangeFill, ...]


class Hand:
    """Acts for one symbol, and keeps its journal.

    Parameters
    ----------
    broker : Broker
        The exchange.
    journal : Journal
        Where everything is written.
    terms : MarketTerms
        What orders must look like.
    clock : Clock
        Waits between tries.
    begun : int
        Fills before this time of the exchange's clock are of no concern.
    """

    def __init__(self, broker: Broker, journal: Journal, terms: MarketTerms, clock: Clock, begun: int) -> None:
        self.broker, self.journal, self.terms, self.clock, self.begun = broker, journal, terms, clock, begun
        self.symbol = terms.symbol
        self.refused = 0  # orders in a row

    def look(self) -> Seen:
        """Ask what stands, and write down what is news of our orders.

        Raises
        ------
        Retry, Refused
            From the exchange.
        """
        found = self.broker.open_orders(self.symbol)
        names = {order.client_id for order in found}
        for order in found:
            self.journal.acknowledge(order)
        for sent in [s for s in self.journal.orders.values() if s.standing and s.client_id not in names]:
            self.ask(sent.client_id)
        since = max(self.begun, self.journal.last_fill - LATE_FILLS_NS)
        strange = self.journal.record(self.broker.fills(self.symbol, since))
        for order_id in {fill.order_id for fill in strange}:  # an order of ours that arrived late, or twice
            whose = self.broker.named(self.symbol, order_id)
            if whose is not None and self.journal.knows(whose.client_id):
                self.journal.acknowledge(whose)
                strange = self.journal.record(strange)
        position = self.broker.position(self.symbol).quantity
        strangers = [o for o in found if not self.journal.knows(o.client_id) and o.order_id not in self.journal.foreign]
        return Seen(position, tuple(strangers), tuple(strange))

    def unexplained(self, seen: Seen) -> list[str]:
        """Return what stands at the exchange and does not follow from the ledger, in words."""
        terms, said = self.terms, []
        gap = seen.position - self.journal.baseline - self.journal.net
        if abs(gap) >= max(terms.lot, terms.min_quantity) * 0.5:
            said.append(
                f"{terms.base} at the exchange: {seen.position:.10g}, explained by the ledger:"
                f" {self.journal.baseline + self.journal.net:.10g}"
            )
        said += [
            f"order {o.order_id or o.client_id} ({'buy' if o.side > 0 else 'sell'} {o.quantity:.10g} at"
            f" {o.price:.10g}) is not of the ledger"
            for o in seen.strangers
        ]
        return said + [
            f"fill {f.trade_id} ({'bought' if f.side > 0 else 'sold'} {f.quantity:.10g} at {f.price:.10g}) is of order"
            f" {f.order_id}, which is not of the ledger"
            for f in seen.strange_fills
        ]

    def begin(self, seen: Seen, price: float) -> bool:
        """Set aside what was there before the bot, when it is too little to trade; return whether all is explained."""
        if not self.journal.begun and not seen.strangers and not lots(seen.position, price, self.terms):
            self.journal.adopt(seen.position, [], "there before the bot, too little to trade")
        return not self.unexplained(seen)

    def adopt(self, seen: Seen, reason: str) -> str:
        """Set aside what is not explained: from now on it is not the bot's, and left alone."""
        gap = seen.position - self.journal.baseline - self.journal.net
        self.journal.record(seen.strange_fills, ours=False)
        self.journal.adopt(gap, [order.order_id for order in seen.strangers], reason)
        said = f"left alone from now on: {gap:.10g} {self.terms.base}, {len(seen.strangers)} orders"
        self.journal.note(kinds.ADOPTED, said)
        return said

    def take_over(self, seen: Seen, price: float) -> None:
        """Make what is not explained the bot's, so that it is closed with the rest; cancel strangers' orders."""
        self.journal.record(seen.strange_fills, ours=False)
        gap = seen.position - self.journal.baseline - self.journal.net
        for order in seen.strangers:
            self.broker.cancel(self.symbol, order.client_id)
        self.journal.take_over(gap, price)

    def act(self, action: Ask | Cancel | Send) -> None:
        """Do one thing; what its answer leaves open is asked at the next look.

        Raises
        ------
        Retry
            If the exchange could not be reached at all.
        """
        if isinstance(action, Ask):
            self.ask(action.client_id)
        elif isinstance(action, Cancel):
            self._cancel(action.client_id)
        else:
            self._send(action)

    def ask(self, client_id: str) -> None:
        """Ask what became of an order; one that cannot arrive any more never will."""
        order = self.broker.order(self.symbol, client_id)
        if order is not None:
            self.journal.acknowledge(order)
        elif self.journal.now() - self.journal.orders[client_id].at > ARRIVAL_NS:
            gone = UNSENT if not self.journal.orders[client_id].order_id else CANCELLED
            self.journal.conclude(client_id, gone, "never arrived" if gone == UNSENT else "the exchange forgot it")

    def _cancel(self, client_id: str) -> None:
        self.journal.intend_cancel(client_id)
        try:
            self.broker.cancel(self.symbol, client_id)
        except Unknown:
            return  # it is seen at the next look whether it stands
        self.ask(client_id)

    def _send(self, action: Send) -> None:
        self.journal.intend(action.requests, action.legs, action.wish_time, action.list_id)
        if action.list_id:
            target, stop = action.requests
            self._sent(action, lambda: self.broker.send_bracket(BracketRequest(action.list_id, target, stop)))
            return
        for request in reversed(action.requests):  # the stop first: it protects
            alone = Send((request,), (), action.wish_time)
            self._sent(alone, lambda request=request: (self.broker.send(request),))

    def _sent(self, action: Send, send) -> None:  # type: ignore[no-untyped-def]
        """Send, and write down the answer; one that was turned away unread is sent again under the same name."""
        why, last = "the order before it took too long", self.journal.orders[action.requests[0].client_id].at + SEND_NS
        for _ in range(TRIES):
            if self.journal.now() > last:  # it could arrive after `ask` has given it up
                break
            try:
                for order in send():
                    self.journal.acknowledge(order)
                self.refused = 0
                return
            except Unknown:
                return
            except Refused as no:
                self._turned_down(action, REJECTED, str(no))
                return
            except Retry as later:
                why = str(later)
                self.clock.sleep(min(max(later.wait_s, 0.2), 5.0))
        self._turned_down(action, UNSENT, why)

    def _turned_down(self, action: Send, status: str, why: str) -> None:
        self.refused += 1
        for request in action.requests:
            self.journal.conclude(request.client_id, status, why)
        leg = self.journal.orders[action.requests[-1].client_id].leg
        self.journal.note(kinds.REFUSED, f"{leg} of {self.symbol}: {why}")
