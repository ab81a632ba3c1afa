"""Whatever goes wrong at the exchange, on the way, on the disk or to the process: the account is the ledger again.

A schedule is what hypothesis draws: limits, a market, and eight things that go wrong, each some seconds after the one
before. It is played to a whole bot at the loopback exchange. The laws are those of `tests.exchange.world.World.watch`
(after every turn) and `check` (once all is quiet), and `tests.exchange.laws` for every order that leaves.
"""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from live.follow import Manner
from tests.exchange.trader import FIRST, LIMITS, MARKET
from tests.exchange.wire import Killed
from tests.exchange.world import World, world

BARS, QUIET = 5, 1  # bars while things go wrong, and bars in which nothing does
STEPS = 8  # of a schedule; the first is its beginning
MEMORY = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
ROOT = Path(__file__).resolve().parents[1]
VENUES = ("spot", "perpetual")

ANY, ORDERS, READS = "", "POST .*/(order|algoOrder|orderList/oco)$", "GET .*/v3/|GET /fapi"
EACH = (
    *(ANY, ORDERS, READS, "POST", "DELETE", "klines", "openOrders|openAlgoOrders", "myTrades|userTrades"),
    *("GET .*/order|GET .*/algoOrder", "account|positionRisk", "ticker", "time"),
)
BUSY = {"code": -1003, "message": "Too much request weight used; current limit is 6000 per 1 MINUTE."}
LOST = {"code": -1007, "message": "Timeout waiting for response from backend server. Send status unknown."}
OVERLOADED = {"code": -1008, "message": "Server is currently overloaded with other requests."}
POOR = {"code": -2010, "message": "Account has insufficient balance for requested action."}

LOSES = ("reset", "reset_after", "timeout", "timeout_after")
ERRORS = {
    "429": ("status", {"status": 429, "retry_after": 2, **BUSY}),
    "418": ("status", {"status": 418, "retry_after": 20, **BUSY}),
    "504, nothing done": ("status", {"status": 504, **LOST}),
    "504, done": ("status_after", {"status": 504, **LOST}),
    "503, nothing done": ("status", {"status": 503}),
    "503, done": ("status_after", {"status": 503}),
    "503, overloaded": ("status", {"status": 503, **OVERLOADED}),
}
FULL = ("database or disk is full", "database is locked")
TIGHT = {  # limits that bite in eight bars
    "exposure": {"max_exposure": 0.1},
    "day loss": {"max_day_loss": 0.001},
    "day loss, less": {"max_day_loss": 0.004},
    "drawdown": {"max_drawdown": 0.002},
    "orders": {"max_orders_per_hour": 4},
    "orders, more": {"max_orders_per_hour": 7},
    "spread": {"max_spread": 0.0003},
    "stale data": {"stale_s": 5.0},
    "clock": {"max_skew_s": 1.0},
    "errors": {"max_errors": 1},
    "errors, more": {"max_errors": 2},
}


def at_nth(n, when, why, fits=lambda what: True):
    """A cut that strikes once, at the nth of what fits."""
    left = [n]

    def cut(*what):
        if what[-1] == when and fits(what[-2]) and left[0] > 0:
            left[0] -= 1
            if left[0] == 0:
                raise why

    return cut


def is_order(request: str) -> bool:
    return request.startswith(("POST", "DELETE"))


def commits(text: str) -> bool:
    return text == "COMMIT"


def of(*choices):
    return st.sampled_from(choices)


ORDER_FAULTS = {  # what can happen to an order: kind, which request, how
    **{kind: (kind, ORDERS, {}) for kind in (*LOSES, "cut_short")},
    **{f"late by {ms} ms": ("late", ORDERS, {"delay_ms": ms}) for ms in (200, 1500, 3000, 4800)},
    **{name: (kind, ORDERS, details) for name, (kind, details) in ERRORS.items()},
    "refused": ("status", ORDERS, {"status": 400, **POOR}),
    **{f"cancel, {kind}": (kind, "DELETE", {}) for kind in LOSES},
    "cancel, 504, done": ("status_after", "DELETE", {"status": 504, **LOST}),
}
DEATHS = ("death before", "death after")
NTH, OFTEN, SIDE = of(1, 1, 2, 3), of(1, 1, 2, 3), of("before", "after")
ORDER = st.tuples(of("nothing", *ORDER_FAULTS, *DEATHS), of(1, 1, 2), of(1, 1, 1, 3))  # which one, times in a row
THEN = of(60, 0, 3, 15, 30, 45)  # seconds until the next thing goes wrong


