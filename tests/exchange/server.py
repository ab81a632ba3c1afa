"""The server on 127.0.0.1: checks key, signature and time as Binance does, and lets the planned faults strike."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import socket
import struct
import threading
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from tests.exchange import perp_api, spot_api, stream
from tests.exchange.faults import AFTER, BEFORE, Fault
from tests.exchange.records import ApiError
from tests.exchange.venue import KEY, SECRET, Exchange

OPEN_TO_ALL = spot_api.OPEN_TO_ALL | perp_api.OPEN_TO_ALL
SIGNED = spot_api.SIGNED | perp_api.SIGNED
LONGEST_HANG_S = 60.0


def authorise(exchange: Exchange, payload: str, key: str | None, params: dict[str, str]) -> None:
    """Refuse a wrong key, signature or time."""
    if key is None:
        raise ApiError(-2014, "API-key format invalid.", 401)
    if key != KEY:
        raise ApiError(-2015, "Invalid API-key, IP, or permissions for action.", 401)
    signed, _, signature = payload.rpartition("&signature=")
    if not hmac.compare_digest(hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest(), signature):
        raise ApiError(-1022, "Signature for this request is not valid.")
    if not params.get("timestamp"):
        raise ApiError(-1102, "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed.")
    time, window = int(params["timestamp"]), int(params.get("recvWindow", 5000))
    if time > exchange.now + 1000:
        raise ApiError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if exchange.now - time > window:
        raise ApiError(-1021, "Timestamp for this request is outside of the recvWindow.")


class Server:
    """One exchange, served in a thread of its own until it is closed."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.weight: dict[int, int] = {}
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self._ready.wait()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._run())
        self._loop.close()

    async def _run(self) -> None:
        self._closing = asyncio.Event()
        app = web.Application()
        stream.add_routes(app, self.exchange)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        self.exchange.url = f"http://127.0.0.1:{port}"
        self._ready.set()
        await self._closing.wait()
        await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = (await request.read()).decode()
        name = f"{request.method} {request.path}"
        with self.exchange.lock:
            fault = self.exchange.faults.take(name)
            status, answer = self._answer(request, body, fault)
        kind = fault.kind if fault else ""
        if kind.startswith("hang"):
            await asyncio.wait([asyncio.ensure_future(self._closing.wait())], timeout=LONGEST_HANG_S)
        if kind in (*BEFORE, *AFTER):
            return _reset(request)
        headers = self._headers(status, fault)
        text = json.dumps(answer)
        if kind == "cut_short":
            text = text[: len(text) // 2]
        return web.Response(text=text, status=status, headers=headers, content_type="application/json")

    def _answer(self, request: web.Request, body: str, fault: Fault | None) -> tuple[int, Any]:
        """Do what is asked, unless a fault prevents it; return status and answer."""
        exchange, payload = self.exchange, body or request.query_string
        params = dict(parse_qsl(payload, keep_blank_values=True))
        kind = fault.kind if fault else ""
        status, answer = 0, None
        if kind not in (*BEFORE, "status"):
            for _ in range(2 if kind == "twice" else 1):
                done = self._do(request, params, payload, fault if fault and kind == "stale" else None)
                status, answer = (status, answer) if status == 200 else done
        if fault and kind == "late":
            arrives = exchange.now + fault.delay_ms
            exchange.pending.append((arrives, lambda: self._do(request, params, payload, None)))
        if kind == "repeat" and isinstance(answer, list):
            answer = [row for row in answer for _ in range(2)]
        if fault and kind.startswith("status"):
            status, answer = fault.status, {"code": fault.code or -1000, "msg": fault.message or "An unknown error."}
        if kind in (*BEFORE, *AFTER):
            status = 0
        exchange.requests.append((request.method, request.path, params, status))
        return status, answer

    def _do(self, request: web.Request, params: dict[str, str], payload: str, stale: Fault | None) -> tuple[int, Any]:
        exchange, route = self.exchange, (request.method, request.path)
        handler = OPEN_TO_ALL.get(route) or SIGNED.get(route)
        if handler is None:
            return 404, {"code": -5000, "msg": f"Path {request.path}, Method {request.method} is invalid"}
        spot, perp = exchange.spot, exchange.perp
        if stale and exchange.before and exchange.now - exchange.before_at < stale.delay_ms:
            spot, perp = exchange.before
        try:
            if route in SIGNED:
                authorise(exchange, payload, request.headers.get("X-MBX-APIKEY"), params)
                if request.method != "GET":
                    exchange.remember()
            return 200, handler(perp if request.path.startswith("/fapi") else spot, params)
        except ApiError as error:
            return error.status, {"code": error.code, "msg": error.message}

    def _headers(self, status: int, fault: Fault | None) -> dict[str, str]:
        minute = self.exchange.now // 60_000
        self.weight = {minute: self.weight.get(minute, 0) + 1}
        headers = {"X-MBX-USED-WEIGHT": str(self.weight[minute]), "X-MBX-USED-WEIGHT-1M": str(self.weight[minute])}
        if fault and fault.retry_after is not None and status >= 400:
            headers["Retry-After"] = str(fault.retry_after)
        return headers


def _reset(request: web.Request) -> web.Response:
    """Break the connection as a router that forgot it does."""
    transport = request.transport
    if transport is not None:
        wire = transport.get_extra_info("socket")
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()  # type: ignore[attr-defined]
    return web.Response()
