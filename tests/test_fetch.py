"""Fetching: a real ccxt client against an exchange on loopback; nothing is lost, invented, or half-written."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import requests
from typer.testing import CliRunner

from engine.bars import Bars
from engine.errors import BrokerError, DataError, UsageError
from engine.history.store import Store
from engine.synthetic import random_bars
from live.clock import Clock
from live.data_verbs import data_app
from live.fetch import Fetch
from live.fetch_source import TRIES, Source, open_source
from tests.exchange.fixtures import loopback_exchange  # noqa: F401
from tests.exchange.wire import Loopback, connect

ROOT = Path(__file__).resolve().parents[1]
HOUR_NS = 3600 * 10**9
BEGIN = np.datetime64("2020-01-01")


def market_bars(count: int, timeframe: str = "1h", symbol: str = "BTCUSDT", missing: slice | None = None) -> Bars:
    """Bars on the exchange's ticks, some of them missing."""
    bars = random_bars(count, timeframe=timeframe, seed=9)
    table = {name: np.round(getattr(bars, name), 2) for name in ("open", "high", "low", "close")}
    table["volume"] = np.round(bars.volume, 3)
    there = np.ones(count, bool)
    if missing is not None:
        there[missing] = False
    table = {name: column[there] for name, column in table.items()}
    return replace(bars, symbol=symbol, open_time=bars.open_time[there], **table)


class Hasty(Clock):
    """Time passes at once, at the exchange too where one is given, and is counted."""

    def __init__(self, exchange=None) -> None:
        self.slept: list[float] = []
        self.exchange = exchange

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self.exchange is not None:
            self.exchange.advance(int(seconds * 1000))


def source(exchange, clock: Clock | None = None, tell=lambda _: None, market: str = "BTC/USDT") -> Source:
    opened = open_source("binance", market)
    connect(opened._client, exchange)
    opened._client.enableRateLimit = False
    return Source(opened._client, clock or Hasty(), tell)


def fetch(exchange, root: Path, since=BEGIN, market: str = "BTC/USDT", timeframe: str = "1h", **how):
    tell = how.setdefault("tell", lambda _: None)
    with closing(source(exchange, how.pop("clock", None), tell, market)) as asking:
        return Fetch(asking, Store(root), market, timeframe, how.pop("symbol", "")).run(since, **how)


def content(root: Path, name: str = "BTCUSDT-1h") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((root / name).iterdir()) if path.name != ".lock"}


@pytest.fixture
def market(loopback_exchange):  # noqa: F811
    """An exchange with 2,600 hours of bitcoin, all of them closed."""
    bars = market_bars(2600)
    loopback_exchange.load(bars)
    loopback_exchange.advance_to(bars.close_time[-1] + np.timedelta64(60, "s"))
    loopback_exchange.bars = bars
    return loopback_exchange


# --- what is fetched -----------------------------------------------------------------------------------


def test_the_stored_series_is_the_exchanges(market, tmp_path):
    outcome = fetch(market, tmp_path)
    assert Store(tmp_path).load("BTCUSDT-1h").fingerprint() == market.bars.fingerprint()
    assert (outcome.name, outcome.rows, outcome.fresh, outcome.gaps) == ("BTCUSDT-1h", 2600, 2600, [])
    assert sum(path.endswith("klines") for _, path, _, _ in market.requests) == 3
    series = Store(tmp_path).series("BTCUSDT-1h")
    assert (series.exchange, series.market, series.fingerprint) == ("binance", "BTC/USDT", market.bars.fingerprint())


def test_a_candle_is_taken_only_when_the_exchanges_clock_is_past_its_close(loopback_exchange, tmp_path):  # noqa: F811
    bars = market_bars(50)
    loopback_exchange.load(bars)
    for now, rows in (
        (bars.close_time[9] - np.timedelta64(1, "ms"), 9),
        (bars.close_time[9] + np.timedelta64(1, "s"), 9),  # just closed: it is left to settle
        (bars.close_time[9] + np.timedelta64(7, "s"), 10),
        (bars.close_time[19] + np.timedelta64(30, "m"), 20),
    ):
        loopback_exchange.advance_to(now)
        assert fetch(loopback_exchange, tmp_path).rows == rows
        assert Store(tmp_path).load("BTCUSDT-1h").fingerprint() == bars[:rows].fingerprint()


