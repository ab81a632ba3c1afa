"""Windows in batches and the loop that learns from them: same batches, little memory, failures counted."""

from __future__ import annotations

import json
import math
import tracemalloc
from time import perf_counter

import numpy as np
import pytest
import torch

from engine.errors import DataError, UsageError
from engine.jsons import dumps
from research.agent_settings import Compute
from research.events import Examples
from research.fit_transformer import fit_transformer
from research.hardware import Hardware, agreed, hardware_of, own_share
from research.learning import CLIP, Learning
from research.loader import Source, batches, gather, on_disk
from tests.research_toys import dice, halves, settings


def slow_windows(matrix, rows, window):
    return np.stack([matrix[row - window + 1 : row + 1] for row in rows])


@pytest.mark.parametrize(("n", "features", "window"), [(50, 3, 8), (9, 1, 9), (30, 5, 1)])
def test_a_gather_is_the_windows_one_by_one(n, features, window):
    matrix = np.random.default_rng(0).standard_normal((n, features)).astype(np.float32)
    rows = np.random.default_rng(1).integers(window - 1, n, 40)
    np.testing.assert_array_equal(gather(matrix, rows, window), slow_windows(matrix, rows, window))
    last = gather(matrix, np.array([n - 1]), window)
    np.testing.assert_array_equal(last[0], matrix[n - window :])
    assert gather(matrix, np.empty(0, np.int64), window).shape == (0, window, features)


@pytest.mark.parametrize("row", [6, 50, -1])
def test_a_window_that_is_not_whole_is_refused(row):
    with pytest.raises(IndexError, match=r"rows must lie in 7..49, as a window has 8 bars"):
        gather(np.zeros((50, 3), np.float32), np.array([20, row]), 8)


@pytest.mark.slow  # a timing, side by side
def test_a_gather_is_at_least_as_fast_as_one_index_per_bar():
    matrix = np.random.default_rng(0).standard_normal((1_000_000, 12)).astype(np.float32)
    rows = [np.random.default_rng(i).integers(64, 1_000_000, 256) for i in range(100)]
    taken: dict[str, list[float]] = {"ours": [], "one by one": []}
    for _ in range(7):
        for name, cut in (
            ("ours", lambda some: gather(matrix, some, 64)),
            ("one by one", lambda some: matrix[some[:, None] + np.arange(-63, 1)]),
        ):
            begun = perf_counter()
            for some in rows:
                cut(some)
            taken[name].append(perf_counter() - begun)
    assert min(taken["ours"]) < 0.7 * min(taken["one by one"])


def order_of(examples: Examples, size: int = 32):
    shuffled = np.random.default_rng(2).permutation(examples.rows)
    return [shuffled[i : i + size] for i in range(0, len(shuffled), size)]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("disk", [False, True])
def test_batches_are_the_same_from_memory_and_from_disk_in_this_process_and_another(workers, disk, tmp_path):
    examples = dice(300)
    weight, order = np.linspace(0, 1, 300), order_of(examples)
    matrix = on_disk(tmp_path / "x.npy", np.array_split(examples.matrix, 7), 3) if disk else examples.matrix
    there = Examples(matrix, 8, examples.decidable, examples.y, examples.end, examples.net)
    dice_before = torch.random.get_rng_state()
    found = list(batches(there, examples.y, weight, order, workers))
    assert len(found) == len(order)
    for batch, rows in zip(found, order, strict=True):
        np.testing.assert_array_equal(batch.windows, slow_windows(examples.matrix, rows, 8))
        np.testing.assert_array_equal(batch.y, examples.y[rows])
        np.testing.assert_array_equal(batch.weight, weight[rows].astype(np.float32))
    torch.testing.assert_close(torch.random.get_rng_state(), dice_before)


