"""What to do next at the exchange: pure, one law each."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.barriers import bracket
from engine.rules import Rules
from engine.terms import Account, Holding
from live import schema_orders as kinds
from live.broker import MarketTerms, Quote
from live.follow import UNPROTECTED, Ask, Cancel, Manner, Note, Send, View, plan
from live.journal import Sent
from live.wanted import Wanted, lots, on_grid, rounded_barriers, wanted, with_barriers

SPOT = MarketTerms("BTCUSDT", "BTC", "USDT", 0.1, 0.001, 0.001, 100.0, 5.0, has_oco=True)
PERP = SPOT._replace(has_oco=False, perpetual=True)
QUOTE = Quote(99.9, 100.1)
SECOND = 10**9
TRADE = 1000
LONG = Wanted(1, TRADE, enter=True, target=103.0, stop=97.0, atr=2.0)
HELD = LONG._replace(enter=False)
FLAT = Wanted()


def view(net=0.0, *orders, quote=QUOTE, units=1.0, now=5 * SECOND, opened=100.0, last_fill=0):
    return View("bot", net, orders, quote, units, now, 0, opened, last_fill)


def sent(leg, quantity=1.0, status="filled", filled=None, trade=TRADE, price=0.0, at=0):
    full = quantity if status == "filled" and filled is None else filled or 0.0
    side = 1 if leg.startswith("entry") else -1
    kind = {"entry": "market", "target": "limit", "stop": "stop"}.get(leg.split(".")[0], "market")
    return Sent(f"id-{leg}-{trade}", leg, trade, side, quantity, kind, price, at, "", "1", status, full)


def bracketed(quantity=1.0, **other):
    return (
        sent("target", quantity, "open", price=103.0, **other),
        sent("stop", quantity, "open", price=97.0, **other),
    )


def do(want, seen, terms=SPOT, **manner):
    return plan(want, seen, Manner(**manner), terms)


def only(actions):
    (action,) = actions
    return action


def test_a_wish_becomes_a_market_entry_named_by_bot_market_bar_and_leg():
    action = only(do(LONG, view(units=1.23456)))
    assert (action.legs, action.wish_time) == (("entry",), TRADE)
    assert action.requests[0][2:6] == (1, 1.234, "market", 0.0)
    assert action == only(do(LONG, view(units=1.23456, now=6 * SECOND)))
    assert action.requests[0].client_id != only(do(LONG._replace(wish_time=7), view())).requests[0].client_id


def test_a_limit_entry_pays_what_the_simulation_pays_and_no_more():
    request = only(do(LONG, view(), entry="limit", slippage=0.0012)).requests[0]
    assert (request.kind, request.price) == ("limit", 100.1)  # 100.12 rounded down
    short = LONG._replace(side=-1, target=97.0, stop=103.0)
    assert only(do(short, view(), PERP, entry="limit", slippage=0.0012)).requests[0].price == 99.9
    assert do(LONG, view(opened=None), entry="limit") == []  # the open is not known yet


@pytest.mark.parametrize(
    ("want", "seen", "manner", "why"),
    [
        (LONG, view(now=61 * SECOND), {}, "no entry: the open was 61 s ago"),
        (HELD, view(), {}, "no entry: the bot was not there at its open"),
        (LONG, view(units=0.01), {}, "no entry: 0.01 BTC is less than this market takes"),
        (LONG, view(units=0.0), {"barred": "HALTED, a person"}, "no entry: HALTED, a person"),
        (LONG._replace(side=-1), view(), {}, "no entry: a spot market cannot be short"),
    ],
)
def test_an_entry_that_cannot_be_says_why_and_nothing_is_sent(want, seen, manner, why):
    assert do(want, seen, **manner) == [Note(kinds.MISSED, why, TRADE)]


def test_an_order_whose_answer_was_lost_is_asked_for_before_anything_else():
    lost = sent("entry", status="intended")
    for want in (LONG, HELD, FLAT):
        assert do(want, view(0.5, lost, sent("stop", status="open"))) == [Ask(lost.client_id)]


def test_a_position_gets_target_and_stop_of_its_size_as_one_order_where_that_is_offered():
    action = only(do(LONG, view(0.9995, sent("entry"))))
    assert [(r.side, r.quantity, r.kind, r.price, r.reduce_only) for r in action.requests] == [
        (-1, 0.999, "limit", 103.0, False),
        (-1, 0.999, "stop", 97.0, False),
    ]
    assert action.list_id
    pair = only(do(LONG, view(0.9995, sent("entry")), PERP))
    assert [r.reduce_only for r in pair.requests] == [True, True]
    assert not pair.list_id


def test_a_position_with_its_bracket_is_left_alone():
    assert do(HELD, view(1.0, sent("entry"), *bracketed())) == []
    assert do(HELD, view(1.0005, sent("entry"), *bracketed())) == []  # dust from fees


def test_a_bracket_of_another_size_or_level_is_replaced_under_a_new_name():
    for net, want in ((0.6, HELD), (1.0, HELD._replace(stop=96.0))):
        orders = (sent("entry"), *bracketed())
        assert do(want, view(net, *orders)) == [Cancel(order.client_id) for order in orders[1:]]
    gone = [order._replace(status="cancelled") for order in bracketed()]
    action = only(do(HELD, view(0.6, sent("entry"), *gone)))
    assert action.legs == ("target.1", "stop.1")
    assert [r.quantity for r in action.requests] == [0.6, 0.6]


def test_a_target_filled_in_part_keeps_its_place_on_a_perpetual_and_is_renewed_on_spot():
    target, stop = sent("target", 1.0, "open", 0.4, price=103.0), sent("stop", 1.0, "open", price=97.0)
    assert do(HELD, view(0.6, sent("entry"), target, stop), PERP) == []
    ended = stop._replace(status="cancelled")  # the first fill of an OCO ends its other half
    assert do(HELD, view(0.6, sent("entry"), target, ended)) == [Cancel(target.client_id)]


@pytest.mark.parametrize(("price", "leg"), [(96.9, "stop"), (97.0, "stop"), (103.0, "target"), (110.0, "target")])
def test_a_price_beyond_a_barrier_before_the_bracket_stands_is_left_at_market(price, leg):
    action = only(do(LONG, view(1.0, sent("entry"), quote=Quote(price, price + 0.1))))
    assert (action.legs, action.requests[0].kind, action.requests[0].side) == ((leg,), "market", -1)


def test_a_refused_bracket_is_tried_as_a_stop_alone_and_then_left_at_market():
    refused = [order._replace(status="rejected") for order in bracketed()]
    alone = only(do(HELD, view(1.0, sent("entry"), *refused)))
    assert [r.kind for r in alone.requests] == ["stop"]
    assert not alone.list_id
    stands = sent("stop.1", 1.0, "open", price=97.0)
    assert do(HELD, view(1.0, sent("entry"), *refused, stands)) == []
    again = only(do(HELD, view(1.0, sent("entry"), *refused, stands._replace(status="rejected"))))
    assert (again.legs, again.requests[0].kind) == ((UNPROTECTED,), "market")


def test_without_the_open_of_the_entry_bar_the_bracket_waits():
    assert do(LONG._replace(target=math.nan, stop=math.nan), view(1.0, sent("entry"))) == []


def test_a_time_exit_cancels_first_and_leaves_then():
    want = Wanted(0, TRADE, leg="time")
    assert do(want, view(1.0, sent("entry"), *bracketed())) == [Cancel(order.client_id) for order in bracketed()]
    gone = [order._replace(status="cancelled") for order in bracketed()]
    action = only(do(want, view(1.0, sent("entry"), *gone)))
    assert (action.legs, action.requests[0].side, action.requests[0].quantity) == (("time",), -1, 1.0)
    part = sent("time", 1.0, "cancelled", 0.3)
    assert only(do(want, view(0.7, sent("entry"), *gone, part))).legs == ("time.1",)
    assert do(want, view(0.0004, sent("entry"), *gone, sent("time"))) == []


def test_a_position_that_the_simulation_no_longer_holds_is_left():
    assert only(do(FLAT, view(1.0, sent("entry")))).legs == ("late",)
    new = LONG._replace(wish_time=2000)
    assert only(do(new, view(1.0, sent("entry")))).legs == ("late",)  # of the trade before
    assert only(do(new, view(-1.0, sent("entry"), sent("entry", trade=2000)), PERP)).legs == ("late",)


def test_halted_what_is_held_keeps_its_exits_and_what_lost_them_with_its_trade_is_left():
    old = sent("entry", trade=7)
    for want in (FLAT, LONG):  # the trade is over in the simulation, or another one is on
        assert do(want, view(1.0, old, *bracketed(trade=7)), halted=True) == []
        lone = sent("target", 1.0, "open", price=103.0, trade=7)
        assert only(do(want, view(1.0, old, lone), halted=True)) == Cancel(lone.client_id)
        action = only(do(want, view(1.0, old, sent("stop", filled=0.0, status="expired", trade=7)), halted=True))
        assert (action.requests[0].kind, action.requests[0].side, action.wish_time) == ("market", -1, 7)
    assert only(do(HELD, view(1.0, sent("entry")), halted=True)).legs == ("target", "stop")
    assert do(LONG, view(), halted=True) == []


def test_a_trade_that_ended_early_stays_ended_and_its_other_exit_is_cancelled():
    done = (sent("entry"), sent("stop"), sent("target", status="open", price=103.0))
    assert do(HELD, view(0.0, *done), PERP) == [Cancel(done[2].client_id)]
    ended = view(0.0, *done[:2], sent("target", status="cancelled"), last_fill=-1)
    assert do(HELD, ended, PERP) == [Note(kinds.DIFFERENCE, "ended before the simulation", TRADE)]
    assert do(HELD, ended._replace(last_fill=SECOND), PERP) == []  # the bar at hand may end it yet


def test_an_entry_that_rests_too_long_is_cancelled_and_what_was_filled_is_the_position():
    resting = sent("entry", 1.0, "open", at=5 * SECOND)
    assert do(LONG, view(0.0, resting, now=34 * SECOND), entry="limit") == []
    assert do(LONG, view(0.0, resting, now=36 * SECOND), entry="limit") == [Cancel(resting.client_id)]
    assert do(LONG, view(0.0, resting), entry="limit", barred="REDUCING") == [Cancel(resting.client_id)]
    part = resting._replace(status="cancelled", filled=0.4)
    assert only(do(LONG, view(0.4, part))).requests[0].quantity == 0.4
    none = resting._replace(status="cancelled")
    assert do(LONG, view(0.0, none)) == [Note(kinds.MISSED, "entry cancelled unfilled", TRADE)]


def test_an_entry_known_never_to_have_arrived_may_be_sent_again_in_time():
    lost = sent("entry", status="unsent")
    assert isinstance(only(do(LONG, view(0.0, lost))), Send)
    assert isinstance(only(do(LONG, view(0.0, lost, now=61 * SECOND))), Note)


def test_orders_of_an_older_trade_go_before_a_new_one_begins():
    old = sent("stop", status="open", trade=1)
    assert do(LONG, view(0.0, old)) == [Cancel(old.client_id)]


def test_what_is_too_small_to_sell_on_spot_is_reduced_on_a_perpetual():
    want = Wanted(0, TRADE, leg="time")
    assert do(want, view(0.02, sent("entry"))) == []  # 2 of 5 USDT
    assert only(do(want, view(0.02, sent("entry")), PERP)).requests[0].reduce_only


def test_wanted_is_read_off_the_simulated_account():
    rules = Rules(hold=3)
    held = Holding(-1, 2.0, 100.0, 0.1, 97.0, 103.0, 2, 0.0, 5, 6)
    assert wanted(Account(1.0, 1.0, 9, 1, 2.0), rules)[:3] == (1, 9, True)
    assert wanted(Account(1.0, 1.0, 9, holding=held), rules) == Wanted(-1, 5, target=97.0, stop=103.0)
    due = wanted(Account(1.0, 1.0, 9, holding=held._replace(bars=3)), rules)
    assert (due.side, due.wish_time, due.leg) == (0, 5, "time")
    assert wanted(Account(1.0, 1.0, 9), rules).side == 0
    fixed = with_barriers(LONG, 50.0, rules)
    assert (fixed.target, fixed.stop) == bracket(50.0, 1, 2.0, 1.5, 1.5)
    assert with_barriers(LONG, None, rules) == LONG


@given(
    st.sampled_from((1, -1)),
    st.floats(1e-3, 1e6),
    st.floats(1e-6, 0.5),
    st.sampled_from((1e-8, 0.01, 0.05, 0.1, 0.5, 1.0, 25.0)),
)
def test_rounding_never_stops_earlier_nor_takes_more_profit_than_simulated(side, opened, width, tick):
    target, stop = bracket(opened, side, opened * width, 1.5, 1.0)
    got = rounded_barriers(Wanted(side, 0, target=target, stop=stop), tick)
    assert side * (got[1] - stop) <= tick * 1e-6
    assert side * (got[0] - target) <= tick * 1e-6
    assert abs(got[0] - target) <= tick
    assert abs(got[1] - stop) <= tick


@given(st.floats(0, 1e6), st.sampled_from((1e-8, 1e-5, 0.001, 0.1, 1.0, 10.0)))
def test_lots_are_never_more_than_there_is(quantity, lot):
    got = lots(quantity, 100.0, SPOT._replace(lot=lot, min_quantity=lot, max_quantity=1e9))
    assert 0 <= got <= quantity + lot * 1e-6
    assert got == 0 or quantity - got < lot * (1 + 1e-6) or got == 1e9
    assert on_grid(got, lot) == got
