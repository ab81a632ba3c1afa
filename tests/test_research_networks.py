"""The network and its losses: what they compute, and that they compute it again."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from engine.errors import DataError, UsageError
from research.events import Examples
from research.fit_transformer import NeuralModel, fit_transformer, sizes_of
from research.losses import binary_loss, focal_loss, focal_minimiser, recovered_logit
from research.networks import Attention, Encoder, Scaler, Sizes
from tests.research_toys import dice, halves, settings

SIZES = Sizes(window=8, features=3, width=16, layers=2, heads=2, feedforward=32, dropout=0.0)


def encoder(seed: int = 0) -> Encoder:
    torch.manual_seed(seed)
    return Encoder(SIZES, Scaler(torch.zeros(3), torch.ones(3)), 0.5).eval()


def test_64_samples_can_be_learned_by_heart():
    examples = dice(80)
    rows = examples.rows[:64]
    config = settings({"epochs": 150, "patience": 150, "rate": 0.01, "decay": 0.0, "warmup": 0.05})
    model, _ = fit_transformer(examples, examples.split(rows, rows), config)
    p = torch.sigmoid(torch.from_numpy(model.logits(examples, rows)))
    assert float(torch.nn.functional.binary_cross_entropy(p, torch.from_numpy(examples.y[rows]))) < 0.01


def test_rows_of_a_batch_do_not_see_each_other():
    windows, order = torch.randn(12, 8, 3), torch.randperm(12)
    with torch.no_grad():
        told = encoder()(windows)
        torch.testing.assert_close(encoder()(windows[order]), told[order], atol=1e-6, rtol=0)
        windows[1:] = 99.0
        torch.testing.assert_close(encoder()(windows)[0], told[0], atol=1e-6, rtol=0)


def test_the_order_of_bars_matters_because_positions_are_learned():
    windows = torch.randn(5, 8, 3)
    mixed = torch.cat([windows[:, :7].flip(1), windows[:, 7:]], dim=1)
    network = encoder()
    with torch.no_grad():
        assert not torch.allclose(network(windows), network(mixed), atol=1e-4)
        network.position.zero_()
        torch.testing.assert_close(network(windows), network(mixed), atol=1e-5, rtol=0)


def test_the_last_layer_computes_what_a_whole_one_would_at_the_last_bar():
    network, windows = encoder(), torch.randn(4, 8, 3)
    with torch.no_grad():
        short = network(windows)
        network.layers[-1].last = False
        torch.testing.assert_close(network(windows), short, atol=1e-6, rtol=0)


def test_attention_is_the_softmax_of_scaled_products():
    torch.manual_seed(1)
    block, x = Attention(16, 2), torch.randn(3, 8, 16)
    q, k, v = (one(x).view(3, 8, 2, 8).transpose(1, 2) for one in (block.query, block.key, block.value))
    peer = torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(3, 8, 16)
    torch.testing.assert_close(block(x, x), block.out(peer), atol=1e-5, rtol=1e-4)


def test_the_number_of_parameters_is_the_formulas():
    assert sum(p.numel() for p in encoder().parameters()) == SIZES.parameters


def test_it_starts_at_the_base_rate():
    network = Encoder(SIZES, Scaler(torch.zeros(3), torch.ones(3)), 0.2)
    with torch.no_grad():
        told = float(torch.sigmoid(network(torch.zeros(1, 8, 3))))
    assert told == pytest.approx(0.2, abs=0.05)


def test_the_same_seed_gives_the_same_network_and_another_another():
    examples = dice(200)
    first, again = (fit_transformer(examples, halves(examples), settings({"dropout": 0.2}))[0] for _ in range(2))
    other, _ = fit_transformer(examples, halves(examples), settings({"dropout": 0.2}), None, 1)
    for name, value in first.state().items():
        np.testing.assert_array_equal(value, again.state()[name])
    assert not np.array_equal(first.state()["head.weight"], other.state()["head.weight"])


def test_training_leaves_torch_as_it_was():
    before = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.random.get_rng_state())
    fit_transformer(dice(120), halves(dice(120)), settings({"epochs": 1}))
    assert torch.get_num_threads() == before[0]
    assert torch.are_deterministic_algorithms_enabled() == before[1]
    torch.testing.assert_close(torch.random.get_rng_state(), before[2])


@pytest.mark.parametrize("loss", ["bce", "focal"])
def test_a_planted_edge_is_found_and_its_probabilities_are_the_truth(loss):
    examples = dice(3000, planted=1.0)
    model, _ = fit_transformer(examples, halves(examples), settings({"epochs": 8, "rate": 0.004, "loss": loss}))
    rows = examples.rows
    line = np.polyfit(examples.matrix[rows, 0], model.logits(examples, rows), 1)
    assert line[0] == pytest.approx(1.0, abs=0.35)


def test_a_saved_network_says_the_same():
    examples = dice(200)
    model, _ = fit_transformer(examples, halves(examples), settings({"epochs": 1}))
    again = NeuralModel.restore(model.state(), settings({"epochs": 1}))
    np.testing.assert_array_equal(model.logits(examples, examples.rows), again.logits(examples, examples.rows))


def test_steps_without_a_finite_loss_are_skipped_and_counted_and_many_refuse():
    examples = dice(800)
    examples.matrix[20] = np.nan  # seven of the windows hold it, none ends there
    row = np.arange(800)
    bare = dataclasses.replace(examples, decidable=examples.decidable & (row != 20) & (row % 4 != 0))
    split = bare.split(bare.rows[:400], bare.rows[420:])
    _, notes = fit_transformer(bare, split, settings({"batch": 2, "epochs": 1}))
    assert 1 <= notes["failed_steps"] <= 7
    examples.matrix[:400:4] = np.nan
    with pytest.raises(DataError, match=r"training steps had no finite loss; lower transformer.rate"):
        fit_transformer(bare, split, settings({"batch": 2, "epochs": 1}))


def test_windows_are_gathered_and_end_at_their_row():
    examples = dice(50)
    windows = examples.windows(np.array([7, 30]))
    np.testing.assert_array_equal(windows[1], examples.matrix[23:31])
    np.testing.assert_array_equal(examples.lagged(np.array([30]), (0, 2)), examples.matrix[[30, 28]].reshape(1, -1))


def test_predicting_holds_one_batch_of_windows_at_a_time():
    import tracemalloc

    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((20_000, 3)).astype(np.float32)  # all windows of 8 bars: 1.9 MB
    examples = Examples(matrix, 8, np.arange(20_000) >= 7, np.zeros(20_000), np.arange(20_000), np.zeros((20_000, 2)))
    model = NeuralModel(encoder(), SIZES, 0.0, 1)
    rows = examples.rows
    model.logits(examples, rows[:512])
    tracemalloc.start()
    model.logits(examples, rows)
    peak = tracemalloc.get_traced_memory()[1] - rows.nbytes
    tracemalloc.stop()
    assert peak < 600_000


def test_focal_output_means_another_probability():
    truth = np.array([0.05, 0.2, 0.5, 0.6, 0.75, 0.9, 0.95, 0.99])
    told = [0.2502, 0.3734, 0.5, 0.5378, 0.6012, 0.6942, 0.7498, 0.8464]
    np.testing.assert_allclose(focal_minimiser(truth, 2.0), told, atol=5e-5)  # METHODS 2.14


def test_the_closed_form_undoes_what_minimising_the_focal_loss_does():
    for truth in (0.1, 0.3, 0.5, 0.8, 0.95):
        grid = torch.linspace(-6, 6, 24_001, dtype=torch.float64)
        ones, zeros = torch.ones_like(grid), torch.zeros_like(grid)
        expected = truth * focal_loss(grid, ones, 2.0) + (1 - truth) * focal_loss(grid, zeros, 2.0)
        best = grid[expected.argmin()]
        assert float(torch.sigmoid(recovered_logit(best, 2.0))) == pytest.approx(truth, abs=2e-4)


def test_focal_loss_without_focus_is_the_cross_entropy_and_its_gradient_is_right():
    logits = torch.tensor([-3.0, 0.1, 4.0, 30.0], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(focal_loss(logits, y, 0.0), binary_loss(logits, y))
    assert torch.autograd.gradcheck(lambda z: focal_loss(z, y, 2.0), (logits,))
    assert torch.isfinite(recovered_logit(torch.tensor([-80.0, 80.0]), 2.0)).all()


PATCHED = SIZES._replace(patch=4, patch_step=3)


def patched(sizes: Sizes = PATCHED) -> Encoder:
    torch.manual_seed(0)
    return Encoder(sizes, Scaler(torch.zeros(3), torch.ones(3)), 0.5).eval()


@pytest.mark.parametrize(("patch", "step", "tokens"), [(4, 3, 2), (4, 2, 3), (8, 8, 1), (2, 1, 7)])
def test_patches_are_counted_from_the_last_bar_and_so_are_their_parameters(patch, step, tokens):
    sizes = SIZES._replace(patch=patch, patch_step=step)
    network = patched(sizes)
    assert sizes.tokens == tokens == network.position.shape[0]
    assert sum(p.numel() for p in network.parameters()) == sizes.parameters
    windows = torch.randn(2, 8, 6, requires_grad=True)
    assert network.embed(windows).shape == (2, tokens, 16)
    network.embed(windows)[:, -1].sum().backward()
    seen = windows.grad.abs().sum((0, 2)).nonzero().flatten().tolist()
    assert seen == list(range(8 - patch, 8))


def test_a_patch_is_one_linear_map_of_its_bars():
    network, x = patched(), torch.randn(3, 8, 6)
    slices = torch.stack([x[:, first : first + 4] for first in (1, 4)], dim=1)
    weight = network.embed.mix.weight.permute(0, 2, 1).reshape(16, -1)
    told = slices.reshape(3, 2, -1) @ weight.T + network.embed.mix.bias
    with torch.no_grad():
        torch.testing.assert_close(network.embed(x), told, atol=1e-5, rtol=1e-5)


def test_an_encoder_of_patches_learns_a_planted_edge():
    examples = dice(1500, planted=2.0)
    keys = {"epochs": 6, "rate": 0.004, "patch": 4, "patch_step": 2}
    model, _ = fit_transformer(examples, halves(examples), settings(keys))
    rows = halves(examples).inner
    assert ((model.logits(examples, rows) > 0) == (examples.matrix[rows, 0] > 0)).mean() > 0.85


@pytest.mark.parametrize("keys", [{"patch": 9}, {"patch": 4, "patch_step": 5}, {"patch": 1, "patch_step": 1}])
def test_patches_that_do_not_fit_the_window_are_refused(keys):
    with pytest.raises(UsageError, match=r"transformer.patch must be 0, or in 2..window with 1 <= patch_step <= patch"):
        settings(keys)


def test_the_shape_follows_the_configuration():
    assert sizes_of(settings(), 3) == SIZES
