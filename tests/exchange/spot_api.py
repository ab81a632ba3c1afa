"""The spot REST endpoints (`/api/v3`, and of `/sapi/v1` what ccxt asks for)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.exchange import shapes
from tests.exchange.records import ZERO, ApiError, Order
from tests.exchange.spot_desk import SpotDesk

Json = Any
Params = dict[str, str]


def number(params: Params, name: str) -> Decimal:
    return Decimal(params.get(name) or 0)


def required(params: Params, name: str) -> str:
    if not params.get(name):
        raise ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    return params[name]


def integer(params: Params, name: str, default: int | None = None) -> int | None:
    return int(params[name]) if params.get(name) else default


def klines(desk, params: Params, most: int = 1000) -> Json:  # type: ignore[no-untyped-def]
    market = desk.market(params.get("symbol"))
    limit = min(integer(params, "limit", 500) or 500, most)
    window = (integer(params, "startTime"), integer(params, "endTime"), limit)
    return market.candles(required(params, "interval"), desk.exchange.now, window)


def depth(desk, params: Params) -> Json:  # type: ignore[no-untyped-def]
    market = desk.market(params.get("symbol"))
    (bid, ask), tick = market.quotes(), market.terms.tick
    levels = range(min(integer(params, "limit", 100) or 100, 5000))
    bids = [[shapes.text(bid - i * tick), "1000.00000000"] for i in levels if bid > i * tick]
    answer = {"lastUpdateId": desk.exchange.now, "bids": bids}
    answer["asks"] = [[shapes.text(ask + i * tick), "1000.00000000"] for i in levels]
    return answer | ({"E": desk.exchange.now, "T": desk.exchange.now} if market.perpetual else {})


def ticker(desk, params: Params) -> Json:  # type: ignore[no-untyped-def]
    """Best prices and the last 24 hours in one; ccxt reads what it needs."""

    def row(market) -> Json:  # type: ignore[no-untyped-def]
        bid, ask = (shapes.text(price) for price in market.quotes())
        last, now = shapes.text(market.price), desk.exchange.now
        best = {"bidPrice": bid, "bidQty": "1000.0", "askPrice": ask, "askQty": "1000.0"}
        day = dict.fromkeys(("lastPrice", "price", "openPrice", "highPrice", "lowPrice", "weightedAvgPrice"), last)
        return {"symbol": market.name, "closeTime": now, "time": now, "volume": "0", "quoteVolume": "0"} | best | day

    if "symbol" in params:
        return row(desk.market(params["symbol"]))
    return [row(market) for market in desk.markets.values()]


def read_order(desk, params: Params, kind: str, client_id: str, *names: str) -> Order:  # type: ignore[no-untyped-def]
    """An order from parameters; names are those of price and trigger, empty for none."""
    market, exchange = desk.market(params.get("symbol")), desk.exchange
    sign = {"BUY": 1, "SELL": -1}[required(params, "side")]
    price, trigger = (number(params, name) if name else ZERO for name in names)
    name = client_id or f"web_{exchange.next_id()}"
    if len(name) > 36:
        raise ApiError(-1100, "Illegal characters found in parameter 'newClientOrderId'.")
    order = Order(
        exchange.next_id(), name, market, sign, kind, number(params, "quantity"), exchange.now, price, trigger
    )
    order.tif = params.get("timeInForce", "GTC")
    if not order.quantity and params.get("quoteOrderQty") and market.price:
        order.quote_quantity = number(params, "quoteOrderQty")
        order.quantity = order.quote_quantity / market.price // market.terms.lot * market.terms.lot
    return order


def new_order(desk: SpotDesk, params: Params) -> Json:
    kind = required(params, "type")
    if kind not in shapes.SPOT_TYPES:
        raise ApiError(-1116, "Invalid orderType.")
    priced = "LIMIT" in kind
    conditional = kind.startswith(("STOP", "TAKE"))
    if priced:
        required(params, "price")
    if conditional:
        required(params, "stopPrice")
    names = ("price" if priced else "", "stopPrice" if conditional else "")
    order = read_order(desk, params, kind, params.get("newClientOrderId", ""), *names)
    return shapes.spot_taken(desk.accept(order), desk.exchange.now)


def new_oco(desk: SpotDesk, params: Params) -> Json:
    """`orderList/oco`: the above and the below leg."""
    pair = []
    for leg in ("above", "below"):
        kind = required(params, f"{leg}Type")
        price = f"{leg}Price" if "LIMIT" in kind else ""
        trigger = "" if kind == "LIMIT_MAKER" else f"{leg}StopPrice"
        for name in filter(None, (price, trigger)):
            required(params, name)
        pair.append(read_order(desk, params, kind, params.get(f"{leg}ClientOrderId", ""), price, trigger))
    return _take_pair(desk, params, pair[0], pair[1])


def old_oco(desk: SpotDesk, params: Params) -> Json:
    """`order/oco`, the older form: price, stopPrice, stopLimitPrice."""
    price, stop_price = required(params, "price"), required(params, "stopPrice")
    limit = {"price": price, **{name: params[name] for name in ("symbol", "side", "quantity") if name in params}}
    stop = {**limit, "stopPrice": stop_price, "price": params.get("stopLimitPrice", "0")}
    stop_kind = "STOP_LOSS_LIMIT" if params.get("stopLimitPrice") else "STOP_LOSS"
    first = read_order(desk, limit, "LIMIT_MAKER", params.get("limitClientOrderId", ""), "price", "")
    second = read_order(desk, stop, stop_kind, params.get("stopClientOrderId", ""), "price", "stopPrice")
    return _take_pair(desk, params, *((first, second) if first.side < 0 else (second, first)))


def _take_pair(desk: SpotDesk, params: Params, above: Order, below: Order) -> Json:
    above.list_id = below.list_id = desk.exchange.next_id()
    name = params.get("listClientOrderId") or f"list_{above.list_id}"
    desk.accept_pair(above, below)
    desk.lists[above.list_id] = (name, [above, below])
    now = desk.exchange.now
    reports = {"orderReports": [shapes.spot_taken(leg, now) for leg in (above, below)]}
    return shapes.order_list([above, below], name, now) | reports


def _named_list(desk: SpotDesk, params: Params) -> tuple[str, list[Order]]:
    wanted, name = params.get("orderListId"), params.get("origClientOrderId") or params.get("listClientOrderId")
    for number_, (list_name, legs) in desk.lists.items():
        if str(number_) == wanted or list_name == name:
            return list_name, legs
    raise ApiError(-2018, "Order list does not exist.")


def get_list(desk: SpotDesk, params: Params) -> Json:
    name, legs = _named_list(desk, params)
    return shapes.order_list(legs, name, desk.exchange.now)


def cancel_list(desk: SpotDesk, params: Params) -> Json:
    name, legs = _named_list(desk, params)
    desk.cancel(next((leg for leg in legs if leg.standing), legs[0]))
    reports = {"orderReports": [shapes.spot_order(leg, desk.exchange.now) for leg in legs]}
    return shapes.order_list(legs, name, desk.exchange.now) | reports


def open_lists(desk: SpotDesk, params: Params) -> Json:
    stand = [(n, legs) for n, legs in desk.lists.values() if any(leg.standing for leg in legs)]
    return [shapes.order_list(legs, name, desk.exchange.now) for name, legs in stand]


def find(desk, params: Params, algo: bool = False) -> Order:  # type: ignore[no-untyped-def]
    names = ("algoId", "clientAlgoId") if algo else ("orderId", "origClientOrderId")
    if not params.get(names[0]) and not params.get(names[1]):
        raise ApiError(-1102, f"Param '{names[1]}' or '{names[0]}' must be sent, but both were empty/null!")
    market = desk.market(params["symbol"]) if "symbol" in params else None
    if market is None:
        owners = [each for each in desk.orders if each.algo == algo and each.client_id == params.get(names[1])]
        owners += [each for each in desk.orders if each.algo == algo and str(each.id) == params.get(names[0])]
        market = owners[-1].market if owners else next(iter(desk.markets.values()))
    return desk.find(market, params.get(names[0]), params.get(names[1]), algo)


def get_order(desk: SpotDesk, params: Params) -> Json:
    return shapes.spot_order(find(desk, params), desk.exchange.now)


def cancel_order(desk: SpotDesk, params: Params) -> Json:
    try:
        order = find(desk, params)
    except ApiError as error:
        raise ApiError(-2011, "Unknown order sent.") if error.code == -2013 else error from None
    desk.cancel(order)
    now = desk.exchange.now
    if order.twin is not None:
        name, legs = desk.lists[order.list_id]
        return shapes.order_list(legs, name, now) | {"orderReports": [shapes.spot_order(leg, now) for leg in legs]}
    return shapes.spot_order(order, now) | {"origClientOrderId": order.client_id, "transactTime": now}


def cancel_all(desk: SpotDesk, params: Params) -> Json:
    mine = desk.open_orders(desk.market(params.get("symbol")))
    if not mine:
        raise ApiError(-2011, "Unknown order sent.")
    for order in mine:
        if order.standing:
            desk.cancel(order)
    return [shapes.spot_order(order, desk.exchange.now) for order in mine]


def open_orders(desk: SpotDesk, params: Params) -> Json:
    market = desk.market(params["symbol"]) if "symbol" in params else None
    return [shapes.spot_order(order, desk.exchange.now) for order in desk.open_orders(market)]


def page(rows: list[Any], params: Params, days: int = 1, most: int = 1000) -> list[Any]:
    """A page of orders or trades: from a time (oldest first), from an id, or the last ones."""
    since, until = integer(params, "startTime", 0) or 0, integer(params, "endTime", 1 << 62) or 0
    if params.get("startTime") and params.get("endTime") and until - since > days * 86_400_000:
        raise ApiError(-1127, f"More than {days * 24} hours between startTime and endTime.")
    first = integer(params, "fromId", integer(params, "orderId"))
    kept = [row for row in rows if since <= row.time <= until and (first is None or row.id >= first)]
    limit = min(integer(params, "limit", 500) or 500, most)
    return kept[:limit] if first is not None or params.get("startTime") else kept[-limit:]


def all_orders(desk: SpotDesk, params: Params) -> Json:
    market = desk.market(params.get("symbol"))
    rows = page([order for order in desk.orders if order.market is market], params)
    return [shapes.spot_order(order, desk.exchange.now) for order in rows]


def trades_of(desk, params: Params) -> list[Any]:  # type: ignore[no-untyped-def]
    market = desk.market(params.get("symbol"))
    rows = [trade for trade in desk.trades if trade.order.market is market]
    if params.get("orderId"):
        return [trade for trade in rows if trade.order.id == int(params["orderId"])]
    return page(rows, params, days=7 if market.perpetual else 1)


def info(desk, params: Params) -> Json:  # type: ignore[no-untyped-def]
    now = desk.exchange.now
    limits = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}]
    symbols = [shapes.info(market, now) for market in desk.markets.values()]
    return {"timezone": "UTC", "serverTime": now, "rateLimits": limits, "exchangeFilters": [], "symbols": symbols}


def coins(desk: SpotDesk, params: Params) -> Json:
    names = sorted({name for m in desk.markets.values() for name in (m.base, m.quote)} | set(desk.free))
    flags = dict.fromkeys(("depositAllEnable", "withdrawAllEnable", "trading"), True)
    return [{"coin": name, "name": name, "isLegalMoney": False, "networkList": [], **flags} for name in names]


RIGHTS = {"ipRestrict": True, "enableReading": True, "enableSpotAndMarginTrading": True, "enableFutures": True}


def rights(desk: SpotDesk, params: Params) -> Json:
    return RIGHTS | {"enableWithdrawals": False, "enableInternalTransfer": False, "createTime": 0}


def commission(desk: SpotDesk, params: Params) -> Json:
    wanted = [desk.market(params["symbol"])] if "symbol" in params else list(desk.markets.values())
    rates = [(m.name, text_rate(m.terms.maker), text_rate(m.terms.taker)) for m in wanted]
    return [{"symbol": name, "makerCommission": maker, "takerCommission": taker} for name, maker, taker in rates]


def text_rate(rate: Decimal) -> str:
    return f"{rate:.6f}"


def server_time(desk, params: Params) -> Json:  # type: ignore[no-untyped-def]
    return {"serverTime": desk.exchange.now}


API, SAPI = "/api/v3", "/sapi/v1"
OPEN_TO_ALL = {
    ("GET", f"{API}/ping"): lambda desk, params: {},
    ("GET", f"{API}/time"): server_time,
    ("GET", f"{API}/exchangeInfo"): info,
    ("GET", f"{API}/klines"): klines,
    ("GET", f"{API}/depth"): depth,
    ("GET", f"{API}/ticker/bookTicker"): ticker,
    ("GET", f"{API}/ticker/price"): ticker,
    ("GET", f"{API}/ticker/24hr"): ticker,
}
SIGNED = {
    ("GET", f"{API}/account"): lambda desk, params: shapes.spot_account(desk, desk.exchange.now),
    ("POST", f"{API}/order"): new_order,
    ("POST", f"{API}/orderList/oco"): new_oco,
    ("POST", f"{API}/order/oco"): old_oco,
    ("GET", f"{API}/order"): get_order,
    ("DELETE", f"{API}/order"): cancel_order,
    ("GET", f"{API}/orderList"): get_list,
    ("DELETE", f"{API}/orderList"): cancel_list,
    ("GET", f"{API}/openOrderList"): open_lists,
    ("GET", f"{API}/openOrders"): open_orders,
    ("DELETE", f"{API}/openOrders"): cancel_all,
    ("GET", f"{API}/allOrders"): all_orders,
    ("GET", f"{API}/myTrades"): lambda desk, params: [shapes.spot_trade(trade) for trade in trades_of(desk, params)],
    ("GET", f"{SAPI}/capital/config/getall"): coins,
    ("GET", f"{SAPI}/account/apiRestrictions"): rights,
    ("GET", f"{SAPI}/asset/tradeFee"): commission,
    ("GET", f"{SAPI}/margin/allPairs"): lambda desk, params: [],
    ("GET", f"{SAPI}/margin/isolated/allPairs"): lambda desk, params: [],
}
