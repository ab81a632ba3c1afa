"""Answers in Binance's shapes."""

from __future__ import annotations

from typing import Any

from tests.exchange.market import Market
from tests.exchange.perp_desk import PerpDesk
from tests.exchange.records import ZERO, Order, Trade, text
from tests.exchange.spot_desk import SpotDesk

Json = dict[str, Any]
SPOT_TYPES = ("LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")
PERP_TYPES = ("LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")


def side(order: Order) -> str:
    return "BUY" if order.side > 0 else "SELL"


def info(market: Market, now: int) -> Json:
    """A symbol of exchangeInfo."""
    terms = market.terms
    size = {"minQty": text(terms.min_quantity), "maxQty": text(terms.max_quantity), "stepSize": text(terms.lot)}
    filters: list[Json] = [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": text(terms.tick),
            "maxPrice": "1000000",
            "tickSize": text(terms.tick),
        },
        {"filterType": "LOT_SIZE", **size},
        {"filterType": "MARKET_LOT_SIZE", **size, "stepSize": "0.00000000"},
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200, "limit": 200},
    ]
    common = {"symbol": market.name, "status": "TRADING", "baseAsset": market.base, "quoteAsset": market.quote}
    common |= {"baseAssetPrecision": 8, "quotePrecision": 8}
    if market.perpetual:
        filters.append({"filterType": "MIN_NOTIONAL", "notional": text(terms.min_notional)})
        dates = {"deliveryDate": 4133404800000, "onboardDate": 1569398400000}
        contract = {"pair": market.name, "contractType": "PERPETUAL", "marginAsset": market.quote}
        digits = {"pricePrecision": 2, "quantityPrecision": 3}
        kinds = {"orderTypes": list(PERP_TYPES), "timeInForce": ["GTC", "IOC", "FOK", "GTX"], "filters": filters}
        return common | dates | contract | digits | kinds
    notional = {"filterType": "NOTIONAL", "minNotional": text(terms.min_notional), "applyMinToMarket": True}
    filters.append(notional | {"maxNotional": "9000000", "applyMaxToMarket": False, "avgPriceMins": 5})
    allowed = {"ocoAllowed": True, "otoAllowed": True, "isSpotTradingAllowed": True, "isMarginTradingAllowed": False}
    return common | allowed | {"orderTypes": list(SPOT_TYPES), "filters": filters, "permissions": ["SPOT"]}


def spot_order(order: Order, now: int) -> Json:
    """A spot order as queries show it."""
    return {
        "symbol": order.market.name,
        "orderId": order.id,
        "orderListId": order.list_id,
        "clientOrderId": order.client_id,
        "price": text(order.price),
        "origQty": text(order.quantity),
        "executedQty": text(order.filled),
        "origQuoteOrderQty": text(order.quote_quantity),
        "cummulativeQuoteQty": text(order.spent),
        "status": order.status,
        "timeInForce": order.tif,
        "type": order.kind,
        "side": side(order),
        "stopPrice": text(order.trigger),
        "icebergQty": "0.00000000",
        "time": order.time,
        "updateTime": order.updated or order.time,
        "isWorking": not order.waits,
        "workingTime": -1 if order.waits else order.time,
        "selfTradePreventionMode": "EXPIRE_MAKER",
    }


def spot_taken(order: Order, now: int) -> Json:
    """A spot order as it is answered when sent, with newOrderRespType FULL."""
    answer = spot_order(order, now) | {"transactTime": now}
    for name in ("time", "updateTime", "isWorking", "icebergQty"):
        answer.pop(name)
    if not order.trigger:
        answer.pop("stopPrice")
    answer["fills"] = [
        {
            "price": text(trade.price),
            "qty": text(trade.quantity),
            "commission": text(trade.fee),
            "commissionAsset": trade.fee_asset,
            "tradeId": trade.id,
        }
        for trade in order.fills
    ]
    return answer


def order_list(legs: list[Order], name: str, now: int) -> Json:
    """An OCO as queries show it."""
    done = not any(leg.standing for leg in legs)
    return {
        "orderListId": legs[0].list_id,
        "contingencyType": "OCO",
        "listStatusType": "ALL_DONE" if done else "EXEC_STARTED",
        "listOrderStatus": "ALL_DONE" if done else "EXECUTING",
        "listClientOrderId": name,
        "transactionTime": now,
        "symbol": legs[0].market.name,
        "orders": [{"symbol": e.market.name, "orderId": e.id, "clientOrderId": e.client_id} for e in legs],
    }


def spot_trade(trade: Trade) -> Json:
    order = trade.order
    return {
        "symbol": order.market.name,
        "id": trade.id,
        "orderId": order.id,
        "orderListId": order.list_id,
        "price": text(trade.price),
        "qty": text(trade.quantity),
        "quoteQty": text(trade.price * trade.quantity),
        "commission": text(trade.fee),
        "commissionAsset": trade.fee_asset,
        "time": trade.time,
        "isBuyer": order.side > 0,
        "isMaker": trade.maker,
        "isBestMatch": True,
    }