def test_a_training_through_a_worker_from_disk_is_the_training_from_memory(tmp_path):
    examples = dice(300)
    matrix = on_disk(tmp_path / "x.npy", [examples.matrix], 3)
    there = Examples(matrix, 8, examples.decidable, examples.y, examples.end, examples.net)
    keys = {"epochs": 2, "dropout": 0.2}
    told, _ = fit_transformer(examples, halves(examples), settings(keys))
    again, _ = fit_transformer(there, halves(there), settings(keys, compute={"workers": 1}))
    for name, value in told.state().items():
        np.testing.assert_array_equal(again.state()[name], value, err_msg=name)


def test_a_history_longer_than_memory_costs_one_batch(tmp_path):
    """Two million bars of 12 features: all windows of 128 bars would take 12 GB."""
    zeros = np.zeros((250_000, 12), np.float32)
    tracemalloc.start()
    matrix = on_disk(tmp_path / "long.npy", (zeros for _ in range(8)), 12)
    source = Source(matrix, 128, np.zeros(2_000_000), np.zeros(2_000_000))
    tracemalloc.reset_peak()
    held = tracemalloc.get_traced_memory()[0]
    rows = np.random.default_rng(0).integers(127, 2_000_000, (20, 256))
    for some in rows:
        batch = source.__getitems__(some)
    peak = tracemalloc.get_traced_memory()[1] - held
    tracemalloc.stop()
    assert batch.windows.shape == (256, 128, 12)
    assert peak < 10e6


def test_a_file_of_features_is_there_when_it_is_whole(tmp_path):
    def parts():
        yield np.ones((3, 2), np.float32)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        on_disk(tmp_path / "x.npy", parts(), 2)
    assert not (tmp_path / "x.npy").exists()
    assert on_disk(tmp_path / "x.npy", [np.ones((3, 2), np.float32)], 2).shape == (3, 2)
    assert on_disk(tmp_path / "x.npy", [], 2).shape == (0, 2)