def test_fetching_in_any_steps_gives_the_same_bytes(loopback_exchange, tmp_path):  # noqa: F811
    bars = market_bars(1500, missing=slice(700, 720))
    loopback_exchange.load(bars)
    for row in (3, 4, 690, 705, 1100, len(bars) - 1):
        loopback_exchange.advance_to(bars.close_time[row] + np.timedelta64(10, "s"))
        fetch(loopback_exchange, tmp_path / "steps")
    fetch(loopback_exchange, tmp_path / "once")
    assert content(tmp_path / "steps") == content(tmp_path / "once")
    assert Store(tmp_path / "once").load("BTCUSDT-1h").fingerprint() == bars.fingerprint()


def test_where_there_is_nothing_nothing_is_stored(market, tmp_path):
    outcome = fetch(market, tmp_path, np.datetime64("2020-04-18T07:30"))
    assert list(outcome.lines()) == ["BTCUSDT-1h: the exchange has nothing from there on; nothing was stored"]
    assert Store(tmp_path).names() == ()


def test_history_before_the_stored_rows_is_fetched_too(market, tmp_path):
    fetch(market, tmp_path, market.bars.open_time[2000])
    outcome = fetch(market, tmp_path, BEGIN)
    assert (outcome.fresh, outcome.rows) == (2000, 2600)
    fetch(market, tmp_path / "once")
    assert content(tmp_path) == content(tmp_path / "once")


def test_an_imported_series_goes_on_where_it_ends(market, tmp_path):
    Store(tmp_path).keep(market.bars[:1200], "archive.zip")
    outcome = fetch(market, tmp_path, None)
    assert (outcome.fresh, outcome.rows) == (1400, 2600)
    assert Store(tmp_path).series("BTCUSDT-1h").source == "archive.zip"


def test_a_gap_is_asked_for_again_once_and_then_listed(loopback_exchange, tmp_path):  # noqa: F811
    bars = market_bars(400, missing=slice(100, 106))
    loopback_exchange.load(bars)
    loopback_exchange.advance_to(bars.close_time[-1] + np.timedelta64(60, "s"))
    outcome = fetch(loopback_exchange, tmp_path)
    assert (outcome.gaps, outcome.missing) == ([("2020-01-05T04:00", "2020-01-05T09:00")], 6)
    assert list(outcome.lines())[1:] == [
        "  1 gap (6 bars missing), asked for again and not there:",
        "    2020-01-05T04:00 .. 2020-01-05T09:00",
    ]

    def asked():
        starts = [params.get("startTime") for _, path, params, _ in loopback_exchange.requests if "klines" in path]
        return starts.count(str(np.datetime64("2020-01-05T04:00", "ms").astype(int)))

    assert asked() == 1
    again = fetch(loopback_exchange, tmp_path)
    assert asked() == 1
    assert (again.gaps, again.fresh) == (outcome.gaps, 0)


def test_bars_that_come_late_fill_their_gap_when_it_is_asked_for_again(market, tmp_path):
    for row in range(300, 310):
        hours = market.bars.open_time[row]
        market.revise("BTCUSDT", hours, None, end=market.now + 5)
    advanced = []

    def tell(line: str) -> None:
        if "asked for again" in line and not advanced:
            advanced.append(line)
            market.advance(10)

    outcome = fetch(market, tmp_path, tell=tell)
    assert advanced == ["BTCUSDT-1h: gap 1 of 1 is asked for again"]
    assert (outcome.gaps, outcome.rows) == ([], 2600)
    assert Store(tmp_path).load("BTCUSDT-1h").fingerprint() == market.bars.fingerprint()


# --- bars that change ----------------------------------------------------------------------------------


def test_a_bar_that_came_with_other_values_changes_nothing_until_it_is_asked_for(market, tmp_path):
    fetch(market, tmp_path)
    before = content(tmp_path)
    row = [float(getattr(market.bars, name)[-2]) for name in ("open", "high", "low", "close", "volume")]
    market.revise("BTCUSDT", market.bars.open_time[-2], (*row[:4], row[4] + 1.0))
    outcome = fetch(market, tmp_path)
    assert outcome.stopped
    assert list(outcome.lines())[1:] == [
        "  came again with other values:",
        f"    {str(market.bars.open_time[-2])[:16]} volume was {row[4]!r} and is {row[4] + 1.0!r}",
        "  stopped there, nothing was changed; look at them, then take the exchange's version with --replace",
    ]
    assert content(tmp_path) == before
    taken = fetch(market, tmp_path, replace=True)
    assert not taken.stopped
    assert Store(tmp_path).load("BTCUSDT-1h").volume[-2] == row[4] + 1.0
    (receipt,) = Store(tmp_path).series("BTCUSDT-1h").receipts
    assert (receipt["was"]["volume"], receipt["now"]["volume"]) == (row[4], row[4] + 1.0)
    assert receipt["at"].endswith("Z")