def spot_account(desk: SpotDesk, now: int) -> Json:
    assets = sorted({*desk.free, *desk.locked})
    rows = [
        {"asset": a, "free": text(desk.free.get(a, ZERO)), "locked": text(desk.locked.get(a, ZERO))} for a in assets
    ]
    allowed = {"canTrade": True, "canWithdraw": False, "canDeposit": True}
    rates = {"maker": "0.00100000", "taker": "0.00100000", "buyer": "0.00000000", "seller": "0.00000000"}
    common = {"makerCommission": 10, "takerCommission": 10, "buyerCommission": 0, "sellerCommission": 0}
    common |= {"commissionRates": rates, "updateTime": now, "accountType": "SPOT"}
    return common | allowed | {"balances": rows, "permissions": ["SPOT"], "uid": 1}


def perp_order(order: Order, now: int) -> Json:
    return {
        "orderId": order.id,
        "symbol": order.market.name,
        "status": order.status,
        "clientOrderId": order.client_id,
        "price": text(order.price),
        "avgPrice": text(order.average),
        "origQty": text(order.quantity),
        "executedQty": text(order.filled),
        "cumQty": text(order.filled),
        "cumQuote": text(order.spent),
        "timeInForce": order.tif,
        "type": order.kind,
        "origType": order.kind,
        "reduceOnly": order.reduce_only,
        "closePosition": order.close_position,
        "side": side(order),
        "positionSide": "BOTH",
        "stopPrice": "0",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "goodTillDate": 0,
        "time": order.time,
        "updateTime": order.updated or order.time,
    }


def algo_order(order: Order, now: int) -> Json:
    actual = order.actual
    return {
        "algoId": order.id,
        "clientAlgoId": order.client_id,
        "algoType": "CONDITIONAL",
        "orderType": order.kind,
        "symbol": order.market.name,
        "side": side(order),
        "positionSide": "BOTH",
        "timeInForce": order.tif,
        "quantity": text(order.quantity),
        "algoStatus": order.status,
        "actualOrderId": str(actual.id) if actual else "",
        "actualPrice": text(actual.average) if actual else "0.00000",
        "triggerPrice": text(order.trigger),
        "price": text(order.price),
        "icebergQuantity": None,
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "workingType": "CONTRACT_PRICE",
        "priceMatch": "NONE",
        "closePosition": order.close_position,
        "priceProtect": False,
        "reduceOnly": order.reduce_only,
        "createTime": order.time,
        "updateTime": order.updated or order.time,
        "triggerTime": order.triggered,
        "goodTillDate": 0,
    }


def perp_trade(trade: Trade) -> Json:
    order = trade.order
    return {
        "symbol": order.market.name,
        "id": trade.id,
        "orderId": order.id,
        "side": side(order),
        "price": text(trade.price),
        "qty": text(trade.quantity),
        "realizedPnl": text(trade.realised),
        "marginAsset": order.market.quote,
        "quoteQty": text(trade.price * trade.quantity),
        "commission": text(trade.fee),
        "commissionAsset": trade.fee_asset,
        "time": trade.time,
        "positionSide": "BOTH",
        "buyer": order.side > 0,
        "maker": trade.maker,
    }


def position(desk: PerpDesk, market: Market, now: int) -> Json:
    size, price = desk.size.get(market.name, ZERO), market.price or ZERO
    notional = size * price
    margin = text(abs(notional) / market.leverage)
    return {
        "symbol": market.name,
        "positionSide": "BOTH",
        "positionAmt": text(size),
        "entryPrice": text(desk.entry.get(market.name, ZERO)),
        "breakEvenPrice": text(desk.entry.get(market.name, ZERO)),
        "markPrice": text(price),
        "unRealizedProfit": text(desk.unrealised(market)),
        "liquidationPrice": "0",
        "isolatedMargin": "0",
        "notional": text(notional),
        "marginAsset": market.quote,
        "isolatedWallet": "0",
        "initialMargin": margin,
        "maintMargin": text(abs(notional) * 4 / 1000),
        "positionInitialMargin": margin,
        "openOrderInitialMargin": "0",
        "adl": 1,
        "bidNotional": "0",
        "askNotional": "0",
        "updateTime": now,
    }


def perp_account(desk: PerpDesk, now: int) -> Json:
    rows = []
    for asset, wallet in desk.wallet.items():
        profit, held, resting = desk.margin(asset)
        available = text(max(desk.available(asset), ZERO))
        row = {"asset": asset, "walletBalance": text(wallet), "unrealizedProfit": text(profit)}
        row |= {"marginBalance": text(wallet + profit), "maintMargin": "0", "initialMargin": text(held + resting)}
        row |= {"positionInitialMargin": text(held), "openOrderInitialMargin": text(resting), "updateTime": now}
        row |= {"crossWalletBalance": text(wallet), "crossUnPnl": text(profit)}
        rows.append(row | {"availableBalance": available, "maxWithdrawAmount": available})
    sums = rows[0] if rows else {}
    total = {
        f"total{name[0].upper()}{name[1:]}": value
        for name, value in sums.items()
        if name not in ("asset", "updateTime")
    }
    held_positions = [position(desk, m, now) for m in desk.markets.values() if desk.size.get(m.name)]
    for row in held_positions:
        row["unrealizedProfit"] = row.pop("unRealizedProfit")
    first = {
        "availableBalance": sums.get("availableBalance", "0"),
        "maxWithdrawAmount": sums.get("maxWithdrawAmount", "0"),
    }
    return total | first | {"assets": rows, "positions": held_positions}
