"""Losses, their baselines, their luck, and calibration."""

from __future__ import annotations

import numpy as np
import pytest

from research.calibrate import LEAST_SLOPE, fit_line
from research.candidates import choose
from research.measures import (
    auc,
    auc_se,
    block_se,
    calibration_error,
    calibration_error_null,
    cross_entropy,
    entropy,
    logistic_line,
    score_forecast,
)
from research.training_report import headline


def truth_and_forecast(n: int = 4000, slope: float = 1.0, seed: int = 0):
    """Return outcomes of a known logit, and that logit."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal(n)
    return (rng.random(n) < 1 / (1 + np.exp(-slope * z))).astype(float), z


@pytest.mark.parametrize(("rate", "loss"), [(0.202, 0.503), (0.268, 0.582), (0.359, 0.653), (0.503, 0.693)])
def test_no_skill_loses_the_entropy_of_the_base_rate(rate, loss):
    assert entropy(rate) == pytest.approx(loss, abs=0.001)  # METHODS 0.1


def test_a_constant_forecast_at_the_base_rate_has_no_skill():
    y = np.tile([0.0, 0, 0, 1], 200)
    score = score_forecast(y, np.full(800, 0.25), 80, 10)
    assert score.skill == pytest.approx(0.0, abs=1e-12)
    assert (score.auc, score.slope) == (0.5, None)


def test_auc_and_its_error_equal_their_definitions():
    from sklearn.metrics import roc_auc_score

    y, z = truth_and_forecast(400)
    z = z.round(1)  # ties
    assert auc(y, z) == pytest.approx(roc_auc_score(y, z))
    wins = (z[y == 1][:, None] > z[y == 0]) + 0.5 * (z[y == 1][:, None] == z[y == 0])
    by_hand = np.sqrt(wins.mean(1).var(ddof=1) / len(wins) + wins.mean(0).var(ddof=1) / wins.shape[1])
    assert auc_se(y, z) == pytest.approx(by_hand)


def test_the_block_error_sees_that_neighbours_repeat_each_other():
    noise = np.random.default_rng(1).standard_normal(2000)
    assert block_se(np.repeat(noise, 10), 100) == pytest.approx(
        np.sqrt(10) * block_se(np.repeat(noise, 10), 1), rel=0.15
    )


def test_the_interval_of_the_auc_covers_a_half_when_there_is_nothing():
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(300):
        y = np.repeat(rng.random(60) < 0.5, 8).astype(float)  # each label said eight times: n_eff is 60
        p = np.repeat(rng.random(60), 8) * 0.2 + 0.4
        covered += abs(auc(y, p) - 0.5) <= 1.96 * auc_se(y, p) * np.sqrt(8)
    assert 0.90 <= covered / 300 <= 0.99


@pytest.mark.parametrize("n", [35, 174])
def test_a_perfect_forecast_exceeds_its_null_in_one_case_of_twenty(n):
    rng = np.random.default_rng(3)
    p = rng.uniform(0.3, 0.7, n)
    null = calibration_error_null(p, n)
    found = np.array([calibration_error((rng.random(n) < p).astype(float), p) for _ in range(400)])
    assert 0.02 <= np.mean(found > null) <= 0.09
    assert found.mean() > (0.1 if n == 35 else 0.05)  # METHODS 0.10: the error of a perfect forecast is not 0


def test_calibration_error_of_one_bin_is_the_gap():
    assert calibration_error(np.array([1.0, 1, 1, 0]), np.full(4, 0.5), bins=1) == pytest.approx(0.25)


def test_temperature_equals_scikit_learns():
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator
    from sklearn.linear_model import LogisticRegression

    y, z = truth_and_forecast(3000, slope=0.4)
    model = LogisticRegression()
    model.classes_, model.coef_, model.intercept_ = np.array([0, 1]), np.array([[1.0]]), np.array([0.0])
    model.n_features_in_ = 1
    peer = CalibratedClassifierCV(FrozenEstimator(model), method="temperature").fit(z[:, None], y)
    ours = logistic_line(z, y, slope_only=True)
    assert ours == (
        pytest.approx(peer.calibrated_classifiers_[0].calibrators[0].beta_ * 2, rel=1e-3),
        0.0,
    )  # its logits are (-z, z)


def test_platt_repairs_a_shifted_prior_and_temperature_cannot():
    rng = np.random.default_rng(4)
    y = (rng.random(20_000) < 0.143).astype(float)
    z = rng.standard_normal(20_000) + 1.2 * y - 0.6  # the log-odds of a model taught on balanced classes is 1.2 z
    platt = fit_line(1.2 * z, y, np.ones(20_000), "platt").apply(1.2 * z)
    flat = fit_line(1.2 * z, y, np.ones(20_000), "temperature").apply(1.2 * z)
    assert platt.mean() == pytest.approx(y.mean(), abs=0.001)
    assert cross_entropy(y, platt).mean() < 0.39 < 0.5 < cross_entropy(y, flat).mean()


def test_calibration_flattens_a_forecast_that_is_wrong_but_never_turns_it_around():
    y, z = truth_and_forecast(2000, slope=-0.5)
    line = fit_line(z, y, np.ones(2000), "platt")
    assert (line.a, line.flattened) == (LEAST_SLOPE, True)
    assert line.apply(z).mean() == pytest.approx(y.mean(), abs=0.01)


def test_few_rows_are_not_believed_much():
    y, z = truth_and_forecast(2000)
    few = fit_line(0.2 * z, y, np.full(2000, 20 / 2000), "platt")
    many = fit_line(0.2 * z, y, np.ones(2000), "platt")
    assert few.a < 0.7 < many.a * 0.2 < 1.1


def test_the_simplest_candidate_within_one_error_ships():
    y, z = truth_and_forecast(4000)
    good = 1 / (1 + np.exp(-z))
    barely = 1 / (1 + np.exp(-1.02 * z))
    assert choose(y, {"logistic": barely, "trees": good}, 10).kind == "logistic"
    assert choose(y, {"logistic": np.full(4000, 0.5), "trees": barely, "transformer": good}, 10).kind == "trees"
    assert choose(y, {"logistic": good, "transformer": np.full(4000, 0.5)}, 10).kind == "logistic"
    assert choose(y, {"logistic": good, "transformer": barely}, 10, force="transformer").kind == "transformer"


@pytest.mark.parametrize(
    ("low", "skill", "worth"), [(0.51, 0.021, "Some"), (0.51, 0.019, "No"), (0.5, 0.021, "No"), (0.51, -0.1, "No")]
)
def test_skill_is_claimed_beyond_two_errors_alone_and_not_as_if_the_zone_were_fresh(low, skill, worth):
    row = {"kind": "trees", "chosen": True, "auc": 0.55, "auc_low": low, "auc_high": 0.6}
    row |= {"skill": skill, "skill_se": 0.01}
    told = headline({"predictor": {"candidates": [row], "chosen_by": "least loss"}})
    assert f"{worth} skill was shown on validation, which also chose the candidate" in told
