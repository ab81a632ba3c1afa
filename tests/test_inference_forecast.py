"""Forecasts and win rates: losses beside no skill, calibration beside chance, exact intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.errors import DataError, UsageError
from engine.inference.calibration import calibration, reliability_curve
from engine.inference.forecast import auc, log_loss
from engine.inference.interval import Draws
from engine.inference.winrate import break_even, break_even_of, win_rate
from engine.rules import Rules
from tests.oracles.slow_inference import calibration_error, delong

ONE_DAY = Draws(resamples=400, block=1.0)


def forecasts(seed, n, skill=1.0):
    """Calibrated forecasts and their outcomes."""
    rng = np.random.default_rng(seed)
    p = 1.0 / (1.0 + np.exp(-skill * rng.standard_normal(n)))
    return p, (rng.random(n) < p).astype(float)


@pytest.mark.parametrize(
    ("wins", "trades", "low", "high"), [(2, 2, 0.158, 1.0), (3, 3, 0.292, 1.0), (19, 24, 0.578, 0.929)]
)
def test_exact_intervals_of_the_profiles_in_the_notes(wins, trades, low, high):
    found = win_rate(wins, trades)
    assert (round(found.low, 3), round(found.high, 3)) == (low, high)


def test_exact_interval_agrees_with_scipy():
    from scipy.stats import binomtest

    for wins, trades in ((0, 7), (1, 7), (40, 100), (100, 100)):
        theirs = binomtest(wins, trades, 0.538, alternative="greater")
        interval = binomtest(wins, trades).proportion_ci(0.95, method="exact")
        found = win_rate(wins, trades, 0.538)
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
        assert found.p_value == pytest.approx(theirs.pvalue)


def test_exact_interval_holds_its_confidence_for_every_true_rate():
    for true in (0.03, 0.3, 0.538, 0.8):
        k = np.arange(26)
        weight = np.array([math.comb(25, i) * true**i * (1 - true) ** (25 - i) for i in k])
        inside = [win_rate(int(i), 25).low <= true <= win_rate(int(i), 25).high for i in k]
        assert weight[inside].sum() >= 0.95


def test_no_trades_have_no_win_rate():
    found = win_rate(0, 0)
    assert (found.value, found.low, found.why) == (None, None, "there are no trades")
    with pytest.raises(UsageError, match=r"wins must be in \[0, 4\], was 5"):
        win_rate(5, 4)


@pytest.mark.parametrize(("cost", "per_hour", "share"), [(4, 1, 0.538), (4, 4, 0.575), (4, 12, 0.630), (10, 1, 0.594)])
def test_break_even_rates_of_shorter_bars_are_those_of_the_notes(cost, per_hour, share):
    rules = Rules(fee=cost * 1e-4, maker_fee=cost * 1e-4, slippage=0.0)
    assert break_even_of(rules, 0.0070 / per_hour**0.5) == pytest.approx(share, abs=0.0025)


def test_at_the_break_even_rate_trades_earn_nothing():
    rules = Rules(k_up=2.0, k_down=1.0, fee=0.001, maker_fee=0.0002, slippage=0.0003)
    p, atr = break_even_of(rules, 0.01), 0.01
    win = rules.k_up * atr - rules.fee - rules.slippage - rules.maker_fee
    loss = rules.k_down * atr + rules.round_trip
    assert p * win - (1 - p) * loss == pytest.approx(0.0, abs=1e-12)


def test_no_win_rate_pays_when_costs_eat_the_target():
    assert break_even(0.001, 0.001, 0.002, 0.002) is None


@pytest.mark.parametrize(("rate", "loss"), [(0.215, 0.52), (0.200, 0.50), (0.178, 0.4683)])
def test_the_losses_of_the_notes_are_those_of_no_skill(rate, loss):
    y = (np.arange(2000) < 2000 * rate).astype(float)
    found = log_loss(np.full(2000, rate), y, draws=ONE_DAY)
    assert found.loss == pytest.approx(loss, abs=0.001)
    assert found.skill == pytest.approx(0.0, abs=1e-12)
    assert found.base_rate == rate


def test_log_loss_is_that_of_sklearn_with_its_skill():
    from sklearn import metrics

    p, y = forecasts(1, 800)
    found = log_loss(p, y, draws=ONE_DAY)
    assert found.loss == pytest.approx(metrics.log_loss(y, p))
    assert found.no_skill == pytest.approx(metrics.log_loss(y, np.full(800, y.mean())))
    assert found.skill == pytest.approx(1 - found.loss / found.no_skill)
    assert found.low < found.skill < found.high


def test_a_known_base_rate_is_an_easier_opponent_than_that_of_the_sample():
    p, y = forecasts(2, 500)
    assert log_loss(p, y, base_rate=0.4, draws=ONE_DAY).skill >= log_loss(p, y, draws=ONE_DAY).skill


def test_overlapping_labels_are_worth_fewer():
    p, y = forecasts(3, 200)
    found = log_loss(np.repeat(p, 10), np.repeat(y, 10), draws=Draws(resamples=400))
    alone = log_loss(p, y, draws=ONE_DAY)
    assert found.n == 2000
    assert found.n_eff < 600
    assert found.high - found.low > 0.7 * (alone.high - alone.low)


def test_auc_matches_delong_pair_by_pair():
    for seed in range(3):
        p, y = forecasts(seed, 60)
        p = np.round(p, 1)  # with ties
        value, error = delong(p, y)
        found = auc(p, y, ONE_DAY)
        assert found.value == pytest.approx(value)
        logit_width = math.log(found.high / (1 - found.high)) - math.log(found.low / (1 - found.low))
        assert logit_width / (2 * 1.959964) * value * (1 - value) == pytest.approx(error, rel=1e-6)


def test_auc_is_that_of_sklearn():
    from sklearn.metrics import roc_auc_score

    p, y = forecasts(4, 3000)
    assert auc(p, y).value == pytest.approx(roc_auc_score(y, p))


def test_auc_interval_knows_that_repeated_rows_say_nothing_new():
    p, y = forecasts(5, 150)
    once, often = auc(p, y, ONE_DAY), auc(np.repeat(p, 8), np.repeat(y, 8))
    assert often.high - often.low > 0.75 * (once.high - once.low)


def test_auc_interval_holds_the_truth_as_often_as_it_says():
    rng, hits = np.random.default_rng(6), 0
    for _ in range(300):
        y = rng.random(150) < 0.4
        p = 1 / (1 + np.exp(-(rng.standard_normal(150) + 0.5 * y)))
        found = auc(p, y)
        hits += found.low <= 0.638163 <= found.high  # Phi(0.5 / sqrt(2))
    assert 0.91 <= hits / 300 <= 0.98


def test_auc_of_one_outcome_or_perfect_ranks_says_what_is_missing():
    assert "only one outcome" in auc(np.linspace(0, 1, 20), np.ones(20)).why
    perfect = auc(np.linspace(0, 1, 20), np.arange(20) >= 10)
    assert (perfect.value, perfect.low, perfect.why) == (1.0, None, "the forecasts rank perfectly")


def test_calibration_error_is_that_of_the_slow_oracle():
    p, y = forecasts(7, 1000)
    assert calibration(p, y, bins=10).ece == pytest.approx(calibration_error(p, y, 10))


@pytest.mark.parametrize(
    ("n", "shape", "mean", "high"),
    [(35, 1, 0.122, 0.193), (35, 2, 0.135, 0.214), (174, 1, 0.054, 0.087), (174, 5, 0.064, 0.102)],
)
def test_a_perfect_model_shows_the_calibration_errors_of_the_null_table(n, shape, mean, high):
    rng = np.random.default_rng(8)
    found = [calibration(p, rng.random(n) < p, bins=5) for p in rng.beta(shape, shape, (12, n))]
    assert np.mean([f.null_mean for f in found]) == pytest.approx(mean, abs=0.004)
    assert np.mean([f.null_high for f in found]) == pytest.approx(high, abs=0.007)


def test_a_calibrated_model_exceeds_its_band_in_one_of_twenty_samples():
    alarms = [calibration(*forecasts(seed, 200), seed=seed).miscalibrated for seed in range(200)]
    assert np.mean(alarms) < 0.1


def test_an_overconfident_model_is_caught_and_its_slope_says_so():
    p, y = forecasts(9, 2500)
    odds = 2.0 * np.log(p / (1 - p)) + 0.3
    found = calibration(1 / (1 + np.exp(-odds)), y)
    assert found.miscalibrated
    assert found.slope == pytest.approx(0.5, abs=4 * found.slope_error)
    assert found.intercept == pytest.approx(-0.15, abs=4 * found.intercept_error)


def test_the_reliability_line_is_that_of_statsmodels():
    from statsmodels.api import Logit

    p, y = forecasts(10, 600)
    fit = Logit(y, np.column_stack([np.ones(600), np.log(p / (1 - p))])).fit(disp=0, tol=1e-12)
    found = calibration(p, y)
    assert (found.intercept, found.slope) == pytest.approx(tuple(fit.params), rel=1e-6)
    assert (found.intercept_error, found.slope_error) == pytest.approx(tuple(fit.bse), rel=1e-4)
    assert calibration(p, y, n_eff=150).slope_error == pytest.approx(2 * found.slope_error)


def test_the_normal_band_of_large_samples_is_that_of_the_exact_draws():
    p, y = forecasts(11, 2000)
    exact, normal = calibration(p, y), calibration(p, y, n_eff=1999.999)
    assert normal.null_mean == pytest.approx(exact.null_mean, rel=0.04)
    assert normal.null_high == pytest.approx(exact.null_high, rel=0.05)


def test_overlapping_labels_widen_the_band():
    p, y = forecasts(12, 1500)
    assert calibration(p, y, n_eff=375).null_high == pytest.approx(2 * calibration(p, y).null_high, rel=0.1)


def test_brier_skill_is_one_minus_the_ratio_to_the_base_rate():
    p, y = forecasts(13, 500)
    found = calibration(p, y)
    assert found.brier == pytest.approx(np.mean((p - y) ** 2))
    assert found.brier_skill == pytest.approx(1 - found.brier / np.var(y))


def test_the_reliability_curve_of_a_calibrated_model_lies_in_its_band():
    inside = [row.low <= row.frequency <= row.high for s in range(20) for row in reliability_curve(*forecasts(s, 600))]
    assert len(inside) == 200
    assert np.mean(inside) > 0.9


def test_equal_forecasts_share_a_bin():
    y = np.arange(60) % 3 == 0
    found = calibration(np.full(60, 1 / 3), y)
    assert (found.bins, found.slope) == (1, None)
    assert found.ece == pytest.approx(0.0)


def test_what_is_no_probability_is_refused():
    with pytest.raises(DataError, match=r"forecast\[1\] of 2 must be in \[0, 1\], was nan; leave out rows without one"):
        log_loss(np.array([0.1, np.nan]), np.array([0, 1]))
    with pytest.raises(DataError, match=r"outcome\[0\] of 2 must be 0 or 1, was 2"):
        auc(np.array([0.1, 0.2]), np.array([2, 1]))
