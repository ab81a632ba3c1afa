"""What the exchange writes down: terms, orders, trades, and its refusals."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.exchange.market import Market

ZERO, UNIT = Decimal(0), Decimal("1e-8")  # balances have 8 decimals
STANDING = ("NEW", "PARTIALLY_FILLED")


class ApiError(Exception):
    """A refusal in Binance's words."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


def cut(value: Decimal) -> Decimal:
    """Round towards zero to 8 decimals."""
    return value.quantize(UNIT, ROUND_DOWN)


def text(value: Decimal | float) -> str:
    """A number as Binance writes it."""
    return f"{value:.8f}"


@dataclass(frozen=True)
class Terms:
    """What orders of a market must look like and what they cost."""

    tick: Decimal = Decimal("0.01")
    lot: Decimal = Decimal("0.00001")
    min_quantity: Decimal = Decimal("0.00001")
    max_quantity: Decimal = Decimal(9000)
    min_notional: Decimal = Decimal(5)
    maker: Decimal = Decimal("0.001")
    taker: Decimal = Decimal("0.001")
    slippage: Decimal = ZERO  # how far market orders and stops fill from the price
    spread: Decimal = Decimal("0.0002")  # of the quoted best prices, as a fraction
    gap_improves_limit: bool = True  # a limit passed by a gap fills at the open, as in engine.barriers
    low_first: bool = True  # a bar walks open, low, high, close; False: open, high, low, close


@dataclass(eq=False)
class Lock:
    """Money set aside for an order, or for both legs of an OCO: ``rate`` units of the asset per unit of quantity."""

    asset: str
    amount: Decimal
    rate: Decimal


@dataclass(eq=False)
class Trade:
    """One fill."""

    id: int
    order: Order
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_asset: str
    maker: bool
    time: int
    realised: Decimal = ZERO


@dataclass(eq=False)
class Order:
    """One order, or (``algo``) one conditional of the perpetuals' algo service."""

    id: int
    client_id: str
    market: Market
    side: int
    kind: str
    quantity: Decimal
    time: int
    price: Decimal = ZERO
    trigger: Decimal = ZERO
    tif: str = "GTC"
    reduce_only: bool = False
    close_position: bool = False
    algo: bool = False
    list_id: int = -1
    status: str = "NEW"
    filled: Decimal = ZERO
    spent: Decimal = ZERO
    updated: int = 0
    triggered: int = 0
    actual: Order | None = None  # what a triggered conditional became
    twin: Order | None = None  # the other leg of an OCO
    lock: Lock | None = None
    quote_quantity: Decimal = ZERO
    paused: bool = False  # partly filled: the rest waits for the next price
    fills: list[Trade] = field(default_factory=list)

    @property
    def standing(self) -> bool:
        return self.status in STANDING

    @property
    def left(self) -> Decimal:
        return self.quantity - self.filled

    @property
    def average(self) -> Decimal:
        return self.spent / self.filled if self.filled else ZERO

    @property
    def waits(self) -> bool:
        """Whether a conditional's trigger was not touched yet."""
        return self.trigger > 0 and not self.triggered

    @property
    def level(self) -> tuple[Decimal, bool]:
        """The price at which something happens, and whether the market must fall to it."""
        if self.waits:
            return self.trigger, (self.side < 0) == self.kind.startswith("STOP")
        return self.price, self.side > 0