def event(**drawn):
    """A rule: an order that comes next goes wrong, something else does, and the bot lives on for some seconds."""
    return rule(**drawn, order=ORDER, then=THEN)


class Schedule(RuleBasedStateMachine):
    """A bot's worst minutes."""

    met: ClassVar[Counter[str]] = Counter()  # what the schedules held, all together

    def __init__(self) -> None:
        super().__init__()
        self.closing, self.here = ExitStack(), None
        self.until, self.watched, self.broken = 0, False, False

    @initialize(
        venue=of(*VENUES),
        market=of("rising", "falling"),
        tight=st.lists(of(*TIGHT), max_size=2, unique=True),
        manner=of(Manner(), Manner(), Manner("limit"), Manner(late_ns=300 * 10**9)),
        watched=st.booleans(),
    )
    def begin(self, venue, market, tight, manner, watched):
        folder = self.closing.enter_context(tempfile.TemporaryDirectory(dir=MEMORY))
        self.here = self.closing.enter_context(world(Path(folder), venue, market))
        limits = LIMITS
        for name in tight:
            limits = limits._replace(**TIGHT[name])
        self.here.limits, self.here.manner, self.watched = limits, manner, watched
        self.until = self.here.exchange.now

    def live(self, order, then) -> None:
        """Let an order go wrong, and the bot live for some seconds; whoever watches it resumes it when it halts."""
        what, nth, often = order
        if what in DEATHS:
            self.here.at_wire = at_nth(nth, what.split()[1], Killed(), is_order)
        elif what in ORDER_FAULTS:
            kind, on, details = ORDER_FAULTS[what]
            self.here.exchange.faults.plan(kind, on, nth, often, **details)
        if self.watched and self.here.witness.halted:
            self.here.told_by_a_person("resume")
        self.until += then * 1000
        self.broken = True
        self.here.live_until(np.datetime64(self.until, "ms"))
        self.broken = False

    @event()
    def nothing_else_happens(self, **step):
        self.live(**step)

    @event(shares=st.lists(of(0.0, 0.1, 0.5, 0.9), min_size=1, max_size=3))
    def orders_fill_in_part(self, shares, **step):
        self.here.exchange.faults.partial(*shares)
        self.live(**step)

    @event(kind=of(*LOSES), on=of(*EACH), nth=NTH, often=OFTEN)
    def nothing_is_said(self, kind, on, nth, often, **step):
        self.here.exchange.faults.plan(kind, on, nth, often)
        self.live(**step)

    @event(error=of(*ERRORS), on=of(*EACH), nth=NTH, often=OFTEN)
    def an_error_is_said(self, error, on, nth, often, **step):
        kind, details = ERRORS[error]
        self.here.exchange.faults.plan(kind, on, nth, often, **details)
        self.live(**step)

    @event(kind=of("stale", "repeat", "cut_short"), nth=st.integers(1, 19), often=of(1, 2, 3))
    def an_answer_is_wrong(self, kind, nth, often, **step):
        self.here.exchange.faults.plan(kind, READS, nth, often)
        self.live(**step)

    @event(nth=of(1, 2, 3, 7, 15), when=SIDE)
    def the_bot_is_killed(self, nth, when, **step):
        self.here.at_wire = at_nth(nth, when, Killed())
        self.live(**step)

    @event(nth=st.integers(1, 8), when=SIDE)
    def the_bot_is_killed_while_it_writes(self, nth, when, **step):
        self.here.at_file = at_nth(nth, when, Killed(), commits)
        self.live(**step)

    @event(nth=st.integers(1, 8), why=of(*FULL))
    def the_ledger_cannot_be_written(self, nth, why, **step):
        self.here.at_file = at_nth(nth, "before", sqlite3.OperationalError(why), commits)
        self.live(**step)

    @event(kind=of("revised", "missing"), back=of(-2, -1, 0), lasts_s=of(3, 20, 90))
    def a_candle_is_another(self, kind, back, lasts_s, **step):
        show_otherwise(self.here, kind, back, lasts_s)
        self.live(**step)

    @event(seconds=of(0, 5, 45, 130, 200, 3700))
    def the_bot_is_down(self, seconds, **step):
        here = self.here
        if not here.rows("SELECT 1 FROM decisions LIMIT 1"):
            seconds = min(seconds, 200)  # a bot that begins later than this has another first bar
        here.kill()
        here.disturb()
        here.down_until = here.exchange.now + seconds * 1000
        self.until += seconds * 1000
        self.live(**step)

    @event(skew=of(-8000, -1500, 1500, 8000))
    def the_clock_is_off(self, skew, **step):
        self.here.exchange.skew, self.here.blind_until = skew, self.here.exchange.now + 65_000
        self.live(**step)

    @event(spread=of("0.0002", "0.0004", "0.005"))
    def the_spread_is(self, spread, **step):
        market = self.here.desk.markets["BTCUSDT"]
        market.terms = replace(market.terms, spread=Decimal(spread))
        self.live(**step)

    @event(command=of("resume", "halt", "flatten"))
    def a_person_says(self, command, **step):
        self.here.told_by_a_person(command)
        self.live(**step)

    @invariant()
    def all_is_as_promised(self):
        if self.here is not None:
            self.here.watch()

    def teardown(self) -> None:
        with self.closing:
            if self.here is None or self.broken:
                return
            self.here.live_until(MARKET.open_time[FIRST + BARS])
            settle(self.here)
            type(self).met += seen(self.here)


