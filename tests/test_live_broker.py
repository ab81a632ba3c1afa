"""The exchange through ccxt: what it says becomes plain records, what it breaks becomes one of three errors."""

from __future__ import annotations

import sys

import pytest

from engine.errors import SettingsError
from live.broker import BracketRequest, OrderRequest, Refused, Retry, Unknown
from live.exchange import Exchange
from live.keys import Keys
from tests.exchange.venue import KEY, SECRET
from tests.live_exchange import BARS, broker_of, open_ms

BOTH = pytest.mark.parametrize("name", ["binance", "binanceusdm"])
SYMBOL, BEGUN = "BTCUSDT", open_ms(BARS, 50) * 10**6


@pytest.fixture
def market(loopback_exchange):
    """A started market, and our way to it."""

    def make(name="binance", row=50, **terms):
        perpetual = name != "binance"
        loopback_exchange.load(BARS, perpetual=perpetual, **terms)
        loopback_exchange.deposit(10_000, perpetual=perpetual)
        loopback_exchange.advance_to(open_ms(BARS, row) + 1000)
        made.append(broker_of(loopback_exchange, name))
        return loopback_exchange, made[-1]

    made: list[Exchange] = []
    yield make
    for broker in made:
        broker.close()


def order(client_id, side=1, quantity=1.0, kind="market", price=0.0, reduce_only=False):
    return OrderRequest(client_id, SYMBOL, side, quantity, kind, price, reduce_only)


def rounded(price):
    return round(price, 2)


@BOTH
def test_terms_quote_and_time_are_read(market, name):
    venue, broker = market(name)
    terms = broker.terms(SYMBOL)
    assert (terms.base, terms.quote, terms.perpetual) == ("BTC", "USDT", name != "binance")
    assert terms.has_oco == (name == "binance")
    assert terms.tick == 0.01
    assert terms.lot == 1e-5
    assert terms.min_notional > 0
    assert broker.server_time() == venue.now * 10**6
    quote = broker.quote(SYMBOL)
    assert 0 < quote.bid < quote.ask
    assert 0 < quote.spread < 0.01


@BOTH
def test_candles_say_which_are_final_by_the_exchanges_clock(market, name):
    _venue, broker = market(name)
    got = broker.candles(SYMBOL, "1h", open_ms(BARS, 45) * 10**6)
    assert [c.open_time for c in got] == [open_ms(BARS, row) * 10**6 for row in range(45, 51)]
    assert [c.final for c in got] == [True] * 5 + [False]
    assert got[0][1:5] == pytest.approx((BARS.open[45], BARS.high[45], BARS.low[45], BARS.close[45]), abs=0.01)
    assert got[-1].open == pytest.approx(BARS.open[50], abs=0.01)


@BOTH
def test_a_market_order_is_sent_found_and_its_fill_told(market, name):
    _venue, broker = market(name)
    taken = broker.send(order("a1"))
    assert (taken.client_id, taken.status, taken.filled) == ("a1", "filled", 1.0)
    assert broker.order(SYMBOL, "a1").order_id == taken.order_id
    assert broker.order(SYMBOL, "never") is None
    (fill,) = broker.fills(SYMBOL, BEGUN)
    assert (fill.order_id, fill.side, fill.quantity) == (taken.order_id, 1, 1.0)
    assert fill.fee > 0
    assert fill.fee_currency == ("BTC" if name == "binance" else "USDT")
    held = 1.0 - fill.fee if name == "binance" else 1.0
    assert broker.position(SYMBOL).quantity == pytest.approx(held)


def test_a_short_position_of_a_perpetual_is_negative_and_reduce_only_never_turns_it(market):
    _venue, broker = market("binanceusdm")
    broker.send(order("s1", side=-1))
    assert broker.position(SYMBOL).quantity == -1.0
    broker.send(order("s2", side=1, quantity=3.0, reduce_only=True))
    assert broker.position(SYMBOL).quantity == 0.0


@BOTH
def test_limit_and_stop_rest_are_listed_and_cancelled_by_our_name(market, name):
    _venue, broker = market(name)
    price = broker.quote(SYMBOL).bid
    if name == "binance":
        broker.send(order("e1", quantity=2.0))
    low, high = rounded(price * 0.8), rounded(price * 1.2)
    reduce = name != "binance"
    if reduce:
        broker.send(order("e1"))
    broker.send(order("stop", -1, 0.5, "stop", low, reduce))
    broker.send(order("target", -1, 0.5, "limit", high, reduce))
    found = {o.client_id: o for o in broker.open_orders(SYMBOL)}
    assert {n: (o.kind, o.price, o.side) for n, o in found.items()} == {
        "stop": ("stop", low, -1),
        "target": ("limit", high, -1),
    }
    for client_id in ("stop", "target", "stop", "never"):
        broker.cancel(SYMBOL, client_id)
    assert broker.open_orders(SYMBOL) == []
    assert broker.order(SYMBOL, "stop").status == "cancelled"


