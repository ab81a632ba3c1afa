"""From ccxt to the server: what leaves for Binance's hosts arrives on loopback instead; ccxt is unchanged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from tests.exchange.gate import Request, ask
from tests.exchange.venue import KEY, SECRET, Exchange


class Killed(BaseException):
    """The process died here."""


class Loopback(HTTPAdapter):
    """The wire. ``cut`` is called with (number of the request, "METHOD /path", "before" or "after") and may raise."""

    def __init__(self, exchange: Exchange, cut: Callable[[int, str, str], None] | None) -> None:
        super().__init__()
        self.exchange, self.cut, self.sent = exchange, cut, 0

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        parts = urlsplit(str(request.url))
        name = f"{request.method} {parts.path}"
        self.sent += 1
        number = self.sent
        if self.cut:
            self.cut(number, name, "before")
        answer = self._over_http(request, args, kwargs) if self.exchange.url else self._directly(request, kwargs)
        try:
            if self.cut:
                self.cut(number, name, "after")
        except BaseException:
            answer.close()
            raise
        return answer

    def _over_http(self, request: requests.PreparedRequest, args: Any, kwargs: Any) -> requests.Response:
        parts = urlsplit(str(request.url))
        request.url = self.exchange.url + parts.path + (f"?{parts.query}" if parts.query else "")
        try:
            return super().send(request, *args, **kwargs)
        except requests.ConnectionError:
            kind, _ = (self.exchange.faults.struck or [("", "")])[-1]
            self._lost(kind, kwargs)
            raise

    def _directly(self, request: requests.PreparedRequest, kwargs: Any) -> requests.Response:
        """Without a server: ten times as fast, and the same gate."""
        parts = urlsplit(str(request.url))
        body = request.body.decode() if isinstance(request.body, bytes) else request.body or ""
        key = request.headers.get("X-MBX-APIKEY")
        told = ask(self.exchange, Request(str(request.method), parts.path, parts.query, body, key))
        if told.lost:
            self._lost(told.lost.replace("hang", "timeout"), kwargs)
            raise requests.ConnectionError("Connection reset by peer")
        answer = requests.Response()
        answer.status_code, answer.reason = told.status, "OK" if told.status < 400 else "Refused"
        answer.headers.update(told.headers)
        answer._content, answer.url, answer.request = told.text.encode(), str(request.url), request
        return answer

    def _lost(self, kind: str, kwargs: Any) -> None:
        """Of a timeout, the client's patience passes on the exchange's clock."""
        if kind.startswith("timeout"):
            self.exchange.advance(int(kwargs.get("timeout", 10) * 1000))
            raise requests.ReadTimeout("Read timed out") from None


def connect(client: Any, exchange: Exchange, cut: Callable[[int, str, str], None] | None = None) -> Any:
    """Let any synchronous ccxt client of Binance talk to the loopback exchange, at the exchange's time."""
    wire = Loopback(exchange, cut)
    client.session.mount("https://", wire)
    client.session.mount("http://", wire)
    client.milliseconds = exchange.client_clock
    return client


def make_client(exchange: Exchange, cut: Callable[[int, str, str], None] | None = None, **settings: Any) -> Any:
    """Return a `ccxt.binance` connected to the loopback exchange; ``settings`` as ccxt takes them."""
    import ccxt

    options = {"fetchCurrencies": False, "fetchMarkets": {"types": ["spot", "linear"]}, **settings.pop("options", {})}
    config = {"apiKey": KEY, "secret": SECRET, "enableRateLimit": False, "timeout": 5000, **settings}
    return connect(ccxt.binance({**config, "options": options}), exchange, cut)


def make_streaming_client(exchange: Exchange) -> Any:
    """Return a `ccxt.pro.binance` (asynchronous, with user streams) connected to the loopback exchange."""
    import ccxt.pro

    options = {"fetchCurrencies": False, "fetchMarkets": {"types": ["spot", "linear"]}, "fetchMargins": False}
    client = ccxt.pro.binance({"apiKey": KEY, "secret": SECRET, "enableRateLimit": False, "options": options})
    client.urls["api"] = _moved(client.urls["api"], exchange.url)
    client.milliseconds = exchange.client_clock
    return client


def _moved(urls: Any, url: str) -> Any:
    if isinstance(urls, dict):
        return {name: _moved(value, url) for name, value in urls.items()}
    host = url.replace("http", "ws", 1) if urls.startswith("ws") else url
    return host + urlsplit(urls).path
