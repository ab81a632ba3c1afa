"""Planted leaks are caught at default settings, honest bundles raise no alarm, and nothing is touched."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import live.check
import live.leaks
import tradsys
from engine.features import FEATURES
from engine.invariance import with_future
from engine.rules import Rules
from engine.synthetic import random_bars
from live.check import watched
from live.leaks import decision_futures, feature_futures, label_futures, leak_checks, regime_filter, resample_futures
from live.provenance import fence_order, fitted_where_claimed, fold_order
from live.ranking import ranking, worth_of
from live.unseen import Foresight, foresight
from live.verify import verify
from models.bundle import BUNDLES, OOS, load_bundle
from models.calibration import ConfidenceTable
from models.regime import RegimeModel
from tests import planted
from tests.bundles import make_bundle, three_states
from tests.planted import PLANTED, Ruled, believer, breakout, pretrained, rewritten

BARS = random_bars(3000, seed=21)


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    return load_bundle(make_bundle(tmp_path_factory.mktemp("honest"), BARS))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A bundle from the training road itself, with folds and fences as it records them."""
    from research.config import parse_config
    from research.train import train
    from tests.test_research_training import TINY

    folder = tmp_path_factory.mktemp("trained")
    config = parse_config(TINY | {"candidates": ["logistic"]})
    return train(config, BARS[:2000], folder / "tiny", run_dir=folder / "run")


@pytest.fixture
def draft(trained, tmp_path):
    """A copy of it to be tampered with."""
    import shutil

    return load_bundle(shutil.copytree(trained, tmp_path / "tiny"))


def failures(checks):
    return {name: found.failure for name, check in checks if (found := check()).failure}


# decisions, features, coarser bars and labels while the future is replaced


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("leak", PLANTED)
def test_a_planted_leak_is_caught_at_default_settings(leak, seed):
    bars = random_bars(3000, seed=seed)
    found = decision_futures([Ruled(leak, PLANTED[leak])], bars)
    assert f"{leak} side at" in found.failure
    assert "moved when the future was" in found.failure


def test_a_filter_of_rare_entries_is_caught_by_chance_of_one_in_a_thousand_to_miss_it():
    def rare(bars):
        return planted.without_losers(bars, 1) & (bars.close > 1.012 * bars.open)

    assert 10 < rare(BARS).sum() < 90
    assert not decision_futures([Ruled("rare", rare)], BARS).passed


def test_the_same_rule_without_the_leak_passes():
    found = decision_futures([Ruled("breakout", breakout)], BARS)
    assert (found.failure, found.tried) == ("", 4 * (live.leaks.CUTS + min(live.leaks.WISHES, breakout(BARS).sum())))


def test_a_future_beyond_the_short_ladder_is_seen_too():
    assert not decision_futures([Ruled("far", lambda bars: planted.without_losers(bars, 40))], BARS).passed


@pytest.mark.parametrize("how", ["noise", "another path", "nothing", "a gap"])
def test_a_replaced_future_leaves_the_past_alone(how):
    changed = with_future(BARS, 2000, how, seed=1)
    for name in ("open_time", "open", "high", "low", "close", "volume"):
        np.testing.assert_array_equal(getattr(changed, name)[:2001], getattr(BARS, name)[:2001])
    assert len(changed) == 2001 or (changed.close[2001:2400] != BARS.close[2001:2400]).all()


@pytest.mark.parametrize("name", ["ret_1", "boll_20"])
@pytest.mark.parametrize(
    "formula",
    [
        lambda bars: np.log(planted.ahead(bars, 1) / bars.close),
        lambda bars: (bars.close - bars.close.mean()) / bars.close.std(),
        lambda bars: (bars.volume - bars.volume.min()) / np.ptp(bars.volume),
    ],
    ids=["shift(-1)", "z-score", "min-max"],
)
def test_a_leaky_feature_is_caught(name, formula, monkeypatch):
    monkeypatch.setitem(FEATURES, name, planted.leaky_feature(name, formula))
    assert feature_futures(BARS).failure.startswith(f"{name} at")


def test_a_feature_that_leaks_makes_the_decisions_of_a_bundle_leak(honest, monkeypatch):
    leaky = planted.leaky_feature("ret_1", lambda bars: np.log(planted.ahead(bars, 1) / bars.close))
    monkeypatch.setitem(FEATURES, "ret_1", leaky)
    honest._remembered.clear()
    checks = dict(leak_checks(honest, BARS))
    assert not checks["decisions: futures"]().passed
    honest._remembered.clear()


