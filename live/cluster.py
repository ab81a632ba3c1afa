"""Whether a cluster's address leads to a cluster, asked before its own client is: that one waits and logs at length."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from engine.errors import UsageError
from engine.workers import DASK, RAY

ANSWER_S = 5.0
LONGEST_GREETING = 4096
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"  # RFC 9113, 3.4
SCHEMES = {DASK: ("", "tcp", "tls"), RAY: ("", "ray")}
USUAL = {DASK: "tcp://10.0.0.5:8786", RAY: "10.0.0.5:6379"}
SETTINGS_FRAME, TLS_RECORDS = 4, b"\x15\x16"


def check_cluster(backend: str, address: str) -> None:
    """Refuse an address at which nobody answers, or somebody who is no Dask scheduler or Ray head.

    A scheduler of Dask greets with its versions as soon as it is called; a Ray head is a gRPC server, and answers the
    preface of HTTP/2 with its settings. What speaks TLS is called and left to the client.

    Raises
    ------
    UsageError
        Naming the address, within some ten seconds.
    """
    who = {DASK: "Dask workers answer", RAY: "Ray cluster answers"}[backend]
    if (backend, address) in ((RAY, "auto"), (RAY, "local")):
        return
    scheme, host, port = _parts(address)
    if not host or not port or scheme not in SCHEMES[backend]:
        raise UsageError(f"no {who} at {address}: write it as HOST:PORT, such as {USUAL[backend]}")
    if scheme == "tls" and not _has_keys():
        raise UsageError(f"no {who} at {address}: Dask's configuration names no keys for it (distributed.comm.tls)")
    try:
        with socket.create_connection((host, port), timeout=ANSWER_S) as line:
            wrong = None if scheme == "tls" else _wrong(backend, line)
    except OSError as error:
        raise UsageError(f"no {who} at {address}: {error.strerror or error}") from None
    if wrong:
        raise UsageError(f"no {who} at {address}: {wrong}")


def _parts(address: str) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port; None for what is not there or is none."""
    scheme, _, rest = address.rpartition("://")
    try:
        parts = urlsplit(f"//{rest}")
        return scheme, parts.hostname, parts.port
    except ValueError:
        return scheme, None, None


def _has_keys() -> bool:
    from distributed.security import Security

    return Security().get_connection_args("client").get("ssl_context") is not None


def _wrong(backend: str, line: socket.socket) -> str | None:
    """Return why what answers is not the cluster; None if it may be."""
    if backend == RAY:
        line.sendall(PREFACE)
    try:
        greeting = line.recv(LONGEST_GREETING)
    except TimeoutError:
        return "whoever listens there says nothing"
    if backend == DASK:
        greets = b"compression" in greeting and b"python" in greeting
        return None if greets else "whoever listens there is no Dask scheduler"
    settings = len(greeting) > SETTINGS_FRAME - 1 and greeting[3] == SETTINGS_FRAME
    return None if settings or greeting[:1] in TLS_RECORDS else "whoever listens there is no Ray head"
