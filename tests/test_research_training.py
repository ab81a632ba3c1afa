"""The whole road: bars in, a bundle out, and nothing learned from what it is judged on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from engine.bars import Bars
from engine.errors import DataError, ModelMismatch, UsageError
from engine.synthetic import random_bars
from models.bundle import load_bundle
from research.assemble import Parts, check_bundle
from research.checkpoints import Checkpoints
from research.config import CONFIGS, TrainConfig, load_config, parse_config
from research.export_onnx import check_parity, to_onnx
from research.finals import fit_finals
from research.fit_auditor import AuditEvents, break_even, fit_auditor
from research.progress import Steps
from research.study import make_study
from research.train import train
from research.walk_forward import audit_forecasts, run_fold
from tests.markets import momentum_bars

TINY = {
    "name": "tiny",
    "window": 8,
    "threads": 1,
    "features": ["ret_1", "ret_6", "vol_24", "rsi_14", "body", "log_range"],
    "barriers": {"hold": 6},
    "folds": {"count": 3},
    "trees": {"lags": [0, 1], "rounds": 20, "patience": 5},
    "transformer": {"width": 8, "heads": 2, "feedforward": 16, "epochs": 2, "stride": 4, "seeds": 1},
    "regime": {"starts": 3, "screen_bars": 400},
    "auditor": {"rounds": 10, "least_events": 60},
}


def tiny(**keys) -> TrainConfig:
    return parse_config(TINY | keys)


@pytest.fixture(scope="module")
def bars() -> Bars:
    return random_bars(1500, seed=1)


@pytest.fixture(scope="module")
def trained(bars, tmp_path_factory) -> Path:
    """A bundle of the transformer, trained from end to end; its run lies beside it."""
    folder = tmp_path_factory.mktemp("trained")
    return train(tiny(force="transformer"), bars, folder / "tiny", run_dir=folder / "run")


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_trained_bundle_opens_and_speaks(trained, bars):
    bundle = load_bundle(trained)
    evidence = bundle.evidence(bars)
    assert np.isfinite(evidence.p_up).sum() > 1300
    assert bundle.manifest.predictor["kind"] == "transformer"
    assert {row["kind"] for row in bundle.manifest.predictor["candidates"]} == {"logistic", "trees", "transformer"}
    assert sum(len(raw) for raw in content(trained).values()) < 3e6


def test_the_walk_forward_is_recorded_from_the_first_fold_to_the_sealed_zone(trained, bars):
    bundle = load_bundle(trained)
    stored, zones = bundle.stored_evidence(bars), bundle.manifest.zones
    known = np.flatnonzero(np.isfinite(stored.p_up))
    stop = zones.rows(bars, "validation").stop
    assert known[-1] == stop - 1
    assert known[0] == int(0.4 * zones.rows(bars, "development").stop)
    audited = np.flatnonzero(np.isfinite(stored.audit))
    np.testing.assert_array_equal(np.isfinite(stored.tau), np.isfinite(stored.audit))
    assert str(bars.open_time[audited[0]])[:19] + "Z" == bundle.manifest.metrics["oos_audited_from"]
    assert known[0] < audited[0]
    recorded = [tau for tau in bundle.manifest.metrics["auditor"]["fold_taus"] if tau is not None]
    assert set(stored.tau[audited]) == set(recorded)


def test_every_recorded_row_names_the_fold_that_foresaw_it(trained, bars):
    import pyarrow.parquet as pq

    rows = pq.read_table(trained / "oos.parquet", columns=["open_time", "fold"]).to_pydict()
    study = make_study(tiny(), bars)
    first = {fold.number: bars.open_time[fold.test.start] for fold in study.folds()}
    for time, fold in zip(np.array(rows["open_time"], "datetime64[ns]"), rows["fold"], strict=True):
        assert first[fold] <= time < first.get(fold + 1, study.bars.open_time[study.stop])


def test_a_bundle_that_says_something_else_than_was_fitted_is_not_shipped(trained, bars):
    study, bundle = make_study(tiny(), bars), load_bundle(trained)
    raw = content(trained)
    fitted = Parts("transformer", raw["predictor.onnx"], None, None, bundle.regime_model, None, 0.5, None)
    check_bundle(study, bundle, fitted)
    with pytest.raises(ModelMismatch, match="the opened bundle's probability differ from the fitted one's"):
        check_bundle(study, bundle, fitted._replace(graph=raw["baseline.onnx"]))
    other = dataclasses.replace(bundle.regime_model, block=bundle.regime_model.block // 4)
    with pytest.raises(ModelMismatch, match="the opened bundle's belief differ"):
        check_bundle(study, bundle, fitted._replace(regime=other))


def test_no_part_has_seen_the_sealed_zone(trained, bars):
    manifest = load_bundle(trained).manifest
    assert manifest.fence < manifest.zones.test[0]
    assert manifest.fences["predictor"].label_horizon_end <= manifest.zones.development[1]


def test_the_sealed_zone_changes_nothing_but_the_data_it_is_said_to_be(trained, bars, tmp_path):
    first = load_bundle(trained).manifest.zones.rows(bars, "test").start
    moved = [np.r_[column[:first], 3.0 * column[first:]] for column in (bars.open, bars.high, bars.low, bars.close)]
    other = Bars(bars.open_time, *moved, bars.volume, bars.timeframe_ns, bars.symbol)
    train(tiny(force="transformer"), other, tmp_path / "tiny", run_dir=tmp_path / "run")
    for name, raw in content(trained).items():
        if name != "manifest.json":
            assert (tmp_path / "tiny" / name).read_bytes() == raw, name


def test_the_same_seed_makes_the_same_bytes_also_after_an_interruption(trained, bars, tmp_path):
    def interrupt(text, done, total):
        if text.startswith("fold 3"):
            raise KeyboardInterrupt

    terms = (tiny(force="transformer"), bars, tmp_path / "out" / "tiny")
    with pytest.raises(KeyboardInterrupt):
        train(*terms, run_dir=tmp_path / "run", progress=interrupt)
    assert not (tmp_path / "out").exists()
    train(*terms, resume=True, run_dir=tmp_path / "run")
    resumed = json.loads((tmp_path / "run" / "report.json").read_text())["notes"]["resumed"]
    assert {"final-logistic", "final-trees", "final-transformer", "fold-transformer-0", "fold-transformer-1"} == set(
        resumed
    )
    assert content(terms[2]) == content(trained)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["tiny"]


def test_parts_of_another_configuration_are_not_resumed(trained, bars, tmp_path):
    from research.checkpoints import run_key

    keys = {
        run_key(tiny(), bars),
        run_key(tiny(window=9), bars),
        run_key(tiny(), bars[:1400]),
        run_key(tiny(seed=8), bars),
    }
    assert len(keys) == 4


def test_the_report_prints_every_loss_beside_what_no_skill_loses(trained):
    text = (trained.parent / "run" / "report.md").read_text()
    for words in (
        "no skill",
        "n_eff",
        "AUC [95 %]",
        "forced by the configuration",
        "turbulent",
        "Auditor",
        "fold 2",
        "sealed",
    ):
        assert words in text
    assert "| test" not in text


@pytest.mark.parametrize("kind", ["logistic", "trees", "transformer"])
def test_every_candidate_passes_the_same_door_and_says_there_what_it_says_here(kind, bars, tmp_path):
    study = make_study(tiny(candidates=[kind], barriers={"hold": 7}), bars)
    final = fit_finals(study, Checkpoints(tmp_path, "key", False), Steps(None))[kind]
    graph = to_onnx(final.model, final.line, 8, 6)
    rows = study.examples.rows[:257]
    assert check_parity(graph, final.model, study.examples, rows) < (1e-6 if kind == "trees" else 1e-5)
    assert b"/" not in graph.replace(b"n/", b"") or b"site-packages" not in graph
    shifted = dataclasses.replace(study.examples, matrix=study.examples.matrix * np.float32(1.001))
    with pytest.raises(ModelMismatch, match=f"the exported {kind} says a logit .* so nothing was written"):
        check_parity(graph, _Elsewhere(final.model, shifted), study.examples, rows)


@dataclasses.dataclass
class _Elsewhere:
    """A model that was trained on slightly other features than it is served."""

    model: object
    examples: object

    @property
    def kind(self):
        return self.model.kind

    def logits(self, _, rows):
        return self.model.logits(self.examples, rows) + 1e-4


def test_nothing_is_found_on_a_random_walk(tmp_path):
    study = make_study(tiny(candidates=["logistic", "trees"]), random_bars(4000, seed=5))
    for final in fit_finals(study, Checkpoints(tmp_path, "key", False), Steps(None)).values():
        error = (final.score.auc_high - final.score.auc_low) / 3.92
        assert abs(final.score.auc - 0.5) < 3 * error
        assert final.score.skill < 3 * final.score.skill_se


def test_a_planted_edge_is_found(tmp_path):
    study = make_study(tiny(candidates=["logistic", "trees"]), momentum_bars(6000))
    for final in fit_finals(study, Checkpoints(tmp_path, "key", False), Steps(None)).values():
        assert final.score.auc_low > 0.53
        assert final.score.skill > 2 * final.score.skill_se


def test_the_auditor_learns_from_trades_foreseen_out_of_sample_alone(bars):
    study = make_study(tiny(thresholds={"audited": 0.0}), bars)  # every bar is a trade
    forecasts = [run_fold(study, fold, "logistic", lambda _: None)[0] for fold in study.folds()]
    audits, events, notes = audit_forecasts(study, forecasts)
    assert (events.fence < events.row).all()
    assert set(events.fold) == {0, 1, 2}
    assert np.isnan(audits[0].chance).all()
    assert np.isnan(audits[0].tau)
    assert not np.isnan(audits[2].chance).any()
    embargoed = study.folds()[1].test.start - study.config.embargo
    assert notes[1]["events"] == ((events.fold == 0) & (events.end < embargoed)).sum()
    assert (events.end < study.stop).all()
    assert study.examples.end[forecasts[-1].rows].max() >= study.stop  # such trades there were
    seen = events._replace(fence=events.row)
    with pytest.raises(AssertionError, match="foreseen out of sample"):
        fit_auditor(seen, study.auditor_inputs, study.config)


def planted_events(n: int, edge: float) -> AuditEvents:
    """Return trades that pay when the first input is above a half, as often as edge says."""
    rng = np.random.default_rng(0)
    inputs = rng.random((n, 3)).astype(np.float32)
    good = rng.random(n) < np.where(inputs[:, 0] > 0.5, 0.5 + edge, 0.5 - edge)
    row = 10 * np.arange(n)
    return AuditEvents(row, row + 6, np.zeros(n, int), row - 100, inputs, np.where(good, 0.01, -0.01))


def test_the_auditor_learns_what_the_primary_does_not_know():
    auditor = fit_auditor(planted_events(1500, 0.3), ("a", "b", "c"), tiny(auditor={"rounds": 100}))
    q = auditor.probability(np.array([[0.9, 0.5, 0.5], [0.1, 0.5, 0.5]], np.float32))
    assert q[0] > 0.65 > 0.35 > q[1]
    assert auditor.notes["kind"] == "trees"


def test_an_auditor_of_too_few_trades_says_the_base_rate_and_that_it_does():
    auditor = fit_auditor(planted_events(50, 0.5), ("a", "b", "c"), tiny())
    q = auditor.probability(np.random.default_rng(0).random((20, 3)).astype(np.float32))
    assert auditor.notes["kind"] == "constant"
    np.testing.assert_allclose(q, auditor.notes["base_rate"], atol=1e-6)
    assert fit_auditor(planted_events(0, 0.0), ("a", "b", "c"), tiny()).notes["events"] == 0


def test_break_even_is_where_wins_pay_for_losses():
    events = planted_events(400, 0.0)._replace(net=np.tile([0.03, -0.01], 200))
    assert break_even(events) == pytest.approx(0.25)


@pytest.mark.parametrize("vertical", ["sign", "zero", "drop"])
def test_trades_that_time_out_are_labelled_as_asked(vertical, bars):
    from engine.barriers import label_barriers
    from engine.indicators import atr

    config = tiny(barriers={"hold": 3, "vertical": vertical})
    study = make_study(config, bars)
    labels = label_barriers(bars, atr(bars), config.rules, side=1)
    late = (labels.outcome == 0) & (labels.end >= 0)
    expected = {
        "sign": (labels.gross[late] > 0).astype(float),
        "zero": np.zeros(late.sum()),
        "drop": np.full(late.sum(), np.nan),
    }
    np.testing.assert_array_equal(study.examples.y[late], expected[vertical])
    np.testing.assert_array_equal(study.examples.y[labels.outcome == 1], 1.0)
    assert np.isnan(study.examples.y[labels.end < 0]).all()


def test_a_short_side_is_ranked_and_audited_for_the_side_taken(bars):
    study = make_study(tiny(sides=["long", "short"]), bars)
    forecast, _ = run_fold(study, study.folds()[0], "logistic", lambda _: None)
    assert set(forecast.lean) == {-1, 1}
    assert ((forecast.p_up < 0.5) == (forecast.lean < 0)).all()
    _, events, _ = audit_forecasts(study, [forecast])
    short = np.isin(events.row, forecast.rows[forecast.lean < 0])
    np.testing.assert_array_equal(events.net[short], study.examples.net[events.row[short], 1])


def test_rows_are_those_the_bundle_will_predict(trained):
    gappy = random_bars(900, seed=4, gaps=0.004)
    study = make_study(tiny(), gappy)
    found = load_bundle(trained).evidence(gappy)
    np.testing.assert_array_equal(np.isfinite(found.p_up), study.examples.decidable)


def test_every_shipped_configuration_is_understood():
    assert {path.stem for path in CONFIGS.glob("*.toml")} >= {
        "default",
        "nasdaq-1d",
        "btcusdt-1h",
        "btcusdt-1h-transformer",
    }
    for path in CONFIGS.glob("*.toml"):
        assert load_config(path.stem).name == path.stem


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"windw": 3}, "unknown training setting 'windw'; did you mean 'window'?"),
        ({"trees": {"rat": 1}}, "unknown training setting 'trees.rat'; did you mean 'trees.rate'?"),
        ({"name": "My Coin"}, "name must be lower-case letters, digits, . -, was 'My Coin'"),
        ({"window": "a"}, "training setting window must be int, was 'a'"),
        ({"barriers": 3}, "training setting barriers is a section"),
        (
            {"sides": ["long", "short"], "barriers": {"k_up": 3.0}},
            r"barriers of a market with shorts must be k_up = k_down and vertical sign or drop \(a short is judged by",
        ),
        ({"sides": ["long", "short"], "barriers": {"vertical": "zero"}}, "barriers of a market with shorts must be"),
        ({"window": 1, "force": "x"}, "window must be in 2..512, was 1; force must be empty or one of the candidates"),
    ],
)
def test_a_mistaken_configuration_is_refused_by_key(keys, words):
    with pytest.raises(UsageError, match=words.replace("?", r"\?").replace("..", r"\.\.")):
        parse_config(keys)


def test_an_unknown_configuration_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="unknown training configuration 'nasdaq'; did you mean 'nasdaq-1d'"):
        load_config("nasdaq")


def test_a_folder_of_other_things_is_refused_before_anything_is_trained(bars, tmp_path):
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(UsageError, match=r"holds files but no manifest.json; name a new folder"):
        train(tiny(), bars, tmp_path)


def test_a_market_without_two_kinds_of_labels_is_refused():
    flat = momentum_bars(900, strength=0.0)
    rising = np.exp(0.03 * np.arange(900))
    prices = [column**0.5 * rising for column in (flat.open, flat.high, flat.low, flat.close)]
    with pytest.raises(DataError, match=r"labels of the training rows are alike; bring more or livelier history"):
        make_study(tiny(), Bars(flat.open_time, *prices, flat.volume, flat.timeframe_ns, "ROCKET"))


def test_too_short_a_history_is_refused():
    with pytest.raises(DataError, match="bars are too few"):
        make_study(tiny(), random_bars(60))
