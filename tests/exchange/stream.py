"""User data streams: executionReport and outboundAccountPosition (spot), ORDER_TRADE_UPDATE, ALGO_UPDATE (perpetuals).

Spot is subscribed to over the websocket API (`/ws-api/v3`, userDataStream.subscribe.signature), perpetuals with a
listen key (`/private/ws?listenKey=`), as ccxt does.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from typing import Any

from aiohttp import WSMsgType, web

from tests.exchange import shapes
from tests.exchange.desk import Desk
from tests.exchange.records import Order, Trade, text
from tests.exchange.venue import KEY, SECRET, Exchange

LISTEN_KEY = "loopback-listen-key"


def add_routes(app: web.Application, exchange: Exchange) -> None:
    """Add the websockets' paths and the listen key's."""

    async def key(request: web.Request) -> web.Response:
        known = request.headers.get("X-MBX-APIKEY") == KEY
        return web.json_response({"listenKey": LISTEN_KEY} if known else {"code": -2015, "msg": "Invalid API-key"})

    async def perpetuals(request: web.Request) -> web.WebSocketResponse:
        if request.query.get("listenKey") != LISTEN_KEY:
            raise web.HTTPForbidden
        return await _pour(request, exchange, exchange.perp, None)

    async def spot(request: web.Request) -> web.WebSocketResponse:
        return await _pour(request, exchange, exchange.spot, _subscribe)

    app.router.add_route("*", "/fapi/v1/listenKey", key)
    app.router.add_get("/private/ws", perpetuals)
    app.router.add_get("/ws-api/v3", spot)


async def _pour(request: web.Request, exchange: Exchange, mine: Desk, subscribe: Any) -> web.WebSocketResponse:
    """Send what happens at a desk until the client leaves; from the subscription on, if there must be one."""
    socket, loop = web.WebSocketResponse(), asyncio.get_running_loop()
    await socket.prepare(request)
    news: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def listener(desk: Desk, order: Order, kind: str, trade: Trade | None) -> None:
        if desk is mine:
            for event in events(desk, order, kind, trade, exchange.now):
                loop.call_soon_threadsafe(
                    news.put_nowait, {"subscriptionId": 0, "event": event} if subscribe else event
                )

    async def send() -> None:
        while True:
            await socket.send_json(await news.get())

    sender = asyncio.ensure_future(send())
    if not subscribe:
        exchange.listeners.append(listener)
    try:
        async for message in socket:
            if subscribe and message.type == WSMsgType.TEXT:
                answer = subscribe(json.loads(message.data))
                if answer["status"] == 200:
                    exchange.listeners.append(listener)
                await socket.send_json(answer)
    finally:
        sender.cancel()
        if listener in exchange.listeners:
            exchange.listeners.remove(listener)
    return socket


def _subscribe(asked: dict[str, Any]) -> dict[str, Any]:
    params = dict(asked.get("params", {}))
    signature = params.pop("signature", "")
    payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
    wanted = hmac.new(SECRET.encode(), payload.encode(), hashlib.sha256).hexdigest()
    if asked.get("method") != "userDataStream.subscribe.signature" or signature != wanted:
        return {"id": asked.get("id"), "status": 400, "error": {"code": -1022, "msg": "Signature is not valid."}}
    return {"id": asked["id"], "status": 200, "result": {"subscriptionId": 0}}


def events(desk: Desk, order: Order, kind: str, trade: Trade | None, now: int) -> list[dict[str, Any]]:
    """What the stream says of one change of one order."""
    if order.algo:
        row = {"caid": order.client_id, "aid": order.id, "at": "CONDITIONAL", "o": order.kind, "s": order.market.name}
        row |= {"S": shapes.side(order), "ps": "BOTH", "f": order.tif, "q": text(order.quantity), "X": order.status}
        row |= {"ai": str(order.actual.id) if order.actual else "", "tp": text(order.trigger), "p": text(order.price)}
        return [
            {"e": "ALGO_UPDATE", "T": now, "E": now, "o": row | {"R": order.reduce_only, "cp": order.close_position}}
        ]
    row = {"s": order.market.name, "c": order.client_id, "S": shapes.side(order), "o": order.kind, "f": order.tif}
    row |= {"q": text(order.quantity), "p": text(order.price), "x": kind, "X": order.status, "i": order.id}
    row |= {"l": text(trade.quantity if trade else 0), "z": text(order.filled), "L": text(trade.price if trade else 0)}
    row |= {"n": text(trade.fee if trade else 0), "N": trade.fee_asset if trade else None, "T": now}
    row |= {"t": trade.id if trade else -1, "m": bool(trade and trade.maker)}
    if order.market.perpetual:
        row |= {"ap": text(order.average), "sp": "0", "R": order.reduce_only, "ps": "BOTH", "ot": order.kind}
        row |= {"rp": text(trade.realised if trade else 0), "cp": False, "wt": "CONTRACT_PRICE"}
        return [{"e": "ORDER_TRADE_UPDATE", "E": now, "T": now, "o": row}]
    row |= {"e": "executionReport", "E": now, "C": "", "P": text(order.trigger), "g": order.list_id, "O": order.time}
    row |= {"Z": text(order.spent), "Y": text(trade.price * trade.quantity if trade else 0), "w": not order.waits}
    account = shapes.spot_account(desk, now)["balances"]  # type: ignore[arg-type]
    held = [{"a": each["asset"], "f": each["free"], "l": each["locked"]} for each in account]
    return [row, {"e": "outboundAccountPosition", "E": now, "u": now, "B": held}]