def test_a_coarser_bar_that_knows_the_next_close_is_caught(monkeypatch):
    from engine.history.resample import resample

    def early(bars, timeframe):
        coarse = resample(bars, timeframe)
        ends = np.minimum(np.searchsorted(bars.close_time, coarse.close_time), len(bars) - 2)
        close = np.clip(bars.close[ends + 1], coarse.low, coarse.high)
        return replace(coarse, close=close)

    monkeypatch.setattr(live.leaks, "resample", early)
    assert "close of the 4h bars" in resample_futures(BARS).failure


def test_labels_that_are_settled_later_are_caught(monkeypatch):
    from engine.barriers import label_barriers

    def settled(bars, atr, rules, side):
        labels = label_barriers(bars, atr, rules, side)
        last = np.minimum(labels.end + 3, len(bars) - 1)
        return labels._replace(gross=labels.gross + np.where(bars.close[last] > bars.close, 0.01, 0.0))

    assert label_futures(BARS, Rules(), ("long", "short")).passed
    monkeypatch.setattr(live.leaks, "label_barriers", settled)
    assert "label's gross" in label_futures(BARS, Rules()).failure


def smoothed(model, bars, matrix):
    """hmmlearn's ``predict_proba``: forward and backward over all bars."""
    told = np.nan_to_num(model.log_likelihood(matrix))
    like = np.exp(told - told.max(axis=1, keepdims=True))
    ahead, back = np.empty_like(like), np.ones_like(like)
    prior = model.start
    for t in range(len(like)):
        ahead[t] = prior * like[t] / (prior @ like[t])
        prior = ahead[t] @ model.transition
    for t in range(len(like) - 2, -1, -1):
        back[t] = model.transition @ (like[t + 1] * back[t + 1])
        back[t] /= back[t].sum()
    both = ahead * back
    both /= both.sum(axis=1, keepdims=True)
    both[~np.isfinite(matrix).all(axis=1)] = np.nan
    return both


def test_a_smoothed_hmm_is_caught_twice(honest, monkeypatch):
    assert regime_filter(honest, BARS).passed
    monkeypatch.setattr(RegimeModel, "belief", smoothed)
    other = load_bundle(honest.folder)
    assert "differs from the filter" in regime_filter(other, BARS).failure
    assert "moved when the future was" in dict(leak_checks(other, BARS))["decisions: futures"]().failure


def test_the_regime_filter_is_checked_across_gaps(tmp_path):
    bars = random_bars(1500, seed=4, gaps=0.01)
    found = regime_filter(load_bundle(make_bundle(tmp_path, random_bars(1500, seed=4), window=4)), bars)
    assert found.passed
    assert found.tried > 5


# artefacts: where they were learned


def test_a_scaler_of_all_bars_is_caught(tmp_path, honest):
    assert fitted_where_claimed(honest, BARS).tried == 2
    assert fitted_where_claimed(honest, BARS).passed
    leaky = load_bundle(make_bundle(tmp_path, BARS, regime_model=three_states(BARS)))
    assert "the regime's mean of" in fitted_where_claimed(leaky, BARS).failure


def test_a_confidence_table_of_the_test_zone_is_caught(draft):
    table = ConfidenceTable.from_predictions(draft.evidence(BARS[:2000]).p_up[1600:])
    path = rewritten(draft, confidence={"levels": table.levels.tolist()})
    assert "the confidence table" in fitted_where_claimed(load_bundle(path), BARS[:2000]).failure


def test_other_bars_prove_nothing_about_the_fit(honest):
    assert fitted_where_claimed(honest, random_bars(3000, seed=5)).tried == 0


def test_what_the_training_road_writes_passes(trained):
    bundle, bars = load_bundle(trained), BARS[:2000]
    for check in (fence_order(bundle, bars), fold_order(bundle), fitted_where_claimed(bundle, bars)):
        assert check.passed, check
        assert check.tried > 0, check


def with_fence(bundle, part, **times):
    fences = bundle.manifest.fences
    return rewritten(bundle, fences={**fences, part: replace(fences[part], **times)})


def test_a_fence_inside_the_test_zone_is_caught(draft):
    late = draft.manifest.zones.test[0]
    path = with_fence(draft, "predictor", label_horizon_end=late)
    assert "predictor has seen bars to" in fence_order(load_bundle(path), BARS).failure


def test_a_part_fitted_on_other_bars_is_caught(draft):
    path = with_fence(draft, "regime", data="0" * 64)
    assert "regime was fitted on other bars" in fence_order(load_bundle(path), BARS).failure


def test_too_short_an_embargo_is_caught(draft):
    path = rewritten(draft, zones=replace(draft.manifest.zones, embargo_bars=3))
    assert "embargo of 3 bars" in fence_order(load_bundle(path), BARS).failure


