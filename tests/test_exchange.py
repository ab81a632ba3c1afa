"""The loopback exchange, driven by ccxt."""

from __future__ import annotations

import dataclasses

from engine.synthetic import random_bars
from tests.exchange.wire import make_client


def test_a_market_order_fills_at_the_price_now(loopback_exchange):
    exchange = loopback_exchange
    bars = dataclasses.replace(random_bars(50, seed=1), symbol="BTCUSDT")
    exchange.load(bars)
    exchange.deposit(1000)
    exchange.advance_to(bars.open_time[10])
    order = make_client(exchange).create_order("BTC/USDT", "market", "buy", 1.0, None, {"clientOrderId": "mine"})
    assert (order["status"], order["average"]) == ("closed", round(float(bars.open[10]), 2))
