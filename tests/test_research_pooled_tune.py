"""A search over a pool learns from all markets, judges at home, and from no market what a held-out label tells away."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import research.tuning as tuning
from engine.synthetic import random_bars
from engine.trials import TrialLedger
from research.measures import auc
from research.search_space import configured, defaults, widest
from research.study import make_study
from research.tune import Search
from research.tuning import Task, fold_splits, judge_trial, judged_folds
from research.verbs import research_app
from tests.test_research_pooled import HOME, HOUR, OTHERS, named, times, tiny

FOLDS = 4
CONFIG = tiny(trees={"lags": [0, 1], "rounds": 30})


@pytest.fixture(scope="module")
def task():
    """Three markets beside the home market: earlier, later, with gaps elsewhere."""
    return Task(CONFIG, HOME, FOLDS, ("logistic", "trees"), OTHERS)


def test_no_market_teaches_a_label_that_shares_time_with_a_held_out_one(task):
    study, time, end = task.study, times(task.study), task.study.examples.end
    apart = study.config.embargo * HOUR
    for held, split in fold_splits(study, FOLDS):
        first, last = time[held[0]] + HOUR, time[end[held]].max()
        for rows in (split.train, split.inner):
            before, after = time[end[rows]] < first, time[rows] + HOUR > last
            assert (before | after).all()
            home = rows[rows < len(HOME)]
            assert (home[home > held[-1]] + 1 > end[held].max() + study.config.embargo).all()
            others = rows[(rows >= len(HOME)) & after]
            assert (time[others] + HOUR > last + apart).all()  # a gap at home only lengthens the embargo


def test_every_other_market_teaches_on_both_sides_of_what_is_held_out(task):
    study = task.study
    for number, (held, split) in enumerate(fold_splits(study, FOLDS)):
        others = split.train[split.train >= len(HOME)]
        early, late = study.place[others] < held[0], study.place[others] > held[-1]
        assert early.any() == (number > 0)
        assert late.any() == (number < FOLDS - 1)
        assert len(others) > 0.5 * (split.train < len(HOME)).sum()
        assert (held < len(HOME)).all()


def test_what_all_markets_teach_is_what_a_pooled_training_learns_from_less_what_is_purged(task):
    study = task.study
    held, split = list(fold_splits(study, FOLDS))[-1]  # the last run: all that is left lies before it
    home = split.train[split.train < len(HOME)]
    whole = study.pooled(home)
    assert set(split.train) <= set(whole)
    lost = np.setdiff1d(whole, split.train)
    assert (study.place[study.examples.end[lost]] >= held[0] + 1).all()
    weights = study.examples.split(split.train, split.inner)
    assert np.array_equal(weights.weights, split.weights)


def test_rows_that_stop_and_calibrate_come_after_those_that_teach_on_every_market(task):
    study = task.study
    for _, split in fold_splits(study, FOLDS):
        assert (
            study.place[study.examples.end[split.train]].max() + study.config.embargo
            < study.place[split.inner].min() + 1
        )


TWIN = named(HOME, "TWIN")
HEART = tiny(
    trees={"lags": [0, 1], "rounds": 12, "rate": 1.0, "depth": 8, "least_weight": 0.01, "ridge": 0.0, "rows": 1.0}
)


def by_heart():
    """How well trees that learn by heart rank held-out labels of noise whose twin stands in the pool."""
    task = Task(HEART, HOME, FOLDS, ("trees",), (TWIN,))
    config = configured(HEART, defaults(HEART, "trees") | {"trees.rate": 1.0, "trees.ridge": 0.0, "trees.depth": 8,
                                                           "trees.least_weight": 0.01, "trees.rows": 1.0})  # fmt: skip
    folds = list(judged_folds(task.study, config, FOLDS))
    return [auc(task.study.examples.y[fold.rows], fold.p) for fold in folds]


def test_a_twin_in_the_pool_tells_no_held_out_label(monkeypatch):
    honest = by_heart()
    monkeypatch.setattr(tuning, "apart", lambda study, rows, first, last: rows)  # the pool is not purged
    leaked = by_heart()
    assert max(honest) < 0.58  # noise
    assert max(leaked) > 0.7
    assert max(leaked) > max(honest) + 0.1


def test_a_search_is_scored_on_the_home_market_and_taught_by_the_pool(task):
    alone = replace(task, others=())
    chosen = defaults(CONFIG, "logistic")
    folds = {"pool": [], "alone": []}
    pooled, line = judge_trial(task, chosen, lambda fold: bool(folds["pool"].append(fold)))
    own, own_line = judge_trial(alone, chosen, lambda fold: bool(folds["alone"].append(fold)))
    for a, b in zip(folds["pool"], folds["alone"], strict=True):
        assert np.array_equal(a.rows, b.rows)  # the same labels of the home market
        assert not np.array_equal(a.p, b.p)  # foreseen by another model
    assert pooled.no_skill == own.no_skill
    assert line.data == own_line.data == "HOME 1h"
    assert line.config["pool"] == ["EARLY", "LATE", "LONGER"]
    assert "pool" not in own_line.config
    assert line.config_hash != own_line.config_hash


def test_another_pool_is_another_search(task, tmp_path):
    searches = [
        Search(replace(task, others=others), 2, 0, "sqlite://", tmp_path / "trials.db", lambda: "")
        for others in ((), OTHERS, OTHERS[:2])
    ]
    assert len({search.name for search in searches}) == 3


def test_the_others_rows_beyond_development_change_no_fold(task):
    stop = HOME.open_time[task.study.development.stop]
    cut = make_study(widest(CONFIG, task.kinds), HOME, [bars[: bars.since(stop)] for bars in OTHERS])
    for (held, whole), (same, part) in zip(fold_splits(task.study, FOLDS), fold_splits(cut, FOLDS), strict=True):
        assert np.array_equal(held, same)
        for rows, again in ((whole.train, part.train), (whole.inner, part.inner)):
            assert np.array_equal(times(task.study)[rows], times(cut)[again])


def saved(folder, bars):
    frame = pd.DataFrame({c: getattr(bars, c) for c in ("open", "high", "low", "close", "volume")})
    frame.index = pd.DatetimeIndex(bars.open_time, tz="UTC", name="timestamp")
    frame.to_parquet(folder / f"{bars.symbol}_1h.parquet")
    return str(folder / f"{bars.symbol}_1h.parquet")


def test_the_command_reads_the_pool_of_the_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = [saved(tmp_path, named(random_bars(1600, seed=seed), name)) for seed, name in ((1, "HOME"), (2, "AWAY"))]
    (tmp_path / "coins.toml").write_text(
        f'pool = ["{files[1]}"]\nwindow = 8\nfeatures = ["ret_1", "ret_6"]\n'
        'candidates = ["logistic"]\n[barriers]\nhold = 6\n'
    )
    asked = [
        "tune",
        "coins",
        "--bars",
        files[0],
        "--config",
        "coins.toml",
        "--trials",
        "2",
        "--random",
        "0",
        "--folds",
        "3",
    ]
    shown = CliRunner().invoke(research_app, [*asked, "--json"])
    assert shown.exit_code == 0, shown.output
    lines = TrialLedger(tmp_path / "data" / "trials.db").trials()
    assert {tuple(line.config["pool"]) for line in lines} == {("AWAY",)}
    assert {line.data for line in lines} == {"HOME 1h"}
    picked = json.loads(shown.stdout)
    assert files[1] in (tmp_path / picked["config"]).read_text()  # the pick trains on the same pool
