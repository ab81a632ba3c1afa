"""The USDT-M REST endpoints (`/fapi/v1`, v2, v3); conditionals go through `algoOrder`, as since December 2025."""

from __future__ import annotations

from typing import Any

from tests.exchange import shapes
from tests.exchange.perp_desk import PerpDesk
from tests.exchange.records import ApiError
from tests.exchange.spot_api import (
    Json,
    Params,
    depth,
    find,
    info,
    integer,
    klines,
    page,
    read_order,
    required,
    server_time,
    text_rate,
    ticker,
    trades_of,
)


def new_order(desk: PerpDesk, params: Params) -> Json:
    kind = required(params, "type")
    if kind not in ("LIMIT", "MARKET"):
        wrong = "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
        raise ApiError(-4120, wrong)
    if kind == "LIMIT":
        required(params, "price")
    order = read_order(desk, params, kind, params.get("newClientOrderId", ""), "price" if kind == "LIMIT" else "", "")
    order.reduce_only = params.get("reduceOnly", "").lower() == "true"
    return shapes.perp_order(desk.accept(order), desk.exchange.now)


def new_algo(desk: PerpDesk, params: Params) -> Json:
    kind = required(params, "type")
    if kind not in ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"):
        raise ApiError(-1116, "Invalid orderType.")
    required(params, "triggerPrice")
    price = "" if kind.endswith("MARKET") else "price"
    order = read_order(desk, params, kind, params.get("clientAlgoId", ""), price, "triggerPrice")
    order.algo = True
    order.reduce_only = params.get("reduceOnly", "").lower() == "true"
    order.close_position = params.get("closePosition", "").lower() == "true"
    return shapes.algo_order(desk.accept(order), desk.exchange.now)


def get_order(desk: PerpDesk, params: Params) -> Json:
    return shapes.perp_order(find(desk, params), desk.exchange.now)


def get_algo(desk: PerpDesk, params: Params) -> Json:
    return shapes.algo_order(find(desk, params, algo=True), desk.exchange.now)


def _cancel(desk: PerpDesk, params: Params, algo: bool):  # type: ignore[no-untyped-def]
    try:
        order = find(desk, params, algo)
    except ApiError as error:
        raise ApiError(-2011, "Unknown order sent.") if error.code == -2013 else error from None
    desk.cancel(order)
    return order


def cancel_order(desk: PerpDesk, params: Params) -> Json:
    return shapes.perp_order(_cancel(desk, params, algo=False), desk.exchange.now)


def cancel_algo(desk: PerpDesk, params: Params) -> Json:
    order = _cancel(desk, params, algo=True)
    return {"algoId": order.id, "clientAlgoId": order.client_id, "code": "200", "msg": "success"}


def cancel_all(desk: PerpDesk, params: Params, algo: bool = False) -> Json:
    for order in desk.open_orders(desk.market(params.get("symbol")), algo):
        desk.cancel(order)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def open_orders(desk: PerpDesk, params: Params) -> Json:
    market = desk.market(params["symbol"]) if "symbol" in params else None
    return [shapes.perp_order(order, desk.exchange.now) for order in desk.open_orders(market)]


def open_algos(desk: PerpDesk, params: Params) -> Json:
    market = desk.market(params["symbol"]) if "symbol" in params else None
    return [shapes.algo_order(order, desk.exchange.now) for order in desk.open_orders(market, algo=True)]


def all_orders(desk: PerpDesk, params: Params, algo: bool = False) -> Json:
    market = desk.market(params.get("symbol"))
    rows = page([order for order in desk.orders if order.market is market and order.algo == algo], params, days=7)
    shape = shapes.algo_order if algo else shapes.perp_order
    return [shape(order, desk.exchange.now) for order in rows]


def positions(desk: PerpDesk, params: Params) -> Json:
    wanted = [desk.market(params["symbol"])] if "symbol" in params else list(desk.markets.values())
    held = [market for market in wanted if desk.size.get(market.name)]  # v3 shows what is held
    return [shapes.position(desk, market, desk.exchange.now) for market in held]


def balance(desk: PerpDesk, params: Params) -> Json:
    return shapes.perp_account(desk, desk.exchange.now)["assets"]


def funding_rates(desk: PerpDesk, params: Params) -> Json:
    market = desk.market(params.get("symbol"))
    since, until = integer(params, "startTime"), integer(params, "endTime", desk.exchange.now)
    limit = min(integer(params, "limit", 100) or 100, 1000)
    end = min(until or 0, desk.exchange.now)
    rows = [(time, rate) for time, rate in market.funding if (since or 0) <= time <= end]
    kept = rows[:limit] if since is not None else rows[-limit:]
    mark = shapes.text(market.price or 0)
    return [
        {"symbol": market.name, "fundingTime": time, "fundingRate": f"{rate:.8f}", "markPrice": mark}
        for time, rate in kept
    ]


