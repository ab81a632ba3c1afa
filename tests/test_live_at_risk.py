"""What a stranger with money at stake would try: halts, half an exchange, long quiet."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal

import pytest
import requests
from requests.adapters import HTTPAdapter

from engine.errors import SettingsError
from live import desk as desks
from live import door
from live import schema_orders as kinds
from live.account import account_lock
from live.broker import OrderRequest, Retry
from live.dashboard import _token
from live.exchange import Exchange as Ours
from live.follow import Manner
from live.keys import Keys
from live.limits import Limits
from live.lock import Lock
from live.start import UNHANDLED, Surroundings, run_bot
from tests.exchange.wire import connect
from tests.live_exchange import BARS, FIRST, VenueClock, bot, broker_of, live_on, open_ms, rows, settings_of, toy_bundle

SECOND = 10**9


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return toy_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def world(loopback_exchange, bundle, tmp_path, monkeypatch):
    """A started exchange, and the bot's settings."""
    monkeypatch.setattr(desks, "IDLE_NS", 1700 * SECOND)

    def make(name="binance", **other):
        for symbol in other.get("symbol", "BTCUSDT").split(","):
            loopback_exchange.load(replace(BARS, symbol=symbol), perpetual=name != "binance")
        loopback_exchange.deposit(10_000, perpetual=name != "binance")
        loopback_exchange.advance_to(open_ms(BARS, FIRST + 1) + 200)
        told = {"poll_s": 1700.0, "exchange": name, **other}
        return loopback_exchange, settings_of(bundle, tmp_path, **told)

    return make


def sent(venue):
    return [path for method, path, _, status in venue.requests if method == "POST" and status == 200]


def held(venue):
    return venue.spot.total("BTC")


def with_position(runner, venue):
    """Live until the bot holds something."""
    live_on(runner, venue, open_ms(BARS, FIRST + 3) + 1_000)
    assert held(venue) > 1


def test_flatten_closes_although_the_exchange_gives_no_candles(world):
    venue, settings = world()
    with bot(settings, venue) as runner:
        with_position(runner, venue)
        venue.faults.plan("status", "klines", times=10**6)
        venue.advance_to(open_ms(BARS, FIRST + 4) + 1_000)
        runner.office.book.ask("", "flatten", "")
        live_on(runner, venue, venue.now + 120_000)
        assert held(venue) < Decimal("0.01")
        assert not venue.spot.standing


def test_flatten_closes_a_symbol_that_failed(world):
    venue, settings = world()
    heard = []
    with bot(settings, venue, heard) as runner:
        with_position(runner, venue)
        bars = runner.desks[0].candles.bars
        runner.desks[0].candles.bars = replace(bars, volume=bars.volume + 1.0)  # not what was decided on
        live_on(runner, venue, open_ms(BARS, FIRST + 4) + 5_000)
        assert runner.failed
        assert held(venue) > 1
        runner.office.book.ask("", "resume", "")
        runner.turn()
        assert runner.office.book.standing("BTCUSDT").state == "HALTED"  # it is not traded until a new start
        runner.office.book.ask("", "flatten", "")
        assert runner.run(lambda: None) == 1
        assert held(venue) < Decimal("0.01")
        assert not venue.spot.standing


def rests(runner, venue):
    """Let the bot be slow at each close, until the market is above a limit entry and it rests."""
    for row in range(FIRST + 1, FIRST + 60):
        venue.advance_to(open_ms(BARS, row) + 2_100_000)
        runner.turn()
        entries = [order for order in venue.spot.standing if order.kind == "LIMIT" and order.side > 0]
        if entries:
            return entries[0]
        live_on(runner, venue, open_ms(BARS, row + 1) - 1000, least_ms=60_000)
    raise AssertionError("no entry rested")


LATE = Manner("limit", timeout_ns=3000 * SECOND, late_ns=3000 * SECOND)


def test_halt_takes_back_an_entry_that_rests(world):
    venue, settings = world(manner=LATE)
    with bot(settings, venue) as runner:
        resting = rests(runner, venue)
        runner.office.book.ask("", "halt", "lunch")
        live_on(runner, venue, venue.now + 5_000)
        assert not resting.standing
        assert not venue.spot.standing


def test_what_is_unexplained_takes_back_an_entry_that_rests(world):
    venue, settings = world(manner=LATE)
    with bot(settings, venue) as runner:
        resting = rests(runner, venue)
        venue.deposit("1", "BTC")
        runner.desks[0].next_look = 0
        live_on(runner, venue, venue.now + 60_000, least_ms=1000)
        assert runner.office.book.standing("BTCUSDT").cause == kinds.UNEXPLAINED
        assert not resting.standing


