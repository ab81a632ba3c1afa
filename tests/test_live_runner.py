"""The whole bot at an exchange: orders follow the simulation, and the difference is exactly the fills' difference."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.barriers import REASONS
from engine.errors import SettingsError
from live import desk as desks
from live import schema_orders as kinds
from live.broker import OrderRequest
from live.limits import Limits
from live.runner import Runner
from live.start import UNHANDLED, Surroundings, run_bot
from tests.exchange.wire import Killed
from tests.live_exchange import (
    BARS,
    FIRST,
    VenueClock,
    bot,
    broker_of,
    live_on,
    open_ms,
    rows,
    settings_of,
    toy_bundle,
)

SPAN = 14
POLL_S = 1700.0
LONG_SPAN = pytest.mark.parametrize("span", [8, pytest.param(60, marks=pytest.mark.slow)])
SPOT_AND_PERPETUAL = pytest.mark.parametrize("name", ["binance", "binanceusdm"])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return toy_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(autouse=True)
def calm(monkeypatch):
    """Look every half hour when nothing stands, not every half minute."""
    monkeypatch.setattr(desks, "IDLE_NS", int(POLL_S) * desks.SECOND_NS)


@pytest.fixture
def world(loopback_exchange, bundle, tmp_path):
    """A started exchange, and the bot's settings."""

    def make(name="binance", money=10_000, **other):
        perpetual = name != "binance"
        loopback_exchange.load(BARS, perpetual=perpetual)
        loopback_exchange.deposit(money, perpetual=perpetual)
        loopback_exchange.advance_to(open_ms(BARS, FIRST + 1) + 200)
        return loopback_exchange, settings_of(bundle, tmp_path, exchange=name, poll_s=POLL_S, **other)

    return make


def ledger(settings, symbol="BTCUSDT"):
    return settings.folder / f"{symbol}.db"


def purse(venue, name):
    """The exchange's side of the account."""
    return venue.spot if name == "binance" else venue.perp


def held(venue, name):
    side = purse(venue, name)
    return side.total("BTC") if name == "binance" else side.size.get("BTCUSDT", Decimal(0))


def by_trade(settings):
    """Simulated trades and the fills of the same wishes."""
    trades = rows(
        ledger(settings),
        "SELECT wish_time, reason, units, entry_price, exit_price, target, stop FROM trades ORDER BY wish_time",
    )
    fills = rows(
        ledger(settings), "SELECT wish_time, leg, quantity, price, fee, fee_currency FROM exchange_fills ORDER BY rowid"
    )
    return [(trade, [fill[1:] for fill in fills if fill[0] == trade[0]]) for trade in trades]


def no_order_twice(venue):
    """Every client id was accepted once."""
    sent = [
        value
        for method, path, asked, status in venue.requests
        if method == "POST" and status == 200 and ("order" in path.lower())
        for key, value in asked.items()
        if key in ("newClientOrderId", "clientAlgoId", "aboveClientOrderId", "belowClientOrderId")
    ]
    assert len(sent) == len(set(sent))
    return sent


@SPOT_AND_PERPETUAL
def test_the_account_follows_and_the_difference_is_the_fills_difference(world, name):
    venue, settings = world(name)
    with bot(settings, venue) as runner:
        live_on(runner, venue, open_ms(BARS, FIRST + SPAN))
        assert not runner.failed
    pairs = by_trade(settings)
    assert len(pairs) >= 3
    assert {REASONS[trade[1]] for trade, _ in pairs} >= {"target", "time"}
    for (_, reason, _, entry, left, target, stop), fills in pairs:
        assert [fill[0] for fill in fills] == ["entry", REASONS[reason]]
        assert fills[0][2] == pytest.approx(entry, rel=0.0004)  # half a spread against the simulated slippage
        level = {"target": target, "stop": stop}.get(REASONS[reason], left)
        assert fills[1][2] == pytest.approx(level, rel=0.0004)
        assert fills[1][1] == pytest.approx(fills[0][1], rel=0.0011)  # less what the fee took
    no_order_twice(venue)
    account = runner.desks[0].bot.account
    assert held(venue, name) < Decimal("0.01") or account.holding.side or account.wish


