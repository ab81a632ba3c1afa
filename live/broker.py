"""The exchange as the bot sees it: a few plain records, one protocol, and three ways to fail.

* BrokerError
  + BrokerUnreachable
    - Retry      nothing was done; ask again, after ``wait_s`` when the exchange says how long
    - Unknown    the answer was lost: what was sent may or may not stand; ask for it by its client id
  + BrokerRefused
    - Refused    the exchange said no, with its reason; asking again will not help

Times are nanoseconds since 1970 of the exchange's clock; prices are in quote currency, quantities in base currency;
sides are 1 to buy and -1 to sell.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from engine.errors import BrokerRefused, BrokerUnreachable

MARKET, LIMIT, STOP = "market", "limit", "stop"
OPEN, FILLED, CANCELLED, REJECTED = "open", "filled", "cancelled", "rejected"
STATUSES = (OPEN, FILLED, CANCELLED, REJECTED)


class Retry(BrokerUnreachable):
    """The exchange could not be asked, or asked us to wait; nothing was done.

    Parameters
    ----------
    message : str
        What happened, without secrets.
    wait_s : float
        Seconds the exchange wants us to wait; 0 when it did not say.
    """

    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class Unknown(BrokerUnreachable):
    """An order was sent and its answer lost: it may or may not stand. Ask for it by its client id."""


class Refused(BrokerRefused):
    """The exchange said no: the message is its reason."""


class MarketTerms(NamedTuple):
    """What orders of one market must look like.

    Parameters
    ----------
    symbol : str
        As ``.env`` writes it, such as ``BTCUSDT``.
    base, quote : str
        What is traded, and the money it is paid in.
    tick, lot : float
        Prices and quantities are multiples of these.
    min_quantity, max_quantity, min_notional : float
        An order's least and most units, and least worth in quote currency.
    has_oco : bool
        Whether a target and a stop may rest as one order of which one cancels the other.
    perpetual : bool
        A contract: may be short, and exits are reduce-only. False for spot.
    """

    symbol: str
    base: str
    quote: str
    tick: float
    lot: float
    min_quantity: float = 0.0
    max_quantity: float = float("inf")
    min_notional: float = 0.0
    has_oco: bool = False
    perpetual: bool = False


class Quote(NamedTuple):
    """The best prices somebody bids and asks."""

    bid: float
    ask: float

    @property
    def spread(self) -> float:
        """Distance of the two as a fraction of their middle."""
        return (self.ask - self.bid) / (0.5 * (self.ask + self.bid))


class Balance(NamedTuple):
    """What the account has of a currency: free, and locked in open orders (spot) or as margin (perpetuals).

    A perpetual account's total counts the profit of its open positions as they stand.
    """

    free: float
    locked: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        return self.free + self.locked


class Position(NamedTuple):
    """What the account holds of one market: units, negative when short; on spot the whole base balance."""

    quantity: float
    entry_price: float = 0.0
    unrealised: float = 0.0


class Candle(NamedTuple):
    """One bar as the exchange gives it; ``final`` when the exchange's clock says its time is over."""

    open_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    final: bool


class OrderRequest(NamedTuple):
    """One order to send.

    Parameters
    ----------
    client_id : str
        See `live.orders.client_order_id`.
    symbol, side
        Its market; 1 buy, -1 sell.
    quantity : float
        Units, a multiple of the lot.
    kind : str
        ``market``, ``limit`` (rests at ``price``) or ``stop`` (a market order once ``price`` is touched).
    price : float
        Limit or trigger, a multiple of the tick; 0 for a market order.
    reduce_only : bool
        May only make a perpetual's position smaller.
    """

    client_id: str
    symbol: str
    side: int
    quantity: float
    kind: str = MARKET
    price: float = 0.0
    reduce_only: bool = False


