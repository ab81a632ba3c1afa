"""One market: recorded bars, the price that walks through them, candles, and what its orders must look like."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import Any

import numpy as np

from engine.bars import Bars
from tests.exchange.records import ApiError, Order, Terms, text

STEPS = 4  # open, first extreme, second extreme, close


def milliseconds(time: Any) -> int:
    """A time as the exchange counts it; integers are milliseconds already."""
    if isinstance(time, (int, np.integer)) and not isinstance(time, np.timedelta64):
        return int(time)
    return int(np.datetime64(time, "ms").astype(np.int64))


class Market:
    """A symbol of one venue. ``step`` counts the prices already walked: 4 a bar."""

    def __init__(self, name: str, base: str, quote: str, perpetual: bool, terms: Terms) -> None:
        self.name, self.base, self.quote, self.perpetual, self.terms = name, base, quote, perpetual, terms
        self.series: dict[str, Bars] = {}
        self.step = 0
        self.price: Decimal | None = None
        self.versions: list[tuple[int, int, int, tuple[float, ...] | None]] = []
        self.funding: list[tuple[int, float]] = []
        self.funded = 0
        self.leverage = 1

    def __deepcopy__(self, _memo: dict[int, Any]) -> Market:
        return self  # a stale answer shows old accounts, not old prices

    @property
    def bars(self) -> Bars:
        """The finest series: the price walks through it."""
        return min(self.series.values(), key=lambda bars: bars.timeframe_ns)

    def ticked(self, value: float) -> Decimal:
        """A price on the tick."""
        tick = self.terms.tick
        return (Decimal(repr(float(value))) / tick).quantize(Decimal(1), ROUND_HALF_EVEN) * tick

    def due(self) -> int:
        """When the next price is due, in ms; far away when the bars are used up."""
        bars, (row, part) = self.bars, divmod(self.step, STEPS)
        if row >= len(bars):
            return 1 << 62
        opened, length = int(bars.open_time[row].astype("int64")) // 10**6, bars.timeframe_ns // 10**6
        return opened + (0, length // 4, length // 2, length - 1)[part]

    def next_price(self) -> tuple[Decimal, bool]:
        """Walk one step; return the price and whether it is a jump (an open) or reached through all between."""
        row, part = divmod(self.step, STEPS)
        names = ("open", "low", "high", "close") if self.terms.low_first else ("open", "high", "low", "close")
        self.step += 1
        return self.ticked(getattr(self.bars, names[part])[row]), part == 0

    def skip_to(self, now: int) -> None:
        """Walk to a time where nobody has anything at stake."""
        bars = self.bars
        row = int(np.searchsorted(bars.open_time.view(np.int64) // 10**6, now, "right")) - 1
        self.step = max(self.step, row * STEPS)
        while self.due() <= now:
            self.price, _ = self.next_price()

    def candles(self, timeframe: str, now: int, window: tuple[int | None, int | None, int]) -> list[list[Any]]:
        """Rows of klines as of now, the forming one included; window is (since, until, limit)."""
        if timeframe not in self.series:
            raise ApiError(-1120, "Invalid interval.")
        bars, (since, until, limit) = self.series[timeframe], window
        opened = bars.open_time.view(np.int64) // 10**6
        first = 0 if since is None else int(np.searchsorted(opened, since))
        last = int(np.searchsorted(opened, now if until is None else min(now, until), "right"))
        rows = range(first, min(last, first + limit)) if since is not None else range(max(last - limit, first), last)
        made = (self._candle(bars, row, now) for row in rows)
        return [candle for candle in made if candle is not None]

    def _candle(self, bars: Bars, row: int, now: int) -> list[Any] | None:
        opened = int(bars.open_time[row].astype("int64")) // 10**6
        length = bars.timeframe_ns // 10**6
        prices = tuple(float(getattr(bars, name)[row]) for name in ("open", "high", "low", "close", "volume"))
        if now < opened + length - 1:
            prices = self._forming(prices, (now - opened) * STEPS // length)
        for time, start, end, version in self.versions:
            if time == opened and start <= now < end:
                if version is None:
                    return None
                prices = version
        cells = [text(self.ticked(price)) for price in prices[:4]] + [text(prices[4])]
        return [opened, *cells, opened + length - 1, text(prices[4] * prices[3]), 7, "0", "0", "0"]

    def _forming(self, prices: tuple[float, ...], part: int) -> tuple[float, ...]:
        opened, high, low, _, volume = prices
        first, second = (low, high) if self.terms.low_first else (high, low)
        walked = [opened, first, second][: min(part, 2) + 1]
        return opened, max(walked), min(walked), walked[-1], volume * len(walked) / STEPS

    def check(self, order: Order, price: Decimal) -> None:
        """Refuse what the filters refuse; ``price`` is what the order is worth a unit."""
        terms, perpetual = self.terms, self.perpetual
        for value in (order.price, order.trigger):
            if value % terms.tick:
                raise ApiError(-4014, "Price not increased by tick size.") if perpetual else _filter("PRICE_FILTER")
        if order.close_position:
            return
        if order.quantity % terms.lot:
            over = "Precision is over the maximum defined for this asset."
            raise ApiError(-1111, over) if perpetual else _filter("LOT_SIZE")
        if order.quantity < terms.min_quantity:
            raise ApiError(-4003, "Quantity less than or equal to zero.") if perpetual else _filter("LOT_SIZE")
        if order.quantity > terms.max_quantity:
            raise ApiError(-4005, "Quantity greater than max quantity.") if perpetual else _filter("LOT_SIZE")
        if order.quantity * price < terms.min_notional and not order.reduce_only:
            small = f"Order's notional must be no smaller than {terms.min_notional} (unless you choose reduce only)."
            raise ApiError(-4164, small) if perpetual else _filter("NOTIONAL")

    def quotes(self) -> tuple[Decimal, Decimal]:
        """Best bid and ask around the price."""
        if self.price is None:
            raise ApiError(-1121, "Invalid symbol.")
        half, tick = self.price * self.terms.spread / 2, self.terms.tick
        bid = ((self.price - half) / tick).quantize(Decimal(1), ROUND_FLOOR) * tick
        return bid, max(((self.price + half) / tick).quantize(Decimal(1), ROUND_CEILING) * tick, bid + tick)


def _filter(name: str) -> ApiError:
    return ApiError(-1013, f"Filter failure: {name}")