@SPOT_AND_PERPETUAL
def test_money_at_the_exchange_is_what_the_ledgers_fills_say(world, name):
    venue, settings = world(name)
    with bot(settings, venue) as runner:
        live_on(runner, venue, open_ms(BARS, FIRST + SPAN))
        net = runner.desks[0].journal.net
    fills = rows(ledger(settings), "SELECT side, quantity, price, fee, fee_currency FROM exchange_fills")
    cash = 10_000 - sum(s * q * p for s, q, p, _, _ in fills) - sum(f for *_, f, c in fills if c == "USDT")
    assert float(held(venue, name)) == pytest.approx(net, abs=1e-9)
    if name == "binance":
        assert float(venue.spot.total("USDT")) == pytest.approx(cash, abs=1e-4)
    else:
        price = float(venue.perp.entry.get("BTCUSDT", Decimal(0)))
        assert float(venue.perp.wallet["USDT"]) == pytest.approx(cash + net * price, abs=1e-4)


@LONG_SPAN
@SPOT_AND_PERPETUAL
def test_restarts_in_every_bar_change_no_order(world, name, span):
    venue, settings = world(name)
    for row in range(FIRST + 1, FIRST + span):
        with bot(settings, venue) as runner:
            live_on(runner, venue, open_ms(BARS, row + 1) + 300_000)
    for (_, reason, *_), fills in by_trade(settings):
        assert [fill[0] for fill in fills] == ["entry", REASONS[reason]]
    no_order_twice(venue)


@LONG_SPAN
@pytest.mark.parametrize("when", ["before", "after"])
@SPOT_AND_PERPETUAL
def test_death_at_any_order_or_cancel_doubles_nothing(world, name, when, span):
    venue, settings = world(name)
    deaths = iter(range(1, 40))
    state = {"at": next(deaths), "seen": 0}

    def cut(_number, request, moment):
        if moment == when and request.split()[0] in ("POST", "DELETE"):
            state["seen"] += 1
            if state["seen"] == state["at"]:
                state.update(at=next(deaths), seen=0)
                raise Killed

    kills, until = 0, open_ms(BARS, FIRST + span)
    while venue.now < until:
        try:
            with bot(settings, venue, cut=cut) as runner:
                live_on(runner, venue, until)
        except Killed:
            kills += 1
            venue.advance(12_000)
    assert kills >= 2
    no_order_twice(venue)
    for (_, reason, *_), fills in by_trade(settings):
        legs = [fill[0] for fill in fills]
        assert legs == [] or (legs[0].split(".")[0] == "entry" and legs[1].split(".")[0] in (REASONS[reason], "late"))
    intended = {row[0] for row in rows(ledger(settings), "SELECT client_id FROM intents")}
    assert set(no_order_twice(venue)) <= intended  # nothing was sent that had not been written down


def test_a_position_that_is_not_the_bots_stops_the_symbol_until_adopt_decides(world):
    venue, settings = world()
    venue.deposit("1.5", "BTC")
    heard = []
    with bot(settings, venue, heard) as runner:
        live_on(runner, venue, open_ms(BARS, FIRST + 4))
        assert no_order_twice(venue) == []
        (said,) = [text for _, kind, text in heard if kind == kinds.UNEXPLAINED]
        assert "BTC at the exchange: 1.5, explained by the ledger: 0" in said
        assert runner.office.book.standing("BTCUSDT").state == "HALTED"
        assert "tradsys live adopt BTCUSDT" in runner.office.book.standing("BTCUSDT").reason
        runner.office.book.ask("BTCUSDT", "adopt", "mine")
        live_on(runner, venue, open_ms(BARS, FIRST + SPAN))
    assert held(venue, "binance") >= Decimal("1.5")
    assert len([fills for _, fills in by_trade(settings) if fills]) >= 1


