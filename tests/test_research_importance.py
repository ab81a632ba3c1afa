"""What a feature is worth, next to what noise gets; and whether two spans look alike."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from scipy.stats import norm

from research.drift import drift
from research.importance import Table, _contributions, _fit, _gain, correlated, importances

N = 3000
NAMES = ["signal", *(f"noise_{i}" for i in range(5))]


def table(strength: float, seed: int = 0, hold: int = 3) -> Table:
    """Labels that live for some bars and follow the first column as strongly as asked."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((N, len(NAMES))).astype(np.float32)
    y = (rng.random(N) < 1 / (1 + np.exp(-strength * x[:, 0]))).astype(np.float64)
    start = np.arange(N)
    return Table(x, y, start, start + hold, embargo=5)


@pytest.fixture(scope="module")
def found():
    return importances(table(1.0), NAMES, folds=4)


def test_a_planted_signal_leads_every_measure_and_noise_is_worth_nothing(found):
    best, *others = found.rows
    assert best.name == "signal"
    assert best.beats_noise
    assert best.loss > 5 * best.loss_se
    assert best.alone > 0.65
    assert best.gain > max(row.gain for row in others)
    assert best.contribution > max(row.contribution for row in others)
    for row in others:
        assert row.loss < 3 * max(row.loss_se, 1e-4), row
        assert abs(row.alone - 0.5) < 3.5 * row.alone_se, row


def test_gain_calls_noise_important_and_permutation_does_not():
    nothing = importances(table(0.0, seed=4), NAMES, folds=4)
    assert nothing.noise_gain > 0.04  # of 18 columns, none of which knows anything
    assert abs(nothing.out_of_sample - 0.5) < 0.04
    assert sum(row.beats_noise for row in nothing.rows) <= 2


def test_twins_hide_each_other_until_they_are_permuted_together():
    plain = table(1.0)
    twin = (plain.x[:, 0] + 0.05 * np.random.default_rng(1).standard_normal(N)).astype(np.float32)
    both = Table(np.column_stack([plain.x, twin]), *plain[1:])
    names = [*NAMES, "twin"]
    clusters = correlated(both.x)
    assert [0, 6] in clusters
    apart = {row.name: row for row in importances(both, names, folds=3).rows}
    together = importances(both, names, folds=3, clusters=clusters).rows[0]
    assert together.name == "signal, twin"
    assert together.loss > 1.5 * max(apart["signal"].loss, apart["twin"].loss)
    assert together.gain == pytest.approx(apart["signal"].gain + apart["twin"].gain, rel=0.05)


def test_contributions_add_up_to_the_log_odds_and_gains_to_one():
    from xgboost import DMatrix

    rows = table(1.0)
    booster = _fit(rows, np.arange(N), slice(None))
    margin = booster.predict(DMatrix(rows.x), output_margin=True)
    np.testing.assert_allclose(_contributions(booster, rows.x).sum(axis=1), margin, atol=1e-5)
    assert _gain(booster, len(NAMES)).sum() == pytest.approx(1.0)


def test_the_same_seed_finds_the_same():
    small = table(0.5)
    assert importances(small, NAMES, folds=3, seed=3) == importances(small, NAMES, folds=3, seed=3)


@pytest.mark.parametrize("delta", [0.0, 0.5, 1.5])
def test_two_normal_clouds_are_told_apart_as_theory_says(delta):
    rng = np.random.default_rng(7)
    a, b = rng.standard_normal((2, 8000, 4)).astype(np.float32)
    b[:, 2] += delta
    found = drift(a, b, list("wxyz"))
    assert found.auc == pytest.approx(norm.cdf(delta / sqrt(2)), abs=4 * found.se + 0.002)
    if delta:
        assert found.features[0][0] == "y"
