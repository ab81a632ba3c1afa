"""The streaming candidate's training: what it learns, from what, and that the kernels say what it learned."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from engine.errors import DataError, UsageError
from engine.features import clear_run
from engine.synthetic import random_bars
from models.bundle import load_bundle
from models.network import FILE
from models.streaming import StreamingPredictor
from research.calibrate import Line
from research.config import TrainConfig, parse_config
from research.events import Examples, Split
from research.export_streaming import to_streaming
from research.fit_streaming import StreamingModel, fit_streaming
from research.networks import Scaler
from research.streaming_network import StreamingEncoder, StreamSizes
from research.study import make_study
from research.train import train

SIZES = StreamSizes(features=3, width=16, layers=2, heads=2, feedforward=32, band=8, dropout=0.0)
REACH = SIZES.reach


def encoder(sizes: StreamSizes = SIZES, seed: int = 0) -> StreamingEncoder:
    torch.manual_seed(seed)
    return StreamingEncoder(sizes, Scaler(torch.zeros(sizes.features), torch.ones(sizes.features)), 0.5).eval()


def dice(n: int = 600, planted: float = 0.0, seed: int = 0) -> Examples:
    """Return features from dice, with labels that may follow the first feature of the last four bars together."""
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((n, 3)).astype(np.float32)
    told = sum(np.roll(matrix[:, 0], lag) for lag in range(4)) / 2.0
    y = (rng.random(n) < 1 / (1 + np.exp(-planted * told))).astype(float)
    return Examples(matrix, 8, np.arange(n) >= REACH - 1, y, np.arange(n) + 1, np.zeros((n, 2)))


def settings(**streaming) -> TrainConfig:
    base = {"width": 16, "feedforward": 32, "band": 8, "dropout": 0.0, "chunk": 64, "epochs": 3}
    keys = {"window": 8, "threads": 1, "trees": {"lags": [0]}, "candidates": ["streaming"]}
    return parse_config(keys | {"streaming": base | streaming})


def halves(examples: Examples) -> Split:
    rows = examples.rows
    return examples.split(rows[: len(rows) // 2], rows[len(rows) // 2 :])


def loss_of(model: StreamingModel, examples: Examples, rows) -> float:
    told, y = torch.from_numpy(model.logits(examples, rows)), torch.from_numpy(examples.y[rows])
    return float(torch.nn.functional.binary_cross_entropy_with_logits(told, y))


def test_64_samples_can_be_learned_by_heart():
    examples = dice(90)
    rows = examples.rows[:64]
    config = settings(epochs=250, patience=250, rate=0.01, decay=0.0, warmup=0.05)
    model, notes = fit_streaming(examples, examples.split(rows, rows), config)
    assert loss_of(model, examples, rows) < 0.01
    assert notes["training_rows"] == 64


def test_what_the_last_bars_say_together_is_found_and_dice_are_not():
    config = settings(epochs=12, rate=0.005)
    for planted, found in ((4.0, True), (0.0, False)):
        examples = dice(3000, planted)
        split = halves(examples)
        loss = loss_of(fit_streaming(examples, split, config)[0], examples, split.inner)
        assert (loss < 0.55) if found else (loss > 0.68)


def test_an_answer_hears_its_own_reach_and_nothing_else():
    assert REACH == 15
    bars = torch.randn(1, 60, 3, requires_grad=True)
    encoder()(bars)[0, 40].backward()
    heard = bars.grad[0].abs().sum(dim=1).nonzero().ravel()
    assert heard.tolist() == list(range(40 - REACH + 1, 41))


def test_where_a_stretch_begins_changes_no_answer_that_counts():
    network, bars = encoder(), torch.randn(1, 60, 3)
    with torch.no_grad():
        whole = network(bars)[0]
        for first in (1, 5, 8, 13, 30):
            part = network(bars[:, first:])[0]
            torch.testing.assert_close(part[REACH - 1 :], whole[first + REACH - 1 :], atol=1e-6, rtol=0)


@pytest.mark.parametrize("band", [8, 64])
def test_the_kernels_say_what_was_trained(band):
    sizes = SIZES._replace(width=32, feedforward=64, band=band)
    network = encoder(sizes, seed=3)
    with torch.no_grad():
        for value in network.parameters():
            value.add_(0.3 * torch.randn_like(value))
    model, examples = StreamingModel(network, sizes, 1), dice(3000)
    rows = np.arange(sizes.reach - 1, 3000)
    told = model.logits(examples, rows)
    served = StreamingPredictor(to_streaming(model, Line("platt", 0.7, 0.1, False)), sizes.reach, 3)
    logit, p = served.outputs(examples.matrix, rows)
    assert np.abs(logit - told).max() < 1e-5
    assert np.abs(p - 1.0 / (1.0 + np.exp(-(0.7 * told + 0.1)))).max() < 1e-6
    assert told.std() > 0.5


def test_the_same_seed_learns_the_same_numbers_and_leaves_no_trace():
    examples, config = dice(400), settings()
    before = (torch.get_num_threads(), torch.rand(1, generator=torch.Generator().manual_seed(0)))
    told = [fit_streaming(examples, halves(examples), config, other_seed=seed)[0].state() for seed in (0, 0, 1)]
    assert all(np.array_equal(told[0][name], told[1][name]) for name in told[0])
    assert not np.array_equal(told[0]["head.weight"], told[2]["head.weight"])
    assert torch.get_num_threads() == before[0]


def test_a_saved_model_says_the_same_again():
    examples, config = dice(400), settings()
    model, notes = fit_streaming(examples, halves(examples), config)
    again = StreamingModel.restore(model.state(), config)
    np.testing.assert_array_equal(again.logits(examples, examples.rows), model.logits(examples, examples.rows))
    assert notes["parameters"] == StreamSizes(3, 16, 2, 2, 32, 8, 0.0).parameters
    assert len(notes["inner_losses"]) >= notes["epoch"]


def test_unknown_bars_and_unlabelled_stretches_teach_nothing():
    examples, config = dice(600), settings()
    hole = examples.matrix.copy()
    hole[250:260] = np.nan
    decidable = examples.decidable.copy()
    decidable[250 : 260 + REACH - 1] = False
    holed = dataclasses.replace(examples, matrix=hole, decidable=decidable)
    other = dataclasses.replace(holed, matrix=np.where(np.isnan(hole), np.float32(np.inf), hole), y=1 - holed.y)
    other.y[decidable] = holed.y[decidable]
    told = [fit_streaming(one, halves(one), config)[0].state() for one in (holed, other)]
    assert all(np.array_equal(told[0][name], told[1][name]) for name in told[0])
    assert np.isfinite(told[0]["head.weight"]).all()


def test_a_training_whose_loss_is_not_finite_says_so():
    examples = dice(600)
    examples.matrix[300] = np.float32(3e38)
    with pytest.raises(DataError, match=r"had no finite loss; lower streaming.rate"):
        fit_streaming(examples, halves(examples), settings(rate=1e30, warmup=0.0, epochs=40, patience=40))


TINY = {
    "name": "tiny",
    "window": 8,
    "threads": 1,
    "features": ["ret_1", "ret_6", "vol_24", "rsi_14", "body", "log_range"],
    "barriers": {"hold": 6},
    "folds": {"count": 3},
    "candidates": ["logistic", "streaming"],
    "trees": {"lags": [0, 1]},
    "streaming": {"width": 8, "heads": 2, "feedforward": 16, "band": 8, "chunk": 128, "epochs": 2, "seeds": 2},
    "regime": {"starts": 3, "screen_bars": 400},
    "auditor": {"rounds": 10, "least_events": 60},
}
BARS = random_bars(1800, seed=1, gaps=0.002)


@pytest.mark.parametrize("kind", ["streaming", "logistic"])
def test_the_whole_road_ships_a_bundle_that_says_what_was_trained(kind, tmp_path):
    config = parse_config(TINY | {"force": kind})
    bundle = load_bundle(train(config, BARS, tmp_path / "tiny", run_dir=tmp_path / "run"))
    page, told = bundle.manifest, bundle.evidence(BARS).p_up
    assert (page.predictor["kind"], page.window) == (kind, REACH if kind == "streaming" else 8)
    assert (FILE in page.files) == (kind == "streaming")
    assert bundle.clear_bars == REACH + 25
    assert np.isnan(told[clear_run(BARS) < bundle.clear_bars]).all()
    assert len(page.predictor["streaming_seed_losses"]) == 2
    assert np.isfinite(bundle.baseline_rank(BARS)).sum() == np.isfinite(told).sum() > 500
    assert "the streaming's loss by seed" in (tmp_path / "run" / "report.md").read_text()


def test_all_candidates_are_judged_on_rows_that_the_farthest_looking_can_answer():
    config = parse_config(TINY)
    study = make_study(config, BARS)
    assert (config.reach, config.embargo) == (REACH, REACH + 6)
    assert clear_run(BARS)[study.examples.rows].min() >= REACH + 25
    assert parse_config(TINY | {"candidates": ["logistic"]}).embargo == 14


def test_a_section_nobody_asked_for_is_no_part_of_a_trainings_name():
    keys = {"streaming": {"width": 16}}
    assert parse_config({}).digest() == parse_config(keys).digest()
    asked = {"candidates": ["streaming"]}
    assert parse_config(asked).digest() != parse_config(asked | keys).digest()


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [("width", 36, "a multiple of 4 times heads"), ("feedforward", 30, "a multiple of 4"), ("band", 62, "in 4..512")],
)
def test_what_the_kernels_cannot_read_is_refused_before_it_is_trained(key, value, allowed):
    with pytest.raises(UsageError, match=rf"streaming.{key} must be {allowed}.*was {value}"):
        parse_config({"streaming": {key: value}})
