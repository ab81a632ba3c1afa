"""The volatility agent: its loss, its rivals, and that it foresees what can be foreseen and nothing else."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from engine.bars import Bars
from engine.errors import DataError
from engine.synthetic import random_bars
from models.predictor import Predictor
from models.volatility import INPUTS, foreseen_volatility, volatility_inputs, volatility_memory
from research.checkpoints import Checkpoints
from research.export_volatility import volatility_graph
from research.verbs import research_app
from research.volatility import (
    EVERYTHING,
    HAR,
    diebold_mariano,
    ewma,
    fit_volatility,
    qlike,
    race,
    realised_ahead,
    taught,
)
from research.volatility_road import race_key

AHEAD = 8


def stormy(n: int, seed: int = 0, persistence: float = 0.995, noise: float = 0.12) -> tuple[Bars, np.ndarray]:
    """Return a market whose log variance wanders and returns, and that variance."""
    rng = np.random.default_rng(seed)
    h = np.zeros(n)
    for i in range(1, n):
        h[i] = persistence * h[i - 1] + noise * rng.standard_normal()
    variance = 1e-4 * np.exp(h)
    close = 100.0 * np.exp(np.cumsum(np.sqrt(variance) * rng.standard_normal(n)))
    opened = np.r_[100.0, close[:-1]]
    reach = np.exp(0.5 * np.sqrt(variance) * np.abs(rng.standard_normal((2, n))))
    high, low = np.maximum(opened, close) * reach[0], np.minimum(opened, close) / reach[1]
    return Bars(random_bars(n).open_time, opened, high, low, close, np.ones(n), 3600 * 10**9, "STORM"), variance


def test_the_loss_is_least_where_the_forecast_is_the_mean_variance():
    realised = 0.5 * np.random.default_rng(0).chisquare(3, 100_000)
    grid = np.linspace(0.5, 3.0, 251)
    losses = [qlike(realised, np.full(len(realised), h)).mean() for h in grid]
    assert grid[int(np.argmin(losses))] == pytest.approx(realised.mean(), abs=0.02)
    np.testing.assert_array_equal(qlike(realised, realised), 0.0)


def test_the_statistic_is_the_one_of_a_regression_with_newey_wests_errors():
    api = pytest.importorskip("statsmodels.api", reason="needs statsmodels (dev extra)")
    rng = np.random.default_rng(1)
    gain = np.convolve(rng.standard_normal(800), np.ones(6))[:800] + 0.3
    peer = api.OLS(gain, np.ones(800)).fit(cov_type="HAC", cov_kwds={"maxlags": 10, "use_correction": False})
    t, p = diebold_mariano(gain, 10)
    assert t == pytest.approx(peer.tvalues[0], rel=1e-9)
    assert p == pytest.approx(peer.pvalues[0], rel=1e-6)


def test_differences_that_overlap_are_not_counted_as_independent():
    rng = np.random.default_rng(2)
    significant = [
        diebold_mariano(np.convolve(rng.standard_normal(600), np.ones(24), "valid"), lags)[1] < 0.05
        for lags in (0, 48)
        for _ in range(150)
    ]
    assert np.mean(significant[:150]) > 0.5
    assert np.mean(significant[150:]) < 0.2


def test_the_average_is_its_recursion():
    returns = np.random.default_rng(3).standard_normal(50)
    slow = [returns[0] ** 2]
    for r in returns[1:]:
        slow.append(0.9 * slow[-1] + 0.1 * r**2)
    np.testing.assert_allclose(ewma(returns, 0.9), slow, rtol=1e-12)


def test_har_finds_the_coefficients_it_was_made_with():
    rng = np.random.default_rng(4)
    inputs = rng.standard_normal((20_000, len(INPUTS)))
    log = -9.0 + inputs[:, list(HAR)] @ [0.4, 0.3, 0.2] + 0.5 * rng.standard_normal(20_000)
    model = fit_volatility(inputs, np.exp(log), HAR, 0.0)
    np.testing.assert_allclose(model.slope / model.deviation, [0.4, 0.3, 0.2], atol=0.02)
    assert model.scale == pytest.approx(np.exp(0.125), rel=0.02)
    assert model.spread == pytest.approx(0.5, rel=0.02)
    assert np.mean(np.exp(log) / model.variance(inputs)) == pytest.approx(1.0, rel=1e-6)


def test_inputs_are_what_they_say_from_the_past_alone():
    bars, _ = stormy(400)
    found = volatility_inputs(bars, AHEAD)
    r = np.diff(np.log(bars.close), prepend=np.nan)
    t = 300
    for column, k in ((0, 2), (1, 8), (2, 40), (3, 176)):
        assert found[t, column] == pytest.approx(np.log(np.mean(r[t - k + 1 : t + 1] ** 2)), rel=1e-9)
    assert found[t, 5] == pytest.approx(r[t - 7 : t + 1].mean() * np.sqrt(8) / np.exp(found[t, 1] / 2), rel=1e-9)
    assert realised_ahead(bars, AHEAD)[t] == pytest.approx(np.mean(r[t + 1 : t + 9] ** 2), rel=1e-9)
    memory = volatility_memory(AHEAD)
    assert np.isfinite(found[memory - 1 :]).all()
    for end in (memory, 250, 399):
        np.testing.assert_array_equal(volatility_inputs(bars[end - memory : end], AHEAD)[-1], found[end - 1])


def test_a_gap_leaves_no_input_that_crosses_it():
    bars = random_bars(700, seed=4, gaps=0.004)
    found = volatility_inputs(bars, 2)
    gap = np.flatnonzero(~bars.follows)
    assert len(gap) > 1
    for at in gap:
        assert np.isnan(found[at : at + 44, 3]).all()


def test_the_future_is_foreseen_where_volatility_wanders_and_not_where_it_stands_still():
    wandering, still = stormy(6000)[0], stormy(6000, noise=0.0)[0]
    told = {one.name: one for one in race(wandering, AHEAD)[0]}
    assert told["agent"].r2 > 0.35
    assert told["HAR"].r2 > 0.35
    assert told["agent"].qlike <= told["HAR"].qlike + 0.01
    flat = {one.name: one for one in race(still, AHEAD)[0]}
    assert flat["agent"].r2 < 0.02


def test_nothing_after_a_fold_begins_teaches_its_models():
    bars, _ = stormy(1200)
    first = 900
    later = [np.r_[c[:first], 1.5 * c[first:]] for c in (bars.open, bars.high, bars.low, bars.close)]
    changed = Bars(bars.open_time, *later, bars.volume, bars.timeframe_ns)
    rows = taught(np.arange(176, 1190), first, AHEAD)
    assert rows[-1] == first - 1 - AHEAD
    np.testing.assert_array_equal(realised_ahead(changed, AHEAD)[rows], realised_ahead(bars, AHEAD)[rows])
    np.testing.assert_array_equal(volatility_inputs(changed, AHEAD)[:first], volatility_inputs(bars, AHEAD)[:first])
    assert realised_ahead(changed, AHEAD)[rows[-1] + 1] != realised_ahead(bars, AHEAD)[rows[-1] + 1]


def test_the_graph_says_what_the_model_says():
    bars, _ = stormy(1500)
    inputs, realised = volatility_inputs(bars, AHEAD), realised_ahead(bars, AHEAD)
    known = np.isfinite(inputs).all(axis=1) & (realised > 0)
    model = fit_volatility(inputs[known], realised[known], EVERYTHING)
    log, chance = foreseen_volatility(Predictor(volatility_graph(model), 1, 6), bars, AHEAD, since=400)
    assert np.isnan(log[:400]).all()
    np.testing.assert_allclose(np.exp(log[400:]), model.variance(inputs[400:]), rtol=2e-5)
    more = realised > np.exp(inputs[:, 1])
    rows = np.flatnonzero(known & np.isfinite(chance))
    for low, high in ((0.0, 0.4), (0.4, 0.6), (0.6, 1.0)):
        some = rows[(chance[rows] >= low) & (chance[rows] < high)]
        assert more[some].mean() == pytest.approx(chance[some].mean(), abs=0.08)


def test_too_short_a_history_is_refused_with_the_length_it_takes():
    with pytest.raises(DataError, match=r"300 bars of RANDOM-0 are too few to race volatility forecasts; bring \d+"):
        race(random_bars(300), AHEAD)


def test_the_command_prints_one_race_and_writes_one_graph(tmp_path):
    out = tmp_path / "volatility.onnx"
    shown = CliRunner().invoke(research_app, ["volatility", "nasdaq-1d", "--json", "--out", str(out)])
    assert shown.exit_code == 0, shown.output
    page = json.loads(shown.stdout)
    assert [one["name"] for one in page["races"]] == ["agent", "HAR", "EWMA"]
    assert page["to"] < "2016-02-16"  # the test zone takes no part
    assert out.stat().st_size > 500
    told = CliRunner().invoke(research_app, ["volatility", "nasdaq-1d"]).stdout
    assert "QLIKE" in told
    assert "variance of the next 5 bars" in told


KILLED = """
import os, signal, sys
from pathlib import Path
from research.checkpoints import Checkpoints
from research.volatility import race
from tests.test_research_volatility import AHEAD, stormy