def test_a_position_that_is_not_the_bots_is_closed_by_flatten(world):
    venue, settings = world()
    venue.deposit("1.5", "BTC")
    with bot(settings, venue) as runner:
        live_on(runner, venue, open_ms(BARS, FIRST + 3))
        number = runner.office.book.ask("BTCUSDT", "flatten", "")
        live_on(runner, venue, open_ms(BARS, FIRST + 4))
        assert runner.office.book.answered(number) == "BTCUSDT: exits only, then halted when flat"
        assert held(venue, "binance") < Decimal("0.001")
        assert runner.office.book.standing("BTCUSDT")[:2] == ("HALTED", "a person")


@SPOT_AND_PERPETUAL
def test_an_order_or_a_trade_by_other_hands_stops_the_symbol(world, name):
    venue, settings = world(name)
    heard = []
    with bot(settings, venue, heard) as runner:
        live_on(runner, venue, open_ms(BARS, FIRST + 2) + 60_000)
        stranger = broker_of(venue, name)
        stranger.send(OrderRequest("by-hand", "BTCUSDT", 1, 0.5))
        stranger.send(OrderRequest("resting", "BTCUSDT", 1, 0.1, "limit", 90.0))
        before = len(no_order_twice(venue))
        live_on(runner, venue, open_ms(BARS, FIRST + 6))
        stranger.close()
        assert len(no_order_twice(venue)) == before
    (said,) = [text for _, kind, text in heard if kind == kinds.UNEXPLAINED]
    assert "BTC at the exchange" in said
    assert "(buy 0.1 at 90) is not of the ledger" in said
    assert "bought 0.5 at" in said


def test_flatten_closes_at_once_and_stays_flat_until_resumed(world):
    venue, settings = world()
    with bot(settings, venue) as runner:
        live_on(runner, venue, open_ms(BARS, FIRST + 3) + 1_000)
        assert held(venue, "binance") > 1
        runner.office.book.ask("", "flatten", "")
        live_on(runner, venue, open_ms(BARS, FIRST + 3) + 5_000)
        assert held(venue, "binance") < Decimal("0.01")
        assert not venue.spot.standing
        sent = len(no_order_twice(venue))
        live_on(runner, venue, open_ms(BARS, FIRST + 12))
        assert len(no_order_twice(venue)) == sent
        runner.office.book.ask("", "resume", "")
        live_on(runner, venue, open_ms(BARS, FIRST + SPAN))
        assert len(no_order_twice(venue)) > sent


def test_halt_sends_nothing_and_leaves_the_protection(world):
    venue, settings = world()
    with bot(settings, venue) as runner:
        live_on(runner, venue, open_ms(BARS, FIRST + 3) + 1_000)
        runner.office.book.ask("BTCUSDT", "halt", "lunch")
        standing, sent = len(venue.spot.standing), len(no_order_twice(venue))
        assert standing == 2
        live_on(runner, venue, open_ms(BARS, FIRST + 3) + 10_000)
        assert (len(venue.spot.standing), len(no_order_twice(venue))) == (standing, sent)
        assert runner.office.book.standing("BTCUSDT") == ("HALTED", "a person", "lunch", None)
        live_on(runner, venue, open_ms(BARS, FIRST + 12))
        assert len(no_order_twice(venue)) == sent
        assert runner.desks[0].bot.ledger.decided() == 11  # decisions go on


def test_a_limit_entry_pays_no_more_than_the_simulation_and_a_missed_one_stays_missed(world):
    venue, settings = world(manner=settings_manner(entry="limit"))
    with bot(settings, venue) as runner:
        live_on(runner, venue, open_ms(BARS, FIRST + SPAN), least_ms=1000)
    entries = [(trade[3], fill[2]) for trade, fills in by_trade(settings) for fill in fills if fill[0] == "entry"]
    assert entries
    assert all(paid <= simulated for simulated, paid in entries)


