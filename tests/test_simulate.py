"""The simulation is the market contract, and nothing else."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.barriers import LIQUIDATED, REASONS, TIME, label_barriers
from engine.errors import UsageError
from engine.rules import FillRules, Rules
from engine.run import run
from engine.signals import Signals
from engine.simulate import TRADE_DTYPE, simulate
from engine.synthetic import random_bars
from engine.trading import FAR
from tests.markets import bars_of, lively_signals, markets, rules, steps, wish_at
from tests.oracles.slow_market import slow_market

FREE = Rules(fee=0.0, maker_fee=0.0, slippage=0.0)
LARGE = settings(max_examples=300, deadline=None)
SMALL = settings(max_examples=60, deadline=None)


def funding_of(n, seed, paid):
    return np.random.default_rng(seed).choice([0.0, 0.01, -0.02], n) if paid else None


@LARGE
@given(markets, rules, st.integers(0, 10**6), st.booleans())
def test_equity_matches_the_slow_market(bars, rules, seed, paid):
    signals, funding = lively_signals(len(bars), seed), funding_of(len(bars), seed, paid)
    equity, _ = slow_market(bars, signals.side, signals.atr, rules, funding)
    fast = simulate(bars, signals, rules, funding=funding).equity
    np.testing.assert_allclose(fast, equity, rtol=1e-9, atol=1e-7)


@LARGE
@given(markets, rules, st.integers(0, 10**6))
def test_trades_match_the_slow_market(bars, rules, seed):
    signals = lively_signals(len(bars), seed)
    _, slow = slow_market(bars, signals.side, signals.atr, rules)
    fast = simulate(bars, signals, rules).trades
    for name in ("side", "entry_bar", "exit_bar", "entry_price", "exit_price", "target", "stop", "ambiguous"):
        np.testing.assert_allclose(fast[name], [trade[name] for trade in slow], rtol=1e-12)
    assert [REASONS[r] for r in fast["reason"]] == [trade["reason"] for trade in slow]
    lived = [trade["exit_bar"] - trade["entry_bar"] + (trade["reason"] != "time") for trade in slow]
    assert fast["bars"].tolist() == lived


def assert_pieces_are_the_whole(bars, signals, rules, funding, cuts):
    n = len(bars)
    whole = simulate(bars, signals, rules, funding=funding)
    account, ignored, lapsed, parts = None, 0, 0, []
    for first, last in pairwise([0, *sorted(min(cut, n) for cut in cuts), n]):
        rows = slice(first, last)
        part = simulate(bars[rows], signals[rows], rules, account, None if funding is None else funding[rows])
        account, ignored, lapsed = part.account, ignored + part.ignored, lapsed + part.lapsed
        part.trades["exit_bar"] += first
        parts.append(part)
    trades = np.concatenate([part.trades for part in parts])
    assert account == whole.account
    assert (ignored, lapsed) == (whole.ignored, whole.lapsed)
    for name in set(TRADE_DTYPE.names) - {"entry_bar"}:
        assert trades[name].tobytes() == whole.trades[name].tobytes(), name
    for name in ("equity", "position"):
        assert np.concatenate([getattr(part, name) for part in parts]).tobytes() == getattr(whole, name).tobytes()
    return whole


@LARGE
@given(markets, rules, st.integers(0, 10**6), st.lists(st.integers(0, 60), max_size=4), st.booleans())
def test_pieces_are_the_whole_bit_for_bit(bars, rules, seed, cuts, paid):
    signals, funding = lively_signals(len(bars), seed), funding_of(len(bars), seed, paid)
    assert_pieces_are_the_whole(bars, signals, rules, funding, cuts)


def test_a_history_larger_than_the_cache_is_traded_like_its_pieces():
    n = int(FAR) + 10_001
    bars, rng = random_bars(n, seed=5), np.random.default_rng(6)
    side = (rng.choice([-1, 1], n) * (rng.random(n) < 0.05)).astype(np.int8)
    whole = assert_pieces_are_the_whole(
        bars, Signals(side, bars.high - bars.low), FREE, funding_of(n, 7, paid=True), range(0, n, 30_000)
    )
    assert len(whole.trades) > 5_000


@SMALL
@given(markets, rules, st.integers(0, 10**6))
def test_a_trade_earns_what_its_label_says(bars, rules, seed):
    signals = lively_signals(len(bars), seed)
    result = simulate(bars, signals, rules)
    labels = label_barriers(bars, signals.atr, rules, signals.side)
    trades = result.trades[result.trades["reason"] != LIQUIDATED]
    wished = trades["entry_bar"] - 1
    np.testing.assert_array_equal(trades["ret"], labels.ret[wished])
    np.testing.assert_array_equal(trades["exit_bar"], labels.end[wished])
    np.testing.assert_array_equal(trades["ambiguous"], labels.ambiguous[wished])


@SMALL
@given(markets, rules, st.integers(0, 10**6), st.booleans())
def test_the_trades_explain_every_cent(bars, rules, seed, paid):
    result = simulate(bars, lively_signals(len(bars), seed), rules, funding=funding_of(len(bars), seed, paid))
    earned = result.trades["pnl"].sum() + result.open_trade["pnl"].sum()
    assert result.equity[-1] - rules.cash == pytest.approx(earned, abs=1e-6)
    held = result.account.holding
    assert result.account.cash + held.side * held.units * bars.close[-1] == pytest.approx(result.equity[-1])


@SMALL
@given(markets, rules)
def test_no_wish_costs_nothing(bars, rules):
    result = simulate(bars, wish_at(len(bars)), rules)
    assert (result.equity == rules.cash).all()
    assert not result.position.any()


def test_buy_and_hold_is_the_price_ratio_less_two_fees():
    bars = random_bars(300, seed=5)
    rules = Rules(k_up=1e9, k_down=1e9, hold=298, fee=0.002, slippage=0.001, exposure=0.9)
    result = simulate(bars, wish_at(300, 0), rules)
    ratio = bars.open[299] / bars.open[1]
    expected = 1 + 0.9 * (ratio * (1 - 0.001) * (1 - 0.002) / (1 + 0.001) - 1 - 0.002)
    assert result.trades["reason"].tolist() == [TIME]
    assert result.equity[-1] / rules.cash == pytest.approx(expected, rel=1e-12)


def test_without_an_edge_a_trade_loses_its_costs_on_average():
    walk = 10_000 + np.cumsum(np.random.default_rng(4).choice([-1.0, 1.0], 200_000))
    fee = Rules(k_up=3, k_down=3, hold=20, fee=0.0005, maker_fee=0.0005, slippage=0.0)
    trades = simulate(steps(walk), wish_at(199_999, *range(199_999)), fee).trades
    error = trades["ret"].std() / np.sqrt(len(trades))
    assert len(trades) > 10_000
    assert abs(trades["ret"].mean() + 2 * 0.0005) < 4 * error < 0.05 * 2 * 0.0005


def test_a_higher_fee_shifts_the_return_by_the_closed_form():
    bars = random_bars(2_000, seed=2)
    cheap, dear = (
        simulate(bars, wish_at(2_000, *range(0, 2_000, 9)), Rules(fee=f, maker_fee=f)).trades for f in (0.001, 0.002)
    )
    shift = 0.001 * (1 + cheap["exit_price"] / cheap["entry_price"])
    np.testing.assert_allclose(cheap["ret"] - dear["ret"], shift, rtol=1e-9)


def test_a_wish_is_filled_at_the_next_open_and_never_in_its_own_bar():
    bars = bars_of([(10, 10, 10, 10), (12, 12, 12, 12), (12, 12, 12, 12)])
    held = simulate(bars, wish_at(3, 0), Rules(slippage=0.01)).account.holding
    assert held.entry_price == 12 * 1.01
    assert held.entry_time == bars.open_time[1].astype(int)
    assert held.wish_time == bars.open_time[0].astype(int)


def test_the_wish_of_the_last_bar_waits_in_the_account():
    bars = bars_of([(10, 10, 10, 10)] * 2)
    account = simulate(bars, wish_at(2, 1, side=-1, atr=3.0), FREE).account
    assert (account.wish, account.wish_atr, account.side) == (-1, 3.0, 0)


def test_the_time_exit_frees_its_own_close_but_not_the_one_before():
    bars = bars_of([(10, 10, 10, 10)] * 8)
    result = simulate(bars, wish_at(8, 0, 2, 3, 4), Rules(hold=2))
    assert result.trades[["entry_bar", "exit_bar", "bars"]].tolist() == [(1, 3, 2), (4, 6, 2)]
    assert result.ignored == 2  # closes 2 and 4, in position; 3 is the close of the time exit's bar
    assert result.position.tolist() == [0, 1, 1, 0, 1, 1, 0, 0]


def test_a_stop_frees_the_close_of_its_bar():
    bars = bars_of([(10, 10, 10, 10), (10, 10, 8, 9), (9, 9, 9, 9), (9, 9, 9, 9)])
    result = simulate(bars, wish_at(4, 0, 1), Rules(hold=9))
    assert result.trades["exit_bar"].tolist() == [1]
    assert result.account.holding.entry_time == bars.open_time[2].astype(int)


def test_a_wish_lapses_when_the_next_bar_is_missing():
    bars = bars_of([(10, 10, 10, 10)] * 4, missing=[1])
    result = simulate(bars, wish_at(4, 1), FREE)
    assert (len(result.trades), result.account.side, result.lapsed) == (0, 0, 1)
    kept = simulate(bars, wish_at(4, 1), Rules(fills=FillRules(wish_lapses_at_gap=False)))
    assert kept.account.side == 1


def test_a_weekend_is_no_gap_in_a_market_with_sessions():
    bars = bars_of([(10, 10, 10, 10)] * 4, missing=[1, 1], sessions=True)
    assert simulate(bars, wish_at(4, 1), FREE).account.side == 1


def test_a_wish_without_an_atr_lapses():
    signals = Signals(np.ones(3, np.int8), np.array([np.nan, 0.0, np.inf]))
    result = simulate(bars_of([(10, 10, 10, 10)] * 3), signals, FREE)
    assert (result.lapsed, result.account.side, result.account.wish) == (3, 0, 0)


def test_a_short_that_loses_everything_is_liquidated_and_trading_stops():
    rows = [(10, 10, 10, 10), (10, 10, 10, 10), (10, 40, 10, 40), (40, 40, 1, 1), (1, 1, 1, 1), (1, 1, 1, 1)]
    rules = Rules(k_up=1e9, k_down=1e9, hold=99, exposure=0.9)
    result = simulate(bars_of(rows), wish_at(6, 0, 2, 3, 4, side=-1), rules)
    assert result.ruined
    assert [REASONS[r] for r in result.trades["reason"]] == ["liquidated"]
    assert result.trades["exit_bar"].tolist() == [2]
    assert np.isfinite(result.equity).all()
    assert (result.equity[2:] == result.equity[2]).all()
    assert result.equity[2] < 0


def test_funding_is_paid_by_longs_and_received_by_shorts_held_into_the_open():
    bars = bars_of([(10, 10, 10, 10)] * 5)
    funding = np.array([0.5, 0.5, 0.01, 0.02, 0.04])  # of the bars before and of the entry nothing is owed
    rules = Rules(fee=0.0, maker_fee=0.0, slippage=0.0, hold=2, exposure=0.5)
    long = simulate(bars, wish_at(5, 0), rules, funding=funding)
    short = simulate(bars, wish_at(5, 0, side=-1), rules, funding=funding)
    assert long.trades["funding"].tolist() == pytest.approx([5_000 * 0.03])
    assert short.equity[-1] == pytest.approx(10_000 + 5_000 * 0.03)


def test_a_trade_open_at_the_end_is_marked_and_kept_apart():
    bars = bars_of([(10, 10, 10, 10), (10, 10, 10, 10), (10, 11, 10, 11)])
    result = simulate(bars, wish_at(3, 0, atr=100.0), FREE)
    row = result.open_trade[0]
    assert len(result.trades) == 0
    assert (row["entry_bar"], row["exit_bar"], row["bars"], row["open"]) == (1, 2, 2, True)
    assert row["pnl"] == pytest.approx(result.equity[-1] - FREE.cash)
    assert len(simulate(bars, wish_at(3), FREE).open_trade) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(signals=wish_at(2)), "signals cover 2 bars and bars 3; they must be the same bars"),
        (
            dict(signals=wish_at(3), funding=np.zeros(2)),
            "signals cover 3 bars, funding 2 and bars 3; they must be the same bars",
        ),
        (
            dict(signals=wish_at(3), funding=np.array([0, np.nan, 0])),
            "funding[1] is not finite; write 0 where none is paid",
        ),
    ],
)
def test_arrays_of_other_bars_are_refused(arguments, message):
    with pytest.raises(UsageError) as error:
        simulate(bars_of([(10, 10, 10, 10)] * 3), rules=FREE, **arguments)
    assert str(error.value) == message


def test_bars_the_account_has_already_seen_are_refused():
    bars = bars_of([(10, 10, 10, 10)] * 3)
    seen = simulate(bars, wish_at(3), FREE).account
    with pytest.raises(UsageError) as error:
        simulate(bars[2:], wish_at(1), FREE, seen)
    assert str(error.value) == "bars begin at 2020-01-01T02:00; the account has seen 2020-01-01T02:00: give later bars"


def test_the_bot_and_the_backtest_are_one():
    class Moody:
        name, memory = "Moody", 1

        def signals(self, bars, since=0):
            return Signals(np.where(bars.close > bars.open, 1, -1).astype(np.int8), bars.high - bars.low)

    bars, account, equity = random_bars(200, seed=3), None, []
    rules = Rules(hold=3)
    for n in range(1, 201):
        step = run(Moody(), bars[n - 1 : n], rules, start=account)
        account = step.result.account
        equity += step.result.equity.tolist()
    whole = run(Moody(), bars, rules)
    assert account == whole.result.account
    assert equity == whole.result.equity.tolist()
    assert len(set(whole.result.trades["reason"])) == 3  # the market was lively enough to prove something
    later = run(Moody(), bars, rules, since=150)
    assert len(later.signals) == len(later.result) == 50
