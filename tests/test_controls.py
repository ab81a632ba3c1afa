"""What needs no model, and what luck alone earns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.controls import breakout, cash, cusum, cusum_events, hold, matched_hold, no_model, wishing
from engine.indicators import atr
from engine.random_entries import fates_of, lots_of, place, random_entries, seed_of
from engine.rules import Rules
from engine.score import daily_returns, score
from engine.simulate import simulate
from engine.synthetic import random_bars

BARS = random_bars(3000, seed=5)
ATR = atr(BARS)
RULES = Rules(fee=0.0004, maker_fee=0.0002, slippage=0.0001)


def test_holding_is_the_price_ratio_less_the_costs_of_two_fills():
    bought, sold = BARS.open[1] * (1 + RULES.slippage), BARS.open[-1] * (1 - RULES.slippage)
    grown = sold / bought * (1 - RULES.fee) - (1 + RULES.fee)
    assert hold(BARS, RULES).equity[-1] == pytest.approx(RULES.cash * (1 + RULES.exposure * grown), rel=1e-12)


def test_cash_earns_and_costs_nothing():
    assert (cash(BARS, RULES).equity == RULES.cash).all()


def test_matched_hold_is_as_lively_as_the_strategy():
    half = float(daily_returns(hold(BARS, RULES))[1].std(ddof=1)) / 2
    matched = matched_hold(BARS, RULES, half)
    assert daily_returns(matched)[1].std(ddof=1) == pytest.approx(half, rel=0.05)
    assert matched_hold(BARS, RULES, None) is None


def test_events_come_when_the_sum_of_moves_passes_the_threshold():
    assert np.flatnonzero(cusum(np.full(12, 0.01), np.full(12, 0.035))).tolist() == [3, 7, 11]
    assert np.flatnonzero(cusum(np.full(12, -0.01), np.full(12, 0.035))).tolist() == [3, 7, 11]
    assert not cusum(np.zeros(50), np.full(50, 0.035)).any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.floats(0.5, 4.0), st.floats(0.01, 100.0))
def test_events_do_not_depend_on_scale_and_grow_rarer_with_the_threshold(seed, level, scale):
    moves = np.random.default_rng(seed).standard_normal(400) * 0.01
    threshold = np.full(400, level * 0.01)
    events = cusum(moves, threshold)
    np.testing.assert_array_equal(events, cusum(moves * scale, threshold * scale))
    assert np.count_nonzero(cusum(moves, 2 * threshold)) <= np.count_nonzero(events)


def test_events_do_not_know_the_future():
    whole = cusum_events(BARS, ATR)
    for n in (700, 1501, 2222):
        np.testing.assert_array_equal(cusum_events(BARS.upto(n), ATR[:n]), whole[:n])


def test_no_model_enters_at_every_event_it_can():
    events = np.flatnonzero(cusum_events(BARS, ATR))
    wished = np.searchsorted(BARS.open_time, no_model(BARS, ATR, RULES).trades["wish_time"])
    assert set(wished) <= set(events)
    assert len(wished) > 30


def test_a_breakout_closes_above_every_high_of_the_last_bars():
    wished = np.searchsorted(BARS.open_time, breakout(BARS, ATR, RULES, 20).trades["wish_time"])
    assert len(wished) > 5
    for row in wished:
        assert BARS.close[row] > max(BARS.high[row - 20 : row])


def wished(count: int, shorts: int = 0, seed: int = 0, bars=BARS, unit=ATR):
    """Trades of a strategy that wishes at random: what the draws imitate."""
    rows = np.sort(np.random.default_rng(seed).choice(np.arange(400, len(bars) - 100), 6 * count, replace=False))
    side = np.zeros(len(bars), np.int8)
    side[rows] = np.where(np.arange(len(rows)) % max(count, 1) < shorts, -1, 1)
    return simulate(bars, wishing(side, unit), RULES).trades[:count]


def test_a_random_draw_earns_what_the_simulation_says_it_earns():
    trades = wished(60, 20)
    found = random_entries(BARS, ATR, RULES, trades, draws=5, seed=3)
    fates = fates_of(BARS, ATR, RULES)
    lots = lots_of(BARS, ATR, fates, trades)
    for k in range(5):
        wishes = np.empty(60, np.int64)
        assert place(lots, fates, np.uint64(seed_of(3, k)), wishes) == 60
        side = np.zeros(len(BARS), np.int8)
        side[wishes >> 1] = 1 - 2 * (wishes & 1)
        result = simulate(BARS, wishing(side, ATR), RULES)
        assert (len(result.trades), (result.trades["side"] < 0).sum()) == (60, (trades["side"] < 0).sum())
        assert score(result).total_return == pytest.approx(found.total_return[k], rel=1e-9)
        assert score(result).sharpe == pytest.approx(found.sharpe[k], rel=1e-6)


def test_a_draw_trades_in_the_weather_the_strategy_traded_in():
    share = ATR / BARS.close
    lively = np.flatnonzero(share > np.nanquantile(share, 0.9))
    side = np.zeros(len(BARS), np.int8)
    side[lively] = 1
    trades = simulate(BARS, wishing(side, ATR), RULES).trades[:40]
    fates = fates_of(BARS, ATR, RULES)
    lots = lots_of(BARS, ATR, fates, trades)
    wishes = np.empty(40, np.int64)
    placed = place(lots, fates, np.uint64(seed_of(1, 1)), wishes)
    assert (share[wishes[:placed] >> 1] >= np.quantile(share[lots.bars], 2 / 3)).all()


def test_random_entries_on_a_random_walk_lose_their_costs():
    found = random_entries(BARS, ATR, RULES, wished(100), draws=500)
    paid = found.trades.mean() * RULES.exposure * RULES.round_trip
    spread = found.total_return.std() / np.sqrt(500)
    assert abs(np.log1p(found.total_return).mean() + paid) < 4 * spread + 0.05


def test_the_same_seed_draws_the_same_and_another_seed_another():
    first, again = (random_entries(BARS, ATR, RULES, wished(30), 50, seed=1) for _ in range(2))
    np.testing.assert_array_equal(first.total_return, again.total_return)
    assert (random_entries(BARS, ATR, RULES, wished(30), 50, seed=2).total_return != first.total_return).any()


def test_a_percentile_is_the_share_of_draws_that_did_worse():
    found = random_entries(BARS, ATR, RULES, wished(30), 200)
    assert found.percentile("total_return", float(np.median(found.total_return))) == pytest.approx(0.5, abs=0.01)
    assert (found.percentile("sharpe", 99.0), found.percentile("sharpe", -99.0)) == (1.0, 0.0)


def test_a_crowded_stretch_places_fewer_trades_rather_than_overlapping_ones():
    some = wished(30)
    short = BARS[1000:1060]
    crowd = np.repeat(some, 10)
    crowd["wish_time"] = short.open_time[np.arange(len(crowd)) % 40]
    found = random_entries(short, ATR[1000:1060], RULES, crowd, draws=3)
    assert 0 < found.trades.max() < 60
    assert found.share_placed < 0.3


def test_nothing_to_draw_is_said_by_none():
    assert random_entries(BARS, ATR, RULES, wished(30)[:0]) is None
    assert random_entries(BARS, np.full(len(BARS), np.nan), RULES, wished(5)) is None