def test_a_polite_stop_takes_back_an_entry_that_rests(world):
    venue, settings = world(manner=LATE)
    with bot(settings, venue) as runner:
        resting = rests(runner, venue)
        assert runner.run(lambda: "SIGTERM") == 0
        assert not resting.standing


def test_after_a_halt_what_was_left_naked_gets_its_protection_and_a_used_pair_loses_its_other_half(world):
    venue, settings = world("binanceusdm")
    with bot(settings, venue) as runner:
        live_on(runner, venue, open_ms(BARS, FIRST + 3) + 1_000)
        assert venue.perp.size["BTCUSDT"] > 1
        runner.office.book.ask("", "halt", "lunch")
        runner.turn()
        stop = next(order for order in venue.perp.standing if order.algo)
        venue.perp.cancel(stop)  # by other hands, or the exchange
        runner.desks[0].next_look = 0
        live_on(runner, venue, venue.now + 5_000)
        assert [order.kind for order in venue.perp.standing if order.algo] == ["STOP_MARKET"]
        before = len(sent(venue))
        while venue.perp.size["BTCUSDT"]:
            venue.advance(60_000)
        runner.desks[0].next_look = 0
        live_on(runner, venue, venue.now + 5_000)
        assert not venue.perp.standing  # the half that was left over
        assert len(sent(venue)) == before


def test_a_halt_before_the_bracket_does_not_leave_the_position_naked(world):
    venue, settings = world()
    begun, price = open_ms(BARS, FIRST + 2), float(BARS.open[FIRST + 2])
    venue.revise("BTCUSDT", BARS.open_time[FIRST + 2], (price,) * 4 + (0.0,), start=0, end=begun + 20_000)
    with bot(settings, venue) as runner:
        live_on(runner, venue, begun + 1_000)
        assert held(venue) > 1  # and the open that its barriers are counted from is not known yet
        assert not venue.spot.standing
        runner.office.book.ask("", "halt", "lunch")
        live_on(runner, venue, venue.now + 40_000)
        assert [order.kind for order in venue.spot.standing] == ["LIMIT_MAKER", "STOP_LOSS"]


@pytest.mark.parametrize("nth", [2, 3, 4])
def test_a_stale_answer_while_flattening_does_not_sell_what_was_set_aside(world, nth):
    venue, settings = world()
    venue.deposit("200", "BTC")
    with bot(settings, venue) as runner:
        runner.turn()
        runner.office.book.ask("", "adopt", "mine")
        live_on(runner, venue, open_ms(BARS, FIRST + 3) + 1_000)
        assert held(venue) > 201
        runner.office.book.ask("", "flatten", "")
        venue.faults.plan("stale", "GET /api/v3/account", nth=nth, times=2, delay_ms=5_000)
        live_on(runner, venue, venue.now + 60_000)
        assert held(venue) == pytest.approx(Decimal(200), abs=Decimal("0.01"))


def test_a_long_quiet_does_not_make_every_look_dearer(world):
    venue, settings = world()
    with bot(settings, venue) as runner:
        runner.turn()
        runner.office.book.ask("", "halt", "holidays")
        runner.turn()
        venue.advance_to(open_ms(BARS, FIRST + 24 * 8))
        runner.turn()
        before = len(venue.requests)
        for _ in range(3):
            runner.desks[0].next_look = 0
            runner.turn()
        asked = [path for _, path, _, _ in venue.requests[before:] if "myTrades" in path]
        assert len(asked) <= 6


def test_a_wait_the_exchange_asks_for_is_kept_by_all(world):
    venue, _ = world()
    broker = broker_of(venue)
    broker.terms("BTCUSDT")
    busy = {"code": -1003, "message": "Way too much request weight used; IP banned until later."}
    venue.faults.plan("status", status=418, retry_after=300, **busy)
    with pytest.raises(Retry) as told:
        broker.quote("BTCUSDT")
    assert told.value.wait_s == 300
    before = len(venue.requests)
    for ask in (
        broker.server_time,
        lambda: broker.balance("USDT"),
        lambda: broker.send(OrderRequest("a", "BTCUSDT", 1, 1.0)),
    ):
        with pytest.raises(Retry) as told:
            ask()
        assert 290 < told.value.wait_s <= 300
    assert len(venue.requests) == before
    venue.advance(300_001)
    assert broker.server_time() == venue.now * 10**6
    broker.close()