def test_an_in_sample_auditor_is_caught_by_its_fence(draft):
    path = with_fence(draft, "auditor", train_start=draft.manifest.zones.development[0])
    assert "they were in-sample" in fold_order(load_bundle(path)).failure


def test_a_fold_that_predicts_what_its_model_has_seen_is_caught(draft):
    folds = [dict(fold) for fold in draft.manifest.metrics["folds"]]
    folds[1]["fence"] = folds[1]["rows"][0]
    path = rewritten(draft, metrics={**draft.manifest.metrics, "folds": folds})
    assert "fold 1 predicts" in fold_order(load_bundle(path)).failure


def recorded(bundle, **columns):
    """Return oos.parquet with some columns replaced by what a function makes of them."""
    table = pq.read_table(io.BytesIO((bundle.folder / OOS).read_bytes()))
    for name, change in columns.items():
        old = table.column(name)
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(change(old.to_numpy()), old.type))
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return {OOS: sink.getvalue()}


@pytest.mark.parametrize(
    ("column", "change", "said"),
    [
        ("fold", lambda fold: np.zeros_like(fold), "has 1 folds, the manifest 3"),
        ("fold", lambda fold: np.r_[fold[:-1], fold[0]], "holds other rows than the manifest says"),
        ("open_time", lambda time: time[::-1], "in time order"),
        ("open_time", lambda time: time + np.timedelta64(3000, "h"), "holds other rows than the manifest says"),
        ("audit", lambda audit: np.full_like(audit, 0.5), "rows of the first fold are audited"),
    ],
)
def test_a_record_that_is_not_what_the_folds_say_is_caught(draft, column, change, said):
    path = rewritten(draft, recorded(draft, **{column: change}))
    assert said in fold_order(load_bundle(path)).failure


def test_recorded_rows_of_the_test_zone_are_caught(draft):
    zones = draft.manifest.zones
    path = rewritten(draft, zones=replace(zones, test=(zones.validation[1], zones.test[1])))
    assert "holds rows of the sealed test zone" in fold_order(load_bundle(path)).failure


# artefacts: what they know


@pytest.mark.parametrize("n", [1500, 3000])
def test_a_model_that_has_seen_the_test_zone_is_caught(n, tmp_path):
    bars = random_bars(n, seed=n)
    found = failures(foresight(load_bundle(pretrained(tmp_path, bars)), bars))
    assert set(found) == {"unseen bars: too good", "unseen bars: better than honest"}
    assert "which the bundle claims not to have seen" in found["unseen bars: too good"]


def test_a_model_that_remembers_three_labels_of_four_is_caught_on_5000_bars(tmp_path):
    bars = random_bars(5000, seed=3)
    found = failures(foresight(load_bundle(pretrained(tmp_path, bars, wrong=0.25)), bars))
    assert "unseen bars: better than honest" in found


def test_no_comparison_of_runs_sees_such_a_model(tmp_path, monkeypatch):
    """Which is why it is asked what it knows."""
    monkeypatch.setattr(live.leaks, "CUTS", 40)
    monkeypatch.setattr(live.leaks, "WISHES", 40)
    bundle = load_bundle(pretrained(tmp_path, BARS))
    assert dict(leak_checks(bundle, BARS))["decisions: futures"]().passed


def test_a_table_of_outcomes_by_time_is_caught_on_a_random_path(tmp_path, monkeypatch):
    known = dict(zip(BARS.open_time.tolist(), 2.0 * np.nan_to_num(planted.truth(BARS), nan=0.5) - 1.0, strict=True))
    table = planted.leaky_feature("ret_1", lambda bars: np.array([known[t] for t in bars.open_time.tolist()]))
    monkeypatch.setitem(FEATURES, "ret_1", table)
    bundle = load_bundle(make_bundle(tmp_path, BARS, graph=planted.last_bar_graph()))
    found = failures(foresight(bundle, BARS))
    assert "labels of bars that were replaced" in found["random paths: the real future"]
    assert feature_futures(BARS).passed


def test_a_model_that_predicts_dice_is_caught(tmp_path, monkeypatch):
    def peek(bars):
        return np.nan_to_num(np.sign(planted.ahead(bars, 12) - bars.close))

    monkeypatch.setitem(FEATURES, "ret_1", planted.leaky_feature("ret_1", peek))
    bundle = load_bundle(make_bundle(tmp_path, BARS, graph=planted.last_bar_graph()))
    assert "on dice" in failures(foresight(bundle, BARS))["random paths: dice"]


def test_an_auditor_that_learned_from_memorised_trades_is_caught_by_what_it_claims(tmp_path):
    found = failures(foresight(load_bundle(believer(tmp_path, BARS)), BARS))
    assert set(found) == {"auditor: claims"}


