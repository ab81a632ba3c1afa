"""What the regime model believes: the causal filter, its anchor, and its refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from engine.errors import ModelMismatch
from engine.synthetic import random_bars
from models.hmm import hmm_filter
from models.regime import RegimeModel, stationary
from tests.oracles.slow_regime import belief_by_enumeration

TRANSITION = np.array([[0.97, 0.02, 0.01], [0.015, 0.97, 0.015], [0.005, 0.025, 0.97]])
DIAGONAL = np.array([[0.5, 0.3], [1.0, 0.8], [2.5, 2.0]])
STICKY = np.array([[0.996, 0.003, 0.001], [0.002, 0.996, 0.002], [0.001, 0.003, 0.996]])
SIMILAR = np.array([[1.0, 0.8], [1.1, 0.9], [1.3, 1.0]])
FULL = np.array([[[0.5, 0.2], [0.2, 0.3]], [[1.0, -0.4], [-0.4, 0.8]], [[2.5, 0.9], [0.9, 2.0]]])
MEANS = np.array([[-0.6, 0.1], [0.0, 0.0], [0.9, -0.2]])
EVERY_COVARIANCE = pytest.mark.parametrize("covars", [DIAGONAL, FULL], ids=["diagonal", "full"])


def model_of(covars=DIAGONAL, block=128, transition=TRANSITION) -> RegimeModel:
    fitted = SimpleNamespace(transmat_=transition, means_=MEANS, covars_=covars)
    scaler = (np.array([0.3, -0.2]), np.array([1.5, 0.7]))
    return RegimeModel.ordered(("log_range", "ret_1"), scaler, fitted, np.array([0.5, 1.0, 2.0]), block)


def raw_rows(n: int, seed: int, model: RegimeModel) -> np.ndarray:
    """Return rows drawn from the model itself, in raw units."""
    rng = np.random.default_rng(seed)
    state, rows = 0, []
    covars = model._full()
    for _ in range(n):
        state = rng.choice(3, p=model.transition[state])
        rows.append(rng.multivariate_normal(model.means[state], covars[state]))
    return np.array(rows) * model.std + model.mean


def endless(model: RegimeModel, rows: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    start = model.start if start is None else start
    return hmm_filter(start, model.transition, model.log_likelihood(rows), np.zeros(len(rows), np.int64))


@EVERY_COVARIANCE
def test_the_filter_equals_hmmlearn_stopped_at_every_bar(covars):
    hmm = pytest.importorskip("hmmlearn.hmm", reason="hmmlearn comes with the research extra")
    model, start = model_of(covars), np.array([0.2, 0.5, 0.3])
    peer = hmm.GaussianHMM(3, "diag" if covars.ndim == 2 else "full")
    peer.startprob_, peer.transmat_, peer.means_, peer.covars_ = start, model.transition, model.means, model.covars
    rows = raw_rows(60, 1, model)
    scaled = (rows - model.mean) / model.std
    stopped = np.array([peer.predict_proba(scaled[: t + 1])[-1] for t in range(60)])
    np.testing.assert_allclose(endless(model, rows, start), stopped, rtol=0, atol=1e-9)


@EVERY_COVARIANCE
def test_the_filter_equals_the_sum_over_all_paths(covars):
    model = model_of(covars)
    rows = raw_rows(8, 2, model)
    scaled = (rows - model.mean) / model.std
    slow = belief_by_enumeration(model.start, model.transition, model.means, model._full(), scaled)
    np.testing.assert_allclose(endless(model, rows)[-1], slow, atol=1e-12)


def test_the_filter_equals_statsmodels_hamilton_filter():
    regression = pytest.importorskip("statsmodels.tsa.regime_switching.markov_regression")
    stay = np.array([0.95, 0.9])
    transition = np.array([[0.95, 0.05], [0.1, 0.9]])
    y = np.random.default_rng(3).standard_normal(300) * np.repeat([0.5, 2.0, 0.7], 100)
    peer = regression.MarkovRegression(y, k_regimes=2, switching_variance=True)
    told = peer.filter(np.array([stay[0], 1 - stay[1], -0.1, 0.2, 0.4, 3.0]))
    fitted = SimpleNamespace(transmat_=transition, means_=np.array([[-0.1], [0.2]]), covars_=np.array([[0.4], [3.0]]))
    model = RegimeModel.ordered(("ret_1",), (np.zeros(1), np.ones(1)), fitted, np.array([0.4, 3.0]), 512)
    np.testing.assert_allclose(endless(model, y[:, None]), told.filtered_marginal_probabilities, atol=1e-9)


def test_what_comes_later_does_not_change_what_was_believed():
    model, bars = model_of(), random_bars(700, seed=4)
    rows = raw_rows(700, 4, model)
    whole = model.belief(bars, rows)
    for n in (1, 2, 129, 400, 699):
        np.testing.assert_array_equal(model.belief(bars.upto(n), rows[:n]), whole[:n])


@pytest.mark.parametrize("gaps", [0.0, 0.02])
def test_two_blocks_of_bars_give_the_same_bits(gaps):
    model, bars = model_of(SIMILAR, block=64, transition=STICKY), random_bars(600, seed=5, gaps=gaps)
    model = replace(model, means=0.1 * model.means)
    rows = raw_rows(600, 5, model)
    whole = model.belief(bars, rows)
    assert np.abs(whole - endless(model, rows)).max() > 1e-3  # such a market is not forgotten in a block
    for n in range(128, 601, 7):
        part = slice(n - 128, n)
        np.testing.assert_array_equal(model.belief(bars[part], rows[part])[-1], whole[n - 1])


def test_fewer_than_two_blocks_would_not_be_enough():
    model, bars = model_of(block=64), random_bars(600, seed=5)
    rows = raw_rows(600, 5, model)
    whole = model.belief(bars, rows)
    short = [model.belief(bars[n - 60 : n], rows[n - 60 : n])[-1] for n in range(128, 601)]
    assert not np.array_equal(short, whole[127:])


def test_the_anchored_belief_is_the_endless_one_once_the_start_is_forgotten():
    model, bars = model_of(block=512), random_bars(5000, seed=6)
    rows = raw_rows(5000, 6, model)
    forgetting = model.measure_forgetting(rows)
    assert 20 < forgetting < 512  # sticky, yet forgotten within a block
    np.testing.assert_allclose(model.belief(bars, rows), endless(model, rows), atol=1e-6)


def test_beliefs_are_probabilities_even_when_a_bar_is_beyond_belief():
    model, bars = model_of(), random_bars(50, seed=7)
    rows = raw_rows(50, 7, model)
    rows[20] = 1e4  # its density underflows in every state
    belief = model.belief(bars, rows)
    np.testing.assert_allclose(belief.sum(axis=1), 1.0, atol=1e-12)
    assert belief[20].argmax() == 2


def test_what_an_impossible_state_would_explain_best_is_weighed_by_the_possible_ones():
    transition = np.array([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.2, 0.3, 0.5]])
    known = np.array([[-2000.0, -2001.0, 0.0]])
    said = hmm_filter(np.array([0.5, 0.5, 0.0]), transition, known, np.zeros(1, np.int64))[0]
    np.testing.assert_allclose(said, np.array([1.0, np.exp(-1.0), 0.0]) / (1.0 + np.exp(-1.0)), rtol=1e-12)


def test_a_bar_without_features_moves_the_belief_by_the_transition_alone():
    model, bars = model_of(), random_bars(30, seed=8)
    rows = raw_rows(30, 8, model)
    rows[10] = [np.nan, 0.0]
    belief = model.belief(bars, rows)
    assert np.isnan(belief[10]).all()
    prior = belief[9] @ model.transition @ model.transition
    likelihood = np.exp(model.log_likelihood(rows)[11])
    np.testing.assert_allclose(belief[11], prior * likelihood / (prior * likelihood).sum(), atol=1e-12)


def test_a_block_without_bars_is_passed_over():
    model, bars = model_of(block=64), random_bars(400, seed=9)
    rows = raw_rows(400, 9, model)
    closed = np.where(bars.slots // 64 >= bars.slots[200] // 64, 6400, 0)  # hours: 100 whole blocks
    far = replace(bars, open_time=bars.open_time + closed * np.timedelta64(1, "h"))
    np.testing.assert_array_equal(model.belief(far, rows), model.belief(bars, rows))


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0)])
def test_the_order_of_a_fit_does_not_matter(order):
    order = np.array(order)
    fitted = SimpleNamespace(transmat_=TRANSITION[np.ix_(order, order)], means_=MEANS[order], covars_=DIAGONAL[order])
    scaler = (np.array([0.3, -0.2]), np.array([1.5, 0.7]))
    volatility = np.array([0.5, 1.0, 2.0])[order]
    shuffled = RegimeModel.ordered(("log_range", "ret_1"), scaler, fitted, volatility, 128)
    rows, bars = raw_rows(300, 10, model_of()), random_bars(300, seed=10)
    assert shuffled.roles == ("calm", "normal", "turbulent")
    np.testing.assert_allclose(shuffled.belief(bars, rows), model_of().belief(bars, rows), atol=1e-12)


@EVERY_COVARIANCE
def test_a_model_survives_its_json_bit_for_bit(covars):
    model, bars = model_of(covars), random_bars(200, seed=11)
    rows = raw_rows(200, 11, model)
    again = RegimeModel.from_json(model.to_json())
    np.testing.assert_array_equal(again.belief(bars, rows), model.belief(bars, rows))


def test_hmmlearn_shows_diagonals_in_full_and_they_are_stored_as_diagonals():
    shown = np.stack([np.diag(row) for row in DIAGONAL])
    assert model_of(shown).covars.shape == (3, 2)


def test_the_stationary_distribution_does_not_move():
    share = stationary(TRANSITION)
    np.testing.assert_allclose(share @ TRANSITION, share, atol=1e-14)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("transition", [[0.5, 0.4, 0.0]] * 3, "transition rows must sum to 1"),
        ("volatility", [2.0, 1.0, 0.5], "states must be ordered by ascending volatility"),
        ("std", [0.0, 1.0], "std must be positive"),
        ("means", [[0.0, 0.0]], r"means must have shape \(3, 2\)"),
        ("covars", [[-1.0, 1.0]] * 3, "covars must be positive definite"),
        ("start", [1.0, 0.0, 0.0], "start must be stationary"),
        ("block", 0, "block must be positive"),
        ("roles", ["one"], "must have shape"),
        ("mean", "abc", "is no regime model"),
        ("features", None, "is no regime model"),
        ("schema", 9, "schema 9"),
    ],
)
def test_parameters_that_are_no_hmm_are_refused(key, value, message):
    page = json.loads(model_of().to_json())
    page[key] = value
    with pytest.raises(ModelMismatch, match=message):
        RegimeModel.from_json(json.dumps(page).encode())
