"""Every figure has a formula, and None where it has no meaning."""

from __future__ import annotations

from dataclasses import asdict, fields, replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.bars import Bars
from engine.rules import Rules
from engine.score import Score, daily_returns, score
from engine.simulate import simulate
from engine.synthetic import random_bars
from tests.markets import bars_of, lively_signals, markets, rules, wish_at

FREE = Rules(fee=0.0, maker_fee=0.0, slippage=0.0)
SMALL = settings(max_examples=60, deadline=None)
DAY_NS = 24 * 3600 * 10**9


@pytest.fixture(scope="module")
def result():
    bars = random_bars(3_000, seed=11, gaps=0.02)
    return simulate(bars, lively_signals(3_000, 3), Rules(k_up=2, hold=12, fee=0.0002, maker_fee=0.0001))


def with_equity(equity, timeframe_ns=DAY_NS, sessions=False, missing=()):
    """Return a run whose equity is given; the start is 100."""
    bars = bars_of([(10, 10, 10, 10)] * len(equity), missing, timeframe_ns, sessions)
    flat = simulate(bars, wish_at(len(equity)), replace(FREE, cash=100.0))
    account = flat.account._replace(equity=float(equity[-1]), cash=float(equity[-1]))
    return replace(flat, equity=np.asarray(equity, np.float64), account=account)


def frame_of(result):
    """Daily returns the pandas way."""
    series = pd.Series(result.equity, pd.DatetimeIndex(result.bars.close_time - np.timedelta64(1, "ns")))
    last = series.groupby(series.index.floor("D")).last()
    if not result.bars.sessions:
        last = last.asfreq("D").ffill()
    return last / last.shift(1).fillna(result.start.equity) - 1.0


def test_daily_returns_are_those_of_pandas(result):
    days, returns = daily_returns(result)
    expected = frame_of(result)
    assert days.tolist() == expected.index.date.tolist()
    np.testing.assert_allclose(returns, expected, rtol=1e-9, atol=1e-14)


@SMALL
@given(st.integers(1, 300), st.sampled_from(("5m", "1h", "12h", "1d", "2d", "1w")), st.booleans(), st.integers(0, 99))
def test_daily_returns_are_those_of_pandas_in_any_timeframe(n, timeframe, sessions, seed):
    made = random_bars(n, seed=seed, timeframe=timeframe, gaps=0.1)
    columns = (getattr(made, name) for name in ("open_time", "open", "high", "low", "close", "volume"))
    bars = Bars(*columns, made.timeframe_ns, "ANY", sessions)
    result = simulate(bars, lively_signals(n, seed), FREE)
    expected = frame_of(result)
    days, returns = daily_returns(result)
    assert days.tolist() == expected.index.date.tolist()
    np.testing.assert_allclose(returns, expected, rtol=1e-9, atol=1e-14)


def test_ratios_follow_their_formulas(result):
    """Those of empyrical: annualisation by days, ddof 1, downside over all days."""
    returns, figures = frame_of(result).to_numpy(), score(result)
    growth = np.prod(1 + returns)
    cagr = growth ** (365 / len(returns)) - 1
    assert figures.total_return == pytest.approx(growth - 1)
    assert figures.cagr == pytest.approx(cagr)
    assert figures.volatility == pytest.approx(np.std(returns, ddof=1) * 365**0.5)
    assert figures.sharpe == pytest.approx(returns.mean() / np.std(returns, ddof=1) * 365**0.5)
    assert figures.sortino == pytest.approx(returns.mean() / np.mean(np.minimum(returns, 0) ** 2) ** 0.5 * 365**0.5)
    assert figures.calmar == pytest.approx(-cagr / figures.max_drawdown)


def test_drawdown_is_that_of_running_maxima(result):
    curve = np.r_[result.start.equity, result.equity]
    times = np.r_[result.bars.open_time[0], result.bars.close_time]
    top = np.maximum.accumulate(curve)
    deepest = int(np.argmin(curve / top))
    since = np.flatnonzero(curve[:deepest] == top[deepest])[-1]
    regained = np.flatnonzero(curve[deepest:] >= top[deepest])
    until = deepest + regained[0] if len(regained) else len(curve) - 1
    assert result.score.max_drawdown == pytest.approx(curve[deepest] / top[deepest] - 1)
    assert result.score.max_drawdown_days == (times[until] - times[since]) / np.timedelta64(1, "D")


@pytest.mark.parametrize(
    ("equity", "depth", "days"),
    [
        ([100, 110, 121], 0.0, 0.0),
        ([90, 95, 100], -0.1, 3.0),  # from the start, before the first bar
        ([110, 99, 88, 100], -0.2, 3.0),  # never regained: until the last close
        ([100, 80, 100, 90, 95], -0.2, 2.0),  # the second dip is longer but not deeper
        ([100, 90, 100, 80, 101], -0.2, 2.0),
    ],
)
def test_drawdown_by_hand(equity, depth, days):
    figures = score(with_equity(equity))
    assert (figures.max_drawdown, figures.max_drawdown_days) == (pytest.approx(depth), days)