@pytest.mark.parametrize("seed", range(6))
def test_an_honest_bundle_raises_no_alarm(seed, tmp_path):
    bars = random_bars((1500, 3000, 5000)[seed % 3], seed=seed, gaps=0.001 * (seed % 2))
    sides = ("long", "short") if seed % 2 else ("long",)
    bundle = load_bundle(make_bundle(tmp_path, bars, seed=seed, sides=sides))
    assert failures(foresight(bundle, bars)) == {}
    for check in (fence_order(bundle, bars), fold_order(bundle), fitted_where_claimed(bundle, bars)):
        assert check.passed, check


@pytest.mark.parametrize("name", sorted(path.parent.name for path in BUNDLES.glob("*/manifest.json")))
def test_a_shipped_bundle_raises_no_alarm(name, shared_data):
    from engine.history import find_bars

    bars = find_bars(name if name == "nasdaq-1d" else str(shared_data / "crypto" / "BTCUSDT_1h.parquet"), shared_data)
    bundle = load_bundle(name)
    checks = dict(leak_checks(bundle, bars))
    assert failures((what, check) for what, check in checks.items() if "futures" not in what) == {}


def test_the_figures_of_a_drafts_test_zone_are_not_shown(honest, tmp_path):
    hidden = load_bundle(rewritten(load_bundle(make_bundle(tmp_path, BARS)), released=False))
    assert Foresight(hidden, BARS).too_good().measured == "sealed: no figure is shown"
    assert "AUC" in Foresight(honest, BARS).too_good().measured


def test_bars_before_the_fence_alone_are_no_evidence_and_no_alarm(honest):
    seen = BARS.upto(BARS.since(honest.manifest.zones.test[0]))
    checks = [check() for _, check in foresight(honest, seen)]
    assert all(check.passed for check in checks)
    assert checks[0].tried == 0


def test_luck_reaches_a_p_value_as_often_as_it_says():
    """Overlapping labels of dice, ranked by features of the same dice: about one in twenty below 0.05."""
    from engine.barriers import label_barriers
    from engine.features import feature_matrix
    from engine.indicators import atr
    from live.ranking import won

    names, chances = ("rsi_14", "ret_1", "ret_6", "ma_dist_50", "body"), []
    for seed in range(40):
        bars = random_bars(800, seed=seed)
        labels = label_barriers(bars, atr(bars), Rules(), 1)
        y = won(labels, "sign")
        rows = np.flatnonzero(np.isfinite(y))[100:]
        worth = worth_of(rows, labels.end[rows])
        chances += [ranking(p, y[rows], worth).above(0.5) for p in feature_matrix(bars, names)[rows].T]
    assert np.mean(np.array(chances) < 0.05) < 0.08
    assert np.mean(np.array(chances) < 0.001) < 0.006
    assert 0.2 < np.median(chances) < 0.8


# the verb


def content(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_verify_looks_for_leaks_and_touches_nothing(honest):
    before, said = content(honest.folder), []
    found = verify(honest.folder, BARS, said.append, leaks=True)
    assert [check.failure for check in found if not check.passed] == []
    assert {"decisions: futures", "unseen bars: too good", "folds"} <= set(said)
    assert len(found) == 23
    assert content(honest.folder) == before


def test_the_verb_exits_with_1_on_a_leak(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(live.leaks, "CUTS", 40)
    monkeypatch.setattr(live.leaks, "WISHES", 40)
    bars = random_bars(1500, seed=1)
    folder = pretrained(tmp_path, bars)
    before = content(folder)
    stamps = bars.open_time.astype("datetime64[ms]").astype("int64")
    columns = zip(stamps, bars.open, bars.high, bars.low, bars.close, bars.volume, strict=True)
    rows = "\n".join(",".join(repr(value.item()) for value in row) for row in columns)
    (tmp_path / "RANDOM-1h.csv").write_text(f"timestamp,open,high,low,close,volume\n{rows}\n")
    arguments = ["tradsys", "verify", str(folder), "--bars", "RANDOM-1h.csv", "--leaks", "--json"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit, match="1"):
        tradsys.main()
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert [check["name"] for check in checks if not check["passed"]] == [
        "unseen bars are not known too well",
        "unseen bars are known no better than honest ones",
    ]
    assert content(folder) == before


def test_the_time_that_is_left_is_told_after_two_seconds(monkeypatch):
    clock = iter(np.arange(0.0, 100.0, 0.8))
    monkeypatch.setattr(live.check, "seconds", lambda: next(clock))
    said = []
    assert list(watched("cuts", range(8), said.append)) == list(range(8))
    assert said[0] == "cuts: 2 of 8, 7 s left"
    assert len(said) == 6
