"""The user data stream (placeholder until its events are written)."""

from __future__ import annotations

from aiohttp import web

from tests.exchange.venue import Exchange


def add_routes(app: web.Application, exchange: Exchange) -> None:
    """Add the websocket's paths."""