def test_a_bot_told_to_wait_waits_as_long_as_it_was_told(world):
    venue, settings = world()
    with bot(settings, venue) as runner:
        live_on(runner, venue, open_ms(BARS, FIRST + 3) - 5_000)
        venue.faults.plan("status", "klines", status=418, retry_after=400, code=-1003, message="banned")
        live_on(runner, venue, open_ms(BARS, FIRST + 3) + 2_000)
        before = len(venue.requests)
        live_on(runner, venue, open_ms(BARS, FIRST + 3) + 390_000)
        assert len(venue.requests) == before
        live_on(runner, venue, open_ms(BARS, FIRST + 3) + 480_000)
        assert runner.desks[0].bot.ledger.decided() == 3


def test_an_order_that_was_turned_away_first_is_given_time_to_arrive_from_its_last_try(world):
    venue, settings = world("binanceusdm")
    venue.perp.markets["BTCUSDT"].leverage = 5
    busy = {"status": 429, "code": -1003, "message": "busy", "retry_after": 5}
    venue.faults.plan("status", "POST /fapi/v1/order", times=2, **busy)
    venue.faults.plan("late", "POST /fapi/v1/order", nth=3, delay_ms=4500)
    with bot(settings, venue) as runner:
        live_on(runner, venue, open_ms(BARS, FIRST + 3) + 60_000)
    query = "SELECT wish_time, count(DISTINCT client_id) FROM exchange_fills WHERE leg LIKE 'entry%' GROUP BY 1"
    entered = rows(settings.folder / "BTCUSDT.db", query)
    assert entered
    assert [count for _, count in entered] == [1] * len(entered)


def test_entries_that_rest_count_against_the_exposure(world):
    venue, settings = world(manner=LATE, symbol="BTCUSDT,ETHUSDT", limits=Limits(max_exposure=0.5))
    with bot(settings, venue) as runner:
        rests(runner, venue)
        worth = sum(order.quantity * order.price for order in venue.spot.standing if order.side > 0)
        assert worth <= Decimal(5_005)


def test_an_adopted_stop_of_a_perpetual_does_not_hide_the_next_strangers(world):
    venue, settings = world("binanceusdm")
    with bot(settings, venue) as runner:
        runner.turn()
        stranger = broker_of(venue, "binanceusdm")
        for name, price in (("one", 200.0), ("two", 210.0)):
            stranger.send(OrderRequest(name, "BTCUSDT", 1, 0.5, "stop", price))
            for _ in range(3):
                runner.desks[0].next_look = 0
                runner.turn()
                venue.advance(11_000)
            assert runner.office.book.standing("BTCUSDT")[:2] == ("HALTED", kinds.UNEXPLAINED)
            runner.office.book.ask("", "adopt", "mine")
            runner.turn()
            assert runner.office.book.standing("BTCUSDT").state == "ACTIVE"
        stranger.close()


def test_an_empty_token_file_lets_nobody_in(tmp_path):
    path = tmp_path / "dashboard.token"
    path.write_text("")
    assert len(_token(path)) > 20
    assert path.stat().st_mode & 0o077 == 0


def test_an_account_file_that_breaks_is_told_and_is_no_mistake_in_the_settings(world):
    venue, settings = world()
    heard, broker = [], broker_of(venue)

    class Breaking(VenueClock):
        """The exchange's clock; when the next bar has closed, somebody breaks the file."""

        def sleep(self, seconds):
            super().sleep(seconds)
            if venue.now > open_ms(BARS, FIRST + 2):
                other = sqlite3.connect(settings.folder / "account.db")
                other.execute("DROP TABLE IF EXISTS commands")
                other.close()

    outside = Surroundings(broker, Breaking(venue), lambda *said: heard.append(said), settings.folder.parent)
    assert run_bot(settings, outside) == UNHANDLED
    broker.close()
    assert any(kind == kinds.FAILED and "account.db" in text for _, kind, text in heard)


def test_a_polite_stop_waits_until_what_is_held_is_protected(world):
    venue, settings = world()
    begun, price = open_ms(BARS, FIRST + 2), float(BARS.open[FIRST + 2])
    venue.revise("BTCUSDT", BARS.open_time[FIRST + 2], (price,) * 4 + (0.0,), start=0, end=begun + 20_000)
    with bot(settings, venue) as runner:
        live_on(runner, venue, begun + 1_000)
        assert held(venue) > 1
        assert not venue.spot.standing
        assert runner.run(lambda: "SIGTERM") == 0
        assert [order.kind for order in venue.spot.standing] == ["LIMIT_MAKER", "STOP_LOSS"]
        assert venue.now < begun + 12_000
        before = venue.now
        assert runner.run(lambda: "SIGTERM") == 0  # protected already: it does not wait
        assert venue.now == before


