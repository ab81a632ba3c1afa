"""Fees paid in a coin that the same bot also trades: both symbols' books still add up to the account."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.synthetic import random_bars
from live import desk as desks
from live import schema_orders as kinds
from live.append_only import AppendOnly
from live.broker import FILLED, ExchangeFill, Order, OrderRequest
from live.journal import Journal
from live.limits import Limits
from live.schema import TABLES
from tests.live_exchange import BARS, FIRST, bot, live_on, open_ms, rows, settings_of, toy_bundle

SPAN = 16
SYMBOLS = ("BNBUSDT", "ETHUSDT")
SECOND = 10**9
CALM = Limits(max_day_loss=1.0, max_drawdown=1.0)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return toy_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def world(loopback_exchange, bundle, tmp_path, monkeypatch):
    """A spot account that pays its fees in BNB, of which there is some, and a bot that trades BNB too."""

    def make(purse, poll_s=900.0, bnb_price=100):  # a fill is seen long after its fee is gone
        monkeypatch.setattr(desks, "IDLE_NS", int(poll_s) * SECOND)
        loopback_exchange.load(replace(BARS, symbol="BNBUSDT"))
        loopback_exchange.load(replace(random_bars(1400, seed=17), symbol="ETHUSDT"))
        loopback_exchange.deposit(10_000)
        loopback_exchange.deposit(purse, "BNB")
        loopback_exchange.spot.bnb_price = Decimal(bnb_price)
        loopback_exchange.advance_to(open_ms(BARS, FIRST + 1) + 200)
        return loopback_exchange, settings_of(bundle, tmp_path, symbol=",".join(SYMBOLS), poll_s=poll_s, limits=CALM)

    return make


def books_add_up(venue, runner):
    """What both ledgers hold is what the exchange holds, to the eighth decimal."""
    for desk, base in zip(runner.desks, ("BNB", "ETH"), strict=True):
        assert not desk.failed
        assert desk.journal.baseline + desk.journal.net == pytest.approx(float(venue.spot.total(base)), abs=5e-8)
        assert runner.office.book.standing(desk.symbol).state == "ACTIVE"


def settle(runner, venue):
    for desk in runner.desks:
        desk.next_look = 0
    runner.turn()
    venue.advance(1500)
    runner.turn()


def fees(settings, symbol):
    return dict(
        rows(
            settings.folder / f"{symbol}.db", "SELECT fee_currency, sum(fee) FROM exchange_fills GROUP BY fee_currency"
        )
    )


def test_fees_of_another_symbol_are_explained_by_its_fills(world):
    venue, settings = world("2")
    heard = []
    with bot(settings, venue, heard) as runner:
        runner.turn()
        runner.office.book.ask("BNBUSDT", "adopt", "for fees")
        live_on(runner, venue, open_ms(BARS, FIRST + SPAN))
        settle(runner, venue)
        books_add_up(venue, runner)
        assert [said for said in heard if said[1] == kinds.UNEXPLAINED and "BNBUSDT" not in said][1:] == []
        assert runner.desks[0].journal.baseline < 2
    paid = fees(settings, "ETHUSDT")
    assert paid["BNB"] > 0.05
    assert fees(settings, "BNBUSDT")["BNB"] > 0.05
    booked = rows(settings.folder / "BNBUSDT.db", "SELECT -sum(quantity) FROM adoptions WHERE reason LIKE 'fees of%'")
    assert booked[0][0] == pytest.approx(paid["BNB"], abs=1e-9)


def test_a_fee_that_is_gone_before_its_fill_was_seen_makes_the_other_symbol_look(world):
    venue, settings = world("2")
    with bot(settings, venue) as runner:
        runner.turn()
        runner.office.book.ask("BNBUSDT", "adopt", "for fees")
        bnb, eth = runner.desks
        while venue.spot.total("ETH") < 1:
            live_on(runner, venue, venue.now + 60_000)
        held = venue.spot.total("BNB")
        while venue.spot.total("ETH") > 1:  # a resting exit is filled between two looks
            bnb.next_look = eth.next_look = runner.time.now() + 7200 * SECOND
            live_on(runner, venue, venue.now + 60_000)
        assert venue.spot.total("BNB") < held
        bnb.next_look = 0
        live_on(runner, venue, venue.now + 40_000)
        assert eth.next_look > runner.time.now() - 60 * SECOND
        books_add_up(venue, runner)


def test_restarts_book_every_fee_once(world):
    venue, settings = world("2")
    with bot(settings, venue) as runner:
        runner.turn()
        runner.office.book.ask("BNBUSDT", "adopt", "for fees")
        runner.turn()
    for row in range(FIRST + 2, FIRST + SPAN, 2):
        with bot(settings, venue) as runner:
            live_on(runner, venue, open_ms(BARS, row) + 120_000)
    with bot(settings, venue) as runner:
        settle(runner, venue)
        books_add_up(venue, runner)
    assert fees(settings, "ETHUSDT")["BNB"] > 0.05


def test_a_symbol_that_pays_with_the_last_of_another_ends_flat_and_explained(world):
    venue, settings = world("0.045", bnb_price=300)  # worth 4 USDT: set aside unasked, and soon used up
    with bot(settings, venue) as runner:
        live_on(runner, venue, open_ms(BARS, FIRST + SPAN))
        settle(runner, venue)
        books_add_up(venue, runner)
    assert {"BNB", "ETH"} <= set(fees(settings, "ETHUSDT"))


def test_a_symbol_that_joins_later_does_not_pay_what_was_paid_before(world):
    venue, settings = world("2")
    alone = replace(settings, symbol="ETHUSDT")
    with bot(alone, venue) as runner:
        live_on(runner, venue, open_ms(BARS, FIRST + 12))
    assert fees(settings, "ETHUSDT")["BNB"] > 0.01
    with bot(settings, venue) as runner:
        runner.turn()
        runner.office.book.ask("BNBUSDT", "adopt", "for fees")
        live_on(runner, venue, open_ms(BARS, FIRST + SPAN))
        settle(runner, venue)
        books_add_up(venue, runner)


def test_fees_beyond_what_was_set_aside_make_the_position_smaller_and_a_later_gift_does_not_refill_it(tmp_path):
    clock = iter(range(10 * SECOND, 99 * SECOND, SECOND))
    files = [AppendOnly(tmp_path / f"{name}.db", TABLES, power_safe=False) for name in ("bnb", "eth")]
    bnb, eth = Journal(files[0], "BNB", lambda: next(clock)), Journal(files[1], "ETH", lambda: next(clock))
    bnb.adopt(0.1, [], "there before")
    for journal, symbol, units, fee, currency in ((bnb, "BNBUSDT", 1.0, 0.0, ""), (eth, "ETHUSDT", 5.0, 0.3, "BNB")):
        journal.intend([OrderRequest(symbol, symbol, 1, units)], ["entry"], 1)
        journal.acknowledge(Order(symbol, "7", symbol, 1, "market", units, 0.0, units, 1.0, FILLED, 0))
        journal.record([ExchangeFill("1", "7", symbol, 1, units, 100.0, fee, currency, 50 * SECOND)])
    for _ in range(2):
        bnb.pay_fees_of("ETHUSDT", eth, 100.0)
        assert (bnb.baseline, bnb.net) == pytest.approx((0.0, 0.8))
    bnb.adopt(0.5, [], "a gift")
    again = Journal(files[0], "BNB", lambda: next(clock))
    again.pay_fees_of("ETHUSDT", eth, 100.0)
    assert (again.baseline, again.net) == pytest.approx((0.5, 0.8))
    assert again.last_fill == bnb.last_fill == 50 * SECOND
    for file in files:
        file.close()
