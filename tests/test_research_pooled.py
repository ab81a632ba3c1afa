"""Several markets teach one predictor: nobody learns from another's future, and one market alone is the old road."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from engine.bars import Bars
from engine.errors import UsageError
from engine.history.store import Store
from engine.invariance import cuts_of, strategy_breaks
from engine.synthetic import random_bars
from live.verify import verify
from models.bundle import load_bundle
from research.candidates import fit_candidate
from research.checkpoints import run_key
from research.config import TrainConfig, parse_config
from research.finals import judged_rows
from research.road import named_markets
from research.study import Study, make_study
from research.train import train
from strategies import make_strategy
from tests.test_research_training import momentum_bars

TINY = {
    "name": "tiny",
    "window": 8,
    "threads": 1,
    "features": ["ret_1", "ret_6", "vol_24", "rsi_14", "body", "log_range"],
    "barriers": {"hold": 6},
    "folds": {"count": 2},
    "candidates": ["logistic"],
    "trees": {"lags": [0]},
    "streaming": {"width": 8, "heads": 2, "feedforward": 16, "band": 8, "chunk": 128, "epochs": 2, "seeds": 1},
    "regime": {"starts": 2, "screen_bars": 400},
    "auditor": {"rounds": 10, "least_events": 60},
}
HOUR = np.timedelta64(1, "h")


def tiny(**keys) -> TrainConfig:
    return parse_config(TINY | keys)


def named(bars: Bars, symbol: str, hours: int = 0) -> Bars:
    """Return bars of another name, moved in time."""
    return replace(bars, symbol=symbol, open_time=bars.open_time + hours * HOUR)


HOME = named(random_bars(1800, seed=1, gaps=0.002), "HOME")
OTHERS = (
    named(random_bars(2400, seed=2, gaps=0.002), "EARLY", hours=-500),
    named(random_bars(900, seed=3, gaps=0.002), "LATE", hours=700),
    named(random_bars(1700, seed=4), "LONGER", hours=300),
)


@pytest.fixture(scope="module")
def study() -> Study:
    return make_study(tiny(), HOME, OTHERS)


@pytest.fixture(scope="module")
def pooled(tmp_path_factory):
    """A pooled bundle and its run."""
    folder = tmp_path_factory.mktemp("pooled")
    return train(tiny(), (HOME, *OTHERS), folder / "tiny", run_dir=folder / "run"), folder / "run"


def times(study: Study) -> np.ndarray:
    return np.concatenate([bars.open_time for bars in (study.bars, *study.others)])


def test_no_market_teaches_what_was_not_over_when_the_later_rows_began(study):
    time, end, apart = times(study), study.examples.end, study.config.embargo * HOUR
    for fold in (study.final_fold(), *study.folds()):
        split, fence = study.split(fold), time[fold.fence]
        assert time[end[split.train]].max() + apart < time[split.inner].min() + HOUR
        assert time[end[split.inner]].max() <= fence
        assert fence + apart < time[study.predictable(fold.test)].min() + HOUR
        assert len(split.train) > 1.5 * len(fold.train)
    judged, fence = judged_rows(study), time[study.final_fold().fence]
    assert time[judged].min() - (study.config.reach - 1) * HOUR > fence
    assert time[end[judged]].max() < study.zones.test[0]
    assert (judged >= len(HOME)).sum() > len(HOME) * 0.15


def test_the_pooled_rows_are_those_that_a_clock_would_choose(study):
    time, end, n = times(study), study.examples.end, len(HOME)
    for fold in (study.final_fold(), *study.folds()):
        for rows in (fold.train, fold.inner):
            first, last = time[rows].min(), time[end[rows]].max()
            chosen = [r for r in study.examples.rows if r >= n and first <= time[r] and time[end[r]] <= last]
            found = study.pooled(rows)
            np.testing.assert_array_equal(found[: len(rows)], rows)
            missed = np.setxor1d(found[len(rows) :], chosen)  # bars in a gap of the home market's count as its next
            assert len(missed) <= 10
            assert all(np.abs(time[missed] - first) < 80 * HOUR) or len(missed) == 0


def test_judged_rows_come_in_the_order_of_time(study):
    rows = judged_rows(study)
    assert (np.diff(study.place[rows]) >= 0).all()
    assert len(np.unique(rows)) == len(rows)


def test_what_comes_after_a_fold_changes_nothing_it_learns(study):
    time = times(study)
    for fold in (study.final_fold(), study.folds()[0]):
        until = time[fold.fence] + HOUR
        cut = make_study(tiny(), HOME, [bars[: bars.since(until)] for bars in OTHERS if bars.open_time[0] < until])
        for whole, part in zip(study.split(fold), cut.split(fold), strict=True):
            assert len(whole) == len(part)
        for side in ("train", "inner"):
            a, b = getattr(study.split(fold), side), getattr(cut.split(fold), side)
            np.testing.assert_array_equal(time[a], times(cut)[b])
            np.testing.assert_array_equal(study.examples.y[a], cut.examples.y[b])
            np.testing.assert_array_equal(study.examples.windows(a), cut.examples.windows(b))
            np.testing.assert_array_equal(study.split(fold).weights, cut.split(fold).weights)


def test_what_the_others_do_in_the_sealed_zone_changes_no_file_but_the_page(pooled, tmp_path):
    stop = load_bundle(pooled[0]).manifest.zones.test[0]
    cut = [bars[: bars.since(stop)] for bars in OTHERS]
    again = train(tiny(), (HOME, *cut), tmp_path / "tiny", run_dir=tmp_path / "run")
    files = {path.name: path.read_bytes() for path in pooled[0].iterdir() if path.name != "manifest.json"}
    assert files == {path.name: path.read_bytes() for path in again.iterdir() if path.name != "manifest.json"}
    ours, theirs = load_bundle(pooled[0]).manifest, load_bundle(again).manifest
    assert ours.metrics == theirs.metrics
    assert ours.calibration == theirs.calibration


def test_a_pool_of_one_is_the_road_of_one_market_byte_for_byte(tmp_path):
    alone = train(tiny(), HOME, tmp_path / "a", run_dir=tmp_path / "run-a")
    pool = train(tiny(pool=["HOME"]), [HOME], tmp_path / "b", run_dir=tmp_path / "run-b")
    files, again = ({p.name: p.read_bytes() for p in folder.iterdir()} for folder in (alone, pool))
    pages = [json.loads(one.pop("manifest.json")) | {"code": None} for one in (files, again)]  # a clone may move on
    assert files == again
    assert pages[0] == pages[1]
    assert "pool" not in (alone / "manifest.json").read_text()


def test_the_same_market_twice_is_worth_once(study):
    alone = make_study(tiny(), HOME)
    twins = make_study(tiny(), HOME, [named(HOME, "TWIN")])
    rows = judged_rows(twins)
    assert len(rows) == 2 * len(judged_rows(alone))
    told = [s.uniqueness(judged_rows(s)).sum() for s in (twins, alone)]
    assert told[0] == pytest.approx(told[1], rel=1e-9)
    np.testing.assert_array_equal(alone.uniqueness(judged_rows(alone)), alone.examples.uniqueness(judged_rows(alone)))
    rows = judged_rows(study)
    assert study.uniqueness(rows).sum() < 0.5 * study.examples.uniqueness(rows).sum()


def test_each_markets_windows_are_its_own(study):
    model = fit_candidate("logistic", study.examples, study.split(study.final_fold()), study.config)[0]
    first = len(HOME)
    for bars in OTHERS:
        own = make_study(tiny(), bars) if len(bars) > 1000 else None
        if own is not None:
            rows = own.examples.rows
            np.testing.assert_array_equal(study.examples.windows(first + rows), own.examples.windows(rows))
            np.testing.assert_array_equal(study.examples.y[first + rows], own.examples.y[rows])
            np.testing.assert_array_equal(model.logits(study.examples, first + rows), model.logits(own.examples, rows))
        first += len(bars)


def test_the_streaming_network_hears_only_the_market_it_is_asked_about():
    config = tiny(candidates=["streaming"])
    study = make_study(config, HOME, OTHERS)
    model, notes = fit_candidate("streaming", study.examples, study.split(study.final_fold()), config)
    other, rows = make_study(config, OTHERS[0]).examples, None
    rows = other.rows
    told = model.logits(study.examples, len(HOME) + rows)
    np.testing.assert_allclose(told, model.logits(other, rows), atol=1e-5)
    assert notes["training_rows"] > 1.5 * len(study.final_fold().train)


def test_others_teach_what_home_alone_is_too_short_to_show():
    markets = [named(momentum_bars(700, seed=i, strength=0.25), f"M{i}") for i in range(9)]
    losses = []
    for others in ((), markets[1:]):
        one = make_study(tiny(), markets[0], others)
        model = fit_candidate("logistic", one.examples, one.split(one.final_fold()), one.config)[0]
        rows = one.examples.between(one.validation.start, one.validation.stop)
        told, y = model.logits(one.examples, rows), one.examples.y[rows]
        losses.append(float(np.mean(np.logaddexp(0.0, told) - y * told)))
    assert losses[1] < losses[0]


def test_the_bundle_names_its_markets_and_serves_each_of_them(pooled):
    bundle = load_bundle(pooled[0])
    page = bundle.manifest
    assert page.market.symbol == "HOME"
    assert page.market.pool == ("HOME", "EARLY", "LATE", "LONGER")
    assert [one["fingerprint"] for one in page.data["pool"]] == [bars.fingerprint() for bars in OTHERS]
    for bars in OTHERS:
        assert np.isfinite(bundle.evidence(bars).p_up).sum() > 300
        assert page.sealed(bars).sum() == (bars.open_time >= page.zones.test[0]).sum()
    strategy = make_strategy("reckless", bundle)
    assert strategy_breaks(strategy, OTHERS[0], cuts_of(len(OTHERS[0]), 1200, 6)) == []
    assert [check for check in verify(pooled[0], OTHERS[2][:900]) if not check.passed] == []


def test_the_report_judges_each_market_by_itself(pooled):
    markets = load_bundle(pooled[0]).manifest.metrics["markets"]
    assert [row["symbol"] for row in markets] == ["HOME", "EARLY", "LATE", "LONGER"]
    assert sum(row["n"] for row in markets if "n" in row) == len(judged_rows(make_study(tiny(), HOME, OTHERS)))
    report = (pooled[1] / "report.md").read_text()
    assert "## The predictor on each market's validation" in report
    assert "| EARLY | " in report


def test_other_pooled_bars_are_another_run():
    keys = {run_key(tiny(), HOME), run_key(tiny(), HOME, OTHERS[0]), run_key(tiny(), HOME, OTHERS[0][:-1])}
    assert len(keys) == 3
    assert run_key(tiny(), HOME) == run_key(tiny(pool=["X-1h"]), HOME)


def test_the_home_market_may_stand_in_its_own_pool(tmp_path):
    store = Store(tmp_path)
    for bars in (HOME, *OTHERS[:2]):
        store.keep(bars, "test")
    found = named_markets("my-coin", "HOME-1h", tiny(pool=["EARLY-1h", "HOME-1h", "LATE-1h"]), tmp_path)
    assert [bars.symbol for bars in found] == ["HOME", "EARLY", "LATE"]
    with pytest.raises(UsageError, match="ERLY-1h"):
        named_markets("my-coin", "HOME-1h", tiny(pool=["ERLY-1h"]), tmp_path)


def test_markets_that_cannot_be_pooled_are_refused():
    with pytest.raises(UsageError, match=r"pool: FINE has 30m bars, HOME has 1h; bring all markets in one timeframe"):
        make_study(tiny(), HOME, [replace(random_bars(900, timeframe="30m"), symbol="FINE")])
    with pytest.raises(UsageError, match=r"pool: EARLY is named twice; name each market once"):
        make_study(tiny(), HOME, [OTHERS[0], OTHERS[0]])
