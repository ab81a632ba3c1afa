"""Our trades in vectorbt's records: the same orders give the same money; its conventions are in test_peers.py."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from engine.errors import UsageError
from engine.portfolio import ORDER_DTYPE
from engine.rules import Rules
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
