"""``tradsys live dashboard``: the bot on a page, on this machine only, for who has the token; it changes nothing."""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from engine.errors import TradingError, UsageError
from engine.jsons import dumps
from live.metrics import CONTENT_TYPE, exposition
from live.scene import scene
from live.settings import Settings

LOOPBACK, SHORTEST = "127.0.0.1", 32  # letters of a token
PAGE = Path(__file__).with_name("page")
SHELL = {  # holds nothing of the bot: what it shows is asked for with the token
    "/": ("dashboard.html", "text/html; charset=utf-8"),
    "/dashboard.js": ("dashboard.js", "text/javascript; charset=utf-8"),
    "/dashboard.css": ("dashboard.css", "text/css; charset=utf-8"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Dashboard:
    """The server; it lasts until it is closed.

    Parameters
    ----------
    settings : Settings
        Whose ledgers are shown.
    port : int
        0 for any that is free.

    Raises
    ------
    UsageError
        If the port is taken, or no token can be kept beside the ledgers.
    """

    def __init__(self, settings: Settings, port: int) -> None:
        self.token_file = _token_file(settings)
        self.token = _token(self.token_file)
        views: dict[str, tuple[str, Callable[[], str]]] = {
            "/scene.json": ("application/json", lambda: dumps(scene(settings), indent=None)),
            "/metrics": (CONTENT_TYPE, lambda: exposition(settings)),
        }

        class Handler(_Handler):
            token, answers = self.token, views

        try:
            self.server = ThreadingHTTPServer((LOOPBACK, port), Handler)
        except OSError as why:
            raise UsageError(f"--port {port} cannot be had ({why.strerror}); name another, or 0 for any") from None
        self.server.daemon_threads = True

    @property
    def address(self) -> str:
        """Where the page is, without the token."""
        return f"http://{LOOPBACK}:{self.server.server_port}/"

    @property
    def link(self) -> str:
        """Where the page is, with the token behind a ``#``: browsers send that part to nobody."""
        return f"{self.address}#{self.token}"

    def serve(self) -> None:
        """Answer until `close`."""
        self.server.serve_forever(poll_interval=0.1)

    def close(self) -> None:
        """Stop answering."""
        self.server.shutdown()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Answers GET, from this machine, under this machine's own name."""

    token = ""
    answers: dict[str, tuple[str, Callable[[], str]]] = {}  # noqa: RUF012  # replaced, never changed
    server_version, sys_version = "tradsys", ""
    timeout = 30

    def do_GET(self) -> None:
        """Answer one request."""
        path, host = urlsplit(self.path).path, (self.headers.get("Host") or "").rsplit(":", 1)[0]
        if host not in (LOOPBACK, "localhost"):  # a stranger's page may have led a browser here by its own name
            return self._say(HTTPStatus.FORBIDDEN, "ask by 127.0.0.1\n")
        if path in SHELL:
            name, kind = SHELL[path]
            return self._say(HTTPStatus.OK, (PAGE / name).read_text("utf-8"), kind)
        if path not in self.answers:
            return self._say(HTTPStatus.NOT_FOUND, "there is / and /scene.json and /metrics\n")
        given = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self.token.encode()):
            return self._say(
                HTTPStatus.UNAUTHORIZED, "the token is missing or wrong; `tradsys live dashboard` prints it\n"
            )
        kind, made = self.answers[path]
        try:
            return self._say(HTTPStatus.OK, made(), kind)
        except TradingError as why:
            return self._say(HTTPStatus.SERVICE_UNAVAILABLE, f"{why}\n")

    def _say(self, status: HTTPStatus, text: str, kind: str = "text/plain; charset=utf-8") -> None:
        content = text.encode()
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing: requests are no news."""


def _token_file(settings: Settings) -> Path:
    folder = settings.ledger.parent if settings.mode == "replay" else settings.folder
    return folder / "dashboard.token"


def _token(path: Path) -> str:
    """The token of these ledgers, made at the first look and readable by their owner only."""
    try:
        kept = path.read_text("ascii").strip() if path.exists() else ""
        if len(kept) >= SHORTEST:
            return kept
        path.unlink(missing_ok=True)  # one cut short, or emptied, would let anybody in
        path.parent.mkdir(parents=True, exist_ok=True)
        token = secrets.token_urlsafe(24)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{token}\n")
        return token
    except OSError as why:
        raise UsageError(f"the dashboard's token cannot be kept in {path}: {why.strerror}") from None
