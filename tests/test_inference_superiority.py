"""Superiority tests: their size, their power, and the failure of the unstudentised form."""

from __future__ import annotations

import numpy as np
import pytest

from engine.inference.blocks import long_run_variance
from engine.inference.confidence_set import model_confidence_set
from engine.inference.interval import Draws
from engine.inference.superiority import superiority
from tests.oracles.slow_inference import autocorrelated

QUICK = Draws(resamples=400)


def planted(rng, days=500, nulls=10, bad=0):
    """One strategy with a t-value of about 3.6 beside nulls ten times as volatile, and hopeless ones."""
    good = rng.standard_normal((days, 1)) + 3.6 / days**0.5
    return np.hstack([good, 10.0 * rng.standard_normal((days, nulls)), 30.0 * rng.standard_normal((days, bad)) - 5.0])


def test_twenty_worthless_strategies_pass_in_one_of_twenty_samples():
    rng = np.random.default_rng(1)
    passed = np.mean([superiority(rng.standard_normal((500, 20)), 0.0, QUICK).p_value <= 0.05 for _ in range(200)])
    assert 0.01 <= passed <= 0.09


def test_a_planted_strategy_is_found_beside_wild_nulls():
    rng = np.random.default_rng(2)
    found = [superiority(planted(rng), 0.0, QUICK) for _ in range(150)]
    assert np.mean([f.p_value <= 0.05 for f in found]) > 0.75
    assert np.mean([f.better() == (0,) for f in found]) > 0.75


def test_arch_without_scaling_does_not_find_it():
    from arch.bootstrap import SPA

    rng, found = np.random.default_rng(2), []
    for seed in range(40):
        raw = SPA(np.zeros(500), -planted(rng), 5, 200, seed=seed)
        raw.compute()
        found.append(raw.pvalues["consistent"] <= 0.05)
    assert np.mean(found) < 0.2


def test_thirty_hopeless_models_do_not_hide_a_good_one():
    rng, before, after = np.random.default_rng(3), [], []
    for _ in range(20):
        x = planted(rng, bad=30)
        x[:, 0] += 0.1
        before.append(superiority(x[:, :11], 0.0, QUICK).p_value)
        after.append(superiority(x, 0.0, QUICK).p_value)
    assert np.median(before) < 0.01
    assert np.median(after) < 0.01


def test_agrees_with_arch_on_prescaled_differences():
    from arch.bootstrap import SPA

    for seed in range(3):
        x = planted(np.random.default_rng(seed), bad=3)
        deviation = np.sqrt(long_run_variance(x, 4.0))
        theirs = SPA(np.zeros(500), -x / deviation, 4, 1500, seed=seed)
        theirs.compute()
        np.testing.assert_allclose(theirs._loss_diff_var, 1.0)
        ours = superiority(x, 0.0, Draws(resamples=1500, block=4.0))
        assert ours.statistic == pytest.approx((500**0.5 * x.mean(axis=0) / deviation).max(), rel=0.01)
        np.testing.assert_allclose([ours.p_lower, ours.p_value, ours.p_upper], theirs.pvalues, atol=0.03)


def test_step_down_finds_what_arch_finds():
    from arch.bootstrap import StepM

    x = np.random.default_rng(5).standard_normal((500, 8))
    x[:, [1, 4, 6]] += 0.25
    theirs = StepM(np.zeros(500), -x, size=0.05, block_size=2, reps=1000, seed=1)
    theirs.compute()
    found = superiority(x, 0.0, Draws(resamples=1000, block=2.0))
    assert list(found.better()) == theirs.superior_models == [1, 4, 6]


def test_step_down_p_values_rise_as_strategies_get_worse():
    found = superiority(np.random.default_rng(6).standard_normal((300, 9)), 0.0, QUICK)
    by_rank = [found.p_adjusted[k] for k in np.argsort(found.t_values)[::-1]]
    assert by_rank == sorted(by_rank)
    assert by_rank[0] == found.p_value


def test_the_three_p_values_are_in_order():
    found = superiority(planted(np.random.default_rng(7), bad=5) - 0.1, 0.0, QUICK)
    assert found.p_lower <= found.p_value <= found.p_upper


def test_only_the_lead_over_the_benchmark_counts():
    rng = np.random.default_rng(8)
    market, x = rng.standard_normal(400), rng.standard_normal((400, 5))
    assert superiority(x + market[:, None], market, QUICK).p_value == pytest.approx(
        superiority(x, 0.0, QUICK).p_value, abs=0.005
    )


def test_a_strategy_equal_to_the_benchmark_is_left_out():
    x = np.random.default_rng(9).standard_normal((300, 3))
    x[:, 1] = 0.0
    found = superiority(x, 0.0, QUICK)
    assert found.t_values[1] is None
    assert found.p_adjusted[1] is None
    assert found.p_value == superiority(x[:, [0, 2]], 0.0, QUICK).p_value
    assert superiority(np.zeros((300, 2))).why == "the 300 values never move"


def test_a_strategy_of_two_trades_neither_wins_nor_hides_another():
    x = np.random.default_rng(10).normal([0.0, 0.5, 0.0], 1.0, (180, 3))
    for trade in (0.01, -0.01):
        x[:, 0] = 0.0
        x[[3, 70], 0] = trade, 2.0 * trade
        assert superiority(x, 0.0, QUICK).better() == (1,)


@pytest.mark.slow
def test_size_holds_on_autocorrelated_fat_tails():
    rng = np.random.default_rng(11)
    passed = [superiority(autocorrelated(rng, 500, 20), 0.0, QUICK).p_value <= 0.05 for _ in range(600)]
    assert np.mean(passed) < 0.09


def test_confidence_set_gives_arch_s_p_values():
    from arch.bootstrap import MCS

    rng = np.random.default_rng(12)
    losses = rng.standard_normal((400, 1)) + rng.standard_normal((400, 6)) + [0.0, 0.02, 0.1, 0.12, 0.2, 0.5]
    theirs = MCS(losses, 0.05, reps=1500, block_size=3, method="R", seed=1)
    theirs.compute()
    found = model_confidence_set(losses, 0.05, Draws(resamples=1500, block=3.0))
    np.testing.assert_allclose(found.p_values, theirs.pvalues.sort_index()["Pvalue"], atol=0.04)


def test_confidence_set_keeps_the_best_model_as_often_as_it_says():
    rng = np.random.default_rng(13)
    kept = []
    for _ in range(150):
        losses = rng.standard_normal((300, 1)) + rng.standard_normal((300, 4)) + [0.0, 0.05, 0.1, 0.4]
        found = model_confidence_set(losses, 0.1, QUICK)
        kept.append(0 in found.included)
        assert found.p_values[3] <= max(found.p_values)
    assert np.mean(kept) >= 0.87


def test_confidence_set_does_not_tell_copies_apart():
    losses = np.random.default_rng(14).standard_normal((300, 2))
    found = model_confidence_set(np.hstack([losses[:, :1], losses[:, :1], losses[:, 1:] + 5.0]), 0.05, QUICK)
    assert found.included == (0, 1)
    assert found.p_values[:2] == (1.0, 1.0)
