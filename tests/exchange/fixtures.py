"""The fixture `loopback_exchange`, and the same as a context for tests that need many exchanges."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.exchange.venue import Exchange


@contextmanager
def serving(exchange: Exchange | None = None) -> Iterator[Exchange]:
    """Serve an exchange while the block runs."""
    from tests.exchange.server import Server

    made = exchange or Exchange()
    server = Server(made)
    try:
        yield made
    finally:
        server.close()


@pytest.fixture
def loopback_exchange() -> Iterator[Exchange]:
    """An empty exchange on loopback: load bars, deposit, make clients; see `tests.exchange`."""
    with serving() as exchange:
        yield exchange