def test_a_stored_bar_that_the_exchange_lost_is_kept_and_told(market, tmp_path):
    fetch(market, tmp_path)
    market.revise("BTCUSDT", market.bars.open_time[-2], None)
    outcome = fetch(market, tmp_path)
    assert outcome.gone == [str(market.bars.open_time[-2])[:16]]
    assert Store(tmp_path).load("BTCUSDT-1h").fingerprint() == market.bars.fingerprint()


def test_candles_that_are_no_bars_are_refused_and_the_pages_before_kept(market, tmp_path):
    market.revise("BTCUSDT", market.bars.open_time[1500], (10.0, 9.0, 8.0, 9.0, 1.0))
    with pytest.raises(
        DataError, match=r"binance gave BTC/USDT candles that are no bars: high\[.*is below open or close"
    ):
        fetch(market, tmp_path)
    assert len(Store(tmp_path).load("BTCUSDT-1h")) == 1000


# --- a bad network -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 429, "code": -1003, "message": "Too many requests.", "retry_after": 7},
        {"kind": "status", "status": 503},
        {"kind": "reset"},
        {"kind": "reset_after"},
        {"kind": "cut_short"},
    ],
    ids=lambda fault: f"{fault['kind']} {fault.get('status', '')}",
)
def test_faults_of_the_network_are_waited_out(market, tmp_path, fault):
    clock, told = Hasty(market), []
    market.faults.plan(on="klines", nth=2, times=3, **fault)
    fetch(market, tmp_path, clock=clock, tell=told.append)
    assert clock.slept == ([7.0, 7.0, 7.0] if "retry_after" in fault else [1.0, 2.0, 4.0])
    assert sum("asking again in" in line for line in told) == 3
    assert Store(tmp_path).load("BTCUSDT-1h").fingerprint() == market.bars.fingerprint()


def test_an_exchange_that_stays_silent_ends_the_fetch_and_what_came_is_kept(market, tmp_path):
    clock = Hasty()
    market.faults.plan("status", "klines", nth=3, times=99, status=503)
    with pytest.raises(BrokerError):
        fetch(market, tmp_path, clock=clock)
    assert (len(clock.slept), max(clock.slept)) == (TRIES - 1, 60.0)
    assert len(Store(tmp_path).load("BTCUSDT-1h")) == 1997
    market.faults.clear()
    fetch(market, tmp_path)
    fetch(market, tmp_path / "once")
    assert content(tmp_path) == content(tmp_path / "once")


class Again(Loopback):
    """A cache on the way that gives one old page of candles again."""

    def send(self, request, *args, **kwargs):
        answer = super().send(request, *args, **kwargs)
        if "klines" in request.url:
            assert answer.content  # read, so that its connection is free
            self.pages = [*getattr(self, "pages", []), answer]
            if len(self.pages) == 3:
                return self.pages[1]
        return answer


def test_a_page_that_comes_twice_is_asked_for_again(market, tmp_path):
    with closing(source(market)) as asking:
        asking._client.session.mount("https://", Again(market, None))
        Fetch(asking, Store(tmp_path), "BTC/USDT", "1h").run(BEGIN)
    assert Store(tmp_path).load("BTCUSDT-1h").fingerprint() == market.bars.fingerprint()


# --- kills ---------------------------------------------------------------------------------------------

FETCHER = """
import sys
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from engine.history.store import Store
from live.fetch import Fetch
from live.fetch_source import open_source
from tests.exchange.wire import connect

url, now, root = sys.argv[1:]
source = open_source("binance", "BTC/USDT")
connect(source._client, SimpleNamespace(url=url, client_clock=lambda: int(now)))
source._client.features["spot"]["fetchOHLCV"]["limit"] = 100
source._client.rateLimit = 5
real = source.candles
def counted(*what):
    print("page", flush=True)
    return real(*what)
source.candles = counted
Fetch(source, Store(Path(root)), "BTC/USDT", "1h").run(np.datetime64("2020-01-01"))
"""