def show_otherwise(here: World, kind: str, back: int, lasts_s: int) -> None:
    """Let the exchange show another version of a bar for a while, or not show it."""
    exchange = here.exchange
    row = int(np.searchsorted(MARKET.open_time.astype("M8[ms]").astype(int), exchange.now, "right")) - 1 + back
    prices = tuple(float(getattr(here.bars, each)[row]) for each in ("open", "high", "low", "close", "volume"))
    shown = (*prices[:3], prices[2], prices[4]) if kind == "revised" else None
    when = {"start": exchange.now, "end": exchange.now + lasts_s * 1000, "perpetual": here.perpetual}
    exchange.revise("BTCUSDT", MARKET.open_time[row], shown, **when)
    if shown is None:
        here.hidden.add(int(MARKET.open_time[row].astype(np.int64)))


def seen(here: World) -> Counter[str]:
    """What a schedule held: faults that struck an order, causes of states, trades."""
    found: Counter[str] = Counter()
    for kind, request in here.exchange.faults.struck:
        found[f"order: {kind}" if is_order(request) else f"read: {kind}"] += 1
    for (text,) in here.rows("SELECT message FROM events WHERE kind = 'entry missed'"):
        found[f"missed: {text}"] += 1
    for state, cause in here.rows("SELECT state, cause FROM states", "account.db"):
        found[f"{state}: {cause}"] += 1
    found["trades"] = len(here.desk.trades)
    found["orders"] = here.witness.orders
    found["schedules"] = 1
    found["deaths"] = here.deaths
    found["orders in flight at a death"] = here.deaths_in_flight
    return found


def run_schedules(number: int, examples: int) -> Counter[str]:
    """Play schedules drawn from a seed; return what they held."""
    machine = seed(number)(type("Schedule", (Schedule,), {"met": Counter()}))
    quiet = settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    run_state_machine_as_test(machine, settings=quiet)
    return machine.met


