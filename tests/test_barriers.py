"""A label is the trade that would have been, and nothing after it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.barriers import OPEN, STOP, TARGET, TIME, bracket, label_barriers, walk
from engine.bars import Bars
from engine.errors import UsageError
from engine.rules import FillRules, Rules
from engine.synthetic import random_bars
from engine.terms import prices_of
from tests.markets import bars_of, lively_bars, lively_signals, markets, rules, steps
from tests.oracles.slow_market import slow_market

FREE = Rules(fee=0.0, maker_fee=0.0, slippage=0.0)
SMALL = settings(max_examples=60, deadline=None)
OUTCOMES = {"target": 1, "stop": -1, "time": 0}


def rules_of(k_up, k_down, hold, **more):
    return Rules(k_up=k_up, k_down=k_down, hold=hold, **{"fee": 0.0, "maker_fee": 0.0, "slippage": 0.0} | more)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 25), st.integers(0, 10**6), rules)
def test_a_label_is_the_slow_markets_only_trade(n, seed, rules):
    bars, signals = lively_bars(n, seed), lively_signals(n, seed)
    labels = label_barriers(bars, signals.atr, rules, signals.side)
    for t in range(n):
        alone = np.where(np.arange(n) == t, signals.side, 0)
        _, trades = slow_market(bars, alone, signals.atr, rules)
        if not trades:
            assert (labels.end[t], labels.outcome[t], np.isnan(labels.ret[t])) == (-1, 0, True)
        elif trades[0]["reason"] != "liquidated":
            trade = trades[0]
            assert (labels.end[t], labels.outcome[t]) == (trade["exit_bar"], OUTCOMES[trade["reason"]])
            assert labels.ambiguous[t] == trade["ambiguous"]


@pytest.mark.parametrize(
    ("up", "down", "hold", "chances"),
    [(4, 2, 15, (0.2666, 0.5999, 0.1335)), (3, 3, 12, None)],
)
def test_every_path_of_a_random_walk_is_labelled_right(up, down, hold, chances):
    paths = np.cumsum(np.array(list(product((-1, 1), repeat=hold))), axis=1)
    between = np.zeros((len(paths), 2))  # the bar of the wish, and the step to the first open
    path = 100 + np.concatenate([between, paths, paths[:, -1:]], axis=1)
    rows = np.stack([path[:, :-1], path[:, 1:]])
    bars = bars_of(np.stack([rows[0], rows.max(0), rows.min(0), rows[1]], axis=-1).reshape(-1, 4))
    outcome = label_barriers(bars, np.ones(len(bars)), rules_of(up, down, hold)).outcome[:: hold + 2]
    shares = [float((outcome == side).mean()) for side in (1, -1, 0)]
    np.testing.assert_allclose(shares, exact_chances(up, down, hold, 0.5), rtol=1e-12)
    if chances:
        np.testing.assert_allclose(shares, chances, atol=5e-5)


def exact_chances(up, down, hold, p):
    """Chances of (target, stop, time) of a +-1 walk by its transition matrix; states -down .. up, ends absorb."""
    states = up + down + 1
    move = np.zeros((states, states))
    move[0, 0] = move[-1, -1] = 1.0
    for s in range(1, states - 1):
        move[s, s + 1], move[s, s - 1] = p, 1 - p
    chance = np.linalg.matrix_power(move, hold)[down]
    return chance[-1], chance[0], chance[1:-1].sum()


@pytest.mark.parametrize(
    ("up", "down", "hold", "p", "chances"),
    [
        (3, 3, 20, 0.5, (0.4625, 0.4625, 0.0751)),
        (4, 2, 15, 0.5, (0.2666, 0.5999, 0.1335)),
        (3, 3, 20, 0.45, (0.3296, 0.6018, 0.0686)),
        (5, 5, 100_000, 0.48, (0.4013, 0.5987, 0.0)),  # gambler's ruin
    ],
)
def test_random_walks_end_as_often_as_theory_says(up, down, hold, p, chances):
    np.testing.assert_allclose(exact_chances(up, down, hold, p), chances, atol=6e-5)
    path = 1e6 + np.cumsum(np.where(np.random.default_rng(7).random(300_000) < p, 1, -1))
    labels = label_barriers(steps(path), np.ones(299_999), rules_of(up, down, hold))
    known = labels.end >= 0
    shares = [float((labels.outcome[known] == side).mean()) for side in (1, -1, 0)]
    np.testing.assert_allclose(shares, chances, atol=0.01)


@SMALL
@given(markets, rules, st.integers(0, 10**6), st.sampled_from((0.25, 2.0, 1024.0)))
def test_labels_do_not_depend_on_the_unit_of_price(bars, rules, seed, factor):
    signals = lively_signals(len(bars), seed)
    prices = (factor * getattr(bars, column) for column in ("open", "high", "low", "close"))
    scaled = Bars(bars.open_time, *prices, bars.volume, bars.timeframe_ns, bars.symbol, bars.sessions)
    here = label_barriers(bars, signals.atr, rules, signals.side)
    there = label_barriers(scaled, factor * signals.atr, rules, signals.side)
    for one, other in zip(here, there, strict=True):
        np.testing.assert_array_equal(one, other)


@SMALL
@given(markets, rules, st.integers(0, 10**6))
def test_a_short_is_a_long_in_the_mirror(bars, rules, seed):
    atr = lively_signals(len(bars), seed).atr
    prices = (200.0 - getattr(bars, column) for column in ("open", "low", "high", "close"))
    mirrored = Bars(bars.open_time, *prices, bars.volume, bars.timeframe_ns, bars.symbol, bars.sessions)
    terms = replace(rules, fills=rules.fills._replace(high_first=False))  # in the mirror it would be the low
    long, short = label_barriers(bars, atr, terms, 1), label_barriers(mirrored, atr, terms, -1)
    for name in ("outcome", "end", "ambiguous"):
        np.testing.assert_array_equal(getattr(long, name), getattr(short, name))


@SMALL
@given(markets, st.integers(0, 10**6), st.sampled_from((0.5, 1.0, 2.0)), st.sampled_from((0.5, 1.0)))
def test_a_farther_target_never_turns_a_loss_into_a_gain(bars, seed, near, k_down):
    atr = lively_signals(len(bars), seed).atr
    close, far = (label_barriers(bars, atr, rules_of(k, k_down, 9)) for k in (near, near + 1.0))
    assert (far.outcome[close.outcome == -1] == -1).all()


@SMALL
@given(markets, rules, st.integers(0, 10**6))
def test_more_time_never_changes_a_touch(bars, rules, seed):
    atr = lively_signals(len(bars), seed).atr
    terms = {"k_up": rules.k_up, "k_down": rules.k_down, "fills": rules.fills}
    short, long = (label_barriers(bars, atr, Rules(hold=hold, **terms)) for hold in (3, 8))
    touched = short.outcome != 0
    for name in ("outcome", "end", "ret"):
        np.testing.assert_array_equal(getattr(short, name)[touched], getattr(long, name)[touched])


@SMALL
@given(markets, rules, st.integers(0, 10**6), st.integers(1, 60))
def test_later_bars_never_change_a_label_and_censored_ones_are_none(bars, rules, seed, cut):
    signals = lively_signals(len(bars), seed)
    whole = label_barriers(bars, signals.atr, rules, signals.side)
    early = label_barriers(bars.upto(cut), signals.atr[:cut], rules, signals.side[:cut])
    known = early.end >= 0
    for name in ("outcome", "end", "ret", "gross", "ambiguous"):
        np.testing.assert_array_equal(getattr(early, name)[known], getattr(whole, name)[:cut][known])
    assert (known == ((whole.end[:cut] >= 0) & (whole.end[:cut] < cut))).all()


def test_without_drift_both_barriers_are_equally_likely():
    bars = random_bars(100_000, seed=21, volatility=0.001)
    outcome = label_barriers(bars, bars.close * 0.002, rules_of(1.5, 1.5, 200)).outcome
    assert abs(outcome.mean()) < 0.03
    assert (outcome != 0).mean() > 0.95


QUIET = (100, 101, 99, 100)
LONG = {"target": 103.0, "stop": 98.0, "side": 1}
SHORT = {"target": 97.0, "stop": 102.0, "side": -1}


@pytest.mark.parametrize(
    ("trade", "bar", "flags", "level", "reason", "ambiguous"),
    [
        (LONG, (100, 103, 99, 100), {}, 103, TARGET, False),
        (LONG, (100, 101, 98, 100), {}, 98, STOP, False),
        (LONG, (100, 103, 98, 100), {}, 98, STOP, True),
        (LONG, (100, 103, 98, 100), {"stop_first": False}, 103, TARGET, True),
        (LONG, (97, 104, 96, 100), {}, 97, STOP, False),
        (LONG, (97, 104, 96, 100), {"stop_gap_at_open": False}, 98, STOP, False),
        (LONG, (96, 97, 95, 96), {"stop_gap_at_open": False}, 97, STOP, False),
        (LONG, (104, 106, 103.5, 105), {"target_gap_at_open": False}, 103.5, TARGET, False),
        (LONG, (100, 103, 98, 100), {"high_first": True}, 103, TARGET, True),
        (LONG, (100, 101, 98, 100), {"high_first": True}, 98, STOP, False),
        (SHORT, (100, 102, 97, 100), {"high_first": True, "stop_first": False}, 102, STOP, True),
        (LONG, (104, 105, 97, 100), {}, 104, TARGET, False),
        (LONG, (104, 105, 97, 100), {"target_gap_at_open": False}, 103, TARGET, False),
        (LONG, (104, 105, 97, 100), {"open_comes_first": False}, 98, STOP, False),
        (LONG, (104, 105, 99, 100), {"open_comes_first": False}, 104, TARGET, False),
        (SHORT, (100, 101, 97, 100), {}, 97, TARGET, False),
        (SHORT, (100, 102, 99, 100), {}, 102, STOP, False),
        (SHORT, (100, 102, 97, 100), {}, 102, STOP, True),
        (SHORT, (103, 104, 96, 100), {}, 103, STOP, False),
        (SHORT, (96, 103, 95, 100), {}, 96, TARGET, False),
        (SHORT, (96, 103, 95, 100), {"open_comes_first": False}, 102, STOP, False),
        (LONG, QUIET, {}, np.nan, OPEN, False),
    ],
)
def test_how_one_bar_fills(trade, bar, flags, level, reason, ambiguous):
    end = walk(prices_of(bars_of([bar])), 0, 1, trade["side"], trade["target"], trade["stop"], 5, FillRules(**flags))
    np.testing.assert_equal(end, (1 if reason == OPEN else 0, level, reason, ambiguous))


@pytest.mark.parametrize(
    ("flags", "hold", "age", "end"),
    [
        ({}, 2, 0, (2, 97.0, TIME, False)),  # bars 0 and 1 live; the open of bar 2 precedes its stop
        ({"time_exit_first": False}, 2, 0, (2, 97.0, STOP, False)),
        ({}, 2, 1, (1, 100.0, TIME, False)),
        ({}, 2, 7, (0, 100.0, TIME, False)),  # overdue: at once
        ({}, 3, 0, (2, 97.0, STOP, False)),
    ],
)
def test_when_the_clock_ends_a_trade(flags, hold, age, end):
    bars = bars_of([QUIET, QUIET, (97, 97, 97, 97)])
    assert walk(prices_of(bars), 0, age, 1, 103.0, 98.0, hold, FillRules(**flags)) == end


def test_barriers_are_live_on_the_bar_of_entry_unless_told_otherwise():
    bars = bars_of([QUIET, (100, 101, 90, 100), QUIET, QUIET])
    live = label_barriers(bars, np.full(4, 1.0), rules_of(2, 2, 2))
    dead = label_barriers(bars, np.full(4, 1.0), rules_of(2, 2, 2, fills=FillRules(entry_bar_live=False)))
    assert (live.outcome[0], live.end[0]) == (-1, 1)
    assert (dead.outcome[0], dead.end[0]) == (0, 3)


def test_barriers_hang_on_the_open_of_entry_and_the_atr_before_it():
    bars = bars_of([QUIET, (110, 113, 109, 112), QUIET])
    labels = label_barriers(bars, np.array([2.0, 99.0, 99.0]), rules_of(1.5, 1.0, 5))
    assert bracket(110.0, 1, 2.0, 1.5, 1.0) == (113.0, 108.0)
    assert (labels.outcome[0], labels.end[0]) == (1, 1)
    assert labels.gross[0] == pytest.approx(3 / 110)


@pytest.mark.parametrize(
    ("bar", "expected"),
    [
        ((100, 102, 100, 100), (102 - 100.1 - 0.002 * 100.1 - 0.001 * 102) / 100.1),
        ((100, 100, 98, 100), (98 * 0.999 - 100.1 - 0.002 * 100.1 - 0.002 * 98 * 0.999) / 100.1),
    ],
)
def test_the_target_is_a_maker_order_without_slippage_and_the_stop_is_not(bar, expected):
    costs = rules_of(2, 2, 5, fee=0.002, maker_fee=0.001, slippage=0.001)
    assert label_barriers(bars_of([QUIET, bar]), np.ones(2), costs).ret[0] == pytest.approx(expected, rel=1e-12)


def test_arrays_of_other_bars_are_refused():
    with pytest.raises(UsageError) as error:
        label_barriers(bars_of([QUIET] * 3), np.ones(3), FREE, np.ones(2, np.int8))
    assert str(error.value) == "atr covers 3 bars, side (2,) and bars 3; they must be the same bars"