class Line(torch.nn.Module):
    """The smallest network there is."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2, 1))


def learning(epochs: int = 1, steps: int = 100, **keys) -> Learning:
    config = settings({"epochs": epochs, "rate": 0.1, "decay": 0.0, "warmup": 0.0, **keys})
    return Learning(Line(), config.transformer, steps, "transformer")


def test_a_loss_that_is_no_number_moves_nothing_and_is_counted():
    run = learning()
    before = run.network.weight.detach().clone()
    run.step(run.network.weight.sum() * torch.tensor(math.nan))
    run.step(run.network.weight.sum() * torch.tensor(math.inf))
    torch.testing.assert_close(run.network.weight.detach(), before)
    assert (run.failed, run.done) == (2, 2)
    run.step(run.network.weight.sum())
    assert not torch.equal(run.network.weight.detach(), before)


def test_an_injected_nan_is_in_the_notes_and_too_many_end_the_training():
    def epoch(bad: int, of: int):
        run = learning()
        return run, lambda: (run.network.weight.sum() * torch.tensor(math.nan if i < bad else 1.0) for i in range(of))

    run, losses = epoch(3, 80)
    assert run.run(losses, lambda: 1.0)["failed_steps"] == 3
    run, losses = epoch(10, 80)
    with pytest.raises(DataError, match=r"4 of 4 training steps had no finite loss; lower transformer.rate"):
        run.run(losses, lambda: 1.0)


def test_gradients_are_clipped_to_a_norm_of_one():
    run = learning()
    run.step(1e6 * run.network.weight.sum())
    assert float(run.network.weight.grad.norm()) == pytest.approx(CLIP, rel=1e-4)


def test_the_best_epoch_is_kept_and_patience_ends():
    run = learning(epochs=10, patience=2)
    heights, seen = iter([3.0, 1.0, 2.0, 2.5, 0.1]), []

    def inner_loss():
        seen.append(run.network.weight.detach().clone())
        return next(heights)

    notes = run.run(lambda: [run.network.weight.sum()], inner_loss)
    assert notes["inner_losses"] == [3.0, 1.0, 2.0, 2.5]
    assert notes["epoch"] == 2
    torch.testing.assert_close(run.network.weight.detach(), seen[1])


def test_the_rate_rises_and_falls_to_nothing():
    run = learning(steps=20, warmup=0.25)
    rates = []
    for _ in range(20):
        rates.append(run.schedule.get_last_lr()[0])
        run.step(run.network.weight.sum())
    np.testing.assert_allclose(rates[:5], 0.1 * np.arange(1, 6) / 5)
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert run.schedule.get_last_lr()[0] < 0.002


def test_curves_are_written_where_they_are_asked_for(tmp_path):
    pytest.importorskip("tensorboard", reason="needs tensorboard (dev extra)")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    examples = dice(120)
    plain, notes = fit_transformer(examples, halves(examples), settings({"epochs": 2}))
    for _ in range(2):
        drawn, _ = fit_transformer(
            examples, halves(examples), settings({"epochs": 2}, compute={"curves": str(tmp_path)})
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["transformer-1", "transformer-2"]
    read = EventAccumulator(str(tmp_path / "transformer-1")).Reload()
    assert [event.step for event in read.Scalars("inner_loss")] == [0, 1]
    assert read.Scalars("inner_loss")[1].value == pytest.approx(notes["inner_losses"][1], rel=1e-6)
    for name, value in plain.state().items():
        np.testing.assert_array_equal(drawn.state()[name], value)


@pytest.mark.parametrize("kind", ["streaming", "transformer", "supcon"])
def test_every_network_draws_its_curves_in_the_one_loop_and_learns_the_same(kind, tmp_path):
    pytest.importorskip("tensorboard", reason="needs tensorboard (dev extra)")
    from research.candidates import fit_candidate

    small = {"streaming": {"epochs": 2, "band": 8, "chunk": 64}, "supcon": {"epochs": 2, "batch": 32}}
    examples = dice(160)
    plain, told = (
        fit_candidate(kind, examples, halves(examples), settings({"epochs": 2}, compute={"curves": where}, **small))
        for where in ("", str(tmp_path))
    )
    assert [path.name for path in tmp_path.iterdir()] == [f"{kind}-1"]
    assert plain[1] == told[1]
    for name, value in plain[0].state().items():
        np.testing.assert_array_equal(told[0].state()[name], value)


def test_curves_without_tensorboard_say_what_to_install(monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match=r"compute.curves needs TensorBoard: pip install tensorboard"):
        fit_transformer(dice(60), halves(dice(60)), settings({"epochs": 1}, compute={"curves": str(tmp_path)}))


def test_a_cpu_is_always_enough_and_what_only_pays_on_a_gpu_stays_off_there():
    assert hardware_of(Compute()) == hardware_of(Compute(mixed=True, compiled=True)) == Hardware(torch.device("cpu"))
    if not torch.cuda.is_available():
        assert hardware_of(Compute("auto")).device.type == "cpu"
        with pytest.raises(UsageError, match="this machine has no GPU that torch can use"):
            hardware_of(Compute("cuda"))


def test_mixed_precision_is_the_same_path_with_fewer_digits():
    """On a CPU bfloat16 does not pay, but it runs: the path of a GPU is tried where there is none."""
    network = torch.nn.Linear(4, 1)
    hardware, x = Hardware(torch.device("cpu"), mixed=True), torch.randn(8, 4)
    with hardware.forward():
        told = hardware.learner(network)(x)
    assert told.dtype == torch.bfloat16
    torch.testing.assert_close(told.float(), network(x), atol=0.05, rtol=0.05)
    told.float().mean().backward()
    assert network.weight.grad.dtype == torch.float32


def test_one_process_is_a_world_of_its_own():
    rows = np.arange(7)
    assert own_share(rows) is rows
    assert agreed(0.25) == agreed(0.25, smallest=True) == 0.25


def test_numbers_of_torch_and_numpy_have_one_encoder():
    told = dumps({"loss": torch.tensor(0.5), "n": np.int64(3), "p": np.array([0.25]), "t": torch.tensor(True)})
    assert json.loads(told) == {"loss": 0.5, "n": 3, "p": [0.25], "t": True}
