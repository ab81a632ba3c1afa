"""Two processes on CPUs learn what one would, and the whole road may be walked by both."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from models.bundle import load_bundle
from research.fit_transformer import fit_transformer
from tests.conftest import ROOT
from tests.research_toys import dice, halves, settings

TINY = """
candidates = ["logistic", "transformer"]
force = "transformer"
window = 8
threads = 1
features = ["ret_1", "vol_24", "body"]
[trees]
lags = [0]
[folds]
count = 2
[transformer]
width = 8
feedforward = 16
epochs = 1
seeds = 1
[regime]
starts = 2
"""


@pytest.mark.slow  # two processes import torch
def test_two_processes_take_the_steps_of_one(tmp_path):
    command = [sys.executable, "-m", "tests.two_processes"]
    running = [
        subprocess.Popen([*command, str(i), "2", str(tmp_path / "meeting"), str(tmp_path)], cwd=ROOT) for i in (0, 1)
    ]
    assert [process.wait(timeout=240) for process in running] == [0, 0]
    first, second = (np.load(tmp_path / f"{i}.npz") for i in (0, 1))
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    examples = dice(600, planted=1.0)
    alone, notes = fit_transformer(examples, halves(examples), settings({"epochs": 2}))
    np.testing.assert_allclose(first["logits"], alone.logits(examples, examples.rows), atol=2e-4)
    np.testing.assert_allclose(first["losses"], notes["inner_losses"], atol=1e-5)


@pytest.mark.slow  # a whole training, twice at once
def test_torchrun_trains_one_bundle_and_goes_on_where_it_stopped(tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    command += ["research.distributed", "tiny", "--bars", "nasdaq-1d", "--config", "tiny.toml", "--out", "tiny"]
    for again in ([], ["--resume"]):
        done = subprocess.run([*command, *again], cwd=tmp_path, capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout.count("draft: tiny; judge it with") == 1
    assert load_bundle(tmp_path / "tiny").manifest.predictor["kind"] == "transformer"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs", "tiny", "tiny.toml"]
