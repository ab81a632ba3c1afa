"""Fractional differencing: the weights, two ways to one sum, and the choice of its order."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import binom
from statsmodels.tsa.stattools import adfuller
from typer.testing import CliRunner

from engine.bars import Bars
from engine.errors import DataError
from engine.features import FEATURES
from engine.history.store import Store
from engine.indicators.fractional import (
    DIRECT,
    ffd_weights,
    ffd_width,
    fractional_difference,
    return_weights,
    weighed,
)
from engine.readings import FFD_WIDTH
from engine.synthetic import random_bars
from research.choose_d import choose_d, stationarity
from research.verbs import research_app

ORDERS = pytest.mark.parametrize("d", [0.0, 0.2, 0.4, 0.5, 0.9, 1.0, 1.3, -0.4])


def walk(n, seed=0):
    return 9.0 + 0.01 * np.cumsum(np.random.default_rng(seed).standard_normal(n))


def slow(values, weights):
    """Return the weighed sum of every whole window, term by term."""
    out = np.full(len(values), np.nan)
    for t in range(len(weights) - 1, len(values)):
        out[t] = sum(weight * values[t - k] for k, weight in enumerate(weights))
    return out


# --- weights -------------------------------------------------------------------------------------------


@ORDERS
def test_weights_are_the_binomials_with_changing_sign(d):
    k = np.arange(60)
    np.testing.assert_allclose(ffd_weights(d, 60), (-1.0) ** k * binom(d, k), rtol=1e-10, atol=1e-15)


@ORDERS
def test_weights_follow_the_recursion(d):
    weights = ffd_weights(d, 300)
    k = np.arange(1, 300)
    np.testing.assert_allclose(weights[1:], -weights[:-1] * (d - k + 1) / k, rtol=1e-12)


def test_zero_times_is_the_value_and_once_the_first_difference():
    values = walk(50)
    np.testing.assert_array_equal(fractional_difference(values, 0.0, 5)[4:], values[4:])
    np.testing.assert_allclose(fractional_difference(values, 1.0, 5)[4:], np.diff(values)[3:], atol=1e-15)


def test_orders_add_up():
    both = np.convolve(ffd_weights(0.3, 400), ffd_weights(0.7, 400))[:400]
    np.testing.assert_allclose(both, [1.0, -1.0, *np.zeros(398)], atol=1e-14)
    undone = np.convolve(ffd_weights(0.4, 400), ffd_weights(-0.4, 400))[:400]
    np.testing.assert_allclose(undone, [1.0, *np.zeros(399)], atol=1e-14)


def test_a_cut_window_leaves_a_share_of_the_level():
    """The figures for d = 0.4: weights above a cutoff, and what they sum to."""
    for least, width, left in ((1e-2, 11, 0.264), (1e-3, 55, 0.136), (1e-4, 282, 0.070), (1e-5, 1458, 0.036)):
        assert ffd_width(0.4, least) == width
        assert ffd_weights(0.4, width).sum() == pytest.approx(left, abs=5e-4)
        assert abs(ffd_weights(0.4, width + 1)[-1]) < least <= abs(ffd_weights(0.4, width)[-1])


@ORDERS
def test_a_closed_window_of_prices_is_a_weighing_of_its_returns(d):
    values = walk(700, seed=1)
    closed = fractional_difference(values, d, 256, closed=True)
    returns = weighed(np.diff(values), return_weights(d, 256))
    np.testing.assert_allclose(closed[256:], returns[255:], atol=1e-12)
    np.testing.assert_allclose(fractional_difference(values + 100.0, d, 256, closed=True), closed, atol=1e-11)


# --- two ways to the sums ------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 2, 7, DIRECT, DIRECT + 1, 600])
@pytest.mark.parametrize("n", [1, 5, 1023, 1024, 1025, 2500])
def test_every_way_is_the_plain_sum(n, width):
    values, weights = walk(n, seed=n), ffd_weights(0.4, width)
    expected = slow(values, weights)
    np.testing.assert_allclose(weighed(values, weights), expected, atol=1e-12)
    np.testing.assert_allclose(fractional_difference(values, 0.4, width), expected, atol=1e-12)


def test_what_is_served_is_the_same_bits_wherever_history_is_cut():
    values, weights = walk(5000, seed=2), return_weights(0.4, FFD_WIDTH)
    whole = weighed(values, weights)
    for first, last in np.sort(np.random.default_rng(3).integers(0, 5000, (60, 2)), axis=1):
        part = weighed(values[first:last], weights)
        inside = slice(first + len(weights) - 1, last)
        np.testing.assert_array_equal(part[len(weights) - 1 :], whole[inside])


def test_the_transform_is_not_and_therefore_not_served():
    values = walk(5000, seed=4)
    whole, part = (fractional_difference(v, 0.4, 1000) for v in (values, values[:3001]))
    np.testing.assert_allclose(part[999:], whole[999:3001], atol=1e-12)
    assert (part[999:] != whole[999:3001]).any()


def test_the_feature_is_the_closed_window_of_log_closes():
    bars = random_bars(1000, seed=5)
    expected = fractional_difference(np.log(bars.close), 0.4, FFD_WIDTH, closed=True)
    np.testing.assert_allclose(FEATURES["ffd_40"].compute(bars), expected, atol=1e-12)


# --- the choice of d -----------------------------------------------------------------------------------


def persistent(n, seed):
    """Return bars whose log close is differenced 0.3 times to noise."""
    noise = 0.01 * np.random.default_rng(seed).standard_normal(n + 2000)
    log_close = np.convolve(noise, ffd_weights(-0.3, 2000))[2000 : n + 2000]
    close = 100.0 * np.exp(log_close)
    return replace(random_bars(n), open=close, high=close, low=close, close=close)


def changed_after(bars, stop):
    """Return bars that become another market from a row on."""
    later = np.where(np.arange(len(bars)) < stop, 1.0, np.exp(np.linspace(0.0, 5.0, len(bars))))
    return replace(bars, **{name: getattr(bars, name) * later for name in ("open", "high", "low", "close")})


def test_the_order_is_chosen_on_training_bars_alone():
    bars = random_bars(1900, seed=6)
    found, again = (choose_d(market, 1200, width=64) for market in (bars, changed_after(bars, 1200)))
    assert (found.d, found.train, found.tried) == (again.d, again.train, again.tried)
    assert found.test != again.test
    assert found.train.rows == 1200 - 64 + 1


def test_a_random_walk_is_differenced_and_noise_is_not():
    walk_of = choose_d(random_bars(1500, seed=6), 1500, width=64)
    assert 0.05 <= walk_of.d <= 0.7
    assert all(p >= 0.05 for d, p in walk_of.tried[:-1])
    assert walk_of.tried[-1] == (walk_of.d, walk_of.train.adf_p)
    assert walk_of.train.adf_p < 0.05
    assert walk_of.test is None
    assert walk_of.feature in FEATURES
    assert choose_d(persistent(1500, seed=7), 1500, width=64).d == 0.0


def test_with_one_lag_a_unit_root_is_rejected_too_easily():
    """On 20 random walks differenced 0.2 times the book's one lag goes further than Akaike's, nearly always."""
    further = 0
    for seed in range(20):
        series = fractional_difference(walk(800, seed), 0.2, 128)[127:]
        book = adfuller(series, maxlag=1, autolag=None, result_object=True).statistic
        further += book <= stationarity(series).adf
    assert further >= 15


def test_a_closed_window_says_nothing_about_the_order():
    """Differenced not at all it is a return over the window: no unit root is left to reject."""
    log_close = np.log(random_bars(3000, seed=6).close)
    closed, opened = (fractional_difference(log_close, 0.0, 32, closed=shut)[31:] for shut in (True, False))
    assert stationarity(closed).adf_p < 0.01
    assert stationarity(opened).adf_p > 0.05


def test_the_choice_is_told_in_full():
    found = choose_d(random_bars(1900, seed=8), 1200, orders=(0.5,))
    lines = str(found).splitlines()
    assert lines[0].startswith("d 0.50 over 256 bars keeps 0.035 of the level; correlation with the log price")
    assert [line.split()[0] for line in lines[1:]] == ["train", "test", "closed", "tried"]
    assert found.feature == "ffd_50"
    assert replace(found, d=0.55).feature is None


def test_too_little_history_is_refused_with_what_is_needed():
    bars = random_bars(600)
    assert isinstance(bars, Bars)
    with pytest.raises(DataError, match="345 of the first 600 bars of RANDOM-0 end a whole window of 256; 500 are"):
        choose_d(bars, 600)


def test_the_verb_looks_at_development_and_validation_and_never_at_the_sealed_zone(tmp_path):
    """The last part of the bars becomes another market: nothing that is told changes."""
    bars = random_bars(3000, seed=9)
    told = []
    for market in (bars, changed_after(bars, 2700)):
        folder = tmp_path / str(len(told))
        Store(folder).keep(market, "made up")
        asked = ["difference", "RANDOM-9-1h", "--width", "64", "--json", "--data", str(folder)]
        told.append(CliRunner().invoke(research_app, asked, catch_exceptions=False).stdout)
    assert told[0] == told[1]
    assert {"d", "left", "train", "test", "served", "feature", "tried"} <= set(json.loads(told[0]))