def play(plans, venue: str, served: bool = False) -> int:
    """Let some faults be planned, live, then let all be quiet, and look; return how many fills there were."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, world(Path(folder), venue, served=served) as here:
        for kind, on, nth, details in plans:
            here.exchange.faults.plan(kind, on, nth, **details)
        here.live_until(MARKET.open_time[FIRST + BARS])
        settle(here)
        return len(here.desk.trades)


def settle(here: World) -> None:
    """Let nothing go wrong any more, and look."""
    here.exchange.faults.clear()
    here.exchange.skew, here.down_until, here.at_wire, here.at_file = 0, 0, None, None
    ends = MARKET.open_time[FIRST + BARS] + np.timedelta64(30, "s")
    here.live_until(max(ends, np.datetime64(here.exchange.now, "ms")) + QUIET * np.timedelta64(60, "s"))
    here.check()


@pytest.mark.parametrize("venue", VENUES)
def test_a_day_without_faults_is_quiet(venue):
    assert play([], venue, served=True) > 1


ON_ORDERS = (*LOSES, "late", "status")  # each must strike an order in a few schedules, the rarer ones in many
CAUSES = ("clock", "day loss", "drawdown", "orders", "exchange silent")


def struck_orders(met: Counter[str]) -> int:
    return sum(count for what, count in met.items() if what.startswith("order: "))


def test_whatever_goes_wrong_the_account_is_the_ledger_and_no_limit_is_exceeded():
    met = run_schedules(0, 50)
    assert met["schedules"] >= 50
    assert met["trades"] > 200
    assert struck_orders(met) > 120
    assert [kind for kind in ON_ORDERS if met[f"order: {kind}"] < 5] == []
    assert (met["deaths"] > 20, met["orders in flight at a death"] > 5) == (True, True)
    assert [cause for cause in CAUSES if not met[f"missed: no entry: REDUCING, {cause}"]] == []


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, 12))
def test_in_fifty_schedules_more_no_limit_is_exceeded(number):
    met = run_schedules(number, 50)
    assert (met["schedules"] >= 50, met["trades"] > 100, struck_orders(met) > 50) == (True, True, True)


@pytest.mark.parametrize("venue", VENUES)
def test_an_order_that_was_turned_away_twice_and_then_comes_late_is_not_made_up_for(venue):
    """The last try is signed long after the order was written down: it must not be given up before it can arrive."""
    busy = ("status", ORDERS, 1, {"status": 418, "retry_after": 20, **BUSY})
    assert play([busy, busy, ("late", ORDERS, 3, {"delay_ms": 4800})], venue) > 0


def test_an_order_whose_answer_is_lost_is_asked_for_and_not_hammered_for():
    with a_world() as here:
        here.exchange.faults.plan("reset", ORDERS)
        while not here.exchange.faults.struck:
            here.turn()
        asked, begun = len(here.exchange.requests), here.exchange.now
        here.live_until(np.datetime64(begun + 8000, "ms"))
        assert len(here.exchange.requests) - asked < 12 * 8


@contextmanager
def a_world(venue: str = "spot", market: str = "rising"):
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, world(Path(folder), venue, market) as here:
        yield here


def test_a_clock_that_is_off_at_the_start_lets_nothing_in():
    with a_world() as here:
        here.exchange.skew = -8000
        here.live_until(MARKET.open_time[FIRST + 2])
        assert here.witness.states() == {"clock": "REDUCING"}
        assert here.desk.orders == []
        settle(here)


def test_what_was_lost_bars_the_very_next_entry():
    """The account is weighed every five minutes, and before every entry: the law is `Witness._may_lose`."""
    with a_world(market="falling") as here:
        here.limits = LIMITS._replace(max_day_loss=0.001)
        here.live_until(MARKET.open_time[FIRST + 4] - np.timedelta64(20, "s"))
        assert here.witness.states() == {"day loss": "REDUCING"}
        settle(here)


def test_after_a_silence_the_protection_comes_within_a_poll():
    with a_world() as here:
        here.exchange.faults.plan("reset", ORDERS, 2)
        while not here.size:
            here.turn()
        here.exchange.faults.plan("reset", "klines|openOrders", 1, 8)
        here.live_until(MARKET.open_time[FIRST + 3])
        settle(here)


@pytest.mark.parametrize("venue", VENUES)
def test_orders_refused_in_a_row_halt_the_bot_until_somebody_resumes_it(venue):
    with a_world(venue) as here:
        here.limits = LIMITS._replace(max_errors=2)
        here.exchange.faults.plan("status", ORDERS, 1, 10, status=400, **POOR)
        here.live_until(MARKET.open_time[FIRST + 5])
        sent = here.witness.orders
        assert here.witness.states() == {"errors": "HALTED"}
        here.told_by_a_person("resume")
        here.exchange.faults.clear()
        here.live_until(MARKET.open_time[FIRST + 9])
        assert here.witness.orders > sent
        settle(here)


def test_nothing_is_entered_on_bars_that_are_late():
    """The exchange turns the entry away until the next bar is due, and does not show that bar."""
    with a_world() as here:
        here.limits, here.manner = LIMITS._replace(stale_s=5.0, max_errors=100), Manner(late_ns=300 * 10**9)
        busy = here.exchange.faults.plan("status", ORDERS, 1, 1000, status=429, retry_after=5, **BUSY)
        here.live_until(MARKET.open_time[FIRST + 1] - np.timedelta64(10, "s"))
        show_otherwise(here, "missing", 0, 200)
        here.live_until(MARKET.open_time[FIRST + 1] + np.timedelta64(20, "s"))
        busy.times = 0
        here.live_until(MARKET.open_time[FIRST + 3])
        missed = [row[0] for row in here.rows("SELECT message FROM events WHERE kind = 'entry missed'")]
        assert missed[:1] == ["no entry: REDUCING, stale data"]
        settle(here)


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("kind", [*LOSES, "late", "cut_short"])
def test_no_order_stands_twice_however_it_is_lost(kind, nth):
    """The entry (1) or its protection (2) is lost on the way there, on the way back, or comes late."""
    assert play([(kind, ORDERS, nth, {"delay_ms": 3000})], VENUES[nth % 2]) > 0


def count_steps(venue: str) -> tuple[int, int]:
    """Requests and commits of a bot that nothing befalls, until a trade was made and ended."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, world(Path(folder), venue) as here:
        seen = [0, 0]

        def at_wire(*what):
            seen[0] += what[-1] == "before"

        def at_file(*what):
            seen[1] += what == ("COMMIT", "before")

        here.at_wire, here.at_file = at_wire, at_file
        while len(here.desk.trades) < 2:
            here.turn()
        here.turn()
        return seen[0], seen[1]


