"""The probability of backtest overfitting."""

from __future__ import annotations

import time

import numpy as np
import pytest

from engine.errors import UsageError
from engine.inference.pbo import backtest_overfitting
from tests.oracles.slow_inference import overfitting


def noise(seed, days=1000, trials=20):
    return np.random.default_rng(seed).standard_normal((days, trials))


@pytest.mark.parametrize("seed", range(4))
def test_matches_the_slow_oracle(seed):
    returns = noise(seed, 120, 7)
    found = backtest_overfitting(returns, blocks=6)
    assert (found.pbo, found.loss) == overfitting(returns, 6)
    assert found.halves == 20


def test_choosing_among_noise_is_a_coin():
    values = [backtest_overfitting(noise(seed), blocks=10).pbo for seed in range(60)]
    assert abs(np.mean(values) - 0.5) < 0.08
    assert 0.12 < np.std(values) < 0.26


def test_one_strategy_that_dominates_is_no_overfit():
    returns = noise(1)
    returns[:, 3] += 0.4
    found = backtest_overfitting(returns, blocks=10)
    assert found.pbo == 0.0
    assert found.loss == 0.0


def test_strategies_equal_over_the_whole_sample_are_all_overfit():
    returns = noise(2)
    found = backtest_overfitting(returns - returns.mean(axis=0), blocks=10)
    assert found.pbo == 1.0
    assert found.slope < -0.8


def test_order_and_scale_of_the_trials_do_not_matter():
    returns = noise(3, 400, 8)
    found = backtest_overfitting(returns, blocks=8)
    assert backtest_overfitting(returns[:, ::-1] * 0.01, blocks=8).pbo == found.pbo


def test_days_that_fill_no_block_are_dropped_at_the_start():
    returns = noise(4, 405, 6)
    found = backtest_overfitting(returns, blocks=8)
    assert found.days == 400
    assert found == backtest_overfitting(returns[5:], blocks=8)


def test_a_trial_that_never_trades_earns_a_sharpe_ratio_of_zero():
    losers = noise(5, 400, 6) - 0.5
    losers[:, 2] = 0.0
    found = backtest_overfitting(losers, blocks=8)
    assert (found.pbo, found.loss, found.slope) == (0.0, 0.0, None)


def test_few_trials_or_days_get_no_answer():
    assert "only 4 trials" in backtest_overfitting(noise(6, trials=4)).why
    assert "only 20 days" in backtest_overfitting(noise(6, days=20)).why
    assert backtest_overfitting(noise(6, trials=4)).pbo is None


def test_odd_blocks_are_refused():
    with pytest.raises(UsageError, match=r"blocks must be even and in \[4, 20\], was 7"):
        backtest_overfitting(noise(7), blocks=7)


def test_fifty_trials_in_sixteen_blocks_take_no_time():
    started = time.perf_counter()
    assert backtest_overfitting(noise(8, 1500, 50), blocks=16).halves == 12870
    assert time.perf_counter() - started < 5.0
