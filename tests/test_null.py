"""The whole road on dice shows nothing, and finds an edge where there is one: the pair that catches most leaks."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from engine.bars import Bars
from engine.card.judge import History, judge
from engine.card.verdict import PROVEN
from engine.errors import ModelMismatch
from engine.features import FEATURES
from engine.synthetic import random_bars
from live.ranking import Ranking
from live.unseen import Foresight
from models.bundle import load_bundle
from research.config import parse_config
from research.train import train
from strategies.workbench import compare_bundle
from tests import planted
from tests.test_research_training import TINY, momentum_bars

FREE = {"fee": 0.0, "maker_fee": 0.0, "slippage": 0.0}
SEEDS = (1, 2, 3, 4)
MORE_SEEDS = range(11, 31)


class Found(NamedTuple):
    """What the road found in a market."""

    record: dict  # the walk-forward's score on development
    unseen: Ranking  # of the served model on the test zone
    skill: tuple[float, float]
    words: dict[tuple[str, str], str]  # verdict by zone and profile
    gross: dict[str, np.ndarray]  # returns of trades before costs, by profile, of the record
    net: dict[str, np.ndarray]


def travelled(bars: Bars, folder: Path) -> Found:
    """Train on bars and judge what came out, on the walk-forward's record and on the test zone."""
    config = parse_config(TINY | {"candidates": ["logistic", "trees"]})
    bundle = load_bundle(train(config, bars, folder / "tiny", run_dir=folder / "run"))
    words, returns = {}, {}
    for zone in ("oos", "test"):
        for costs in (None, FREE):
            compared = compare_bundle(bundle, bars, zone, costs=costs, unseal="null test")
            returns[zone, costs is FREE] = {row.name: row.result.trades["ret"] for row in compared.rows[:3]}
            if costs is None:
                judged = judge(compared, History(others=1), tuple(bundle.regime_model.roles))
                words |= {(zone, one.row.name): one.verdict.word for one in judged.profiles}
    seen = Foresight(bundle, bars).unseen
    record = bundle.manifest.metrics["development_oof"]
    return Found(record, seen.ranked(), seen.skill(), words, returns["oos", True], returns["oos", False])


def errors_above(values: np.ndarray, level: float = 0.0) -> float:
    """Return by how many standard errors a mean lies above a level."""
    return float((values.mean() - level) / (values.std(ddof=1) / np.sqrt(len(values))))


def record_errors(found: Found) -> float:
    """Return by how many standard errors the record's AUC lies above a half."""
    return (found.record["auc"] - 0.5) / ((found.record["auc_high"] - found.record["auc_low"]) / 3.92)


def unseen_errors(found: Found) -> float:
    """Return by how many standard errors the AUC on the test zone lies above a half."""
    return (found.unseen.auc - 0.5) / found.unseen.error


@pytest.fixture(scope="module")
def nothing(tmp_path_factory):
    return [travelled(random_bars(2500, seed=seed), tmp_path_factory.mktemp(f"dice-{seed}")) for seed in SEEDS]


@pytest.fixture(scope="module")
def something(tmp_path_factory):
    return travelled(momentum_bars(5000), tmp_path_factory.mktemp("momentum"))


def shows_nothing(found: list[Found]) -> None:
    """Demand that no run, and not all of them together, knows anything about dice."""
    for name, errors in (("record", record_errors), ("unseen", unseen_errors)):
        apart = np.array([errors(one) for one in found])
        assert np.abs(apart).max() < 3.0, name
        assert abs(apart.mean()) * np.sqrt(len(apart)) < 3.0, name
    for one in found:
        assert one.record["skill"] < 3.0 * one.record["skill_se"]
        assert one.skill[0] < 3.0 * one.skill[1]
        assert PROVEN not in one.words.values()
        assert len(one.words) == 6


def test_dice_are_not_predicted_and_nothing_is_proven(nothing):
    shows_nothing(nothing)


def test_dice_pay_nobody(nothing):
    gross = np.concatenate([one.gross["Reckless"] for one in nothing])
    net = np.concatenate([one.net["Reckless"] for one in nothing])
    assert len(gross) > 200
    assert abs(errors_above(gross)) < 3.0
    assert errors_above(net) < 0.0
    assert net.mean() == pytest.approx(gross.mean() - 0.0023, abs=2e-4)  # two fees and most slippages


def test_a_leak_on_the_road_would_show(tmp_path, monkeypatch):
    """A feature that is a table of outcomes by time, half of them wrong: the test above can fail."""
    bars = random_bars(2500, seed=1)
    half = np.random.default_rng(0).random(len(bars)) < 0.5
    outcome = np.where(half, np.nan_to_num(planted.truth(bars, hold=6)), np.random.default_rng(1).random(len(bars)))
    known = dict(zip(bars.open_time.tolist(), outcome, strict=True))
    table = planted.leaky_feature("ret_1", lambda part: np.array([known[t] for t in part.open_time.tolist()]))
    monkeypatch.setitem(FEATURES, "ret_1", table)
    found = travelled(bars, tmp_path)
    with pytest.raises(AssertionError):
        shows_nothing([found])


def test_the_road_refuses_a_feature_that_knows_the_next_close(tmp_path, monkeypatch):
    def peek(bars: Bars) -> np.ndarray:
        return np.log(np.nan_to_num(planted.ahead(bars, 1), nan=bars.close[-1]) / bars.close)

    monkeypatch.setitem(FEATURES, "ret_1", planted.leaky_feature("ret_1", peek))
    with pytest.raises(ModelMismatch, match="nothing was shipped"):
        travelled(random_bars(2500, seed=1), tmp_path)


def test_an_edge_is_found_in_the_record_and_on_unseen_bars(something):
    assert something.record["auc_low"] > 0.55
    assert something.record["skill"] > 3.0 * something.record["skill_se"]
    assert something.unseen.above(0.5) < 0.001


def test_an_edge_pays_before_costs_and_the_auditor_does_not_lose_it(something):
    for profile in ("Sniper", "Audited", "Reckless"):
        assert errors_above(something.gross[profile]) > 3.0, profile
    assert something.gross["Audited"].mean() > 0.8 * something.gross["Reckless"].mean()


def test_an_edge_raises_no_leak_alarm(something):
    """An AUC of 0.65 on 240 labels may be luck above 0.58, and the walk-forward shows as much."""
    assert something.unseen.above(0.58) > 0.001
    assert abs(something.unseen.auc - something.record["auc"]) < 3.0 * something.unseen.error


@pytest.mark.slow
def test_twenty_walks_show_nothing(tmp_path):
    shows_nothing([travelled(random_bars(4000, seed=seed), tmp_path / str(seed)) for seed in MORE_SEEDS])


@pytest.mark.slow
def test_an_edge_against_the_trend_is_found_too(tmp_path):
    found = travelled(momentum_bars(5000, strength=-0.5), tmp_path)
    assert found.record["auc_low"] > 0.55
    assert errors_above(found.gross["Reckless"]) > 2.0
