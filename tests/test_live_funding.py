"""Funding of perpetuals: what the exchange publishes is what the simulated account pays, as in a backtest with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.run import run
from engine.synthetic import random_bars
from live.drift_model import against_replay, seen_by
from live.funding import FUNDING, Funding, rates_of
from live.parity import against_backtest
from models.bundle import load_bundle
from tests.live_exchange import BARS, FIRST, bot, broker_of, live_on, open_ms, rows, settings_of, toy_bundle

LAST = FIRST + 31
EVERY = 3  # hours: every trade of more bars pays
MS, MINUTE_MS = 10**6, 60_000
MODES = pytest.mark.parametrize("mode", ["paper", "testnet"])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return toy_bundle(tmp_path_factory.mktemp("bundles"), sides=("long", "short"))


@pytest.fixture
def venue(loopback_exchange):
    """A perpetual that pays every three hours, stamped some milliseconds late, and now and then between two bars."""
    loopback_exchange.load(BARS, perpetual=True)
    loopback_exchange.deposit(10_000, perpetual=True)
    times, rates = published()
    loopback_exchange.pay_funding("BTCUSDT", times, rates)
    loopback_exchange.advance_to(open_ms(BARS, FIRST + 1) + 200)
    return loopback_exchange


def published():
    """Times in ms and rates."""
    due = [open_ms(BARS, row) + 7 for row in range(FIRST - 100, LAST + 9, EVERY)]
    due += [open_ms(BARS, row) + 31 * MINUTE_MS for row in range(FIRST - 100, LAST, 7)]
    due.sort()
    return due, np.random.default_rng(3).normal(0.0, 0.004, len(due)).round(8)


def paid_by_hand(bars):
    """The rate at each open: of all that was due since the open before, stamps cut to the minute."""
    rates, (times, told) = np.zeros(len(bars)), published()
    for row in range(1, len(bars)):
        for time, rate in zip(times, told, strict=True):
            due = time // MINUTE_MS * MINUTE_MS
            if open_ms(bars, row - 1) < due <= open_ms(bars, row):
                rates[row] += rate
    return rates


def served(venue):
    """The bars as the exchange gives them, with what they pay."""
    market = venue.perp.markets["BTCUSDT"]
    prices = {name: [float(market.ticked(x)) for x in getattr(BARS, name)] for name in ("open", "high", "low", "close")}
    bars = replace(BARS, **{name: np.array(column) for name, column in prices.items()})
    return bars.beside({FUNDING: paid_by_hand(bars)})


@MODES
def test_the_simulated_account_pays_what_is_published_bit_for_bit_as_the_backtest(venue, bundle, tmp_path, mode):
    settings = settings_of(bundle, tmp_path, mode, exchange="binanceusdm")
    with bot(settings, venue) as runner:
        live_on(runner, venue, open_ms(BARS, LAST))
        desk = runner.desks[0]
        bars = served(venue)
        assert against_backtest(desk.bot.strategy, desk.rules, desk.bot.ledger, bars) is None
        trades = desk.bot.ledger.trades()
        assert np.count_nonzero(trades["funding"]) >= 3
        without = run(desk.bot.strategy, bars[: LAST - 1], desk.rules, since=FIRST).result
        assert without.equity[-1] != desk.bot.account.equity
        assert against_backtest(desk.bot.strategy, desk.rules, desk.bot.ledger, bars.beside({})) is None  # its own
        free = bars.beside({FUNDING: np.zeros(len(bars))})
        assert "equity at" in against_backtest(desk.bot.strategy, desk.rules, desk.bot.ledger, free)


@MODES
def test_a_restart_between_any_two_bars_pays_everything_once(venue, bundle, tmp_path, mode):
    settings = settings_of(bundle, tmp_path, mode, exchange="binanceusdm")
    for stop in (*range(FIRST + 2, FIRST + 15), FIRST + 22, LAST):
        with bot(settings, venue) as runner:
            live_on(runner, venue, open_ms(BARS, stop) + 300_000 * (stop < LAST))
            desk, bars = runner.desks[0], served(venue)
            assert against_backtest(desk.bot.strategy, desk.rules, desk.bot.ledger, bars) is None
        if stop == FIRST + 14:
            venue.advance_to(open_ms(BARS, stop + 5))  # down for hours, over a payment


def test_the_nightly_look_replays_the_ledger_with_the_funding_it_holds(venue, bundle, tmp_path):
    settings = settings_of(bundle, tmp_path, "paper", exchange="binanceusdm")
    with bot(settings, venue) as runner:
        live_on(runner, venue, open_ms(BARS, LAST))
    path = settings.folder / "BTCUSDT.db"
    names = ("profile", "confidence", "timeframe", "symbol", "sessions", "rules")
    row = dict(zip(names, rows(path, f"SELECT {', '.join(names)} FROM bot")[0], strict=True))
    assert against_replay(path, seen_by(path, row), load_bundle(settings.bundle)) == ""


def test_a_rate_is_asked_for_once_a_bar_and_all_missed_ones_at_once(venue, bundle, tmp_path):
    settings = settings_of(bundle, tmp_path, "paper", exchange="binanceusdm")

    def asked():
        return sum("fundingRate" in path for _, path, _, _ in venue.requests)

    with bot(settings, venue) as runner:
        runner.turn()
        before = asked()
        live_on(runner, venue, open_ms(BARS, FIRST + 5) + 60_000)
        assert asked() - before == 4
    venue.advance_to(open_ms(BARS, FIRST + 25))
    with bot(settings, venue) as runner:
        before = asked()
        live_on(runner, venue, open_ms(BARS, FIRST + 25) + 60_000)
        assert asked() - before <= 2
        assert runner.desks[0].bot.ledger.decided() == 25


def test_an_exchange_that_does_not_tell_the_rate_is_asked_again_and_nothing_is_decided_meanwhile(
    venue, bundle, tmp_path
):
    settings = settings_of(bundle, tmp_path, "paper", exchange="binanceusdm")
    with bot(settings, venue) as runner:
        live_on(runner, venue, open_ms(BARS, FIRST + 3) - 1000)
        decided = runner.desks[0].bot.ledger.decided()
        venue.faults.plan("status", "fundingRate", times=5)
        live_on(runner, venue, open_ms(BARS, FIRST + 3) + 5_000)
        assert runner.desks[0].bot.ledger.decided() == decided
        live_on(runner, venue, open_ms(BARS, LAST))
        desk = runner.desks[0]
        assert against_backtest(desk.bot.strategy, desk.rules, desk.bot.ledger, served(venue)) is None


def test_a_spot_market_pays_no_funding(loopback_exchange, bundle, tmp_path):
    loopback_exchange.load(BARS)
    loopback_exchange.advance_to(open_ms(BARS, FIRST + 1) + 200)
    with bot(settings_of(bundle, tmp_path, "paper"), loopback_exchange) as runner:
        live_on(runner, loopback_exchange, open_ms(BARS, FIRST + 3))
        assert rates_of(runner.desks[0].bot.ledger.seen()) is None


def test_rates_of_many_pages_are_all_told(loopback_exchange):
    bars = replace(random_bars(2600, seed=4), symbol="BTCUSDT")
    loopback_exchange.load(bars, perpetual=True)
    times = [open_ms(bars, row) for row in range(2500)]
    loopback_exchange.pay_funding("BTCUSDT", times, np.arange(2500) / 1e6)
    loopback_exchange.advance_to(open_ms(bars, 2599))
    broker = broker_of(loopback_exchange, "binanceusdm")
    found = broker.funding("BTCUSDT", times[10] * MS)
    broker.close()
    assert [time for time, _ in found] == [time * MS for time in times[10:]]
    assert [rate for _, rate in found] == [row / 1e6 for row in range(10, 2500)]


def test_what_was_due_within_daily_bars_or_a_gap_is_paid_at_the_next_open(loopback_exchange):
    day = replace(random_bars(9, timeframe="1d"), symbol="BTCUSDT")
    loopback_exchange.load(day, perpetual=True)
    due = [open_ms(day, 3) + 8 * 60 * MINUTE_MS * n for n in range(7)]
    loopback_exchange.pay_funding("BTCUSDT", [time + 3 for time in due], [2.0**-n for n in range(1, 8)])
    loopback_exchange.advance_to(open_ms(day, 7))
    broker = broker_of(loopback_exchange, "binanceusdm")
    got = Funding(broker, "BTCUSDT").beside(day[3:6], None).context[FUNDING]
    assert got.tolist() == [0.5, 0.25 + 0.125 + 0.0625, 0.03125 + 0.015625 + 0.0078125]
    late = Funding(broker, "BTCUSDT").beside(day[5:6], day.open_time[3]).context[FUNDING]  # the bar between is missing
    assert late.tolist() == [sum(2.0**-n for n in range(2, 8))]
    assert Funding(broker, "BTCUSDT").beside(day[:0], None).context[FUNDING].tolist() == []
    broker.close()
