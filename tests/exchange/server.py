"""The server on 127.0.0.1: HTTP and websockets in a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading

from aiohttp import web

from tests.exchange import stream
from tests.exchange.gate import Request, ask
from tests.exchange.venue import Exchange

LONGEST_HANG_S = 60.0


class Server:
    """One exchange, served until it is closed."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
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
        app.router.add_post("/loopback/advance", self._advance)
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

    async def _advance(self, request: web.Request) -> web.Response:
        self.exchange.advance(int(await request.text()))  # by the sleep of a bot in another process
        return web.Response(text=str(self.exchange.client_clock()))

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = (await request.read()).decode()
        key = request.headers.get("X-MBX-APIKEY")
        answer = ask(self.exchange, Request(request.method, request.path, request.query_string, body, key))
        if answer.lost.startswith("hang"):
            await asyncio.wait([asyncio.ensure_future(self._closing.wait())], timeout=LONGEST_HANG_S)
        if answer.lost:
            return _reset(request)
        json = "application/json"
        return web.Response(text=answer.text, status=answer.status, headers=answer.headers, content_type=json)


def _reset(request: web.Request) -> web.Response:
    """Break the connection as a router that forgot it does."""
    transport = request.transport
    if transport is not None:
        wire = transport.get_extra_info("socket")
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()  # type: ignore[attr-defined]
    return web.Response()