def premium(desk: PerpDesk, params: Params) -> Json:
    def row(market) -> Json:  # type: ignore[no-untyped-def]
        past = [rate for time, rate in market.funding if time <= desk.exchange.now]
        coming = [time for time, _ in market.funding if time > desk.exchange.now]
        price = shapes.text(market.price or 0)
        rate = {"lastFundingRate": f"{past[-1] if past else 0.0:.8f}", "nextFundingTime": coming[0] if coming else 0}
        prices = {"markPrice": price, "indexPrice": price, "estimatedSettlePrice": price}
        return {"symbol": market.name, "time": desk.exchange.now, "interestRate": "0.0001"} | prices | rate

    if "symbol" in params:
        return row(desk.market(params["symbol"]))
    return [row(market) for market in desk.markets.values()]


def income(desk: PerpDesk, params: Params) -> Json:
    since, until = integer(params, "startTime", 0) or 0, integer(params, "endTime", 1 << 62) or 0
    name, kind = params.get("symbol"), params.get("incomeType")
    rows = [row for row in desk.income if since <= row["time"] <= until and name in (None, row["symbol"])]
    return [row for row in rows if kind in (None, row["incomeType"])][: integer(params, "limit", 100)]


def leverage(desk: PerpDesk, params: Params) -> Json:
    market = desk.market(params.get("symbol"))
    market.leverage = int(required(params, "leverage"))
    return {"leverage": market.leverage, "maxNotionalValue": "1000000", "symbol": market.name}


def margin_type(desk: PerpDesk, params: Params) -> Json:
    if required(params, "marginType") == "CROSSED":
        raise ApiError(-4046, "No need to change margin type.")
    return {"code": 200, "msg": "success"}


def brackets(desk: PerpDesk, params: Params) -> Json:
    step = {"bracket": 1, "initialLeverage": 20, "notionalCap": 1000000, "notionalFloor": 0, "maintMarginRatio": 0.004}
    names = [params["symbol"]] if "symbol" in params else list(desk.markets)
    return [{"symbol": name, "brackets": [step | {"cum": 0.0}]} for name in names]


def commission(desk: PerpDesk, params: Params) -> Json:
    market = desk.market(params.get("symbol"))
    rates = {"makerCommissionRate": text_rate(market.terms.maker), "takerCommissionRate": text_rate(market.terms.taker)}
    return {"symbol": market.name} | rates


def account(desk: PerpDesk, params: Params) -> Any:
    return shapes.perp_account(desk, desk.exchange.now)


API = "/fapi/v1"
OPEN_TO_ALL = {
    ("GET", f"{API}/ping"): lambda desk, params: {},
    ("GET", f"{API}/time"): server_time,
    ("GET", f"{API}/exchangeInfo"): info,
    ("GET", f"{API}/klines"): lambda desk, params: klines(desk, params, 1500),
    ("GET", f"{API}/markPriceKlines"): lambda desk, params: klines(desk, params, 1500),
    ("GET", f"{API}/depth"): depth,
    ("GET", f"{API}/ticker/bookTicker"): ticker,
    ("GET", f"{API}/ticker/price"): ticker,
    ("GET", f"{API}/ticker/24hr"): ticker,
    ("GET", f"{API}/premiumIndex"): premium,
    ("GET", f"{API}/fundingRate"): funding_rates,
    ("GET", "/dapi/v1/exchangeInfo"): lambda desk, params: {"symbols": []},
}
SIGNED = {
    ("GET", "/fapi/v2/account"): account,
    ("GET", "/fapi/v3/account"): account,
    ("GET", "/fapi/v2/balance"): balance,
    ("GET", "/fapi/v3/balance"): balance,
    ("GET", "/fapi/v2/positionRisk"): positions,
    ("GET", "/fapi/v3/positionRisk"): positions,
    ("POST", f"{API}/order"): new_order,
    ("GET", f"{API}/order"): get_order,
    ("DELETE", f"{API}/order"): cancel_order,
    ("GET", f"{API}/openOrders"): open_orders,
    ("DELETE", f"{API}/allOpenOrders"): cancel_all,
    ("GET", f"{API}/allOrders"): all_orders,
    ("POST", f"{API}/algoOrder"): new_algo,
    ("GET", f"{API}/algoOrder"): get_algo,
    ("DELETE", f"{API}/algoOrder"): cancel_algo,
    ("GET", f"{API}/openAlgoOrders"): open_algos,
    ("DELETE", f"{API}/algoOpenOrders"): lambda desk, params: cancel_all(desk, params, algo=True),
    ("GET", f"{API}/allAlgoOrders"): lambda desk, params: all_orders(desk, params, algo=True),
    ("GET", f"{API}/userTrades"): lambda desk, params: [shapes.perp_trade(trade) for trade in trades_of(desk, params)],
    ("GET", f"{API}/income"): income,
    ("POST", f"{API}/leverage"): leverage,
    ("POST", f"{API}/marginType"): margin_type,
    ("GET", f"{API}/positionSide/dual"): lambda desk, params: {"dualSidePosition": False},
    ("GET", f"{API}/multiAssetsMargin"): lambda desk, params: {"multiAssetsMargin": False},
    ("GET", f"{API}/leverageBracket"): brackets,
    ("GET", f"{API}/commissionRate"): commission,
}