class BracketRequest(NamedTuple):
    """The two exits of a position, of which one fill must cancel the other: one OCO order or a pair.

    Parameters
    ----------
    list_id : str
        Client id of the OCO as a whole; unused for a pair.
    target : OrderRequest
        A limit order.
    stop : OrderRequest
        A stop order of the same side and quantity.
    """

    list_id: str
    target: OrderRequest
    stop: OrderRequest


class Order(NamedTuple):
    """An order as the exchange knows it.

    Parameters
    ----------
    client_id, order_id : str
        Our name and the exchange's (the one its fills carry; empty while a stop waits for its trigger, if the
        exchange names the order only then).
    symbol, side, kind, quantity, price, reduce_only
        See `OrderRequest`.
    filled, average : float
        Units filled so far and their mean price (0 before the first).
    status : str
        ``open``, ``filled``, ``cancelled`` (also expired; it may be partly filled) or ``rejected``.
    time : int
        When the exchange took it.
    """

    client_id: str
    order_id: str
    symbol: str
    side: int
    kind: str
    quantity: float
    price: float
    filled: float
    average: float
    status: str
    time: int
    reduce_only: bool = False

    @property
    def standing(self) -> bool:
        """Whether it may still be filled."""
        return self.status == OPEN


class ExchangeFill(NamedTuple):
    """One fill as the exchange reports it; an order may have several.

    Parameters
    ----------
    trade_id, order_id : str
        The exchange's names; a trade id is unique within a market.
    symbol : str
        Its market.
    side : int
        1 bought, -1 sold.
    quantity, price : float
        Units and price.
    fee : float
        Paid, in ``fee_currency``; negative if received.
    fee_currency : str
        The base, the quote or a third currency.
    time : int
        When.
    """

    trade_id: str
    order_id: str
    symbol: str
    side: int
    quantity: float
    price: float
    fee: float
    fee_currency: str
    time: int


class Broker(Protocol):
    """An exchange account. Reading raises `Retry` or `Refused`; sending and cancelling may raise `Unknown` too."""

    def server_time(self) -> int:
        """Return the exchange's clock."""
        ...

    def terms(self, symbol: str) -> MarketTerms:
        """Return what orders of a market must look like; `Refused` for a market it does not have."""
        ...

    def candles(self, symbol: str, timeframe: str, since: int) -> list[Candle]:
        """Return bars that open at or after a time, oldest first, the forming one last; one page if there are many."""
        ...

    def funding(self, symbol: str, since: int) -> list[tuple[int, float]]:
        """Return when funding of a perpetual was due at or after a time, and its rates, oldest first, all pages."""
        ...

    def quote(self, symbol: str) -> Quote:
        """Return the best prices."""
        ...

    def balance(self, currency: str) -> Balance:
        """Return what there is of a currency; zeros for one the account never had."""
        ...

    def position(self, symbol: str) -> Position:
        """Return what is held of a market."""
        ...

    def open_orders(self, symbol: str) -> list[Order]:
        """Return every order of a market that stands, whoever sent it, waiting stops included."""
        ...

    def order(self, symbol: str, client_id: str) -> Order | None:
        """Return an order by our name for it, however long ago it ended; None if it never arrived."""
        ...

    def named(self, symbol: str, order_id: str) -> Order | None:
        """Return an order by the exchange's name for it; None if there is none."""
        ...

    def fills(self, symbol: str, since: int) -> list[ExchangeFill]:
        """Return the account's fills in a market at or after a time, oldest first, all pages."""
        ...

    def send(self, request: OrderRequest) -> Order:
        """Send an order and return it as it was taken."""
        ...

    def send_bracket(self, request: BracketRequest) -> tuple[Order, Order]:
        """Send target and stop as one OCO order; only where ``terms.has_oco``. Return both as they were taken."""
        ...

    def cancel(self, symbol: str, client_id: str) -> None:
        """Cancel an order (of an OCO: both); nothing happens if it does not stand any more."""
        ...