def settings_manner(**other):
    from live.follow import Manner

    return Manner(**other)


def test_fills_in_part_end_with_all_explained_and_nothing_left_but_dust(world):
    venue, settings = world()
    venue.faults.partial(0.4, 0.5, 0.3, 0.6, 0.2, 0.7)
    with bot(settings, venue) as runner:
        live_on(runner, venue, open_ms(BARS, FIRST + SPAN))
        assert runner.office.book.standing("BTCUSDT").state == "ACTIVE"
        assert float(held(venue, "binance")) == pytest.approx(runner.desks[0].journal.net, abs=1e-9)
    no_order_twice(venue)


def test_an_entry_that_arrives_twice_is_known_and_protected_whole(world):
    venue, settings = world("binanceusdm")
    venue.perp.markets["BTCUSDT"].leverage = 5
    venue.faults.plan("twice", "POST /fapi/v1/order")
    with bot(settings, venue) as runner:
        live_on(runner, venue, open_ms(BARS, FIRST + 1) + 20_000)
        assert runner.office.book.standing("BTCUSDT").state == "ACTIVE"
        size = float(held(venue, "binanceusdm"))
        assert size == pytest.approx(runner.desks[0].journal.net)
        assert size > 150
        assert {float(order.quantity) for order in venue.perp.standing} == {size}


def test_two_symbols_share_the_money(world, tmp_path):
    venue, settings = world(symbol="BTCUSDT,ETHUSDT")
    venue.load(replace(BARS, symbol="ETHUSDT"))
    with bot(settings, venue) as runner:
        live_on(runner, venue, open_ms(BARS, FIRST + 3) + 1_000)
        held_now = [desk.journal.net * desk.price for desk in runner.desks]
    assert all(4_000 < worth < 5_000 for worth in held_now)


def test_an_exposure_limit_cuts_the_entry(world):
    venue, settings = world(limits=Limits(max_exposure=0.25))
    with bot(settings, venue) as runner:
        live_on(runner, venue, open_ms(BARS, FIRST + 3) + 1_000)
        assert 2_400 < runner.desks[0].journal.net * runner.desks[0].price <= 2_510


def test_a_loss_beyond_the_days_limit_leaves_exits_only(world):
    venue, settings = world(limits=Limits(max_day_loss=0.0005))
    heard = []
    with bot(settings, venue, heard) as runner:
        live_on(runner, venue, open_ms(BARS, FIRST + SPAN))
    assert any("day loss" in text for _, kind, text in heard if kind == kinds.STATE)
    missed = [text for _, kind, text in heard if kind == kinds.MISSED]
    assert any("REDUCING, day loss" in text for text in missed)


def test_one_bot_per_account_and_per_folder(world, tmp_path):
    venue, settings = world()
    with bot(settings, venue):
        for other in (settings, replace(settings, ledger=tmp_path / "elsewhere")):
            with pytest.raises(SettingsError, match="is in use by process"), bot(other, venue):
                pass


def test_what_nobody_foresaw_is_written_down_told_and_ends_the_process(world, tmp_path, monkeypatch, capsys):
    venue, settings = world()
    heard, standing = [], []

    def fail(runner):
        standing.append(len(venue.spot.standing))
        raise ZeroDivisionError(f"oops {settings.keys.secret}")

    monkeypatch.setattr(Runner, "_weigh", fail)
    broker = broker_of(venue)
    outside = Surroundings(broker, VenueClock(venue), lambda *said: heard.append(said), tmp_path)
    assert run_bot(settings, outside) == UNHANDLED
    broker.close()
    assert heard[-1][1] == kinds.FAILED
    assert "ZeroDivisionError in fail" in heard[-1][2]
    assert settings.keys.secret not in str(heard) + capsys.readouterr().err
    assert rows(ledger(settings), "SELECT count(*) FROM errors") == [(1,)]
    assert len(venue.spot.standing) == standing[0]