def fetcher(exchange, root: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FETCHER, exchange.url, str(exchange.now), str(root)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("kills", [3, pytest.param(30, marks=pytest.mark.slow)])
def test_a_fetch_killed_at_any_moment_goes_on_to_the_same_bytes(market, tmp_path, kills):
    rows = []
    for kill in range(kills):
        child = fetcher(market, tmp_path / "killed")
        for _ in range(2 + kill % 5):
            child.stdout.readline()
        time.sleep(0.007 * (kill % 7))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        stored = Store(tmp_path / "killed")
        rows.append(len(stored.load("BTCUSDT-1h")) if stored.names() else 0)
        assert not stored.names() or stored.load("BTCUSDT-1h").fingerprint() == market.bars[: rows[-1]].fingerprint()
    assert 0 < rows[-1] < 2600 or kills > 3
    for root in (tmp_path / "killed", tmp_path / "once"):
        fetch(market, root)
    assert content(tmp_path / "killed") == content(tmp_path / "once")


def test_two_fetches_at_once_make_one_series(market, tmp_path):
    children = [fetcher(market, tmp_path / "both") for _ in range(2)]
    assert [child.wait() for child in children] == [0, 0]
    for child in children:
        child.stdout.close()
    fetch(market, tmp_path / "once")
    assert content(tmp_path / "both") == content(tmp_path / "once")


# --- funding -------------------------------------------------------------------------------------------


@pytest.fixture
def perpetual(loopback_exchange):  # noqa: F811
    bars = market_bars(400)
    loopback_exchange.load(bars, perpetual=True)
    due = np.arange(50) * 8 * HOUR_NS + bars.open_time[0].astype(np.int64) + 8 * 10**6  # 8 ms late, as they come
    rates = np.round(np.sin(np.arange(50)) * 1e-4, 8)
    loopback_exchange.pay_funding("BTCUSDT", due.astype("M8[ns]"), rates)
    loopback_exchange.due, loopback_exchange.rates = due, rates
    loopback_exchange.advance_to(bars.close_time[-1])
    return loopback_exchange


def test_funding_is_kept_with_the_moment_it_was_due(perpetual, tmp_path):
    outcome = fetch(perpetual, tmp_path, market="BTC/USDT:USDT", timeframe="funding")
    known = Store(tmp_path).load_values("BTCUSDT-funding")
    assert (outcome.name, outcome.rows) == ("BTCUSDT-funding", 50)
    np.testing.assert_array_equal(known.known_at.view(np.int64), perpetual.due)
    np.testing.assert_array_equal(known.columns["rate"], perpetual.rates)
    assert fetch(perpetual, tmp_path, None, market="BTC/USDT:USDT", timeframe="funding").fresh == 0


def test_a_perpetuals_candles_have_their_own_name(perpetual, tmp_path):
    assert fetch(perpetual, tmp_path, market="BTC/USDT:USDT").name == "BTCUSDT.P-1h"
    assert fetch(perpetual, tmp_path, market="BTC/USDT:USDT", symbol="XBT").name == "XBT-1h"


# --- refusals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"market": "BTCUSDT"}, "binance has no market 'BTCUSDT'; did you mean 'BTC/USDT'?"),
        ({"market": "BTC/USD"}, "binance has no market 'BTC/USD'; it has BTC/USDT; markets are written"),
        ({"timeframe": "7h"}, "unknown timeframe '7h'"),
        ({"timeframe": "1hour"}, "timeframe '1hour' was not understood"),
        ({"timeframe": "funding"}, "BTC/USDT is no perpetual and pays no funding"),
        ({"since": None}, "there is no series BTCUSDT-1h to go on from; say where it begins: --since 2019-01-01"),
    ],
)
def test_what_cannot_be_fetched_is_said_with_what_can(market, tmp_path, asked, says):
    with pytest.raises(UsageError) as refusal:
        fetch(market, tmp_path, **asked)
    assert str(refusal.value).startswith(says)


def test_an_unknown_exchange_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"unknown exchange 'binanse'; did you mean 'binance'\?; any of ccxt's"):
        open_source("binanse")


def test_a_series_of_another_exchange_is_not_touched(market, tmp_path):
    fetch(market, tmp_path)
    Store(tmp_path).amend("BTCUSDT-1h", exchange="kraken")
    with pytest.raises(UsageError, match="series BTCUSDT-1h has exchange 'kraken', not 'binance'"):
        fetch(market, tmp_path)


# --- the verb ------------------------------------------------------------------------------------------


@pytest.fixture
def verb(market, monkeypatch, tmp_path):
    """`tradsys data`, its wire led to the loopback exchange."""
    wire = Loopback(market, None)
    monkeypatch.setattr(requests.Session, "get_adapter", lambda self, url: wire)

    def call(*words: str):
        return CliRunner().invoke(data_app, [*words, "--data", str(tmp_path)])

    yield call
    wire.close()


