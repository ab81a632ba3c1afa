"""The further agents: each learns its own label, and says through the door what it says here."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from engine.barriers import label_barriers
from engine.errors import DataError, ModelMismatch, UsageError
from engine.indicators import atr
from engine.synthetic import random_bars
from models.bundle import load_bundle
from research.calibrate import Line
from research.candidates import fit_candidate, restore_candidate
from research.events import Fades
from research.export_onnx import check_parity, to_onnx
from research.fades import fade_side
from research.networks import Scaler
from research.resnet import FadeNet, fit_resnet
from research.study import make_study
from research.train import train
from tests.research_toys import dice, halves, settings

FEATURES = ["ret_1", "ret_6", "vol_24", "atr_pct_14", "body", "log_range"]
SMALL = {"epochs": 1, "stride": 2, "batch": 64, "filters": 4}
KEEN = {"epochs": 8, "patience": 8, "stride": 1, "batch": 32, "filters": 4, "rate": 0.01}


def study_of(kind: str, bars=None, **keys):
    sections = {"resnet": SMALL, "supcon": {"epochs": 1, "batch": 64, "penalties": [0.1]}, "folds": {"count": 2}}
    sections |= {"candidates": [kind], "features": FEATURES}
    config = settings(keys.pop("transformer", {}), **sections | keys)
    return make_study(config, random_bars(700, seed=1) if bars is None else bars)


def network(seed: int = 0, window: int = 32) -> FadeNet:
    torch.manual_seed(seed)
    return FadeNet(3, 8, 0.0, Scaler(torch.zeros(3), torch.ones(3)), (0, 1), 1.0).eval()


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("resnet", {}),
        pytest.param("supcon", {}, marks=pytest.mark.slow),
        ("transformer", {"transformer": {"patch": 4, "patch_step": 2, "epochs": 1}}),
    ],
    ids=["resnet", "supcon", "patches"],
)
def test_every_agent_passes_the_same_door_and_is_the_same_when_restored(kind, keys):
    study = study_of(kind, **keys)
    examples, config = study.examples, study.config
    model, notes = fit_candidate(kind, examples, study.split(study.final_fold()), config)
    rows = examples.rows[:97]
    graph = to_onnx(model, Line("platt", 0.8, 0.1, False), 8, len(FEATURES))
    assert check_parity(graph, model, examples, rows) < 1e-5
    assert notes["failed_steps"] == 0
    again = restore_candidate(kind, model.state(), config)
    np.testing.assert_array_equal(model.logits(examples, rows), again.logits(examples, rows))
    assert again.kind == kind
    wrong = dataclasses.replace(examples, matrix=examples.matrix + np.float32(0.05))
    with pytest.raises(ModelMismatch, match="so nothing was written"):
        check_parity(graph, _Moved(model, wrong), examples, rows)


@dataclasses.dataclass
class _Moved:
    """A model that was taught on features somewhere else."""

    model: object
    examples: object

    @property
    def kind(self):
        return self.model.kind

    def logits(self, _, rows):
        return self.model.logits(self.examples, rows) + 1e-4


def test_a_fade_is_the_trade_against_the_last_move_of_enough_atrs():
    study = study_of("resnet", barriers={"k_up": 2.0, "k_down": 1.0})
    bars, names, fades = study.bars, list(study.names), study.examples.fades
    moved = study.examples.matrix[:, names.index("ret_6")] / study.examples.matrix[:, names.index("atr_pct_14")]
    assert fades.columns == (1, 3)
    for side in (1, -1):
        labels = label_barriers(bars, atr(bars), study.config.rules, side)
        faded = np.isfinite(fades.y) & (side * moved < 0)
        assert (np.abs(moved[faded]) >= 1.0).all()
        touched = faded & (labels.outcome != 0)
        assert touched.sum() > 50
        np.testing.assert_array_equal(fades.y[touched], labels.outcome[touched] > 0)
        assert (study.examples.end[faded] >= labels.end[faded]).all()
        assert ((study.examples.end[faded] > labels.end[faded]).any()) == (side < 0)
    small = np.abs(moved) < 1.0
    assert np.isnan(fades.y[small]).all()


def test_the_side_is_against_the_move_and_none_without_a_unit():
    move, unit = np.float32([2.0, -1.0, 0.5, np.nan, 1.0, 0.0]), np.float32([1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    assert fade_side(move, unit, 1.0).tolist() == [-1, 1, 0, 0, -1, 0]


def test_its_opinion_goes_to_the_side_it_would_take_and_weak_ones_to_none():
    window = torch.zeros(5, 32, 3)
    window[:, -1, 0], window[:, -1, 1] = torch.tensor([2.0, -2.0, 0.5, 2.0, -2.0]), 1.0
    told = network().for_long(window, torch.tensor([0.3, 0.3, 0.3, -0.3, -0.3]))
    assert told.tolist() == pytest.approx([-0.3, 0.3, 0.0, 0.0, 0.0])


def test_a_long_only_ranking_fades_falls_and_puts_faded_rises_last():
    examples = reverting(3000)
    model, _ = fit_resnet(examples, halves(examples), settings(resnet=KEEN))
    rows = halves(examples).inner
    logits, move = model.logits(examples, rows), examples.matrix[rows, 0]
    best = rows[np.argsort(logits)[-len(rows) // 10 :]]
    assert (examples.matrix[best, 0] < -1.0).all()
    assert (logits[move > 1.0] <= 0.0).all()
    assert (logits[np.abs(move) < 1.0] == 0.0).all()


def reverting(n: int):
    """Return moves of which those with a high third feature over the window are undone."""
    examples = dice(n)
    examples.matrix[:, 1] = 1.0
    side = fade_side(examples.matrix[:, 0], examples.matrix[:, 1], 1.0)
    cause = np.convolve(examples.matrix[:, 2], np.ones(8))[:n]
    undone = (np.random.default_rng(5).random(n) < 1 / (1 + np.exp(-cause))).astype(float)
    y = np.where(side != 0, undone, np.nan)
    return dataclasses.replace(examples, fades=Fades(y, (0, 1)))


def test_planted_fades_are_found():
    examples = reverting(3000)
    model, notes = fit_resnet(examples, halves(examples), settings(resnet=KEEN))
    rows = halves(examples).inner
    rows = rows[np.isfinite(examples.fades.y[rows])]
    strength = np.abs(model.logits(examples, rows))
    assert examples.fades.y[rows[strength > 0.5]].mean() > 0.7
    assert notes["fade_base_rate"] == pytest.approx(0.5, abs=0.05)


def test_the_receptive_field_is_the_formulas_and_no_more_is_seen():
    net = network()
    assert net.receptive_field == 3 * (7 + 4 + 2) + 1 == 40
    x = torch.zeros(1, 6, 200, requires_grad=True)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.GroupNorm):
                module.forward = lambda given: given  # its means look at the whole window
    net.blocks(x)[0, :, 100].sum().backward()
    seen = x.grad.abs().sum((0, 1)).nonzero().flatten()
    assert 1 <= seen.max() - seen.min() + 1 <= 40


def test_a_pattern_means_about_the_same_wherever_in_the_window_it_stands():
    net, pattern = network(), 3.0 * torch.randn(6, generator=torch.Generator().manual_seed(3))
    windows = torch.zeros(2, 64, 3)
    windows[0, 25:31, 2] = windows[1, 33:39, 2] = pattern
    with torch.no_grad():
        one, other = net(windows)
        nothing = net(torch.zeros(1, 64, 3))[0]
    assert abs(float(one - other)) < 0.05 * abs(float(one - nothing))


def test_a_window_is_judged_alone_as_in_a_batch():
    windows = torch.randn(7, 32, 3)
    with torch.no_grad():
        torch.testing.assert_close(torch.cat([network()(one[None]) for one in windows]), network()(windows))


def test_features_that_name_no_move_are_refused():
    with pytest.raises(UsageError, match="'atr_pct_14' is not among the features; add it to features"):
        study_of("resnet", features=["ret_1", "ret_6", "body"])


def test_moves_too_small_to_fade_are_refused_by_the_key_to_lower():
    examples = dataclasses.replace(dice(300), fades=Fades(np.full(300, np.nan), (0, 1)))
    with pytest.raises(DataError, match=r"0 moves were worth fading, all ending alike; lower resnet.least_move"):
        fit_resnet(examples, halves(examples), settings(resnet=SMALL))


@pytest.mark.slow  # a whole training
def test_a_bundle_that_fades_leans_against_the_move(tmp_path):
    keys = {"candidates": ["resnet"], "sides": ["long", "short"], "resnet": SMALL, "folds": {"count": 2}}
    keys |= {"features": FEATURES, "barriers": {"hold": 6}, "regime": {"starts": 2, "screen_bars": 400}}
    config = dataclasses.replace(settings(**keys), name="fader")
    bars = random_bars(1400, seed=1)
    bundle = load_bundle(train(config, bars, tmp_path / "fader", run_dir=tmp_path / "run"))
    evidence = bundle.evidence(bars)
    matrix = make_study(config, bars).examples.matrix
    moved = matrix[:, 1] / matrix[:, 3]
    nothing = 1.0 / (1.0 + np.exp(-bundle.manifest.calibration["b"]))
    known = np.isfinite(evidence.p_up)
    up, down = known & (evidence.p_up > nothing + 1e-6), known & (evidence.p_up < nothing - 1e-6)
    assert min(up.sum(), down.sum()) > 30
    assert (moved[up] <= -1.0).all()
    assert (moved[down] >= 1.0).all()
    np.testing.assert_allclose(evidence.p_up[known & (np.abs(moved) < 1.0)], nothing, atol=1e-6)
    assert bundle.manifest.predictor["resnet_seed_losses"] == [bundle.manifest.predictor["candidates"][0]["loss"]]
