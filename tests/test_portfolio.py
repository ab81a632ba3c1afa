"""Our trades in other engines: the same orders give the same money, the same conventions the same trades."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from engine.errors import UsageError
from engine.portfolio import ORDER_DTYPE
from engine.rules import BACKTESTING_PY, VECTORBT, Rules
from engine.signals import Signals
from engine.simulate import simulate
from engine.synthetic import random_bars
from tests.markets import wish_at

N = 800
BARS = random_bars(N, seed=8)
SIDE = np.random.default_rng(5).choice(np.array([-1, 0, 1], np.int8), N, p=(0.1, 0.8, 0.1))
SIGNALS = Signals(SIDE, BARS.close * 0.01)


@pytest.fixture(scope="module")
def ours():
    result = simulate(BARS[: N - 3], SIGNALS[: N - 3], Rules(hold=10, k_up=2.5, k_down=2.5))
    assert len(result.open_trade) == 1  # the open end is part of what is compared
    return result


@pytest.fixture(scope="module")
def theirs(ours):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas 4 is on its way
        book = ours.portfolio
        return SimpleNamespace(book=book, value=book.value().to_numpy(), trades=book.trades.records_readable)


def test_vectorbt_values_every_bar_as_we_do(ours, theirs):
    np.testing.assert_allclose(theirs.value, ours.equity, rtol=1e-9)
    assert theirs.book.total_return() == pytest.approx(ours.score.total_return, rel=1e-9)
    assert theirs.book.max_drawdown() == pytest.approx(ours.score.max_drawdown, rel=1e-9)


def test_vectorbt_counts_every_trade_as_we_do(ours, theirs):
    frame = ours.trades_frame()
    assert theirs.trades.columns.tolist() == frame.columns[: theirs.trades.shape[1]].tolist()
    for name in theirs.trades.columns.drop("Column"):
        if frame[name].dtype.kind == "f":
            np.testing.assert_allclose(theirs.trades[name], frame[name], rtol=1e-9, err_msg=name)
        else:
            assert theirs.trades[name].tolist() == frame[name].tolist(), name


def test_orders_are_vectorbts_own_records(theirs, ours):
    import vectorbt as vbt

    assert vbt.portfolio.enums.order_dt == ORDER_DTYPE
    assert len(ours.orders) == 2 * len(ours.trades) + 1


def test_funding_reaches_vectorbt_with_the_closing_order():
    result = simulate(BARS, wish_at(N, 10), Rules(), funding=np.full(N, 0.001))
    paid = result.trades["exit_fee"] + result.trades["funding"]
    assert result.orders["fees"].tolist() == [result.trades["entry_fee"][0], paid[0]]


def test_a_run_that_goes_on_from_a_position_has_no_orders_of_its_own():
    open_end = simulate(BARS[:12], wish_at(12, 10, atr=1e6), Rules()).account
    with pytest.raises(UsageError) as error:
        _ = simulate(BARS[12:], wish_at(N - 12), Rules(), open_end).orders
    assert str(error.value) == "orders need a run that starts flat; this one goes on from an open position"


def free(fills, hold, **costs):
    return Rules(k_up=1.5, k_down=1.0, hold=hold, exposure=0.5, fills=fills, slippage=0.0, **costs)


def test_vectorbts_own_simulation_makes_the_same_trades_under_its_preset(theirs, monkeypatch):
    import pandas as pd
    import vectorbt as vbt
    from vectorbt.portfolio import nb

    # its loop as plain Python: compiling it takes 6 s or more in every process
    monkeypatch.setattr(nb, "simulate_from_signals_nb", nb.simulate_from_signals_nb.py_func)
    wished, atr = np.r_[0, SIDE[:-1]], np.r_[np.nan, SIGNALS.atr[:-1]]
    columns = {name: pd.Series(getattr(BARS, name)) for name in ("open", "high", "low", "close")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        book = vbt.Portfolio.from_signals(
            **columns,
            entries=pd.Series(wished > 0),
            short_entries=pd.Series(wished < 0),
            exits=False,
            short_exits=False,
            price=columns["open"],
            sl_stop=pd.Series(1.0 * atr / BARS.open),
            tp_stop=pd.Series(1.5 * atr / BARS.open),
            stop_entry_price="price",
            upon_opposite_entry="ignore",
            fees=0.001,
            init_cash=10_000.0,
            size=0.5,
            size_type="percent",
        )
        them = book.trades.records
    us = simulate(BARS, SIGNALS, free(VECTORBT, 10**9, fee=0.001, maker_fee=0.001))
    trades = np.concatenate([us.trades, us.open_trade])
    assert len(us.trades) > 50
    for their_name, name in (("entry_idx", "entry_bar"), ("exit_idx", "exit_bar")):
        np.testing.assert_array_equal(them[their_name], trades[name])
    for their_name, name in (("entry_price", "entry_price"), ("exit_price", "exit_price"), ("return", "ret")):
        np.testing.assert_allclose(them[their_name], trades[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("hold", [10, 10**9])
def test_backtesting_py_makes_the_same_trades_under_its_preset(hold):
    backtesting = pytest.importorskip("backtesting", reason="needs backtesting.py")
    import pandas as pd

    class Follow(backtesting.Strategy):
        def init(self):
            pass

        def next(self):
            t = len(self.data) - 1
            if self.position:
                if t - self.trades[0].entry_bar >= hold - 1:
                    self.position.close()
            elif SIDE[t] and t + 1 < N:
                order, opened, atr = self.buy if SIDE[t] > 0 else self.sell, BARS.open[t + 1], SIDE[t] * SIGNALS.atr[t]
                order(size=1, sl=opened - 1.0 * atr, tp=opened + 1.5 * atr)

    columns = {name.title(): getattr(BARS, name) for name in ("open", "high", "low", "close", "volume")}
    frame = pd.DataFrame(columns, index=pd.DatetimeIndex(BARS.open_time))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        them = backtesting.Backtest(frame, Follow, cash=1e9).run()["_trades"]
    us = simulate(BARS, SIGNALS, free(BACKTESTING_PY, hold, fee=0.0, maker_fee=0.0)).trades
    assert len(us) > 50
    for their_name, name in (("EntryBar", "entry_bar"), ("ExitBar", "exit_bar")):
        np.testing.assert_array_equal(them[their_name], us[name])
    for their_name, name in (("EntryPrice", "entry_price"), ("ExitPrice", "exit_price"), ("ReturnPct", "ret")):
        np.testing.assert_allclose(them[their_name], us[name], rtol=1e-9, atol=1e-12)
