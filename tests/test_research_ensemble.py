"""Ensembles: what the weights mean, that they come from rows nobody had seen, and that one graph says the sum."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.synthetic import random_bars
from models.bundle import load_bundle
from models.predictor import Predictor
from research.calibrate import Line, fit_line
from research.candidates import fit_candidate, restore_candidate
from research.ensemble import EnsembleModel, fit_ensemble, out_of_fold, stack
from research.export_onnx import check_parity, to_onnx
from research.measures import cross_entropy
from research.study import make_study
from research.train import train
from tests.research_toys import dice, settings

FEATURES = ["ret_1", "ret_6", "vol_24", "atr_pct_14", "body", "log_range"]
SECTIONS = {
    "features": FEATURES,
    "candidates": ["ensemble"],
    "folds": {"count": 2},
    "trees": {"lags": [0], "rounds": 20, "patience": 5},
    "regime": {"starts": 3, "screen_bars": 400},
    "auditor": {"rounds": 10, "least_events": 60},
    "resnet": {"epochs": 1, "filters": 4, "batch": 64},
    "supcon": {"epochs": 1, "batch": 64, "penalties": [0.1]},
}
PLAIN = Line("platt", 1.0, 0.0, False)


def config_of(members=("logistic", "trees"), weighing="stacked", folds=3, **keys):
    chosen = {"members": [*members], "weighing": weighing, "folds": folds}
    return settings({"epochs": 1}, **SECTIONS | {"ensemble": chosen} | keys)


def bce(y, z):
    return float(cross_entropy(y, 1 / (1 + np.exp(-z))).mean())


def test_one_member_that_knows_gets_all_the_weight():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((20_000, 3))
    y = (rng.random(20_000) < 1 / (1 + np.exp(-z[:, 0]))).astype(float)
    weights, intercept = stack(z, y, np.ones(20_000), 0.01)
    assert weights[0] == pytest.approx(1.0, abs=0.05)
    assert (weights[1:] < 0.03).all()
    assert (weights >= 0.0).all()
    assert abs(intercept) < 0.05


def test_members_all_alike_say_what_one_says():
    rng = np.random.default_rng(1)
    z = np.tile(rng.standard_normal((5000, 1)), 3)
    y = (rng.random(5000) < 1 / (1 + np.exp(-z[:, 0]))).astype(float)
    weights, _ = stack(z, y, np.ones(5000), 1.0)
    np.testing.assert_allclose(weights, weights[0], atol=0.01)
    assert weights.sum() == pytest.approx(stack(z[:, :1], y, np.ones(5000), 1.0)[0][0], abs=0.005)


def test_few_independent_labels_leave_the_weights_equal():
    rng = np.random.default_rng(2)
    z, y = rng.standard_normal((200, 2)), rng.integers(0, 2, 200).astype(float)
    np.testing.assert_allclose(stack(z, y, np.full(200, 0.001), 100.0)[0], 0.5, atol=0.01)


def test_the_weights_lose_least_of_all_that_are_allowed():
    rng = np.random.default_rng(3)
    z = rng.standard_normal((400, 2)) @ np.array([[1.0, 0.6], [0.0, 0.8]])
    y = (rng.random(400) < 1 / (1 + np.exp(-0.7 * z[:, 0]))).astype(float)
    unique = rng.random(400)
    weights, intercept = stack(z, y, unique, 5.0)

    def loss(w, b):
        told = 1 / (1 + np.exp(-(z @ w + b)))
        return unique @ cross_entropy(y, told) + 2.5 * np.sum((np.asarray(w) - 0.5) ** 2)

    best = min(loss([u, v], intercept) for u in np.linspace(0, 2, 81) for v in np.linspace(0, 2, 81))
    assert loss(weights, intercept) <= best + 1e-6


@trials(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 5))
def test_a_pool_never_loses_more_than_its_members_on_average(seed, members):
    rng = np.random.default_rng(seed)
    z, y = 3.0 * rng.standard_normal((50, members)), rng.integers(0, 2, 50).astype(float)
    assert bce(y, z.mean(axis=1)) <= np.mean([bce(y, z[:, k]) for k in range(members)]) + 1e-12


def plain_fit(examples, config):
    def fit(kind, where):
        model, _ = fit_candidate(kind, examples, where, config)
        unique = examples.uniqueness(where.inner)
        return model, fit_line(model.logits(examples, where.inner), examples.y[where.inner], unique, "platt")

    return fit


def noisy(n: int = 900):
    examples = dice(n)
    rows = examples.rows
    return examples, examples.split(rows[: n * 3 // 4], rows[n * 3 // 4 + 20 :])


def test_no_weight_comes_from_a_row_that_a_member_has_seen():
    """In-sample log-odds of overgrown trees look perfect; out of fold they know nothing, and the weights say so."""
    examples, split = noisy()
    grown = {"lags": [0, 1], "rounds": 60, "patience": 60, "depth": 8, "rate": 0.3, "least_weight": 0.0, "ridge": 0.1}
    config = config_of(trees=grown | {"rows": 1.0, "columns": 1.0})
    fit = plain_fit(examples, config)
    rows, told = out_of_fold(examples, split, config, fit)
    unique = examples.uniqueness(rows)
    learned = np.stack([fit(kind, split)[0].logits(examples, rows) for kind in ("logistic", "trees")], axis=1)
    seen, _ = stack(learned, examples.y[rows], unique, 1.0)
    unseen, _ = stack(told, examples.y[rows], unique, 1.0)
    assert bce(examples.y[rows], learned[:, 1]) < 0.5 < 0.68 < bce(examples.y[rows], told[:, 1])
    assert seen[1] > unseen[1] + 0.5


def test_what_is_foreseen_out_of_fold_does_not_depend_on_its_own_outcome():
    examples, split = noisy(600)
    config = config_of()
    rows, told = out_of_fold(examples, split, config, plain_fit(examples, config))
    run = rows[: len(split.train) // 3]
    flipped = dataclasses.replace(examples, y=np.where(np.isin(np.arange(600), run), 1.0 - examples.y, examples.y))
    _, again = out_of_fold(flipped, split, config, plain_fit(flipped, config))
    np.testing.assert_array_equal(again[: len(run)], told[: len(run)])
    assert not np.array_equal(again[len(run) :], told[len(run) :])


def test_what_is_stacked_is_calibrated_where_each_fold_stopped():
    examples, split = noisy(600)
    config = config_of(folds=2)
    rows, told = out_of_fold(examples, split, config, plain_fit(examples, config))
    half = len(split.train) // 2
    later = split.train[half:][split.train[half:] >= examples.end[split.train[half - 1]] + config.embargo]
    edge = later[int(len(later) * 0.85)]
    train = later[examples.end[later] < edge - config.embargo]
    member, line = plain_fit(examples, config)("logistic", examples.split(train, later[later >= edge]))
    np.testing.assert_array_equal(told[:half, 0], line.a * member.logits(examples, rows[:half]) + line.b)
    assert line.b != 0.0


def test_pooling_is_the_mean_of_the_calibrated_members():
    examples, split = noisy(600)
    config = config_of(weighing="pooled")
    model, notes = fit_ensemble(examples, split, config)
    told = []
    for kind in ("logistic", "trees"):
        member, line = plain_fit(examples, config)(kind, split)
        told.append(line.a * member.logits(examples, split.inner) + line.b)
    np.testing.assert_allclose(model.logits(examples, split.inner), np.mean(told, axis=0), rtol=1e-12)
    assert notes["weights"] == {"logistic": 0.5, "trees": 0.5}


def test_a_weight_is_found_for_every_member_and_the_work_is_told():
    examples, split = noisy(600)
    shares: list[float] = []
    model, notes = fit_ensemble(examples, split, config_of(), shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) == 2 * (3 + 1)
    assert notes["foreseen"] == len(split.train)
    assert set(notes["members"]) == {"logistic", "trees"}
    assert len(model.slopes) == 2


@pytest.mark.parametrize(
    "members",
    [
        ("logistic", "trees"),
        pytest.param(("logistic", "trees", "resnet", "transformer", "supcon"), marks=pytest.mark.slow),
    ],
    ids=["two", "all"],
)
def test_one_graph_says_the_weighted_sum_of_its_members(members):
    config = config_of(members, weighing="pooled")
    study = make_study(config, random_bars(600, seed=1))
    examples, rows = study.examples, study.examples.rows[:70]
    model, _ = fit_ensemble(examples, study.split(study.final_fold()), config)
    line = Line("platt", 0.7, -0.2, False)
    graph = to_onnx(model, line, 8, len(FEATURES))
    assert check_parity(graph, model, examples, rows) < 1e-5
    logit, p = Predictor(graph, 8, len(FEATURES)).outputs(examples.matrix, rows)
    parts = [Predictor(to_onnx(m, PLAIN, 8, len(FEATURES)), 8, len(FEATURES)) for m in model.members]
    told = sum(s * q.outputs(examples.matrix, rows)[0] for s, q in zip(model.slopes, parts, strict=True))
    np.testing.assert_allclose(logit, told + model.offset, atol=1e-6)
    np.testing.assert_allclose(p, 1 / (1 + np.exp(-(0.7 * logit - 0.2))), atol=1e-6)
    again = restore_candidate("ensemble", model.state(), config)
    assert isinstance(again, EnsembleModel)
    np.testing.assert_array_equal(again.logits(examples, rows), model.logits(examples, rows))


def test_an_ensemble_ships_in_a_bundle_like_any_predictor(tmp_path):
    bars = random_bars(1200, seed=1)
    config = dataclasses.replace(config_of(("logistic", "trees"), barriers={"hold": 6}), name="band")
    bundle = load_bundle(train(config, bars, tmp_path / "band", run_dir=tmp_path / "run"))
    assert bundle.manifest.predictor["kind"] == "ensemble"
    assert np.isfinite(bundle.evidence(bars).p_up).sum() > 700
    assert np.isfinite(bundle.stored_evidence(bars).p_up).sum() > 300


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"members": ["logistic"]}, r"ensemble.members must be two or more of .* each once"),
        ({"members": ["logistic", "streaming"]}, r"ensemble.members must be two or more of"),
        ({"members": ["trees", "trees"]}, r"ensemble.members must be two or more of"),
        ({"weighing": "voted"}, r"ensemble.weighing must be pooled or stacked, was 'voted'"),
    ],
)
def test_a_band_that_cannot_play_is_refused(keys, words):
    with pytest.raises(UsageError, match=words):
        settings(ensemble=keys)
