"""The bot: at every close what the backtest did, once, however often and wherever it dies."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import sys
from dataclasses import replace

import numpy as np
import pytest

from engine.bars import Bars
from engine.errors import DataError
from live.bot import Bot
from live.feed import ReplayFeed
from live.ledger import Ledger
from live.orders import client_order_id
from live.parity import against_backtest
from live.schema import NOT_KEPT
from tests.live_desk import BARS, RULES, STRATEGY, Momentum, backtest, facts, identity, open_ledger, trade_on

STEPS = 7  # BEGIN, bars, decisions, accounts, fills or trades where there are any, COMMIT


class Death(BaseException):
    """The process ends here."""


class Dying(sqlite3.Connection):
    """SQLite as it is, until the n-th statement of a bar: then the end, before or after it takes effect."""

    steps_left: float = np.inf
    after: bool = False
    how = staticmethod(lambda: None)

    def execute(self, statement, *rows):
        return self._step(statement, super().execute, rows)

    def executemany(self, statement, *rows):
        return self._step(statement, super().executemany, rows)

    def _step(self, statement, act, rows):
        if self.steps_left <= 0:
            raise Death  # a dead process does nothing
        self.steps_left -= 1 if statement.startswith(("BEGIN", "INSERT", "COMMIT")) else 0
        if self.steps_left > 0:
            return act(statement, *rows)
        if self.after:
            act(statement, *rows)
        self.how()
        raise Death


def dying(steps: int, after: bool, how=lambda: None):
    """A way to reach SQLite, and the connection it made."""
    made = []

    def connect(*args, **kwargs):
        made.append(sqlite3.connect(*args, **kwargs, factory=Dying))
        made[-1].after, made[-1].how = after, how
        return made[-1]

    return connect, lambda: setattr(made[-1], "steps_left", steps)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The ledger of a bot that never died."""
    path = tmp_path_factory.mktemp("undisturbed") / "bot.db"
    with open_ledger(path) as ledger:
        trade_on(ledger)
    return facts(path)


MOMENTS = (
    "position open",
    "position open across a gap",
    "wish pending",
    "wish lapses at a gap",
    "wish ignored in a position",
    "trade ends",
    "trade of one bar",
    "warm-up",
    "first bar",
)


def moments() -> dict[str, int]:
    """Rows at or after whose close the bot is in a state that a restart could lose."""
    whole = backtest()
    gap = ~BARS.follows
    gap[0] = False
    flat = whole.result.position == 0
    wished = whole.signals.side != 0
    next_gap = np.r_[gap[1:], False]
    trades = whole.result.trades
    return {
        "position open": int(np.flatnonzero(~flat & ~wished)[0]),
        "position open across a gap": int(np.flatnonzero(~flat & next_gap)[0]),
        "wish pending": int(np.flatnonzero(flat & wished & ~next_gap)[0]),
        "wish lapses at a gap": int(np.flatnonzero(flat & wished & next_gap)[0]),
        "wish ignored in a position": int(np.flatnonzero(~flat & wished)[0]),
        "trade ends": int(trades["exit_bar"][2]),
        "trade of one bar": int(trades["exit_bar"][trades["exit_bar"] == trades["entry_bar"]][0]),
        "warm-up": 3,
        "first bar": 0,
    }


def test_the_market_is_lively_enough_to_prove_something():
    whole = backtest()
    assert set(whole.result.trades["side"]) == {1, -1}
    assert set(whole.result.trades["reason"]) == {0, 1, 2}
    assert whole.result.lapsed >= 3
    assert whole.result.ignored >= 10
    assert tuple(moments()) == MOMENTS


def test_the_bot_wants_at_each_close_what_the_backtest_wanted(tmp_path):
    with open_ledger(tmp_path / "bot.db") as ledger:
        trade_on(ledger)
        whole, (times, equity) = backtest(), ledger.equity()
        np.testing.assert_array_equal(times, BARS.open_time)
        np.testing.assert_array_equal(ledger.wishes(), whole.signals.side)
        np.testing.assert_array_equal(equity, whole.result.equity)
        for name in set(whole.result.trades.dtype.names) - set(NOT_KEPT):
            np.testing.assert_array_equal(ledger.trades()[name], whole.result.trades[name])
        assert ledger.account() == whole.result.account


