"""What the bot sent to the exchange and what came back: written before and after, and read again at every start."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from live.append_only import AppendOnly
from live.broker import OPEN, ExchangeFill, Order, OrderRequest

INTENDED, UNSENT = "intended", "unsent"  # written down and not yet answered; known never to have arrived
ENTRY, TARGET, STOP = "entry", "target", "stop"
DUST = 1e-10  # exchanges keep eight decimals; sums of them are that exact


class Sent(NamedTuple):
    """An order of ours, as far as the ledger knows.

    Parameters
    ----------
    client_id, leg : str
        Its name, and what it is for: ``entry``, ``target``, ``stop``, or why the position is left; a second one of
        the same trade is ``stop.1``.
    wish_time : int
        The trade it belongs to.
    side, quantity, kind, price
        As sent.
    at : int
        When it was written down, by our clock.
    list_id : str
        Of the OCO it is half of; empty otherwise.
    order_id, status : str
        The exchange's name, and ``intended``, ``unsent`` or one of `live.broker.STATUSES`.
    filled : float
        Units of the fills in the ledger.
    """

    client_id: str
    leg: str
    wish_time: int
    side: int
    quantity: float
    kind: str
    price: float
    at: int
    list_id: str = ""
    order_id: str = ""
    status: str = INTENDED
    filled: float = 0.0

    @property
    def purpose(self) -> str:
        """The leg without its number."""
        return self.leg.split(".")[0]

    @property
    def standing(self) -> bool:
        """Whether it may still be filled, as far as is known."""
        return self.status in (INTENDED, OPEN)

    @property
    def remaining(self) -> float:
        """Units not filled."""
        return self.quantity - self.filled


class Journal:
    """The orders' side of a ledger; a few orders are kept in memory, all are in the file.

    Parameters
    ----------
    file : AppendOnly
        The symbol's ledger.
    base : str
        The currency that is traded: fees paid in it make the position smaller. Empty for a perpetual.
    now : callable
        Our clock, in nanoseconds since 1970.
    """

    def __init__(self, file: AppendOnly, base: str, now: Callable[[], int]) -> None:
        self.file, self.base, self.now = file, base, now
        self.orders: dict[str, Sent] = {}
        self.net = self.baseline = 0.0
        self.foreign: set[str] = set()
        self.last_fill = 0
        self._trades: set[str] = set()
        self._noted: set[tuple[str, int]] = set()
        self._read()

    @property
    def begun(self) -> bool:
        """Whether somebody said, or the bot saw at its first start, what was not the bot's."""
        return bool(self.file.select("SELECT 1 FROM adoptions LIMIT 1"))

    @property
    def at_stake(self) -> float:
        """Units held, and those of entries that may still be filled."""
        entries = (order for order in self.orders.values() if order.purpose == ENTRY and order.standing)
        return abs(self.net) + sum(order.remaining for order in entries)

    def intend(self, requests: Sequence[OrderRequest], legs: Sequence[str], wish_time: int, list_id: str = "") -> None:
        """Write down orders that are about to be sent."""
        at = self.now()
        for request, leg in zip(requests, legs, strict=True):
            self.orders[request.client_id] = Sent(
                *(request.client_id, leg, wish_time, request.side, request.quantity, request.kind, request.price),
                *(at, list_id),
            )
        rows = [self._intent("send", r.client_id, r.reduce_only) for r in requests]
        self.file.add("intents", *rows)

    def intend_cancel(self, client_id: str) -> None:
        """Write down that an order is about to be cancelled."""
        self.file.add("intents", self._intent("cancel", client_id, False))

    def acknowledge(self, order: Order) -> None:
        """Write down what the exchange says of an order of ours, if it is news."""
        known = self.orders.get(order.client_id) or self._recall(order.client_id)
        if known is None or (known.status, known.order_id) == (order.status, order.order_id or known.order_id):
            return
        self.conclude(order.client_id, order.status, "", order)

    def conclude(self, client_id: str, status: str, message: str = "", order: Order | None = None) -> None:
        """Write down how an order stands."""
        known = self.orders[client_id]
        order_id = order.order_id if order is not None and order.order_id else known.order_id
        filled, average = (order.filled, order.average) if order is not None else (known.filled, 0.0)
        self.file.add("acks", (None, self.now(), client_id, order_id, status, filled, average, message))
        self.orders[client_id] = known._replace(order_id=order_id, status=status)

    def sent_again(self, client_id: str, why: str) -> None:
        """Write down that an order is about to be sent once more: from now on it may arrive."""
        at = self.now()
        self.file.add("acks", (None, at, client_id, "", INTENDED, 0.0, 0.0, why))
        self.orders[client_id] = self.orders[client_id]._replace(at=at)

    def record(self, fills: Iterable[ExchangeFill], ours: bool = True) -> list[ExchangeFill]:
        """Write down fills not yet known; return those whose order is not ours (``ours=False`` writes them too)."""
        by_order = {sent.order_id: sent for sent in self.orders.values() if sent.order_id}
        strange = []
        for fill in fills:
            if fill.trade_id in self._trades:
                continue
            sent = by_order.get(fill.order_id)
            if sent is None and ours:
                strange.append(fill)
                continue
            who = ("", "", None) if sent is None else (sent.client_id, sent.leg, sent.wish_time)
            fact = (fill.side, fill.quantity, fill.price, fill.fee, fill.fee_currency)
            self.file.add("exchange_fills", (fill.trade_id, self.now(), fill.time, fill.order_id, *who, *fact))
            self._count(fill.trade_id, fill.time)
            if sent is not None:
                self.net += self._moved(fill.side, fill.quantity, fill.fee, fill.fee_currency)
                grown = by_order[fill.order_id]._replace(filled=by_order[fill.order_id].filled + fill.quantity)
                self.orders[grown.client_id] = by_order[fill.order_id] = grown
        return strange

    def adopt(self, quantity: float, orders: Sequence[str], reason: str) -> None:
        """Write down units and orders that are at the exchange and not the bot's."""
        self.file.add("adoptions", (None, self.now(), quantity, json.dumps(list(orders)), reason))
        self.baseline += quantity
        self.foreign |= set(orders)

    def take_over(self, quantity: float, price: float) -> None:
        """Write down units found at the exchange as the bot's own."""
        self._book("taken over", quantity, price)

    def _book(self, leg: str, quantity: float, price: float) -> None:
        """Write down units that came or went without an order of this symbol."""
        at, side = self.now(), 1 if quantity > 0 else -1
        name = f"{leg} {at}"
        self.file.add("exchange_fills", (name, at, at, "", name, leg, None, side, abs(quantity), price, 0.0, ""))
        self._trades.add(name)
        self.net += quantity

    def fees_in(self, currency: str, since: int) -> float:
        """Return what fills since a time paid in a currency."""
        query = "SELECT fee FROM exchange_fills WHERE client_id <> '' AND fee_currency = ? AND time >= ?"
        return math.fsum(row[0] for row in self.file.select(query, currency, since))

    def pay_fees_of(self, symbol: str, other: Journal, price: float) -> None:
        """Write down what another symbol's fills paid in the currency traded here, each fee once.

        It is taken from what was set aside, as far as that goes, and then from the bot's own units.
        """
        begun = self.file.select("SELECT at FROM adoptions ORDER BY number LIMIT 1")
        if not begun:
            return  # what was paid before the first look is no part of what was found there
        leg = f"fees of {symbol}"
        paid = self.file.select("SELECT quantity FROM adoptions WHERE reason = ?", leg)
        paid += self.file.select("SELECT -quantity FROM exchange_fills WHERE leg = ?", leg)
        owed = other.fees_in(self.base, begun[0][0]) + math.fsum(row[0] for row in paid)
        aside = min(owed, max(self.baseline, 0.0))
        if aside > DUST:
            self.adopt(-aside, [], leg)
        if owed - aside > DUST:
            self._book(leg, aside - owed, price)

    def note(self, kind: str, message: str, open_time: int | None = None) -> bool:
        """Write down what a person should know; of one kind and bar once. Return whether it was news."""
        if open_time is not None and (kind, open_time) in self._noted:
            return False
        self.file.add("events", (None, self.now(), open_time, kind, message))
        if open_time is not None:
            self._noted.add((kind, open_time))
        return True

    def noted(self, kind: str, open_time: int) -> bool:
        """Whether something of a kind was written down of a bar."""
        return (kind, open_time) in self._noted

    def knows(self, client_id: str) -> bool:
        """Whether an order is ours."""
        return client_id in self.orders or self._recall(client_id) is not None

    def sent_since(self, at: int) -> int:
        """Return how many orders were sent since a time of our clock."""
        return int(self.file.select("SELECT count(*) FROM intents WHERE act = 'send' AND at >= ?", at)[0][0])

    def forget(self, wish_time: int) -> None:
        """Keep in memory what stands, the trade of a wish and the one before; the file keeps all."""
        trades = sorted({sent.wish_time for sent in self.orders.values()} | {wish_time})[-2:]
        keep = {name: sent for name, sent in self.orders.items() if sent.standing or sent.wish_time in trades}
        if len(keep) < len(self.orders):
            self.orders = keep
            self._trades = {
                row[0] for row in self.file.select("SELECT trade_id FROM exchange_fills ORDER BY rowid DESC LIMIT 1000")
            }
            self._noted = {pair for pair in self._noted if pair[1] >= trades[0]}

    def _read(self) -> None:
        """Read what is known from the file."""
        last = self.file.select("SELECT max(wish_time) FROM intents")[0][0]
        acks = {r[0]: r[1:] for r in self.file.select(f"SELECT client_id, {_ACK} FROM acks ORDER BY number")}
        for row in self.file.select(f"SELECT {_SENT} FROM intents WHERE act = 'send' ORDER BY number"):
            sent = _sent(row, acks.get(row[0]), 0.0)
            if sent.standing or sent.wish_time == last:
                self.orders[sent.client_id] = sent
        moves = []
        for trade_id, time, client_id, *fact in self.file.select(f"SELECT {_FILL} FROM exchange_fills ORDER BY rowid"):
            self._count(trade_id, 0 if client_id == trade_id else time)  # of orders alone
            moves += [self._moved(*fact)] if client_id else []
            if client_id in self.orders:
                known = self.orders[client_id]
                self.orders[client_id] = known._replace(filled=known.filled + fact[1])
        self.net = math.fsum(moves)
        adopted = self.file.select("SELECT quantity, orders FROM adoptions")
        self.baseline = math.fsum(row[0] for row in adopted)
        self.foreign = {name for row in adopted for name in json.loads(row[1])}
        self._noted = set(self.file.select("SELECT kind, open_time FROM events WHERE open_time >= ?", last or 0))

    def _recall(self, client_id: str) -> Sent | None:
        """Return an order of ours that was forgotten, and keep it again."""
        rows = self.file.select(f"SELECT {_SENT} FROM intents WHERE act = 'send' AND client_id = ?", client_id)
        if not rows:
            return None
        query = f"SELECT {_ACK} FROM acks WHERE client_id = ? ORDER BY number DESC LIMIT 1"
        ack = (*self.file.select(query, client_id), None)[0]
        filled = self.file.select("SELECT sum(quantity) FROM exchange_fills WHERE client_id = ?", client_id)[0][0]
        sent = _sent(rows[-1], ack, filled or 0.0)
        self.orders[client_id] = sent
        return sent

    def _count(self, trade_id: str, time: int) -> None:
        self._trades.add(trade_id)
        self.last_fill = max(self.last_fill, time)

    def _moved(self, side: int, quantity: float, fee: float, currency: str) -> float:
        return side * quantity - (fee if self.base and currency == self.base else 0.0)

    def _intent(self, act: str, client_id: str, reduce_only: bool) -> tuple[object, ...]:
        sent = self.orders[client_id]
        what = (sent.side, sent.quantity, sent.kind, sent.price, int(reduce_only), sent.list_id)
        return (None, self.now(), act, client_id, sent.leg, sent.wish_time, *what)


def _sent(intent: Sequence[Any], ack: Sequence[Any] | None, filled: float) -> Sent:
    """Return an order from the row it was written down in, and the last word on it."""
    order_id, status, at = ack or ("", INTENDED, 0)
    sent = Sent._make((*intent, order_id, status, filled))
    return sent._replace(at=max(sent.at, at)) if status == INTENDED else sent


_ACK = "order_id, status, at"
_SENT = "client_id, leg, wish_time, side, quantity, kind, price, at, list_id"
_FILL = "trade_id, time, client_id, side, quantity, fee, fee_currency"
