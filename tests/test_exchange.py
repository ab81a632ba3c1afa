"""The loopback exchange, driven by ccxt itself: what it answers, refuses and breaks, and that its money adds up."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from decimal import Decimal

import ccxt
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.barriers import REASONS, bracket, walk
from engine.rules import FillRules
from engine.synthetic import random_bars
from engine.terms import prices_of
from tests.exchange.venue import Exchange
from tests.exchange.wire import make_client, make_streaming_client
from tests.markets import bars_of

BARS = dataclasses.replace(random_bars(80, seed=1), symbol="BTCUSDT")
SPOT, PERP = "BTC/USDT", "BTC/USDT:USDT"
BOTH = pytest.mark.parametrize("symbol", [SPOT, PERP])


def stocked(exchange, bars=BARS, row=10, **terms):
    """Two markets, 10,000 on both sides, and a client at the open of a row."""
    for perpetual in (False, True):
        exchange.load(bars, perpetual=perpetual, **terms)
        exchange.deposit(10_000, perpetual=perpetual)
    exchange.advance_to(bars.open_time[row])
    return make_client(exchange)


def price_of(exchange):
    return float(exchange.spot.markets["BTCUSDT"].price)


def oco(client, quantity, target, stop, name=""):
    asked = {"symbol": "BTCUSDT", "side": "SELL", "quantity": f"{quantity}", "listClientOrderId": name or "list"}
    asked |= {"aboveType": "LIMIT_MAKER", "abovePrice": f"{target:.2f}", "aboveClientOrderId": f"target{name}"}
    asked |= {"belowType": "STOP_LOSS", "belowStopPrice": f"{stop:.2f}", "belowClientOrderId": f"stop{name}"}
    return client.private_post_orderlist_oco(asked)


def code_of(error):
    text = str(error.value)
    return json.loads(text[text.index("{") :])["code"] if "{" in text else text


@BOTH
def test_every_question_a_bot_asks_is_answered(loopback_exchange, symbol):
    exchange = loopback_exchange
    client = stocked(exchange)
    kind = {"type": "swap"} if symbol == PERP else {}
    assert client.fetch_time() == exchange.now
    assert client.load_markets()[symbol]["precision"] == {"amount": 1e-5, "price": 0.01, "base": 1e-8, "quote": 1e-8}
    assert client.fetch_balance(kind)["USDT"] == {"free": 10_000, "used": 0, "total": 10_000}
    book = client.fetch_order_book(symbol, 5)
    assert book["bids"][0][0] < price_of(exchange) < book["asks"][0][0]
    assert client.fetch_ticker(symbol)["last"] == price_of(exchange)
    taken = client.create_order(symbol, "market", "buy", 2.0, None, {"clientOrderId": "mine"})
    assert (taken["status"], taken["average"], taken["clientOrderId"]) == ("closed", price_of(exchange), "mine")
    assert client.fetch_order("", symbol, {"clientOrderId": "mine"})["id"] == taken["id"]
    assert [trade["order"] for trade in client.fetch_my_trades(symbol, exchange.now - 1000)] == [taken["id"]]
    resting = client.create_order(symbol, "limit", "sell", 1.0, price_of(exchange) * 1.5, {"clientOrderId": "rests"})
    assert [order["id"] for order in client.fetch_open_orders(symbol)] == [resting["id"]]
    assert client.cancel_order("", symbol, {"clientOrderId": "rests"})["status"] == "canceled"
    assert client.fetch_open_orders(symbol) == []
    assert client.fetch_trading_fee(symbol)["taker"] == 0.001
    with pytest.raises(ccxt.OrderNotFound):
        client.fetch_order("", symbol, {"clientOrderId": "never"})
    with pytest.raises(ccxt.OrderNotFound):
        client.cancel_order("", symbol, {"clientOrderId": "rests"})


def test_ccxt_needs_no_settings_of_ours(loopback_exchange):
    stocked(loopback_exchange)
    client = make_client(loopback_exchange, options={"fetchCurrencies": True, "fetchMarkets": {}})
    assert set(client.load_markets()) == {SPOT, PERP}
    assert client.sapi_get_account_apirestrictions()["enableWithdrawals"] is False


@pytest.mark.parametrize(
    ("changed", "error", "code"),
    [
        ({"apiKey": "wrong"}, ccxt.AuthenticationError, -2015),
        ({"secret": "wrong"}, ccxt.AuthenticationError, -1022),
        ({"skew": 30_000}, ccxt.InvalidNonce, -1021),
        ({"skew": -30_000}, ccxt.InvalidNonce, -1021),
    ],
)
def test_a_wrong_key_signature_or_clock_is_turned_away(loopback_exchange, changed, error, code):
    exchange = loopback_exchange
    stocked(exchange)
    exchange.skew = changed.pop("skew", 0)
    client = make_client(exchange, **changed)
    with pytest.raises(error) as refused:
        client.fetch_balance()
    assert code_of(refused) == code
    if exchange.skew:
        client.load_time_difference()
        assert client.fetch_balance()["USDT"]["free"] == 10_000


@pytest.mark.parametrize(
    ("spot", "asked", "code"),
    [
        (True, {"quantity": "0.000011"}, "LOT_SIZE"),
        (True, {"type": "LIMIT", "price": "90.001", "timeInForce": "GTC"}, "PRICE_FILTER"),
        (True, {"quantity": "0.01"}, -1013),  # worth less than 5
        (True, {"quantity": "900"}, "insufficient balance"),
        (True, {"type": "LIMIT_MAKER", "price": "999"}, "immediately match"),
        (True, {"type": "STOP_LOSS", "stopPrice": "90"}, "trigger immediately"),
        (True, {"symbol": "NOPE"}, -1121),
        (False, {"quantity": "0.000011"}, -1111),
        (False, {"type": "LIMIT", "price": "90.001", "timeInForce": "GTC"}, -4014),
        (False, {"quantity": "0.01"}, -4164),
        (False, {"quantity": "0.000001"}, -1111),
        (False, {"quantity": "900"}, -2019),
        (False, {"quantity": "10000"}, -4005),
        (False, {"type": "LIMIT", "price": "999", "timeInForce": "GTX"}, -5022),
        (False, {"reduceOnly": "true"}, -2022),
        (False, {"type": "STOP_MARKET", "stopPrice": "999"}, -4120),
    ],
)
def test_filters_and_refusals_are_binances(loopback_exchange, spot, asked, code):
    client = stocked(loopback_exchange)
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "1", **asked}
    with pytest.raises(ccxt.ExchangeError) as refused:
        (client.private_post_order if spot else client.fapiprivate_post_order)(order)
    assert code == code_of(refused) or str(code) in str(refused.value)


def test_a_name_is_taken_only_while_its_order_stands(loopback_exchange):
    client = stocked(loopback_exchange)
    for symbol in (SPOT, PERP):
        for _ in range(2):  # as at Binance: the first was filled, so the second is another order
            client.create_order(symbol, "market", "buy", 0.1, None, {"clientOrderId": "filled"})
        client.create_order(symbol, "limit", "buy", 0.1, 90, {"clientOrderId": "stands"})
        with pytest.raises(ccxt.InvalidOrder) as refused:
            client.create_order(symbol, "limit", "buy", 0.1, 90, {"clientOrderId": "stands"})
        assert "uplicate" in str(refused.value)
    assert len(client.fetch_my_trades(SPOT)) == len(client.fetch_my_trades(PERP)) == 2


def test_the_forming_candle_is_shown_and_grows(loopback_exchange):
    exchange = loopback_exchange
    client, row, hour = stocked(exchange), BARS[10:11], 3_600_000
    grid = [round(float(getattr(row, name)[0]), 2) for name in ("open", "high", "low", "close")]
    seen = []
    for wait in (0, hour // 4, hour // 4, hour // 2 - 1):
        exchange.advance(wait)
        seen.append(client.fetch_ohlcv(SPOT, "1h", limit=1)[0][1:5])
    opened, high, low, _ = grid
    assert seen == [[opened] * 4, [opened, opened, low, low], [opened, high, low, high], grid]
    exchange.advance(1)
    assert [candle[0] for candle in client.fetch_ohlcv(SPOT, "1h", limit=2)] == [exchange.now - hour, exchange.now]


def test_candles_come_in_pages_can_be_revised_and_can_be_missing(loopback_exchange):
    exchange = loopback_exchange
    client = stocked(exchange, row=50)
    opened = BARS.open_time.astype("datetime64[ms]").astype(np.int64)
    page = client.fetch_ohlcv(SPOT, "1h", since=int(opened[5]), limit=3)
    assert [candle[0] for candle in page] == opened[5:8].tolist()
    exchange.revise("BTCUSDT", BARS.open_time[6], None, end=BARS.open_time[51])
    exchange.revise("BTCUSDT", BARS.open_time[7], (50.0, 60.0, 40.0, 55.0, 1.0))
    page = client.fetch_ohlcv(SPOT, "1h", since=int(opened[5]), limit=3)
    assert [candle[0] for candle in page] == opened[[5, 7]].tolist()
    assert page[1][1:] == [50.0, 60.0, 40.0, 55.0, 1.0]
    exchange.advance_to(BARS.open_time[51])
    assert len(client.fetch_ohlcv(SPOT, "1h", since=int(opened[5]), limit=3)) == 3


def test_of_an_oco_the_first_fill_ends_the_other_leg(loopback_exchange):
    exchange = loopback_exchange
    client = stocked(exchange)
    client.create_order(SPOT, "market", "buy", 2.0)
    now = price_of(exchange)
    with pytest.raises(ccxt.ExchangeError):
        oco(client, 1, now * 0.9, now * 0.8)  # the target must be above
    assert oco(client, 1, now * 1.2, now * 0.999)["listOrderStatus"] == "EXECUTING"
    assert client.fetch_balance()["BTC"] == {"free": 0.998, "used": 1.0, "total": 1.998}  # set aside once
    with pytest.raises(ccxt.InsufficientFunds):
        oco(client, 1, now * 1.3, now * 0.9, "two")
    exchange.advance_to(BARS.open_time[12])
    status = {name: client.fetch_order("", SPOT, {"clientOrderId": name})["status"] for name in ("target", "stop")}
    assert status == {"target": "expired", "stop": "closed"}
    assert client.fetch_balance()["BTC"]["total"] == 0.998


def test_a_leg_filled_in_part_leaves_no_stop(loopback_exchange):
    exchange = loopback_exchange
    client = stocked(exchange, row=10)
    client.create_order(SPOT, "market", "buy", 2.0)
    exchange.faults.partial(0.25)
    oco(client, 1, price_of(exchange) + 0.01, 50)
    while not client.fetch_my_trades(SPOT, params={"orderId": exchange.spot.orders[-2].id}):
        exchange.advance(900_000)
    legs = {name: client.fetch_order("", SPOT, {"clientOrderId": name}) for name in ("target", "stop")}
    assert (legs["target"]["status"], legs["target"]["filled"], legs["stop"]["status"]) == ("open", 0.25, "expired")
    assert client.fetch_balance()["BTC"]["used"] == 0.75


@pytest.mark.parametrize("by", ["leg", "list"])
def test_cancelling_one_leg_cancels_both(loopback_exchange, by):
    client = stocked(loopback_exchange)
    client.create_order(SPOT, "market", "buy", 2.0)
    oco(client, 1, 200, 50)
    if by == "leg":
        client.cancel_order("", SPOT, {"clientOrderId": "stop"})
    else:
        client.private_delete_orderlist({"symbol": "BTCUSDT", "listClientOrderId": "list"})
    assert [order.status for order in loopback_exchange.spot.orders[-2:]] == ["CANCELED", "CANCELED"]
    assert client.fetch_balance()["BTC"]["used"] == 0


def test_a_conditional_of_a_perpetual_becomes_an_order_of_another_name(loopback_exchange):
    exchange = loopback_exchange
    client = stocked(exchange)
    client.create_order(PERP, "market", "buy", 2.0)
    exits = {"reduceOnly": True}
    near, far = price_of(exchange) - 0.01, price_of(exchange) * 2
    client.create_order(PERP, "market", "sell", 2.0, None, {**exits, "stopLossPrice": near, "clientOrderId": "stop"})
    client.create_order(PERP, "market", "sell", 2.0, None, {**exits, "stopLossPrice": 40, "clientOrderId": "late"})
    client.create_order(PERP, "limit", "sell", 2.0, far, {**exits, "clientOrderId": "target"})
    assert [o["clientOrderId"] for o in client.fetch_open_orders(PERP, params={"trigger": True})] == ["stop", "late"]
    assert [o["clientOrderId"] for o in client.fetch_open_orders(PERP)] == ["target"]
    while client.fetch_positions([PERP]):
        exchange.advance(900_000)
    stop = client.fetch_order("", PERP, {"clientOrderId": "stop", "trigger": True})["info"]
    assert stop["algoStatus"] == "FINISHED"
    assert client.fetch_my_trades(PERP)[-1]["order"] == stop["actualOrderId"]
    with pytest.raises(ccxt.OrderNotFound):
        client.fetch_order("", PERP, {"clientOrderId": "stop"})
    exchange.perp._touch(exchange.perp.find(exchange.perp.markets["BTCUSDT"], None, "late", algo=True), False)
    late = client.fetch_order("", PERP, {"clientOrderId": "late", "trigger": True})
    assert (late["status"], client.fetch_positions([PERP])) == ("rejected", [])
    client.cancel_order("", PERP, {"clientOrderId": "target"})


def test_a_market_order_that_finds_too_few_is_filled_in_part_and_ends(loopback_exchange):
    client = stocked(loopback_exchange)
    loopback_exchange.faults.partial(0.4)
    order = client.create_order(SPOT, "market", "buy", 1.0, None, {"clientOrderId": "mine"})
    assert (order["status"], order["filled"]) == ("expired", 0.4)


def test_longs_pay_positive_funding_and_shorts_receive_it(loopback_exchange):
    exchange = loopback_exchange
    client = stocked(exchange, taker=Decimal(0))
    exchange.pay_funding("BTCUSDT", BARS.open_time[[5, 12, 20, 30]], [0.5, 0.001, 0.002, 0.5])
    client.create_order(PERP, "market", "buy", 2.0)
    exchange.advance_to(BARS.open_time[15])
    client.create_order(PERP, "market", "sell", 5.0)
    exchange.advance_to(BARS.open_time[25])
    paid = [float(row["income"]) for row in client.fapiprivate_get_income({"incomeType": "FUNDING_FEE"})]
    worth = np.round(BARS.open[[12, 20]], 2)
    np.testing.assert_allclose(paid, [-2 * worth[0] * 0.001, 3 * worth[1] * 0.002], rtol=1e-7)
    history = client.fetch_funding_rate_history(PERP, since=0)
    assert [row["fundingRate"] for row in history] == [0.5, 0.001, 0.002]


@pytest.mark.parametrize(
    ("kind", "error", "done"),
    [
        ("reset", ccxt.NetworkError, 0),
        ("reset_after", ccxt.NetworkError, 1),
        ("hang", ccxt.RequestTimeout, 0),
        ("hang_after", ccxt.RequestTimeout, 1),
        ("status", ccxt.OperationFailed, 0),
        ("status_after", ccxt.OperationFailed, 1),
        ("cut_short", None, 1),  # ccxt makes an order without a name of it
        ("twice", None, 2),
    ],
)
def test_every_fault_strikes_as_planned_and_once(loopback_exchange, kind, error, done):
    exchange = loopback_exchange
    client = stocked(exchange)
    client.load_markets()
    client.timeout = 500
    exchange.faults.plan(kind, "POST /api/v3/order", nth=2)
    client.create_order(SPOT, "market", "buy", 0.1, None, {"clientOrderId": "first"})
    if error is None:
        order = client.create_order(SPOT, "market", "buy", 0.1, None, {"clientOrderId": "mine"})
        assert (order["id"] is None) == (kind == "cut_short")
    else:
        with pytest.raises(error):
            client.create_order(SPOT, "market", "buy", 0.1, None, {"clientOrderId": "mine"})
    assert sum(order.client_id == "mine" for order in exchange.spot.orders) == done
    assert exchange.faults.struck == [(kind, "POST /api/v3/order")]
    client.create_order(SPOT, "market", "buy", 0.1)


def test_limits_on_requests_say_how_long_to_wait(loopback_exchange):
    exchange = loopback_exchange
    client = stocked(exchange)
    exchange.faults.plan("status", "GET", status=429, code=-1003, message="Too much request weight", retry_after=7)
    exchange.faults.plan("status", "GET", nth=2, status=418, code=-1003, message="Too much", retry_after=120)
    waits = []
    for _ in range(2):
        with pytest.raises(ccxt.DDoSProtection):
            client.fetch_time()
        waits.append(client.last_response_headers["Retry-After"])
    assert waits == ["7", "120"]


def test_a_stale_answer_is_of_before_the_last_order(loopback_exchange):
    exchange = loopback_exchange
    client = stocked(exchange)
    exchange.faults.plan("stale", "GET /api/v3/(order|account)", times=2)
    client.create_order(SPOT, "market", "buy", 1.0, None, {"clientOrderId": "mine"})
    with pytest.raises(ccxt.OrderNotFound):
        client.fetch_order("", SPOT, {"clientOrderId": "mine"})
    assert "BTC" not in client.fetch_balance()
    assert client.fetch_order("", SPOT, {"clientOrderId": "mine"})["status"] == "closed"


def test_the_user_stream_tells_of_every_change(loopback_exchange):
    exchange = loopback_exchange
    stocked(exchange)

    async def follow(symbol):
        client = make_streaming_client(exchange)
        told = []
        try:
            await client.load_markets()
            watching = asyncio.ensure_future(client.watch_orders(symbol))
            while not exchange.listeners:
                await asyncio.sleep(0.005)
            await client.create_order(symbol, "limit", "buy", 0.1, 90, {"clientOrderId": "rests"})
            told += [(each["clientOrderId"], each["status"]) for each in await asyncio.wait_for(watching, 5)]
            watching = asyncio.ensure_future(client.watch_orders(symbol))
            await asyncio.sleep(0)
            await client.cancel_order("", symbol, {"clientOrderId": "rests"})
            told += [(each["clientOrderId"], each["status"]) for each in await asyncio.wait_for(watching, 5)]
        finally:
            await client.close()
        return told

    for symbol in (SPOT, PERP):
        assert asyncio.run(follow(symbol)) == [("rests", "open"), ("rests", "canceled")], symbol
        while exchange.listeners:
            pass


def jumpy_bars(n, seed):
    """Bars on a coarse grid of which many open far from the last close."""
    rng, close, rows = np.random.default_rng(seed), 50.0, []
    for jump, move, up, down in rng.integers([-4, -2, 0, 0], [5, 3, 3, 3], (n, 4)) * 0.5:
        opened = max(close + jump, 5.0)
        close = max(opened + move, 5.0)
        rows.append((opened, max(opened, close) + up, min(opened, close) - down, close))
    return bars_of(rows, np.flatnonzero(rng.random(n) < 0.08))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(SPOT, 1), (PERP, 1), (PERP, -1)]), st.data())
def test_a_bracket_ends_as_the_walk_says(seed, place, data):
    bars = dataclasses.replace(jumpy_bars(40, seed), symbol="BTCUSDT")
    (symbol, side), entry = place, data.draw(st.integers(0, len(bars) - 2))
    atr, up, down = (data.draw(st.sampled_from([0.5, 1.0, 1.5, 2.5])) for _ in range(3))
    target, stop = bracket(bars.open[entry], side, atr, up, down)
    assume(min(target, stop) > 0)
    exchange = Exchange()  # asked without a server: the same gate, faster
    terms = {"low_first": side > 0, "min_notional": Decimal(0)}
    client = stocked(exchange, bars, entry, **terms)
    client.create_order(symbol, "market", "buy" if side > 0 else "sell", 2.0)
    if symbol == SPOT:
        oco(client, 1, target, stop)
    else:
        out, exits = ("sell" if side > 0 else "buy"), {"reduceOnly": True}
        client.create_order(symbol, "limit", out, 2.0, target, {**exits, "clientOrderId": "target"})
        client.create_order(symbol, "market", out, 2.0, None, {**exits, "stopLossPrice": stop})
    exchange.advance_to(bars.close_time[-1])
    trades = client.fetch_my_trades(symbol)[1:]
    names = {order.id: order.client_id for order in (*exchange.spot.orders, *exchange.perp.orders)}
    bar, level, reason, _ = walk(prices_of(bars), entry, 0, side, target, stop, 10**9, FillRules())
    if REASONS[reason] == "open":
        assert trades == []
        return
    opened = bars.open_time.astype("datetime64[ms]").astype(np.int64)
    assert [(int(np.searchsorted(opened, t["timestamp"], "right")) - 1, t["price"]) for t in trades] == [(bar, level)]
    assert (names[int(trades[0]["order"])] == "target") == (REASONS[reason] == "target")


ACTIONS = ("buy", "sell", "limit buy", "limit sell", "stop", "take profit", "oco", "cancel", "wait", "part")


def _try(client, exchange, symbol, action, size, far):
    """One random thing; what the exchange refuses is as if it never was."""
    exits, now = {"reduceOnly": True} if symbol == PERP and size < 0.5 else {}, price_of(exchange)
    try:
        if action in ("buy", "sell"):
            client.create_order(symbol, "market", action, size, None, exits)
        elif action.startswith("limit"):
            side = action.split()[1]
            client.create_order(symbol, "limit", side, size, now * (1 + far * (1 if side == "sell" else -1)), exits)
        elif action in ("stop", "take profit"):
            name, level = ("stopLossPrice", 1 - abs(far)) if action == "stop" else ("takeProfitPrice", 1 + abs(far))
            client.create_order(symbol, "market", "sell", size, None, {name: now * level, **exits})
        elif action == "oco" and symbol == SPOT:
            oco(client, round(size, 3), now * (1 + abs(far)), now * (1 - abs(far)), str(exchange.next_id()))
        elif action == "cancel":
            for trigger in ({}, {"trigger": True})[: 1 + (symbol == PERP)]:
                for order in client.fetch_open_orders(symbol, params=dict(trigger))[:1]:
                    client.cancel_order(order["id"], symbol, dict(trigger))
        elif action == "part":
            exchange.faults.partial(0.5)
        else:
            exchange.advance(4_000_000)
    except (ccxt.InvalidOrder, ccxt.InsufficientFunds, ccxt.OrderImmediatelyFillable, ccxt.OrderNotFound):
        pass


sizes = st.sampled_from([0.1, 0.3, 1.0, 2.5, 40.0])
moves = st.lists(
    st.tuples(st.sampled_from(ACTIONS), sizes, st.sampled_from([-0.01, 0.002, 0.01, 0.03])), min_size=1, max_size=30
)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 50), st.booleans(), moves)
def test_balances_are_deposits_and_trades_and_no_more(seed, in_bnb, moves):
    bars = dataclasses.replace(random_bars(60, seed=seed), symbol="BTCUSDT")
    exchange = Exchange()  # asked without a server: the same gate, faster
    client = stocked(exchange, bars, 5, slippage=Decimal("0.001"))
    exchange.deposit(3, "BNB")
    exchange.spot.bnb_price = Decimal(300) if in_bnb else None
    for action, size, far in moves:
        _try(client, exchange, SPOT, action, size, far)
    expected = {"USDT": 10_000.0, "BNB": 3.0, "BTC": 0.0}
    for trade in client.fetch_my_trades(SPOT):
        sign = 1 if trade["side"] == "buy" else -1
        expected["BTC"] += sign * trade["amount"]
        expected["USDT"] -= sign * trade["cost"]
        expected[trade["fee"]["currency"]] -= trade["fee"]["cost"]
    balance, standing = client.fetch_balance(), client.fetch_open_orders(SPOT)
    pairs = {order["info"]["orderListId"]: order for order in standing if order["info"]["orderListId"] != -1}
    alone = [order for order in standing if order["info"]["orderListId"] == -1]
    sells = sum(order["remaining"] for order in (*alone, *pairs.values()) if order["side"] == "sell")
    for asset, amount in expected.items():
        held = balance["total"].get(asset, 0.0)
        assert held == pytest.approx(amount, abs=1e-5)
        assert held >= 0
    assert balance["used"].get("BTC", 0.0) == pytest.approx(sells, abs=1e-9)
    assert bool(balance["used"].get("USDT")) == any(order["side"] == "buy" for order in standing)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 50), moves)
def test_the_wallet_is_deposits_profits_fees_and_funding(seed, moves):
    bars = dataclasses.replace(random_bars(60, seed=seed), symbol="BTCUSDT")
    exchange = Exchange()  # asked without a server: the same gate, faster
    client = stocked(exchange, bars, 5, slippage=Decimal("0.001"))
    exchange.pay_funding("BTCUSDT", bars.open_time[8::4], np.full(len(bars.open_time[8::4]), 0.001))
    for action, size, far in moves:
        _try(client, exchange, PERP, action, size, far)
    trades, cash, size, realised = client.fetch_my_trades(PERP), 10_000.0, 0.0, 0.0
    for trade in trades:
        sign = 1 if trade["side"] == "buy" else -1
        cash -= sign * trade["cost"] + trade["fee"]["cost"]
        size += sign * trade["amount"]
        realised += float(trade["info"]["realizedPnl"]) - trade["fee"]["cost"]
    paid = sum(float(row["income"]) for row in client.fapiprivate_get_income({"limit": 1000}))
    account = client.fapiprivatev3_get_account()
    held = sum(float(row["positionAmt"]) for row in client.fapiprivatev3_get_positionrisk())
    now = float(exchange.perp.markets["BTCUSDT"].price)
    assert held == pytest.approx(size, abs=1e-9)
    assert float(account["totalWalletBalance"]) == pytest.approx(10_000 + realised + paid, abs=1e-5)
    assert float(account["totalMarginBalance"]) == pytest.approx(cash + size * now + paid, abs=1e-4)
