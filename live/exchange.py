"""The exchange, reached through ccxt: Binance spot and its USDT-margined perpetuals, real or testnet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.bars import parse_timeframe
from engine.errors import SettingsError
from live.answers import MS, balance_of, candle_of, fill_of, order_of, position_of, quote_of
from live.broker import (
    LIMIT,
    MARKET,
    STOP,
    Balance,
    BracketRequest,
    Candle,
    ExchangeFill,
    MarketTerms,
    Order,
    OrderRequest,
    Position,
    Quote,
    Refused,
)
from live.keys import Keys
from live.wire import NotThere, Wire

SPOT, PERPETUAL = "binance", "binanceusdm"
EXCHANGES = (SPOT, PERPETUAL)
PAGE = 1000
DAY_MS = 86_400_000
TIMEOUT_MS, WINDOW_MS = 10_000, 5_000
SEND_NS = WINDOW_MS * MS  # an order is sent, and sent again, this long after it was written down
ARRIVAL_NS = SEND_NS + WINDOW_MS * MS  # the exchange turns away what arrives later than its window after it was signed


class Exchange:
    """A `live.broker.Broker` over ccxt.

    Parameters
    ----------
    name : str
        ``binance`` (spot) or ``binanceusdm`` (perpetuals, one-way mode).
    keys : Keys
        Empty ones can ask for prices only.
    testnet : bool
        The exchange's play money instead of money.
    urls : mapping of str to str, optional
        Addresses by ccxt's section names instead of the exchange's own.
    timeout_ms : int
        How long an answer may take.
    """

    def __init__(
        self,
        name: str,
        keys: Keys | None = None,
        testnet: bool = False,
        urls: Mapping[str, str] | None = None,
        timeout_ms: int = TIMEOUT_MS,
    ) -> None:
        try:
            import ccxt
        except ImportError:
            raise SettingsError("trading at an exchange needs ccxt: pip install 'tradsys[live]'") from None
        self.name, self.keys, self.perpetual = name, keys or Keys(), name == PERPETUAL
        options = {"fetchMarkets": {"types": ["linear" if self.perpetual else "spot"]}, "recvWindow": WINDOW_MS}
        account = {"apiKey": self.keys.key, "secret": self.keys.secret} if self.keys.key else {}
        self._ccxt = getattr(ccxt, name)(
            {"enableRateLimit": True, "timeout": timeout_ms, "options": options, **account}
        )
        self._ccxt.has["fetchCurrencies"] = False  # a private page that nothing here needs
        self._wire = Wire(self._ccxt, self.keys)
        if testnet:
            self._ccxt.set_sandbox_mode(True)
        if urls is not None:
            self._ccxt.urls["api"] = {**self._ccxt.urls["api"], **urls}

    def __repr__(self) -> str:
        return f"Exchange({self.name}, {self.keys.fingerprint})"

    def close(self) -> None:
        """Let go of the connections."""
        if session := getattr(self._ccxt, "session", None):
            session.close()

    def server_time(self) -> int:
        """Return the exchange's clock; from here on requests are stamped with it, whatever ours shows."""
        before, theirs = self._ccxt.milliseconds(), int(self._wire.read(self._ccxt.fetch_time))
        self._ccxt.options["timeDifference"] = (before + self._ccxt.milliseconds()) // 2 - theirs
        return theirs * MS

    def terms(self, symbol: str) -> MarketTerms:
        """Return what orders of a market must look like."""
        market = self._market(symbol)
        limits, step = market["limits"], market["precision"]
        most = [limits[name]["max"] for name in ("amount", "market") if limits.get(name, {}).get("max")]
        return MarketTerms(
            symbol,
            market["base"],
            market["quote"],
            tick=float(step["price"]),
            lot=float(step["amount"]),
            min_quantity=float(limits["amount"]["min"] or 0.0),
            max_quantity=float(min(most, default=float("inf"))),
            min_notional=float(limits["cost"]["min"] or 0.0),
            has_oco=bool(market["info"].get("ocoAllowed", False)),
            perpetual=self.perpetual,
        )

    def candles(self, symbol: str, timeframe: str, since: int) -> list[Candle]:
        """Return bars that open at or after a time, the forming one last; at most a page of 1000."""
        name, length, clock = self._market(symbol)["symbol"], parse_timeframe(timeframe), self.server_time()
        since_ms = -(-since // MS)
        return self._wire.read(
            lambda: [candle_of(row, length, clock) for row in self._ccxt.fetch_ohlcv(name, timeframe, since_ms, PAGE)]
        )

    def quote(self, symbol: str) -> Quote:
        """Return the best prices."""
        ask = self._ccxt.fapiPublicGetTickerBookTicker if self.perpetual else self._ccxt.publicGetTickerBookTicker
        asked = {"symbol": self._market(symbol)["id"]}
        return self._wire.read(lambda: quote_of(ask(asked)))

    def balance(self, currency: str) -> Balance:
        """Return what there is of a currency."""
        return self._wire.read(lambda: balance_of(self._ccxt.fetch_balance().get(currency, {})))

    def position(self, symbol: str) -> Position:
        """Return what is held of a market; on spot the whole base balance."""
        market = self._market(symbol)
        if not self.perpetual:
            return Position(self.balance(market["base"]).total)
        return self._wire.read(
            lambda: position_of(self._ccxt.fapiPrivateV3GetPositionRisk({"symbol": market["id"]}), market["id"])
        )

    def open_orders(self, symbol: str) -> list[Order]:
        """Return every order of a market that stands, waiting stops included."""
        name = self._market(symbol)["symbol"]
        ways: tuple[dict[str, Any], ...] = ({}, {"trigger": True})[: 1 + self.perpetual]
        return [
            order
            for way in ways
            for order in self._wire.read(
                lambda way=way: [order_of(row, symbol) for row in self._ccxt.fetch_open_orders(name, None, None, way)]
            )
        ]

    def order(self, symbol: str, client_id: str) -> Order | None:
        """Return an order by our name for it; None if it never arrived."""
        name = self._market(symbol)["symbol"]
        for trigger in (False, True)[: 1 + self.perpetual]:
            try:
                asked = _asked(client_id, trigger)
                return self._wire.read(lambda asked=asked: order_of(self._ccxt.fetch_order("", name, asked), symbol))
            except NotThere:
                continue
        return None

    def named(self, symbol: str, order_id: str) -> Order | None:
        """Return an order by the exchange's name for it; None if there is none."""
        name = self._market(symbol)["symbol"]
        try:
            return self._wire.read(lambda: order_of(self._ccxt.fetch_order(order_id, name), symbol))
        except NotThere:
            return None

    def fills(self, symbol: str, since: int) -> list[ExchangeFill]:
        """Return the account's fills in a market at or after a time, oldest first."""
        name, begin, end = self._market(symbol)["symbol"], since // MS, self.server_time() // MS
        found: dict[str, ExchangeFill] = {}
        while begin <= end:
            until = begin + DAY_MS - 1
            page = self._wire.read(self._fills, name, symbol, begin, until)
            found |= {fill.trade_id: fill for fill in page}
            begin = max(page[-1].time // MS, begin + 1) if len(page) >= PAGE else until + 1
        return sorted(found.values(), key=lambda fill: (fill.time, int(fill.trade_id)))

    def send(self, request: OrderRequest) -> Order:
        """Send an order and return it as it was taken."""
        asked: dict[str, Any] = {"clientOrderId": request.client_id}
        if request.kind == STOP:
            asked["stopLossPrice"] = float(request.price)
        if request.reduce_only:
            asked["reduceOnly"] = True
        limit = float(request.price) if request.kind == LIMIT else None
        side, kind = "buy" if request.side > 0 else "sell", LIMIT if request.kind == LIMIT else MARKET
        name = self._market(request.symbol)["symbol"]
        what = (name, kind, side, float(request.quantity), limit, asked)  # ccxt drops numpy's numbers without a word
        taken = self._wire.write(lambda: order_of(self._ccxt.create_order(*what), request.symbol))
        return taken._replace(client_id=request.client_id, kind=request.kind)

    def send_bracket(self, request: BracketRequest) -> tuple[Order, Order]:
        """Send target and stop as one OCO order."""
        target, stop, market = request.target, request.stop, self._market(request.target.symbol)
        name, exact = market["symbol"], self._ccxt
        legs = {
            "above" if (target.side < 0) == (leg is target) else "below": leg for leg in (target, stop)
        }  # the target of a long is above the price
        asked = {
            "symbol": market["id"],
            "side": "BUY" if target.side > 0 else "SELL",
            "quantity": exact.amount_to_precision(name, target.quantity),
            "listClientOrderId": request.list_id,
            "newOrderRespType": "RESULT",
        }
        for place, leg in legs.items():
            price = exact.price_to_precision(name, leg.price)
            asked |= {f"{place}ClientOrderId": leg.client_id}
            if leg is target:
                asked |= {f"{place}Type": "LIMIT_MAKER", f"{place}Price": price}
            else:
                asked |= {f"{place}Type": "STOP_LOSS", f"{place}StopPrice": price}

        def act() -> tuple[Order, Order]:
            reports = exact.privatePostOrderListOco(asked)["orderReports"]
            taken = {row["clientOrderId"]: order_of(exact.parse_order(row, market), target.symbol) for row in reports}
            return taken[target.client_id], taken[stop.client_id]

        return self._wire.write(act)

    def cancel(self, symbol: str, client_id: str) -> None:
        """Cancel an order (of an OCO: both); nothing happens if it does not stand any more."""
        name = self._market(symbol)["symbol"]
        for trigger in (False, True)[: 1 + self.perpetual]:
            try:
                self._wire.write(self._ccxt.cancel_order, "", name, _asked(client_id, trigger))
            except NotThere:
                continue
            return

    def _market(self, symbol: str) -> Any:
        if not self._ccxt.markets:
            self._wire.read(self._ccxt.load_markets)
        found = [m for m in self._ccxt.markets_by_id.get(symbol, []) if bool(m["contract"]) == self.perpetual]
        if not found or not found[0]["active"]:
            raise Refused(f"{self.name} does not trade {symbol}; write a symbol of its list, such as BTCUSDT")
        return found[0]

    def _fills(self, name: str, symbol: str, begin: int, until: int) -> list[ExchangeFill]:
        return [fill_of(row, symbol) for row in self._ccxt.fetch_my_trades(name, begin, PAGE, {"until": until})]


def _asked(client_id: str, trigger: bool) -> dict[str, Any]:
    return {"clientOrderId": client_id, **({"trigger": True} if trigger else {})}
