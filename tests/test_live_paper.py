"""Paper trading: live bars, the backtest's own fills; trade for trade and price for price the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.errors import SettingsError
from engine.synthetic import random_bars
from live import schema_orders as kinds
from live.candles import candle_hash
from live.parity import against_backtest
from tests.live_exchange import BARS, FIRST, backtest, bot, live_on, open_ms, rows, settings_of, toy_bundle
from tests.test_streaming import BARS as STREAMED
from tests.test_streaming import bundle_of

LAST = FIRST + 31


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return toy_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def venue(loopback_exchange):
    loopback_exchange.load(BARS)
    loopback_exchange.advance_to(open_ms(BARS, FIRST + 1) + 200)
    return loopback_exchange


def served(venue, symbol="BTCUSDT"):
    """The bars as the exchange gives them: on its price grid."""
    market = venue.spot.markets[symbol]
    prices = {name: [float(market.ticked(x)) for x in getattr(BARS, name)] for name in ("open", "high", "low", "close")}
    return replace(BARS, symbol=symbol, **{name: np.array(column) for name, column in prices.items()})


def same_as_backtest(runner, bars):
    """Every ledger against the backtest of its bars."""
    for desk in runner.desks:
        assert against_backtest(desk.bot.strategy, desk.rules, desk.bot.ledger, bars) is None


def test_paper_trades_are_the_backtests_trade_for_trade_and_price_for_price(venue, bundle, tmp_path):
    with bot(settings_of(bundle, tmp_path, "paper"), venue) as runner:
        live_on(runner, venue, open_ms(BARS, LAST))
        ledger = runner.desks[0].bot.ledger
        assert ledger.decided() == LAST - 1 - FIRST
        assert len(ledger.trades()) >= 5
        seen = ledger.seen()
        bars = served(venue)
        assert against_backtest(runner.desks[0].bot.strategy, runner.desks[0].rules, ledger, bars) is None
        np.testing.assert_array_equal(seen.close, bars.close[bars.since(seen.open_time[0]) :][: len(seen)])
        assert not [name for _, name, _, _ in venue.requests if name == "/api/v3/order"]


def test_a_paper_bot_that_was_down_goes_on_as_if_it_never_was(venue, bundle, tmp_path):
    settings = settings_of(bundle, tmp_path, "paper")
    for stop in (FIRST + 7, FIRST + 9, FIRST + 22):
        with bot(settings, venue) as runner:
            live_on(runner, venue, open_ms(BARS, stop))
        venue.advance_to(open_ms(BARS, stop + 5))  # down for hours
    with bot(settings, venue) as runner:
        live_on(runner, venue, open_ms(BARS, LAST))
        assert runner.desks[0].bot.ledger.decided() == LAST - 1 - FIRST
        same_as_backtest(runner, served(venue))


def test_every_decision_has_a_receipt_of_its_final_candle(venue, bundle, tmp_path):
    with bot(settings_of(bundle, tmp_path, "paper"), venue) as runner:
        live_on(runner, venue, open_ms(BARS, FIRST + 4))
        seen = runner.desks[0].bot.ledger.seen(3)
    found = rows(tmp_path / "bot" / "BTCUSDT.db", "SELECT open_time, arrived, decided, hash FROM receipts")
    assert len(found) == 3
    assert all(arrived <= decided for _, arrived, decided, _ in found)
    from live.broker import Candle

    for row, (time, _, _, digest) in enumerate(found):
        columns = [float(getattr(seen, name)[row]) for name in ("open", "high", "low", "close", "volume")]
        assert digest == candle_hash(Candle(time, *columns, True))


def test_a_candle_that_changes_after_it_was_final_is_an_alarm_and_what_was_decided_stands(venue, bundle, tmp_path):
    row, heard = FIRST + 3, []
    bars = served(venue)
    now = (*(float(getattr(bars, name)[row]) for name in ("open", "high", "low")), float(bars.close[row]) + 0.01, 7.0)
    venue.revise("BTCUSDT", BARS.open_time[row], now, start=open_ms(BARS, row + 1) + 1_800_000)
    with bot(settings_of(bundle, tmp_path, "paper"), venue, heard) as runner:
        live_on(runner, venue, open_ms(BARS, FIRST + 8))
        assert runner.desks[0].bot.ledger.decided() == 7
        assert float(runner.desks[0].bot.ledger.seen(10).close[-4]) == float(bars.close[row])
    (alarm,) = [said for _, kind, said in heard if kind == kinds.CANDLE_CHANGED]
    assert alarm.startswith(f"bar {str(BARS.open_time[row])[:16]}: close was {float(bars.close[row])!r} and is ")


def test_a_bar_counts_only_when_the_exchange_has_begun_the_next(venue, bundle, tmp_path):
    row, heard = FIRST + 3, []
    half = (*(float(getattr(served(venue), n)[row]) for n in ("open", "high", "low")), float(BARS.open[row]), 1.0)
    close = open_ms(BARS, row + 1)
    venue.revise("BTCUSDT", BARS.open_time[row], half, start=0, end=close + 2000)  # its last trades come late
    venue.revise("BTCUSDT", BARS.open_time[row + 1], None, start=0, end=close + 2000)
    with bot(settings_of(bundle, tmp_path, "paper"), venue, heard) as runner:
        live_on(runner, venue, open_ms(BARS, FIRST + 8), least_ms=200)
        same_as_backtest(runner, served(venue))
    assert not [said for said in heard if said[1] == kinds.CANDLE_CHANGED]


def test_several_symbols_and_one_that_fails_does_not_stop_the_others(venue, bundle, tmp_path):
    venue.load(replace(BARS, symbol="ETHUSDT"))
    heard = []
    with bot(settings_of(bundle, tmp_path, "paper", symbol="BTCUSDT,ETHUSDT"), venue, heard) as runner:
        live_on(runner, venue, open_ms(BARS, FIRST + 5))
        runner.desks[0].bot.ledger.file._database.execute("PRAGMA query_only = 1")  # its disk can only be read now
        live_on(runner, venue, open_ms(BARS, FIRST + 12))
        assert [bool(desk.failed) for desk in runner.desks] == [True, False]
        assert runner.desks[1].bot.ledger.decided() == 11
        same_as_backtest(type("One", (), {"desks": runner.desks[1:]}), served(venue, "ETHUSDT"))
    assert ("BTCUSDT", kinds.FAILED) in {said[:2] for said in heard}


def test_another_account_or_mode_does_not_continue_a_folder(venue, bundle, tmp_path):
    with bot(settings_of(bundle, tmp_path, "paper"), venue):
        pass
    with (
        pytest.raises(SettingsError, match=r"belongs to account binance-paper-, this is binance-testnet-"),
        bot(settings_of(bundle, tmp_path, "testnet"), venue),
    ):
        pass


def test_the_backtest_of_these_bars_is_lively(bundle, tmp_path):
    trades = backtest(settings_of(bundle, tmp_path), BARS[:LAST]).result.trades
    assert {0, 1, 2} <= set(trades["reason"].tolist())


def test_streaming_predictors_of_two_symbols_go_on_where_each_stands(loopback_exchange, tmp_path):
    for symbol, bars in (("BTCUSDT", STREAMED), ("ETHUSDT", random_bars(2600, seed=8))):
        loopback_exchange.load(replace(bars, symbol=symbol))
    loopback_exchange.advance_to(open_ms(STREAMED, 1940) + 200)
    settings = settings_of(bundle_of(tmp_path, STREAMED), tmp_path, "paper", symbol="BTCUSDT,ETHUSDT")
    with bot(settings, loopback_exchange) as runner:
        live_on(runner, loopback_exchange, open_ms(STREAMED, 1952))
        for desk in runner.desks:
            known = desk.bot.ledger.file.select("SELECT count(*) FROM decisions WHERE p_up IS NOT NULL")
            assert known == [(desk.bot.ledger.decided(),)] == [(12,)]
            assert against_backtest(desk.bot.strategy, desk.rules, desk.bot.ledger, desk.bot.ledger.seen()) is None