def test_a_triggered_stop_of_a_perpetual_carries_the_name_its_fills_have(market):
    venue, broker = market("binanceusdm")
    broker.send(order("e1"))
    row = next(r for r in range(51, 400) if BARS.low[r] < BARS.open[50] * 0.97)
    stop = broker.send(order("stop", -1, 1.0, "stop", rounded(BARS.open[50] * 0.97), True))
    assert (stop.status, stop.order_id) == ("open", "")
    venue.advance_to(open_ms(BARS, row + 1))
    done = broker.order(SYMBOL, "stop")
    assert done.status == "filled"
    assert done.order_id == broker.fills(SYMBOL, BEGUN)[-1].order_id != ""
    assert broker.position(SYMBOL).quantity == 0.0


@pytest.mark.parametrize("side", [-1, 1])
def test_target_and_stop_are_one_order_on_spot(market, side):
    _venue, broker = market()
    broker.send(order("e1", quantity=5.0))
    price = broker.quote(SYMBOL).bid
    target, stop = rounded(price * (1 - side * 0.1)), rounded(price * (1 + side * 0.1))
    legs = order("t", side, 1.0, "limit", target), order("s", side, 1.0, "stop", stop)
    taken = broker.send_bracket(BracketRequest("list", *legs))
    assert [(o.client_id, o.kind, o.price, o.status) for o in taken] == [
        ("t", "limit", target, "open"),
        ("s", "stop", stop, "open"),
    ]
    broker.cancel(SYMBOL, "t")
    assert broker.open_orders(SYMBOL) == []


def test_fills_of_many_days_come_in_pages_and_in_order(market):
    venue, broker = market()
    for day in range(1, 5):
        broker.send(order(f"e{day}", quantity=0.5))
        venue.advance_to(open_ms(BARS, 50 + 24 * day) + 1000)
    fills = broker.fills(SYMBOL, open_ms(BARS, 50) * 10**6)
    assert len(fills) == 4
    assert [f.time for f in fills] == sorted(f.time for f in fills)
    assert len(broker.fills(SYMBOL, fills[2].time)) == 2


def test_what_the_exchange_refuses_says_why(market):
    _venue, broker = market()
    with pytest.raises(Refused, match="InsufficientFunds"):
        broker.send(order("a", quantity=5000.0))
    with pytest.raises(Refused, match="does not trade ABCUSDT; write a symbol of its list"):
        broker.terms("ABCUSDT")


@pytest.mark.parametrize("kind", ["reset", "reset_after", "cut_short", "hang_after"])
def test_an_order_whose_answer_is_lost_may_or_may_not_stand(market, kind):
    venue, broker = market()
    broker.terms(SYMBOL)
    broker._ccxt.timeout = 300
    venue.faults.plan(kind, "POST /api/v3/order")
    with pytest.raises(Unknown):
        broker.send(order("a"))
    found = broker.order(SYMBOL, "a")
    assert (found is None) == (kind == "reset")


@pytest.mark.parametrize("kind", ["reset", "status", "cut_short"])
def test_a_question_without_an_answer_is_asked_again(market, kind):
    venue, broker = market()
    broker.terms(SYMBOL)
    venue.faults.plan(kind, "GET /api/v3/openOrders")
    with pytest.raises(Retry):
        broker.open_orders(SYMBOL)
    assert broker.open_orders(SYMBOL) == []


def test_being_told_to_wait_says_how_long_and_that_nothing_was_done(market):
    venue, broker = market()
    broker.terms(SYMBOL)
    venue.faults.plan("status", "POST /api/v3/order", status=429, code=-1003, message="Too many.", retry_after=7)
    with pytest.raises(Retry) as caught:
        broker.send(order("a"))
    assert caught.value.wait_s == 7.0
    venue.advance(7_001)
    assert broker.order(SYMBOL, "a") is None


def test_no_message_holds_a_key_a_signature_or_an_address(market):
    venue, broker = market()
    broker.terms(SYMBOL)
    said = []
    for kind, details in (
        ("reset", {}),
        ("status", {"status": 400, "code": -1100, "message": f"bad {KEY} and {SECRET}"}),
        ("status", {"status": 503}),
    ):
        venue.faults.clear()
        venue.faults.plan(kind, "", times=9, **details)
        for act in (lambda: broker.send(order("a")), lambda: broker.open_orders(SYMBOL), broker.server_time):
            with pytest.raises((Retry, Unknown, Refused)) as caught:
                act()
            assert caught.value.__cause__ is None
            said.append(str(caught.value))
    text = "\n".join([*said, repr(broker), repr(Keys(KEY, SECRET)), str([Keys(KEY, SECRET)])])
    for secret in (KEY, SECRET, "signature=", "timestamp="):
        assert secret not in text


def test_without_ccxt_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ccxt", None)
    with pytest.raises(SettingsError, match=r"needs ccxt: pip install 'tradsys\[live\]'"):
        Exchange("binance")