def test_warm_up_bars_are_remembered_and_not_decided_on(tmp_path):
    with open_ledger(tmp_path / "bot.db", first=50) as ledger:
        trade_on(ledger, first=50)
        assert ledger.decided() == 110
        assert ledger.seen().open_time[0] == BARS.open_time[50 - STRATEGY.memory + 1]
        assert against_backtest(STRATEGY, RULES, ledger, BARS) is None


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_death_at_every_step_of_every_bar_changes_nothing(tmp_path, undisturbed, after):
    path, deaths, rows = tmp_path / "bot.db", 0, range(10, 40)
    with open_ledger(path) as ledger:
        trade_on(ledger, BARS[: rows[0]])
    for row in rows:
        for step in range(1, STEPS + 2):
            connect, arm = dying(step, after)
            with open_ledger(path, connect) as ledger:
                bot = Bot(STRATEGY, RULES, ledger)
                arm()
                try:
                    bot.on_close(BARS[max(row - STRATEGY.memory + 1, 0) : row + 1])
                except Death:
                    deaths += 1
            assert len(facts(path)["decisions"]) in (row, row + 1)
    with open_ledger(path) as ledger:
        trade_on(ledger)
    assert deaths >= 5 * len(rows) if not after else deaths >= 4 * len(rows)
    assert facts(path) == undisturbed


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_at_any_step_of_a_telling_bar_or_the_next_changes_nothing(tmp_path, undisturbed, moment):
    path, kills, row = tmp_path / "bot.db", 0, moments()[moment]
    with open_ledger(path) as ledger:
        trade_on(ledger, BARS[:row])
    for now, steps in ((row, range(2 * STEPS)), (row + 1, range(6, 10))):
        for step in steps:
            connect, arm = dying(1 + step // 2, step % 2 == 1, lambda: os.kill(os.getpid(), signal.SIGKILL))
            child = os.fork()
            if child == 0:
                with open_ledger(path, connect) as ledger:
                    bot = Bot(STRATEGY, RULES, ledger)
                    arm()
                    bot.on_close(BARS[max(now - STRATEGY.memory + 1, 0) : now + 1])
                os._exit(0)
            kills += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
            assert len(facts(path)["decisions"]) in (now, now + 1)
    with open_ledger(path) as ledger:
        trade_on(ledger)
    assert kills >= 10
    assert facts(path) == undisturbed


@pytest.mark.parametrize("every", [3, 40])
def test_restarts_change_nothing(tmp_path, undisturbed, every):
    path = tmp_path / "bot.db"
    for end in [*range(every, len(BARS), every), len(BARS)]:
        with open_ledger(path) as ledger:
            trade_on(ledger, BARS[:end])
    assert facts(path) == undisturbed


def test_deciding_twice_is_deciding_once(tmp_path, undisturbed):
    path = tmp_path / "bot.db"
    with open_ledger(path) as ledger:
        bot = Bot(STRATEGY, RULES, ledger)
        for window in ReplayFeed(BARS, STRATEGY.memory).closes(None):
            assert bot.on_close(window) is not None
            assert bot.on_close(window) is None
            assert bot.on_close(window[:-2] if len(window) > 2 else window) is None
    assert facts(path) == undisturbed


def test_a_longer_window_than_the_memory_changes_nothing(tmp_path, undisturbed):
    path = tmp_path / "bot.db"
    with open_ledger(path) as ledger:
        bot = Bot(STRATEGY, RULES, ledger)
        for row in range(len(BARS)):
            bot.on_close(BARS.upto(row + 1))
    assert facts(path) == undisturbed


def altered(bars: Bars, row: int, name: str) -> Bars:
    """The same bars but for the last digit of one number."""
    columns = {c: getattr(bars, c).copy() for c in ("open", "high", "low", "close", "volume")}
    away = {"low": -np.inf, "close": 0.0}.get(name, np.inf)
    columns[name][row] = np.nextafter(columns[name][row], away)
    columns["low"] = np.minimum(columns["low"], columns["close"])
    return Bars(bars.open_time, **columns, timeframe_ns=bars.timeframe_ns, symbol=bars.symbol)


def without(bars: Bars, row: int) -> Bars:
    keep = np.arange(len(bars)) != row
    columns = {c: getattr(bars, c)[keep] for c in ("open", "high", "low", "close", "volume")}
    return Bars(bars.open_time[keep], **columns, timeframe_ns=bars.timeframe_ns, symbol=bars.symbol)


def alarm(tmp_path, bars: Bars, lived: Bars = BARS[:60]) -> str:
    """Live some bars, then go on with others; returns the alarm, which the ledger must hold too."""
    path = tmp_path / "bot.db"
    with open_ledger(path) as ledger:
        trade_on(ledger, lived)
    before = facts(path)
    with open_ledger(path) as ledger, pytest.raises(DataError) as caught:
        trade_on(ledger, bars)
    noted = sqlite3.connect(path).execute("SELECT kind, message FROM errors").fetchall()
    assert noted == [("DataError", str(caught.value))]
    assert facts(path) == before
    return str(caught.value)


@pytest.mark.parametrize("name", ["high", "low", "close", "volume"])
def test_a_bar_that_changed_since_it_was_seen_stops_the_bot(tmp_path, name):
    said = alarm(tmp_path, altered(BARS, 55, name))
    assert said.startswith(f"{name} of bar {str(BARS.open_time[55])[:16]} was ")
    assert said.endswith("find out which is right, then feed it again or start a new BOT_LEDGER")


def test_a_bar_that_vanished_stops_the_bot(tmp_path):
    said = alarm(tmp_path, without(BARS, 55))
    assert said.startswith(f"bar {str(BARS.open_time[55])[:16]} was seen before and is missing now; ")


def test_a_bar_that_appeared_late_stops_the_bot(tmp_path):
    said = alarm(tmp_path, BARS, lived=without(BARS, 55)[:59])
    assert said.startswith(f"bar {str(BARS.open_time[55])[:16]} is new among bars seen before; ")


def test_a_bar_passed_over_stops_the_bot(tmp_path):
    with open_ledger(tmp_path / "bot.db") as ledger:
        bot = trade_on(ledger, BARS[:60])
        with pytest.raises(DataError, match=r"bar 2020-01-04T.* was passed over; give the bot every bar, in order"):
            bot.on_close(BARS[40:62])
        assert ledger.decided() == 60


def test_a_window_too_short_to_decide_on_stops_the_bot(tmp_path):
    with open_ledger(tmp_path / "bot.db") as ledger:
        bot = trade_on(ledger, BARS[:60])
        with pytest.raises(
            DataError, match=r"the bars begin at .*, the bot needs them from .*; bring earlier bars too"
        ):
            bot.on_close(BARS[50:61])


def test_a_history_that_ends_before_the_ledger_is_refused(tmp_path):
    with open_ledger(tmp_path / "bot.db") as ledger:
        bot = trade_on(ledger, BARS[:60])
        bot.recognise(BARS)
        with pytest.raises(DataError, match=r"the bars end at .*, the ledger is at .*; bring later bars"):
            bot.recognise(BARS[:59])
        with pytest.raises(
            DataError, match=f"volume of bar {str(BARS.open_time[4])[:16]} was "
        ):  # long before the last 12 bars
            bot.recognise(altered(BARS, 4, "volume"))


def test_order_ids_are_functions_of_bot_market_bar_and_leg(tmp_path):
    with open_ledger(tmp_path / "bot.db") as ledger:
        trade_on(ledger)
        ours = ledger.identity.id
        trades = ledger.trades()
    rows = facts(tmp_path / "bot.db")["fills"]
    wished = {client_order_id(ours, BARS.symbol, wish, "entry") for wish in trades["wish_time"].astype(np.int64)}
    assert wished <= {row[0] for row in rows}
    assert len({row[0] for row in rows}) == len(rows)
    assert all(len(row[0]) == 32 and row[0].isalnum() and row[0].islower() for row in rows)
    assert client_order_id("other", BARS.symbol, 0, "entry") != client_order_id(ours, BARS.symbol, 0, "entry")
    assert client_order_id(ours, "X", 0, "entry") != client_order_id(ours, BARS.symbol, 0, "entry")


def test_fills_are_the_trades_legs(tmp_path, undisturbed):
    trades = backtest().result.trades
    fills = {(row[1], row[2]): row[3:] for row in undisturbed["fills"]}
    for trade in trades:
        at, until = (int(trade[name].astype(np.int64)) for name in ("entry_time", "exit_time"))
        side, units, leg = int(trade["side"]), trade["units"], ("target", "stop", "time")[trade["reason"]]
        assert fills[(at, "entry")] == (side, units, trade["entry_price"], trade["entry_fee"])
        assert fills[(until, leg)] == (-side, units, trade["exit_price"], trade["exit_fee"])
    still_open = int(backtest().result.account.side != 0)
    assert len(fills) == len(undisturbed["fills"]) == 2 * len(trades) + still_open


def test_the_ledger_names_the_first_difference_from_the_backtest(tmp_path):
    with open_ledger(tmp_path / "bot.db") as ledger:
        trade_on(ledger)
        assert against_backtest(STRATEGY, RULES, ledger, BARS) is None
        dearer = against_backtest(STRATEGY, replace(RULES, fee=0.0011), ledger, BARS)
        assert re.fullmatch(r"equity at 2020-\S+ is \d+\.\d+ in the ledger and \d+\.\d+ in the backtest", dearer)
        bolder = against_backtest(Momentum(least=0.4), RULES, ledger, BARS)
        assert re.fullmatch(r"wish at 2020-\S+ is 0 in the ledger and -?1 in the backtest", bolder)


def test_a_ledger_for_money_waits_for_the_disk(tmp_path):
    for power_safe, level in ((True, 2), (False, 1)):
        with Ledger(tmp_path / f"{level}.db", identity(), power_safe) as ledger:
            assert ledger.file.select("PRAGMA synchronous") == [(level,)]
            assert ledger.file.select("PRAGMA journal_mode") == [("wal",)]