def die_at(venue: str, where: str, n: int, when: str) -> None:
    """Kill a bot at its nth request or commit; start it again, and look."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, world(Path(folder), venue) as here:
        if where == "wire":
            here.at_wire = at_nth(n, when, Killed())
        else:
            here.at_file = at_nth(n, when, Killed(), commits)
        settle(here)
        assert here.desk.trades


def every_death(share: int):
    """(venue, where, n, when) for every share-th step of a trade's life."""
    for venue in VENUES:
        for where, steps in zip(("wire", "file"), count_steps(venue), strict=True):
            places = [(n, when) for n in range(1, steps + 1) for when in ("before", "after")]
            yield from ((venue, where, n, when) for n, when in places[::share])


def test_a_bot_killed_at_some_steps_of_a_trade_goes_on():
    for death in every_death(37):
        die_at(*death)


@pytest.mark.slow
def test_a_bot_killed_at_every_step_of_a_trade_goes_on():
    for death in every_death(1):
        try:
            die_at(*death)
        except AssertionError as why:
            raise AssertionError(f"killed at {death}") from why


def run_process(folder, url: str, venue: str):
    """A bot in a process of its own."""
    command = [sys.executable, "-m", "tests.exchange.trader", str(folder), url, venue]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def wait_for(exchange, process, n: int) -> None:
    """Wait until a process has asked n more things of the exchange."""
    goal = len(exchange.requests) + n
    while len(exchange.requests) < goal:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.002)


def die_and_end(venue: str, deaths) -> None:
    """Kill a process after each number of requests and start the next, and end the last one politely."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, world(Path(folder), venue, served=True) as here:
        exchange = here.exchange
        for n in deaths:
            with run_process(folder, exchange.url, venue) as process:
                wait_for(exchange, process, n)
                process.kill()
        with run_process(folder, exchange.url, venue) as process:
            wait_for(exchange, process, 60)
            process.send_signal(signal.SIGTERM)
            said = process.communicate(timeout=60)[1]
        assert (process.returncode, said) == (0, "")
        assert len(here.rows("SELECT 1 FROM starts", "account.db")) >= len(deaths)
        settle(here)
        assert here.desk.trades


def test_a_process_killed_and_one_told_to_stop_leave_the_ledger_whole():
    die_and_end("spot", [55])


@pytest.mark.slow
@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("seed", range(10))
def test_processes_killed_anywhere_leave_the_ledger_whole(venue, seed):
    die_and_end(venue, np.random.default_rng(seed).integers(10, 60, 4).tolist())
