"""Sharpe ratios: the published numbers, the laws behind them, and what happens when nothing can be known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.inference.assess import assess
from engine.inference.deflated import (
    Trials,
    deflate,
    effective_trials,
    expected_max,
    min_backtest_years,
    trials_of,
)
from engine.inference.sharpe import (
    Sample,
    Shape,
    min_record,
    min_record_2012,
    min_record_2025,
    power,
    psr,
    psr_2012,
    psr_2025,
    sample,
    sharpe_variance,
)

HEDGE_FUND = 0.036 / 0.079  # monthly, 24 months: the example of both papers
SKEWED = Shape(-2.448, 10.164)
AUDITED = Shape(0.5, 8.0)


def audited(days):
    return Sample(days, sharpe=2.49 / 365**0.5, shape=AUDITED)


def test_psr_2012_gives_the_paper_s_numbers():
    assert round(psr_2012(HEDGE_FUND, 24), 4) == 0.9812
    assert round(psr_2012(HEDGE_FUND, 24, shape=SKEWED), 4) == 0.9127


def test_psr_2025_gives_the_paper_s_numbers():
    assert round(psr_2025(HEDGE_FUND, 24, 0.0, SKEWED), 3) == 0.987
    assert round(psr_2025(HEDGE_FUND, 24, 0.1, SKEWED), 3) == 0.939


def test_sharpe_variance_gives_the_paper_s_standard_errors():
    assert round(math.sqrt(sharpe_variance(HEDGE_FUND, SKEWED) / 24), 3) == 0.329
    assert round(math.sqrt(sharpe_variance(HEDGE_FUND) / 24), 3) == 0.214


def test_minimum_record_differs_between_the_forms_as_published():
    assert round(min_record_2012(HEDGE_FUND, shape=SKEWED), 1) == 34.8
    assert round(min_record_2025(HEDGE_FUND, shape=SKEWED), 3) == 13.029


def test_power_gives_the_paper_s_number():
    assert round(1.0 - power(0.5, 24, shape=SKEWED), 3) == 0.315


@pytest.mark.parametrize(("per_year", "years"), [(250, 2.73), (52, 2.83), (12, 3.24)])
def test_minimum_record_of_two_against_one_gives_the_paper_s_years(per_year, years):
    assert round(min_record_2012(2 / per_year**0.5, 1 / per_year**0.5) / per_year, 2) == years


def test_minimum_record_of_skewed_monthly_returns_gives_the_paper_s_years():
    assert round(min_record_2012(2 / 12**0.5, 1 / 12**0.5, Shape(-0.72, 5.78)) / 12, 2) == 4.99


def test_the_gate_takes_the_less_favourable_form():
    assert psr(HEDGE_FUND, 24, 0.0, SKEWED) == psr_2012(HEDGE_FUND, 24, 0.0, SKEWED)
    fat_luck = Shape(2.448, 10.164)
    assert psr(HEDGE_FUND, 24, 0.0, fat_luck) == psr_2025(HEDGE_FUND, 24, 0.0, fat_luck)
    assert min_record(HEDGE_FUND, shape=SKEWED) == min_record_2012(HEDGE_FUND, shape=SKEWED)


def test_a_record_of_the_minimum_length_has_the_confidence_asked_for():
    n = min_record_2012(0.1, 0.02, SKEWED, alpha=0.1)
    assert math.isclose(psr_2012(0.1, n, 0.02, SKEWED), 0.9)
    n = min_record_2025(0.1, 0.02, SKEWED, alpha=0.1)
    assert math.isclose(psr_2025(0.1, n, 0.02, SKEWED), 0.9)


def test_autocorrelation_makes_a_sharpe_ratio_less_sure():
    calm = [psr_2025(0.1, 300, 0.0, Shape(rho=rho)) for rho in (0.0, 0.1, 0.2, 0.4)]
    assert calm == sorted(calm, reverse=True)


@pytest.mark.parametrize("rho", [-0.3, 0.0, 0.2, 0.6])
def test_sharpe_variance_is_the_paper_s_formula(rho):
    a, c = (1 + rho) / (1 - rho), (1 + rho**2) / (1 - rho**2)
    b = 1 + rho / (1 - rho) + rho**2 / (1 - rho**2)
    expected = a - b * SKEWED.skew * 0.2 + c * (SKEWED.kurtosis - 1) / 4 * 0.2**2
    assert sharpe_variance(0.2, SKEWED._replace(rho=rho)) == pytest.approx(expected)


def test_no_record_is_long_enough_for_a_ratio_below_its_benchmark():
    assert min_record(0.1, 0.1) is None


@pytest.mark.parametrize(
    ("trials", "shape", "luck", "dsr"),
    [(100, Shape(-3, 10), 0.1132, 0.9004), (46, Shape(-3, 10), 0.1004, 0.9505), (88, Shape(), 0.1111, 0.9505)],
)
def test_deflated_sharpe_gives_the_paper_s_numbers(trials, shape, luck, dsr):
    record = Sample(1250, sharpe=2.5 / 250**0.5, shape=shape)
    found = deflate(record, Trials(trials, variance=0.5 / 250))
    assert round(found.benchmark_raw, 4) == luck
    assert round(found.value, 4) == dsr


@pytest.mark.parametrize(("days", "chance", "dsr"), [(90, 0.895, 0.195), (180, 0.962, 0.366), (365, 0.994, 0.659)])
def test_audited_sharpe_of_2_49_is_likely_alone_and_unlikely_as_the_best_of_31(days, chance, dsr):
    record = audited(days)
    luck = expected_max(31) / days**0.5
    assert round(psr_2012(record.sharpe, days, shape=AUDITED), 3) == chance
    assert round(psr_2012(record.sharpe, days, luck, AUDITED), 3) == dsr
    assert deflate(record, Trials(31)).value <= dsr + 0.0005


def test_minimum_records_of_audited_and_sniper():
    assert round(min_record_2012(2.49 / 365**0.5, shape=AUDITED)) == 155
    assert round(min_record_2012(0.73 / 365**0.5) / 365, 1) == 5.1


def test_forty_five_trials_need_five_years_for_a_ratio_of_one():
    assert round(min_backtest_years(45, 1.0), 3) == 4.998
    assert min_backtest_years(45, 0.0) is None


def test_expected_maximum_is_that_of_simulated_worthless_strategies():
    rng = np.random.default_rng(1)
    best = rng.standard_normal((5000, 100)).max(axis=1).mean()
    assert math.isclose(expected_max(100), best, rel_tol=0.02)


def test_one_trial_is_not_deflated():
    record = audited(180)
    assert deflate(record, Trials(1)).value == psr(record.sharpe, 180, 0.0, AUDITED)
    assert expected_max(1) == 0.0


def test_more_trials_never_raise_the_deflated_sharpe():
    values = [deflate(audited(365), Trials(n)).value for n in (1, 2, 5, 31, 100, 1000)]
    assert values == sorted(values, reverse=True)


def test_effective_trials_count_copies_once():
    x = np.random.default_rng(2).standard_normal((2000, 4))
    assert effective_trials(np.repeat(x[:, :1], 9, axis=1)) == pytest.approx(1.0)
    assert 3.9 < effective_trials(x) <= 4.0
    assert effective_trials(np.hstack([x, x])) == pytest.approx(effective_trials(x))
    assert effective_trials(np.hstack([x, np.zeros((2000, 3))])) == pytest.approx(effective_trials(x))


def test_effective_trials_are_the_same_from_the_small_and_the_large_side():
    x = np.random.default_rng(3).standard_normal((30, 80))
    standard = (x - x.mean(axis=0)) / x.std(axis=0)
    share = np.linalg.eigvalsh(standard.T @ standard / 30) / 80
    share = share[share > 1e-12]
    assert effective_trials(x) == pytest.approx(math.exp(-(share * np.log(share)).sum()))


def test_a_thousand_copies_in_the_ledger_do_not_hide_the_thirty_real_trials():
    rng = np.random.default_rng(4)
    real = rng.standard_normal((365, 30)) * 0.01
    clones = real[:, :1] + 1e-5 * rng.standard_normal((365, 300))
    record = sample(real[:, 0] + 0.001)
    crowded, honest = trials_of(np.hstack([real, clones])), trials_of(real)
    assert crowded.variance == pytest.approx(honest.variance, rel=0.01)
    found, alone = deflate(record, crowded), deflate(record, honest)
    assert found.benchmark_raw > alone.benchmark_raw
    assert found.benchmark_effective == pytest.approx(alone.benchmark_effective, rel=0.01)
    assert found.value == found.raw < found.effective


def test_trials_without_returns_count_in_full():
    x = np.random.default_rng(5).standard_normal((300, 6))
    assert trials_of(x, others=10).count == 16
    assert trials_of(x, others=10).effective > 15.0


def test_sample_measures_what_scipy_measures():
    from scipy import stats

    x = np.random.default_rng(6).standard_t(5, 400) + 0.1
    found = sample(x)
    assert found.sharpe == pytest.approx(x.mean() / x.std(ddof=1))
    assert found.shape.skew == pytest.approx(stats.skew(x))
    assert found.shape.kurtosis == pytest.approx(stats.kurtosis(x, fisher=False))
    assert found.shape.rho == pytest.approx(np.corrcoef(x[1:], x[:-1])[0, 1], abs=0.01)


def test_psr_is_right_as_often_as_it_says():
    rng = np.random.default_rng(7)
    records = [sample(rng.standard_t(6, 365)) for _ in range(800)]
    sure = np.mean([psr_2012(r.sharpe, r.n, shape=r.shape) > 0.95 for r in records])
    assert 0.03 < sure < 0.075


def test_deflated_sharpe_of_the_best_of_worthless_strategies_is_seldom_high():
    rng = np.random.default_rng(8)
    high = 0
    for _ in range(150):
        x = rng.standard_normal((365, 40))
        best = x[:, x.mean(axis=0).argmax()]
        found = deflate(sample(best), trials_of(x))
        high += found.value >= 0.95
        assert psr(sample(best).sharpe, 365) > 0.8
    assert high <= 6


def test_assessment_puts_the_sharpe_block_together():
    days = np.random.default_rng(9).normal(0.002, 0.02, 500)
    found = assess(days, 365, Trials(31))
    record = sample(days)
    assert found.sharpe.value == pytest.approx(record.sharpe * 365**0.5)
    assert found.sharpe.low < found.sharpe.value < found.sharpe.high
    assert found.psr == min(found.psr_2012, found.psr_2025)
    assert found.min_days == max(found.min_days_2012, found.min_days_2025)
    assert found.long_enough == (found.psr > 0.95)
    assert found.deflated == deflate(record, Trials(31))
    assert found.luck == pytest.approx(365**0.5 * expected_max(31) / 500**0.5)
    assert found.why == ""
