"""What happens to one request: key, signature and time are checked as Binance does, and the planned faults strike."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from tests.exchange import perp_api, spot_api
from tests.exchange.faults import AFTER, BEFORE, Fault
from tests.exchange.records import ApiError
from tests.exchange.venue import KEY, SECRET, Exchange

OPEN_TO_ALL = spot_api.OPEN_TO_ALL | perp_api.OPEN_TO_ALL
SIGNED = spot_api.SIGNED | perp_api.SIGNED


class Request(NamedTuple):
    """What arrived."""

    method: str
    path: str
    query: str
    body: str
    key: str | None

    @property
    def payload(self) -> str:
        return self.body or self.query

    @property
    def params(self) -> dict[str, str]:
        return dict(parse_qsl(self.payload, keep_blank_values=True))


class Answer(NamedTuple):
    """What goes back; ``lost`` is the fault that lets nothing go back."""

    status: int
    headers: dict[str, str]
    text: str
    lost: str = ""


def ask(exchange: Exchange, request: Request) -> Answer:
    """Let the exchange answer a request."""
    with exchange.lock:
        fault = exchange.faults.take(f"{request.method} {request.path}")
        kind = fault.kind if fault else ""
        if exchange.witness is not None:
            exchange.witness.asked(request.method, request.path, request.params)
        status, answer = _answer(exchange, request, fault)
        lost = kind if kind in (*BEFORE, *AFTER) else ""
        exchange.requests.append((request.method, request.path, request.params, 0 if lost else status))
        if exchange.witness is not None:
            exchange.witness.told(request.method, request.path, 0 if lost or kind == "cut_short" else status, answer)
        text = "" if lost else json.dumps(answer)
        return Answer(
            status, _headers(exchange, status, fault), text[: len(text) // 2] if kind == "cut_short" else text, lost
        )


def _answer(exchange: Exchange, request: Request, fault: Fault | None) -> tuple[int, Any]:
    """Do what is asked, unless a fault prevents it; return status and answer."""
    kind = fault.kind if fault else ""
    status, answer = 0, None
    if kind not in (*BEFORE, "status"):
        for _ in range(2 if kind == "twice" else 1):
            done = _do(exchange, request, fault if fault and kind == "stale" else None)
            status, answer = (status, answer) if status == 200 else done
    if fault and kind == "late":
        exchange.pending.append((exchange.now + fault.delay_ms, lambda: _do(exchange, request, None)))
    if kind == "repeat" and isinstance(answer, list):
        answer = [row for row in answer for _ in range(2)]
    if fault and kind.startswith("status"):
        status, answer = fault.status, {"code": fault.code or -1000, "msg": fault.message or "An unknown error."}
    return status, answer


def _do(exchange: Exchange, request: Request, stale: Fault | None) -> tuple[int, Any]:
    route = (request.method, request.path)
    handler = OPEN_TO_ALL.get(route) or SIGNED.get(route)
    if handler is None:
        return 404, {"code": -5000, "msg": f"Path {request.path}, Method {request.method} is invalid"}
    spot, perp = exchange.spot, exchange.perp
    if stale and exchange.before and exchange.now - exchange.before_at < stale.delay_ms:
        spot, perp = exchange.before
    try:
        if route in SIGNED:
            _authorise(exchange, request)
            if request.method != "GET":
                exchange.remember()
        return 200, handler(perp if request.path.startswith("/fapi") else spot, request.params)
    except ApiError as error:
        return error.status, {"code": error.code, "msg": error.message}


def _authorise(exchange: Exchange, request: Request) -> None:
    """Refuse a wrong key, signature or time."""
    if request.key is None:
        raise ApiError(-2014, "API-key format invalid.", 401)
    if request.key != KEY:
        raise ApiError(-2015, "Invalid API-key, IP, or permissions for action.", 401)
    signed, _, signature = request.payload.rpartition("&signature=")
    if not hmac.compare_digest(hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest(), signature):
        raise ApiError(-1022, "Signature for this request is not valid.")
    params = request.params
    if not params.get("timestamp"):
        raise ApiError(-1102, "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed.")
    time, window = int(params["timestamp"]), int(params.get("recvWindow", 5000))
    if time > exchange.now + 1000:
        raise ApiError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if exchange.now - time > window:
        raise ApiError(-1021, "Timestamp for this request is outside of the recvWindow.")


def _headers(exchange: Exchange, status: int, fault: Fault | None) -> dict[str, str]:
    minute = exchange.now // 60_000
    exchange.weight = {minute: exchange.weight.get(minute, 0) + 1}
    headers = {"X-MBX-USED-WEIGHT": str(exchange.weight[minute]), "X-MBX-USED-WEIGHT-1M": str(exchange.weight[minute])}
    if fault and fault.retry_after is not None and status >= 400:
        headers["Retry-After"] = str(fault.retry_after)
    return headers
