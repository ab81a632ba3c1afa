"""Whatever goes wrong at the exchange, on the way, on the disk or to the process: the account is the ledger again.

A schedule is a list of (second, what happens). It is played to a whole bot at the loopback exchange; the laws are
those of `tests.exchange.world.World.watch` (at every moment) and `check` (once all is quiet).
"""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest

from tests.exchange.trader import FIRST, MARKET
from tests.exchange.wire import Killed
from tests.exchange.world import World, world

BARS, QUIET = 5, 1  # bars while things go wrong, and bars in which nothing does
SPAN_S = BARS * 60
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

LOSES = ("reset", "reset_after", "timeout", "timeout_after")
ERRORS = (
    ("status", {"status": 429, "retry_after": 2, **BUSY}),
    ("status", {"status": 418, "retry_after": 20, **BUSY}),
    ("status", {"status": 504, **LOST}),
    ("status_after", {"status": 504, **LOST}),
    ("status", {"status": 503}),
    ("status_after", {"status": 503}),
    ("status", {"status": 503, **OVERLOADED}),
)


def fault(kind, on, nth=1, times=1, **details):
    """An event: a fault of the way to the exchange."""
    return ("fault", (kind, on, nth, times), details)


def _nothing_said(pick):
    return fault(pick(LOSES), pick(EACH), pick((1, 1, 2)), pick((1, 1, 2, 3)))


def _error(pick):
    kind, details = pick(ERRORS)
    return fault(kind, pick((*EACH, ORDERS, ORDERS)), pick((1, 2)), pick((1, 1, 2, 3)), **details)


def _order_lost(pick):
    return fault(pick((*LOSES, "cut_short")), pick((ORDERS, ORDERS, "DELETE")), pick((1, 1, 2)))


def _order_late(pick):
    return fault("late", ORDERS, pick((1, 1, 2)), delay_ms=pick((200, 1500, 3000, 4800)))


def _answer_wrong(pick):
    return fault(pick(("stale", "repeat", "cut_short")), READS, pick(range(1, 20)), pick((1, 2, 3)))


def _death(pick):
    return (pick(("kill at wire", "kill at order", "kill at order")), pick((1, 2, 3, 7, 15)), pick(("before", "after")))


def _disk(pick):
    return pick(
        (("kill at file", pick(range(1, 9)), pick(("before", "after"))), ("file fails", pick(range(1, 9)), pick(FULL)))
    )


def _candle(pick):
    return ("candle", pick(("revised", "missing")), pick((-2, -1, 0)), pick((3, 20, 90)))


FULL = ("database or disk is full", "database is locked")
EVENTS = (
    *(_nothing_said, _error, _order_lost, _order_lost, _order_late, _answer_wrong, _death, _disk, _candle),
    lambda pick: ("partial", pick((0.0, 0.1, 0.5, 0.9))),
    lambda pick: ("down", pick((0, 5, 45, 130, 200))),
    lambda pick: ("clock", pick((-8000, -1500, 1500, 8000))),
)


def schedule_of(seed: int) -> list[tuple[int, tuple]]:
    """Three to eight things that go wrong, each at its second."""
    rng = np.random.default_rng(seed)

    def pick(of):
        return of[int(rng.integers(len(of)))]

    return sorted(
        ((int(rng.integers(SPAN_S)), pick(EVENTS)(pick)) for _ in range(rng.integers(3, 9))), key=itemgetter(0)
    )


def at_nth(n, when, why, fits=lambda what: True):
    """A cut that strikes once, at the nth of what fits."""
    left = [n]

    def cut(*what):
        if what[-1] == when and fits(what[-2]) and left[0] > 0:
            left[0] -= 1
            if left[0] == 0:
                raise why

    return cut


def befall(here: World, event) -> None:
    """Let one thing happen."""
    name, *what = event
    exchange = here.exchange
    if name == "fault":
        (kind, on, nth, often), details = what
        exchange.faults.plan(kind, on, nth, often, **details)
    elif name == "late":
        exchange.faults.plan("late", ORDERS, delay_ms=what[0])
    elif name == "partial":
        exchange.faults.partial(*what)
    elif name == "kill at wire":
        here.at_wire = at_nth(what[0], what[1], Killed())
    elif name == "kill at order":
        here.at_wire = at_nth(what[0], what[1], Killed(), lambda request: request.startswith(("POST", "DELETE")))
    elif name == "kill at file":
        here.at_file = at_nth(what[0], what[1], Killed(), lambda statement: statement == "COMMIT")
    elif name == "file fails":
        here.at_file = at_nth(what[0], "before", sqlite3.OperationalError(what[1]), lambda text: text == "COMMIT")
    elif name == "down":
        here.kill()
        here.disturb()
        here.down_until = exchange.now + what[0] * 1000
    elif name == "clock":
        exchange.skew, here.blind_until = what[0], exchange.now + 65_000
    else:
        kind, back, lasts = what
        row = int(np.searchsorted(MARKET.open_time.astype("M8[ms]").astype(int), exchange.now, "right")) - 1 + back
        prices = tuple(float(getattr(here.bars, each)[row]) for each in ("open", "high", "low", "close", "volume"))
        shown = (*prices[:3], prices[2], prices[4]) if kind == "revised" else None
        when = {"start": exchange.now, "end": exchange.now + lasts * 1000, "perpetual": here.perpetual}
        exchange.revise("BTCUSDT", MARKET.open_time[row], shown, **when)
        if shown is None:
            here.hidden.add(int(MARKET.open_time[row].astype(np.int64)))


def play(schedule, venue: str, served: bool = False) -> int:
    """Play a schedule, then let all be quiet, and look; return how many fills there were to look at."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, world(Path(folder), venue, served=served) as here:
        begun, coming = here.exchange.now, list(schedule)

        def before():
            while coming and here.exchange.now - begun >= coming[0][0] * 1000:
                befall(here, coming.pop(0)[1])

        here.live_until(MARKET.open_time[FIRST + BARS], before)
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


def smallest(schedule, venue: str) -> list:
    """What is left of a schedule that breaks a law when everything is taken away that it does not need."""
    for event in schedule:
        fewer = [each for each in schedule if each is not event]
        try:
            play(fewer, venue)
        except AssertionError:
            return smallest(fewer, venue)
    return schedule


def after(seed: int) -> None:
    """Play the schedule of a seed; if it breaks a law, say which part of it does."""
    schedule, venue = schedule_of(seed), VENUES[seed % 2]
    try:
        play(schedule, venue)
    except AssertionError as why:
        raise AssertionError(f"{venue}: {smallest(schedule, venue)}") from why


@pytest.mark.parametrize("seed", range(50))
def test_after_any_faults_the_account_is_the_ledger(seed):
    after(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(50, 600))
def test_after_any_of_five_hundred_schedules_the_account_is_the_ledger(seed):
    after(seed)


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("kind", [*LOSES, "late", "cut_short"])
def test_no_order_stands_twice_however_it_is_lost(kind, nth):
    """The entry (1) or its protection (2) is lost on the way there, on the way back, or comes late."""
    assert play([(0, fault(kind, ORDERS, nth, delay_ms=3000))], VENUES[nth % 2]) > 0


def commits(text: str) -> bool:
    return text == "COMMIT"


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
