"""Learning by contrast: the loss against its definition and a peer, the probe, the control, the candidate."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from engine.synthetic import random_bars
from research.contrastive import Contrast, fit_contrastive, fit_supcon, sharing
from research.fit_transformer import NeuralModel
from research.losses import supcon_loss
from research.networks import Encoder, Scaler
from research.study import make_study
from tests.research_toys import dice, halves, settings


def batch(n: int, width: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    z = torch.from_numpy(rng.standard_normal((n, width)))
    return torch.nn.functional.normalize(z, dim=1), torch.from_numpy(rng.integers(0, 2, n))


def slow(z: torch.Tensor, y: torch.Tensor, temperature: float, ignored: np.ndarray | None = None) -> float:
    """The definition, row by row (Khosla 2020, equation 2)."""
    losses = []
    for i in range(len(z)):
        others = [a for a in range(len(z)) if a != i and (ignored is None or not ignored[i, a])]
        alike = [p for p in others if y[p] == y[i]]
        below = sum(math.exp(float(z[i] @ z[a]) / temperature) for a in others)
        terms = [math.log(math.exp(float(z[i] @ z[p]) / temperature) / below) for p in alike]
        losses += [-sum(terms) / len(alike)] if alike else []
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("n", "width", "temperature"), [(8, 4, 0.1), (33, 16, 0.5), (64, 3, 1.0), (3, 2, 0.07)])
def test_the_loss_is_its_definition(n, width, temperature):
    z, y = batch(n, width, seed=n)
    assert float(supcon_loss(z, y, temperature)) == pytest.approx(slow(z, y, temperature), rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_the_loss_is_the_peers(seed):
    peer = pytest.importorskip("pytorch_metric_learning.losses", reason="needs pytorch-metric-learning (dev extra)")
    z, y = batch(128, 16, seed)
    assert float(supcon_loss(z, y, 0.1)) == pytest.approx(float(peer.SupConLoss(temperature=0.1)(z, y)), abs=1e-6)


@pytest.mark.parametrize(("m", "temperature"), [(16, 0.1), (4, 0.5)])
def test_two_collapsed_classes_stand_at_the_least_loss(m, temperature):
    z = torch.tensor([[1.0, 0.0]] * m + [[-1.0, 0.0]] * m, dtype=torch.float64)
    y = torch.arange(2 * m) // m
    assert float(supcon_loss(z, y, temperature)) == pytest.approx(math.log(m - 1 + m * math.exp(-2 / temperature)))


def test_windows_all_alike_lose_what_nothing_learned_loses():
    z, y = torch.ones(32, 1), torch.arange(32) % 2
    assert float(supcon_loss(z, y, 0.1)) == pytest.approx(math.log(31), abs=1e-5)


def test_turning_the_space_changes_nothing():
    z, y = batch(40, 8, seed=1)
    turn = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64)).Q
    torch.testing.assert_close(supcon_loss(z @ turn, y, 0.1), supcon_loss(z, y, 0.1))


def test_labels_that_share_a_bar_are_neither_alike_nor_different():
    z, y = batch(20, 4, seed=2)
    start = np.sort(np.random.default_rng(0).integers(0, 60, 20))
    shared = sharing(start, start + 5)
    for i, j in itertools.combinations(range(20), 2):
        assert shared[i, j] == bool({*range(start[i], start[i] + 6)} & {*range(start[j], start[j] + 6)})
    told = float(supcon_loss(z, y, 0.1, torch.from_numpy(shared)))
    assert told == pytest.approx(slow(z, y, 0.1, shared), rel=1e-9)
    assert told != pytest.approx(float(supcon_loss(z, y, 0.1)), rel=1e-3)


def test_the_gradient_is_right_also_where_pairs_are_ignored():
    z, y = batch(10, 3, seed=3)
    ignored = torch.from_numpy(sharing(np.arange(10), np.arange(10) + 1))
    assert torch.autograd.gradcheck(lambda x: supcon_loss(x, y, 0.5, ignored), (z.clone().requires_grad_(True),))


def test_what_separates_is_learned_and_what_does_not_is_not():
    clear, noise = dice(800, planted=12.0), dice(800, planted=0.0)
    config = settings(supcon={"epochs": 4, "stride": 1, "batch": 128, "rate": 0.01, "penalties": [0.001, 0.1]})
    model, notes = fit_supcon(clear, halves(clear), config)
    _, nothing = fit_supcon(noise, halves(noise), config)
    rows = halves(clear).inner
    assert ((model.logits(clear, rows) > 0) == clear.y[rows]).mean() > 0.9
    assert notes["contrast"] < notes["nothing_learned"] - 0.2
    assert nothing["probe_loss"] == pytest.approx(math.log(2), abs=0.02)


def test_the_probe_stands_in_for_the_head_and_says_the_same_when_restored():
    examples = dice(400)
    config = settings(supcon={"epochs": 1, "stride": 1, "batch": 64})
    model, notes = fit_supcon(examples, halves(examples), config)
    again = NeuralModel.restore(model.state(), config, "supcon")
    rows = halves(examples).inner
    np.testing.assert_array_equal(model.logits(examples, rows), again.logits(examples, rows))
    p = 1 / (1 + np.exp(-model.logits(examples, rows)))
    y = examples.y[rows]
    assert -np.mean(y * np.log(p) + (1 - y) * np.log1p(-p)) == pytest.approx(notes["probe_loss"], abs=0.01)
    assert (model.kind, again.kind) == ("supcon", "supcon")


def test_the_random_encoder_learns_nothing_but_its_probe():
    examples, config = dice(400), settings(supcon={"epochs": 1, "stride": 1, "batch": 64})
    model, notes = fit_supcon(examples, halves(examples), config, None, 0, True)
    torch.manual_seed(config.seed)
    fresh = Encoder(model.sizes, Scaler(torch.zeros(3), torch.ones(3)), 0.5)
    assert notes["random_encoder"]
    torch.testing.assert_close(model.network.embed.weight, fresh.embed.weight)
    taught, _ = fit_supcon(examples, halves(examples), config)
    assert not torch.equal(model.network.embed.weight, taught.network.embed.weight)


def test_no_gradient_reaches_the_head_while_the_encoder_learns():
    contrast = Contrast(Encoder(settings_sizes(), Scaler(torch.zeros(3), torch.ones(3)), 0.5), 4)
    supcon_loss(contrast(torch.randn(8, 8, 3)), torch.arange(8) % 2, 0.1).backward()
    assert contrast.encoder.head.weight.grad is None
    assert contrast.encoder.embed.weight.grad is not None


def settings_sizes():
    from research.fit_transformer import sizes_of

    return sizes_of(settings(), 3)


def test_probabilities_of_a_fold_for_the_experiments():
    study = make_study(
        settings(candidates=["supcon"], supcon={"epochs": 1, "batch": 64, "penalties": [0.1]}, folds={"count": 2}),
        random_bars(900, seed=1),
    )
    fold = study.folds()[0]
    rows = study.predictable(fold.test)
    taught, random = (fit_contrastive(study, fold, rows, 1, control) for control in (False, True))
    assert ((taught > 0) & (taught < 1)).all()
    assert len(taught) == len(rows)
    assert not np.array_equal(taught, random)
    np.testing.assert_array_equal(taught, fit_contrastive(study, fold, rows, 1))