def tell(text, done, total):
    if done == 5:
        os.kill(os.getpid(), signal.SIGKILL)

race(stormy(3000)[0], AHEAD, tell=tell, parts=Checkpoints(Path(sys.argv[1]), "k" * 16, False))
"""


def test_a_race_killed_and_resumed_is_the_race_bit_for_bit(tmp_path):
    bars = stormy(3000)[0]
    whole = race(bars, AHEAD)
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False).returncode
    assert ended == -signal.SIGKILL
    assert len(list(tmp_path.rglob("fold-*.npz"))) == 5
    parts = Checkpoints(tmp_path, "k" * 16, resume=True)
    assert race(bars, AHEAD, parts=parts) == whole  # floats compared as they are
    assert parts.resumed == [f"fold-{i}" for i in range(5)]
    kept = tmp_path / f"parts-{'k' * 16}" / "fold-2.npz"
    arrays = dict(np.load(kept))
    np.savez(kept, **arrays | {"agent": 2.0 * arrays["agent"]})
    assert race(bars, AHEAD, parts=Checkpoints(tmp_path, "k" * 16, resume=True)) != whole  # what is kept is what counts
    assert race(bars, AHEAD, parts=Checkpoints(tmp_path, "k" * 16, resume=False)) == whole


def test_the_command_goes_on_after_a_stop_and_never_with_other_bars_or_another_horizon(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = CliRunner().invoke(research_app, ["volatility", "nasdaq-1d", "--json"]).stdout
    parts = sorted(tmp_path.rglob("fold-*.npz"))
    assert len(parts) == 8
    for late in parts[3:]:
        late.unlink()  # as if it had been stopped
    before = {path: path.stat().st_mtime_ns for path in parts[:3]}
    again = CliRunner().invoke(research_app, ["volatility", "nasdaq-1d", "--json", "--resume"])
    assert again.stdout == whole
    assert {path: path.stat().st_mtime_ns for path in parts[:3]} == before
    assert all(path.exists() for path in parts)
    bars, ahead = stormy(900)[0], 8
    keys = {race_key(bars, ahead), race_key(bars, 9), race_key(bars[:800], ahead)}
    assert len(keys) == 3


def test_on_bitcoin_it_beats_har_and_har_beats_the_average(shared_data):
    from engine.history.find import find_bars

    found = sorted((shared_data / "crypto").glob("*BTC*1h*"))
    if not found:
        pytest.skip("needs hourly bitcoin bars in ../shared/data/crypto")
    told = {one.name: one for one in race(find_bars(str(found[0]), shared_data)[:58_000], 24)[0]}
    assert told["agent"].t > 2.0
    assert told["EWMA"].t < 0.0