def test_a_polite_stop_does_not_wait_for_an_exchange_that_is_down(world):
    venue, settings = world(manner=LATE)
    with bot(settings, venue) as runner:
        resting = rests(runner, venue)
        venue.faults.plan("timeout", times=10**6)
        before = venue.now
        assert runner.run(lambda: "SIGTERM") == 0
        assert resting.standing  # nothing could be done
        assert venue.now - before < 45_000


def test_who_only_looks_whether_a_bot_runs_does_not_keep_it_from_starting(tmp_path):
    import fcntl

    with (tmp_path / "bot.db.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as `tradsys live status` does, for a moment
        threading.Timer(0.08, lambda: fcntl.flock(file, fcntl.LOCK_UN)).start()
        Lock(tmp_path / "bot.db").close()


def test_a_lock_that_is_a_link_is_refused_and_what_it_leads_to_is_left_alone(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "tradsys-binance-live-0.lock").symlink_to(precious)
    with pytest.raises(SettingsError, match=r"tradsys-binance-live-0\.lock, by which .* another user's or a link"):
        account_lock(tmp_path, "binance", "live", "0")
    assert precious.read_text() == "mine"


def test_a_ledger_that_cannot_be_a_folder_is_a_mistake_in_one_line(world):
    venue, settings = world()
    settings.folder.write_text("the ledger of a replay")
    with pytest.raises(SettingsError, match=r"BOT_LEDGER: .*cannot be a folder of ledgers"), bot(settings, venue):
        pass


def test_a_start_that_fails_is_told_to_who_is_to_be_notified_and_ends_with_try_again(world, monkeypatch, capsys):
    venue, settings = world()
    venue.faults.plan("reset", times=10**6)
    heard = []

    def surroundings(_settings, tell):
        return Surroundings(broker_of(venue), VenueClock(venue), lambda *said: (tell(*said), heard.append(said)))

    @contextmanager
    def speaking(_settings):
        yield lambda *said: heard.append(said)

    monkeypatch.setattr(door, "surroundings", surroundings)
    monkeypatch.setattr(door, "speaking", speaking)
    monkeypatch.setattr(door, "read_settings", lambda _file: replace(settings, notify="json://somebody"))
    assert door.run(None, None, settings.folder) == 1
    assert "binance does not answer" in capsys.readouterr().err
    assert any(kind == kinds.FAILED and "did not start: binance does not answer" in said for _, kind, said in heard)


def test_a_start_that_ends_in_what_nobody_foresaw_is_told_without_keys(world, monkeypatch, capsys):
    _, settings = world()
    heard, keys = [], Keys("a-key-of-mine", "a-secret-of-mine")

    @contextmanager
    def speaking(_settings):
        yield lambda *said: heard.append(said)

    def surroundings(_settings, _tell):
        return Surroundings(None, None, None)

    def broken(_settings, _outside):
        raise ZeroDivisionError("signed with a-secret-of-mine")

    for name, instead in (("surroundings", surroundings), ("speaking", speaking), ("run_bot", broken)):
        monkeypatch.setattr(door, name, instead)
    monkeypatch.setattr(door, "read_settings", lambda _file: replace(settings, keys=keys))
    with pytest.raises(SystemExit) as end:
        door.run(None, None, settings.folder)
    assert end.value.code == 3
    assert heard == [("", kinds.FAILED, "the bot did not start: ZeroDivisionError: signed with ***")]
    told = capsys.readouterr().err
    assert "ZeroDivisionError: signed with ***" in told
    assert "a-secret-of-mine" not in told


class Recording(HTTPAdapter):
    """The wire to Binance's own hosts, which nobody answers."""

    def __init__(self):
        super().__init__()
        self.hosts = []

    def send(self, request, *_, **__):
        self.hosts.append(request.url.split("/")[2])
        raise requests.ConnectionError


@pytest.mark.parametrize(
    ("name", "host"), [("binance", "testnet.binance.vision"), ("binanceusdm", "demo-fapi.binance.com")]
)
def test_the_testnet_is_asked_for_private_things_too(world, name, host):
    venue, _ = world(name)
    broker = Ours(name, Keys("loopback-key", "loopback-secret"), testnet=True)
    broker._ccxt.enableRateLimit = False
    connect(broker._ccxt, venue)
    broker.terms("BTCUSDT")
    wire = Recording()
    broker._ccxt.session.mount("https://", wire)
    with pytest.raises(Retry):
        broker.balance("USDT")
    assert wire.hosts == [host]
    broker.close()