def test_the_verb_fetches_updates_and_says_so(verb, market, tmp_path):
    done = verb("fetch", "BTC/USDT", "1h", "--since", "2020-01-01")
    assert done.exception is None, done.exception
    assert (done.exit_code, done.stdout) == (
        0,
        "BTCUSDT-1h: 2600 rows 2020-01-01T00:00 .. 2020-04-18T07:00, 2600 new\n",
    )
    again = verb("fetch", "--update", "--json")
    assert again.exit_code == 0
    (told,) = json.loads(again.stdout)
    assert (told["name"], told["rows"], told["fresh"], told["stopped"]) == ("BTCUSDT-1h", 2600, 0, False)


def test_the_verb_exits_1_when_a_bar_changed(verb, market, tmp_path):
    verb("fetch", "BTC/USDT", "1h", "--since", "2020-01-01")
    market.revise("BTCUSDT", market.bars.open_time[-1], (1.0, 1.0, 1.0, 1.0, 1.0))
    done = verb("fetch", "--update")
    assert (done.exit_code, "stopped there, nothing was changed" in done.stdout) == (1, True)
    assert verb("fetch", "--update", "--replace").exit_code == 0


def test_one_series_that_fails_is_no_reason_not_to_update_the_others(verb, market, tmp_path):
    verb("fetch", "BTC/USDT", "1h", "--since", "2020-01-01")
    verb("fetch", "BTC/USDT", "1h", "--since", "2020-01-01", "--symbol", "AAA")
    next((tmp_path / "AAA-1h").glob("bars-*")).unlink()
    done = verb("fetch", "--update")
    assert done.exit_code == 1
    assert "AAA-1h: series AAA-1h is damaged" in done.stderr
    assert done.stdout.startswith("BTCUSDT-1h: 2600 rows")


@pytest.mark.parametrize(
    "words",
    [
        ("fetch",),
        ("fetch", "BTC/USDT"),
        ("fetch", "BTC/USDT", "1h", "--funding"),
        ("fetch", "BTC/USDT", "1h", "--update"),
    ],
)
def test_the_verb_refuses_half_a_request(verb, words):
    assert str(verb(*words).exception).startswith("name a market and a timeframe (BTC/USDT 1h)")


INTERRUPTED = """
import os, signal, sys
from types import SimpleNamespace
import requests
import tradsys
from tests.exchange.wire import Loopback

signal.signal(signal.SIGINT, signal.default_int_handler)
class Cut(Loopback):
    def send(self, request, *args, **kwargs):
        if "klines" in request.url and self.sent >= 4:
            os.kill(os.getpid(), signal.SIGINT)
        return super().send(request, *args, **kwargs)
wire = Cut(SimpleNamespace(url=sys.argv[1]), None)
requests.Session.get_adapter = lambda self, url: wire
sys.argv[1:] = ["data", "fetch", "BTC/USDT", "1h", "--since", "2020-01-01", "--data", sys.argv[2]]
tradsys.main()
"""


def test_whoever_presses_ctrl_c_is_told_that_the_same_command_goes_on(market, tmp_path):
    command = [sys.executable, "-c", INTERRUPTED, market.url, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert "BTCUSDT-1h: what was fetched is kept, the same command goes on from there" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(Store(tmp_path).load("BTCUSDT-1h")) == 1997


def test_progress_tells_how_much_is_left(market, tmp_path, monkeypatch):
    told, times = [], iter(np.arange(0.0, 1000.0, 10.0))
    monkeypatch.setattr("live.fetch_told.seconds", lambda: float(next(times)))
    fetch(market, tmp_path, tell=told.append)
    assert told[0] == "BTCUSDT-1h: 2020-02-11T15:00, 38%, 16 s left"
    assert told[-1].endswith(", 100%, 0 s left")


def test_funding_of_years_comes_in_pages_and_kept_ones_are_not_asked_for_again(perpetual, tmp_path):
    due = np.arange(2300) * 8 * HOUR_NS + perpetual.due[0]
    perpetual.pay_funding("BTCUSDT", due.astype("M8[ns]"), np.full(2300, 1e-4))
    perpetual.advance_to(due[1500].astype("M8[ns]"))
    how = {"market": "BTC/USDT:USDT", "timeframe": "funding"}
    assert fetch(perpetual, tmp_path, **how).rows == 1501
    perpetual.advance_to(due[-1].astype("M8[ns]"))
    perpetual.requests.clear()
    assert fetch(perpetual, tmp_path, None, **how).fresh == 799
    starts = [int(params["startTime"]) for _, path, params, _ in perpetual.requests if "fundingRate" in path]
    assert min(starts) == due[1498] // 10**6
    np.testing.assert_array_equal(Store(tmp_path).load_values("BTCUSDT-funding").known_at.view(np.int64), due)