def test_days_without_bars_count_where_the_market_never_closes():
    open_always = with_equity([110.0, 121.0], missing=[0, 0])
    closed = with_equity([110.0, 121.0], missing=[0, 0], sessions=True)
    assert daily_returns(open_always)[1] == pytest.approx([0.1, 0.0, 0.0, 0.1])
    assert daily_returns(closed)[1] == pytest.approx([0.1, 0.1])
    assert daily_returns(closed)[0].astype(str).tolist() == ["2020-01-01", "2020-01-04"]


def test_a_bar_that_ends_at_midnight_belongs_to_the_day_before():
    equity = [100.0] * 23 + [110.0] + [110.0] * 24
    assert daily_returns(with_equity(equity, 3600 * 10**9))[1] == pytest.approx([0.1, 0.0])


def test_a_year_of_sessions_has_252_days():
    curve = 100 * 1.001 ** np.arange(1, 253)
    assert score(with_equity(curve, sessions=True)).cagr == pytest.approx(1.001**252 - 1)
    assert score(with_equity(curve)).cagr == pytest.approx(1.001**365 - 1)


def test_trade_figures_follow_their_formulas(result):
    trades, figures = result.trades, result.score
    pnl, still = trades["pnl"], result.account.holding.entry_fee
    assert figures.trades == len(trades) > 300
    assert figures.win_rate == np.mean(pnl > 0)
    assert figures.profit_factor == pytest.approx(pnl[pnl > 0].sum() / -pnl[pnl < 0].sum())
    assert figures.expectancy_bp == pytest.approx(trades["ret"].mean() * 1e4)
    assert figures.exposure == np.mean(result.position != 0)
    assert figures.average_hold_bars == trades["bars"].mean()
    assert figures.fees_paid == pytest.approx(trades["entry_fee"].sum() + trades["exit_fee"].sum() + still)
    assert figures.ambiguous_share == result.ambiguous / len(trades)


def test_turnover_is_notional_over_mean_equity_per_year():
    bars = bars_of([(10, 10, 10, 10)] * 365, timeframe_ns=DAY_NS)
    result = simulate(bars, wish_at(365, 3, 50), replace(FREE, exposure=0.5, hold=5))
    assert score(result).turnover == pytest.approx(4 * 0.5)


@SMALL
@given(markets, rules, st.integers(0, 10**6), st.integers(0, 60), st.booleans())
def test_costs_of_pieces_add_up(bars, rules, seed, cut, paid):
    n = len(bars)
    signals, funding, cut = lively_signals(n, seed), np.full(n, 0.01 * paid), min(cut, n)
    whole = simulate(bars, signals, rules, funding=funding)
    first = simulate(bars[:cut], signals[:cut], rules, funding=funding[:cut])
    then = simulate(bars[cut:], signals[cut:], rules, first.account, funding[cut:])
    for name in ("fees_paid", "funding_paid", "trades"):
        assert getattr(first.score, name) + getattr(then.score, name) == pytest.approx(
            getattr(whole.score, name), abs=1e-6
        )


@SMALL
@given(markets, rules, st.integers(0, 10**6), st.booleans())
def test_no_figure_is_ever_nan_or_infinite(bars, rules, seed, paid):
    funding = np.full(len(bars), 0.3) if paid else None  # ruinous
    figures = asdict(score(simulate(bars, lively_signals(len(bars), seed), rules, funding=funding)))
    assert all(value is None or np.isfinite(value) for value in figures.values()), figures


UNDEFINED_WITHOUT_TRADES = {"win_rate", "profit_factor", "expectancy_bp", "average_hold_bars", "ambiguous_share"}


@pytest.mark.parametrize(
    ("days", "more"),
    [
        (
            0,
            {f.name for f in fields(Score)}
            - {"total_return", "trades", "fees_paid", "funding_paid", "final_equity", "days"},
        ),
        (1, {"cagr", "volatility", "sharpe", "sortino", "calmar", "turnover"}),
        (2, {"sharpe", "sortino", "calmar"}),
    ],
)
def test_what_is_undefined_is_none(days, more):
    flat = simulate(bars_of([(10, 10, 10, 10)] * days, timeframe_ns=DAY_NS), wish_at(days), FREE)
    assert {name for name, value in asdict(score(flat)).items() if value is None} == UNDEFINED_WITHOUT_TRADES | more


def test_rounding_noise_is_no_sharpe_ratio():
    assert score(with_equity(100 * 1.001 ** np.arange(1, 400))).sharpe is None


def test_a_ruined_account_loses_all_in_a_year_and_then_stands_still():
    ruined = with_equity([50.0, -20.0, -20.0])
    assert score(ruined).total_return == pytest.approx(-1.2)
    assert score(ruined).cagr == -1.0
    assert daily_returns(ruined)[1] == pytest.approx([-0.5, -1.4, 0.0])


def test_growth_beyond_any_number_is_none():
    assert score(with_equity([1e80, 1e90])).cagr is None
