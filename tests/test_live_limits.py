"""What the bot may not do with money: states, their causes, and how they end."""

from __future__ import annotations

import pytest

from engine.bars import DAY_NS
from live.account import ACTIVE, HALTED, REDUCING, AccountBook, Standing
from live.limits import (
    DAY_LOSS,
    DRAWDOWN,
    Limits,
    judge_bars,
    judge_clock,
    judge_errors,
    judge_orders,
    judge_worth,
)

LIMITS = Limits(max_day_loss=0.05, max_drawdown=0.2, max_orders_per_hour=10, stale_s=60, max_skew_s=2, max_errors=3)
S = 10**9


class Time:
    def __init__(self):
        self.t = 100 * DAY_NS

    def __call__(self):
        return self.t


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def book(tmp_path, time):
    made = AccountBook(tmp_path, time)
    yield made
    made.close()


def test_the_gravest_state_of_a_symbol_or_of_all_holds(book):
    assert book.standing("A") == Standing(ACTIVE)
    book.put("", Standing(REDUCING, "clock", "slow"))
    book.put("A", Standing(HALTED, "a person", "lunch"))
    assert book.standing("A").reason == "lunch"
    assert book.standing("B").state == REDUCING
    book.clear("A", "a person")
    assert book.standing("A").state == REDUCING


def test_a_state_that_ends_by_itself_ends(book, time):
    assert book.put("", Standing(REDUCING, DAY_LOSS, "x", time.t + DAY_NS))
    assert not book.put("", Standing(REDUCING, DAY_LOSS, "worse", time.t + DAY_NS))  # no news
    time.t += DAY_NS
    assert book.standing("A").state == ACTIVE
    assert book.put("", Standing(REDUCING, DAY_LOSS, "again", time.t + DAY_NS))
    assert book.standing("A").reason == "again"


def test_states_outlive_the_process(book, tmp_path, time):
    book.put("A", Standing(HALTED, "a person", "lunch"))
    again = AccountBook(tmp_path, time)
    assert again.standing("A") == Standing(HALTED, "a person", "lunch")
    again.resume("")
    assert again.standing("A").state == ACTIVE
    again.close()
    third = AccountBook(tmp_path, time)
    assert third.standing("A").state == ACTIVE
    third.close()


def test_resuming_one_symbol_leaves_the_others(book):
    for symbol in "AB":
        book.put(symbol, Standing(HALTED, "a person"))
    book.resume("A")
    assert (book.standing("A").state, book.standing("B").state) == (ACTIVE, HALTED)


def test_a_days_loss_counts_from_midnight_and_ends_at_the_next(book, time):
    time.t += DAY_NS // 2
    assert judge_worth(book, LIMITS, 1000.0) == []
    time.t += DAY_NS // 4
    assert judge_worth(book, LIMITS, 951.0) == []
    (found,) = judge_worth(book, LIMITS, 949.0)
    assert (found.state, found.cause, found.until) == (REDUCING, DAY_LOSS, 101 * DAY_NS)
    assert found.reason == "5.1% lost since midnight UTC, limit 5.0%"
    time.t = 101 * DAY_NS + S
    assert judge_worth(book, LIMITS, 910.0) == []  # from 949 at midnight


def test_a_drawdown_is_from_the_highest_worth_since_somebody_resumed(book, time):
    for worth in (1000.0, 1100.0, 1060.0, 1020.0, 980.0, 940.0, 900.0):
        time.t += DAY_NS
        assert judge_worth(book, LIMITS, worth) == []
    time.t += DAY_NS
    (found,) = judge_worth(book, LIMITS, 870.0)
    assert (found.cause, found.until) == (DRAWDOWN, None)
    assert found.reason == "20.9% below the highest worth 1100.00, limit 20.0%"
    book.put("", found)
    time.t += S
    book.resume("")
    assert judge_worth(book, LIMITS, 860.0) == []
    assert book.peak() == 860.0


def test_many_orders_leave_exits_only_and_twice_as_many_nothing():
    assert judge_orders(LIMITS, 9) is None
    assert judge_orders(LIMITS, 10).state == REDUCING
    assert judge_orders(LIMITS, 20).state == HALTED


def test_silence_ends_by_itself_and_refusals_do_not():
    assert [s.state for s in judge_errors(LIMITS, 0, 2)] == [ACTIVE]
    assert [s.state for s in judge_errors(LIMITS, 0, 3)] == [REDUCING]
    assert [s.state for s in judge_errors(LIMITS, 3, 0)] == [ACTIVE, HALTED]


def test_a_late_bar_or_a_wrong_clock_leaves_exits_only_while_it_lasts():
    assert judge_bars(LIMITS, 70 * S, 10 * S).state == ACTIVE
    assert judge_bars(LIMITS, 71 * S, 10 * S).state == REDUCING
    assert judge_clock(LIMITS, -2 * S).state == ACTIVE
    assert judge_clock(LIMITS, 3 * S).reason == "our clock is +3.0 s off the exchange's, limit 2"


def test_commands_are_answered_once_and_in_order(book, tmp_path, time):
    other = AccountBook(tmp_path, time)  # another process
    first, second = other.ask("A", "halt", "lunch"), other.ask("", "resume", "")
    assert [c[1:] for c in book.asked()] == [("A", "halt", "lunch"), ("", "resume", "")]
    book.answer(first, "done")
    assert [c.number for c in book.asked()] == [second]
    assert (other.answered(first), other.answered(second)) == ("done", None)
    other.close()
