"""Bundles: what they say about bars, and everything that is refused at their door."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

import models.folder
from engine.bars import Bars
from engine.errors import DataError, ModelMismatch, UsageError
from engine.features import clear_run, feature_matrix
from engine.signals import Evidence
from engine.synthetic import random_bars
from models.bundle import load_bundle, needed_clear_bars, needed_memory
from models.folder import write_bundle
from models.manifest import Manifest, parse_time
from tests.bundles import make_bundle, to_graph

BARS = random_bars(2600, seed=21)
GAPPED = random_bars(2600, seed=22, gaps=0.003)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundles"), BARS)


@pytest.fixture(scope="module")
def bundle(folder):
    return load_bundle(folder)


@pytest.fixture
def copy(folder, tmp_path):
    """A bundle that a test may spoil."""
    return shutil.copytree(folder, tmp_path / "toy")


def assert_same(found: Evidence, told: Evidence) -> None:
    for part in fields(Evidence):
        np.testing.assert_array_equal(getattr(found, part.name), getattr(told, part.name), err_msg=part.name)


@pytest.mark.parametrize("bars", [BARS, GAPPED], ids=["whole", "with gaps"])
def test_the_last_memory_bars_decide_bit_for_bit(bundle, bars):
    whole, memory = bundle.evidence(bars), bundle.memory
    assert np.isfinite(whole.p_up[memory:]).sum() > 900
    for n in range(memory, len(bars) + 1, 97):
        assert_same(bundle.evidence(bars[n - memory : n])[-1:], whole[n - 1 : n])


def test_what_comes_later_changes_nothing_said_before(bundle):
    whole = bundle.evidence(BARS)
    for n in (1, 2, 57, 350, 1100, 2599):
        assert_same(bundle.evidence(BARS.upto(n)), whole[:n])


def test_nothing_is_predicted_until_enough_bars_have_followed_a_gap(bundle):
    found, run = bundle.evidence(GAPPED), clear_run(GAPPED)
    assert np.isnan(found.p_up[run < bundle.clear_bars]).all()
    assert np.isfinite(found.p_up[(run >= bundle.clear_bars) & (np.arange(len(GAPPED)) > 200)]).all()
    assert 0.1 < np.isnan(found.p_up).mean() < 0.9


def test_what_is_predicted_is_audited_and_believed(bundle):
    found = bundle.evidence(BARS)
    known = np.isfinite(found.p_up)
    settled = np.arange(len(BARS)) >= bundle.memory  # MACD, an input of the auditor's, takes longest to warm up
    np.testing.assert_array_equal(np.isfinite(found.audit[settled]), known[settled])
    assert not np.isfinite(found.audit[~known]).any()
    unheard = np.isnan(feature_matrix(BARS, ["macd_hist"])[:, 0])
    assert (known & unheard).any()
    assert np.isnan(found.audit[unheard]).all()
    np.testing.assert_allclose(found.belief[known].sum(axis=1), 1.0, atol=1e-12)
    assert len(np.unique(found.audit[known])) > 20


def test_what_was_computed_across_a_gap_teaches_the_regime_nothing(bundle):
    found, run = bundle.evidence(GAPPED), clear_run(GAPPED)
    np.testing.assert_array_equal(np.isnan(found.belief[:, 0]), run < 2)  # the return of one bar looks back on two


def test_a_window_with_an_unknown_bar_is_not_predicted_even_if_the_model_would_not_mind(tmp_path):
    pick = {"last": np.array([15]), "ones": np.ones((5, 1)), "row": np.array([32])}
    nodes = [
        helper.make_node("Gather", ["window", "last"], ["bar"], axis=1),
        helper.make_node("MatMul", ["bar", "ones"], ["sum"]),
        helper.make_node("Reshape", ["sum", "row"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["p"]),
    ]
    blind = load_bundle(make_bundle(tmp_path, BARS, graph=to_graph(nodes, pick, 16, 5)))
    first = int(np.argmax(np.isfinite(feature_matrix(BARS, blind.manifest.feature_names)).all(axis=1)))
    assert int(np.argmax(np.isfinite(blind.evidence(BARS).p_up))) == first + 15


def test_memory_is_that_of_the_part_that_remembers_longest(bundle):
    inputs, features = bundle.auditor.names, ("ret_1", "vol_24")
    regime = replace(bundle.regime_model, block=64)  # of features that look back on 2 bars at most
    assert needed_memory(features, 16, regime, ("p_up",)) == 1024  # the ATR
    assert needed_memory(features, 2000, regime, ("p_up",)) == 2025  # the window, and its clear bars
    assert needed_memory(features, 16, replace(regime, block=1000), inputs) == 2001  # two blocks and a bar before
    assert needed_memory(("rsi_14",), 16, regime, inputs) == 1039
    assert needed_clear_bars(features, 16, regime, inputs) == 41
    assert needed_clear_bars(("ret_1",), 16, regime, inputs) == 34  # the auditor's MACD


def test_rows_before_since_are_left_unasked_and_the_rest_is_the_same(bundle):
    late, whole = bundle.evidence(BARS, since=2000), bundle.evidence(BARS)
    assert np.isnan(late.p_up[:2000]).all()
    assert_same(late[2000:], whole[2000:])


def test_a_market_that_does_not_move_gives_no_evidence(bundle):
    still = np.full(400, 50.0)
    flat = Bars(BARS.open_time[:400], still, still, still, still, still, BARS.timeframe_ns)
    assert np.isnan(bundle.evidence(flat).p_up).all()


def test_no_bars_at_all_give_empty_evidence(bundle):
    assert len(bundle.evidence(BARS[:0])) == 0


def test_strategies_of_one_bundle_share_one_evidence(bundle):
    again = Bars(*(getattr(BARS, f.name).copy() for f in fields(BARS)[:6]), BARS.timeframe_ns)
    assert bundle.evidence(BARS) is bundle.evidence(again)
    assert bundle.evidence(BARS) is not bundle.evidence(BARS, since=5)


def test_other_symbols_are_welcome_other_timeframes_and_hours_are_not(bundle):
    assert np.isfinite(bundle.evidence(random_bars(1200, seed=5)).p_up).any()
    with pytest.raises(
        UsageError, match="toy was trained on 1h bars, RANDOM-0 has 4h; bring 1h bars or another bundle"
    ):
        bundle.evidence(random_bars(50, timeframe="4h"))
    with pytest.raises(UsageError, match="trained on a market that never closes"):
        bundle.evidence(replace(BARS, sessions=True))


def test_recorded_evidence_lies_on_its_own_rows_and_nowhere_else(bundle):
    told, found = bundle.stored_evidence(BARS), bundle.evidence(BARS)
    assert np.isnan(told.p_up[:1300]).all()
    assert np.isnan(told.belief[:1300]).all()
    assert_same(replace(told[1300:], tau=None), found[1300:])
    audited = np.isfinite(told.audit)
    np.testing.assert_array_equal(told.tau[audited], bundle.manifest.thresholds["auditor"])
    assert np.isnan(told.tau[~audited]).all()


def test_recorded_evidence_is_for_the_bars_it_was_recorded_on(bundle):
    longer = random_bars(2700, seed=21)
    moved = replace(longer, volume=longer.volume * 2.0)
    later = Bars(
        *(np.r_[getattr(BARS, f.name), getattr(longer, f.name)[2600:]] for f in fields(BARS)[:6]), BARS.timeframe_ns
    )
    assert_same(bundle.stored_evidence(later)[:2600], bundle.stored_evidence(BARS))
    for other in (moved, BARS[1:], BARS[:2599]):
        with pytest.raises(DataError, match="differ from them: bring the same data"):
            bundle.stored_evidence(other)


def test_the_auditor_can_say_why(bundle):
    told = bundle.audit_reasons(BARS)
    audit = bundle.evidence(BARS).audit[-1]
    assert {reason.name for reason in told} == set(bundle.auditor.names)
    assert [abs(reason.added) for reason in told] == sorted((abs(reason.added) for reason in told), reverse=True)
    said = {reason.name: reason.value for reason in told}
    assert said["p_up"] == np.float32(bundle.evidence(BARS).p_up[-1])
    base = bundle.auditor.contributions(np.zeros((1, len(told)), np.float32))[0, -1]
    np.testing.assert_allclose(1 / (1 + np.exp(-base - sum(reason.added for reason in told))), audit, atol=1e-5)
    assert bundle.audit_reasons(BARS[:30]) == []


def test_the_baseline_speaks_on_the_same_rows_as_the_predictor(bundle, copy):
    assert bundle.baseline_rank(BARS) is None
    page = {**bundle.manifest.predictor, "baseline_levels": bundle.manifest.confidence["levels"]}
    files = {name: (copy / name).read_bytes() for name in bundle.manifest.files}
    files |= {"baseline.onnx": files["predictor.onnx"]}
    twin = load_bundle(write_bundle(copy, replace(bundle.manifest, predictor=page), files))
    np.testing.assert_array_equal(twin.baseline_rank(BARS), bundle.evidence(BARS).rank)
    np.testing.assert_array_equal(twin.baseline_rank(GAPPED), bundle.evidence(GAPPED).rank)


def test_a_bundle_travels_to_other_processes(bundle):
    assert bundle.predictor.session is not None
    arrived = pickle.loads(pickle.dumps(bundle))  # as process pools send their work
    assert_same(arrived.evidence(BARS[:1200], since=1), bundle.evidence(BARS[:1200], since=1))


def test_bars_at_or_before_the_fence_are_in_sample(bundle):
    fence = bundle.manifest.fence
    inside = bundle.in_sample(BARS)
    assert fence == bundle.manifest.zones.validation[1]
    assert inside[BARS.open_time <= fence].all()
    assert not inside[BARS.open_time > fence].any()


def test_the_latest_fence_counts(bundle):
    late = replace(bundle.manifest.fences["auditor"], label_horizon_end=BARS.open_time[-1])
    manifest = replace(bundle.manifest, fences={**bundle.manifest.fences, "auditor": late})
    assert manifest.in_sample(BARS).all()


def test_rules_are_the_terms_of_the_labels_unless_overridden(bundle):
    assert (bundle.rules().k_up, bundle.rules().hold, bundle.rules().fee) == (1.5, 24, 0.001)
    assert bundle.rules(fee=0.0004).fee == 0.0004
    with pytest.raises(UsageError, match="unknown term 'fees'; did you mean 'fee'"):
        bundle.rules(fees=0.1)


def test_the_hash_names_every_byte(bundle, copy):
    assert load_bundle(copy).hash == bundle.hash
    page = json.loads((copy / "manifest.json").read_text())
    rewritten = replace(bundle.manifest, trials=bundle.manifest.trials + 1)
    files = {name: (copy / name).read_bytes() for name in page["files"]}
    assert load_bundle(write_bundle(copy, rewritten, files)).hash != bundle.hash


def test_a_manifest_survives_its_json(bundle):
    again = Manifest.from_json(bundle.manifest.to_json())
    assert again == bundle.manifest
    assert again.to_json() == bundle.manifest.to_json()


def test_a_manifest_takes_numbers_of_any_library(bundle):
    odd = replace(bundle.manifest, metrics={"auc": np.float32(0.5), "n": np.int64(7)}, memory=np.int64(5000))
    assert json.loads(odd.to_json())["metrics"] == {"auc": 0.5, "n": 7}


@pytest.mark.parametrize("name", ["predictor.onnx", "regime.json", "auditor.json", "oos.parquet"])
def test_a_file_that_changed_by_one_bit_is_refused(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(
        ModelMismatch, match=f"bundle toy: {name} was changed since it was written; restore it or retrain"
    ):
        load_bundle(copy)


@pytest.mark.parametrize("name", ["predictor.onnx", "regime.json", "auditor.json", "oos.parquet"])
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(ModelMismatch, match=f"toy/{name} is missing; restore it or retrain"):
        load_bundle(copy)


@pytest.mark.parametrize("name", ["manifest.json", "regime.json", "oos.parquet"])
def test_a_file_nobody_may_read_is_named(copy, monkeypatch, name):
    def refuse(path, *args, **more):
        if path.name == name:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *args, **more)

    opened = Path.open  # root, as containers run tests, may read everything: the refusal is the system's
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ModelMismatch, match=f"toy/{name} cannot be read; see to its permissions"):
        load_bundle(copy)


def test_a_folder_nobody_may_read_is_named(copy, monkeypatch):
    monkeypatch.setattr("os.access", lambda place, mode: Path(place) != copy)
    with pytest.raises(UsageError, match="cannot be read: see to the folder's permissions"):
        load_bundle(copy)


def test_a_file_the_manifest_does_not_list_is_refused_unless_hidden(copy):
    (copy / ".DS_Store").touch()
    load_bundle(copy)
    (copy / "extra.bin").touch()
    with pytest.raises(ModelMismatch, match=r"holds 'extra.bin', which its manifest does not list; remove the file"):
        load_bundle(copy)


@pytest.mark.parametrize("name", ["predictor.onnx", "manifest.json", "oos.parquet"])
def test_links_are_refused(copy, tmp_path, name):
    shutil.move(copy / name, tmp_path / name)
    (copy / name).symlink_to(tmp_path / name)
    with pytest.raises(ModelMismatch, match="is no regular file"):
        load_bundle(copy)


def test_a_file_larger_than_a_model_may_be_is_refused(copy, monkeypatch):
    monkeypatch.setitem(models.folder.LARGEST, ".onnx", 100)
    with pytest.raises(ModelMismatch, match=r"predictor.onnx has \d+ bytes; at most 100 are read"):
        load_bundle(copy)


def spoil(copy, change) -> None:
    page = json.loads((copy / "manifest.json").read_text())
    change(page)
    (copy / "manifest.json").write_text(json.dumps(page))


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "a/b", "", ".hidden", "manifest.json", "a\\b", "nul\x00"]
)
def test_a_manifest_cannot_point_out_of_its_folder(copy, name):
    spoil(copy, lambda page: page["files"].update({name: "0" * 64}))
    with pytest.raises(ModelMismatch, match="which is no plain file name; do not use it"):
        load_bundle(copy)


def test_a_feature_computed_differently_is_refused_with_both_values_and_the_remedy(copy):
    spoil(copy, lambda page: page["features"][2].update(memory=49))
    with pytest.raises(ModelMismatch) as refusal:
        load_bundle(copy)
    assert str(refusal.value) == (
        "bundle toy expects feature 'vol_24' (memory 49), this code computes it with memory 25;"
        " retrain with `tradsys train toy` or check out 3f2c1ab"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda page: page.update(schema=2), "has schema 2, this code reads up to 1; update the code"),
        (lambda page: page.update(schema=0), "schema must be 1"),
        (lambda page: page.pop("window"), "window is missing"),
        (lambda page: page["market"].pop("sides"), r"market\.sides is missing"),
        (lambda page: page.update(window="16"), "window must be a whole number"),
        (lambda page: page.update(trials=True), "trials must be a whole number"),
        (lambda page: page.update(trials=-1), "trials must be in 0..1,000,000,000"),
        (lambda page: page.update(trials=10**23), "trials must be in 0..1,000,000,000"),
        (lambda page: page.update(released=1), "released must be true or false"),
        (lambda page: page.update(colour="red"), "unknown key 'colour'"),
        (lambda page: page["seeds"].append(None), r"seeds\[1\] must be a whole number"),
        (lambda page: page["market"].update(sides=["short"]), r"market\.sides must be"),
        (
            lambda page: (page["market"].update(sides=["long", "short"]), page["barriers"].update(k_up=3.0)),
            r"barriers of a market with shorts must be k_up = k_down, vertical sign or drop",
        ),
        (
            lambda page: (page["market"].update(sides=["long", "short"]), page["barriers"].update(vertical="zero")),
            r"barriers of a market with shorts must be k_up = k_down, vertical sign or drop",
        ),
        (lambda page: page["market"].update(timeframe="1x"), r"market\.timeframe must be"),
        (lambda page: page["confidence"].update(levels=[0.5]), r"confidence\.levels must be 1001 rising numbers"),
        (lambda page: page["thresholds"].update(sniper=95), "thresholds must be in"),
        (lambda page: page["zones"].update(test=["2020-01-01"]), "zone test must be a first and a last time"),
        (lambda page: page["zones"].update(test=["soon", "later"]), "time 'soon' was not understood"),
        (lambda page: page.update(name="../toy"), "name must be lower-case"),
        (lambda page: page.update(memory=3), "memory >= clear_bars >= window >= 1 must be true"),
        (lambda page: page.update(memory=900), "declares memory 900, its parts need 1039 in this code; retrain"),
        (lambda page: page.update(clear_bars=20), "declares clear_bars 20, its parts need 41 in this code; retrain"),
        (
            lambda page: page["features"][0].update(name="ret_2"),
            "'ret_2', which this code does not have .the nearest is 'ret_",
        ),
        (
            lambda page: page["features"][3].update(lookback=3),
            r"'rsi_14' \(lookback 3\), this code computes it with lookback 15",
        ),
        (lambda page: page["regime"].update(roles=["calm", "wild"]), "lists roles"),
        (lambda page: page["auditor"]["features"].pop(), "was trained on inputs"),
        (lambda page: page["files"].pop("regime.json"), "regime.json"),
    ],
)
def test_a_manifest_that_does_not_fit_says_where(copy, change, message):
    spoil(copy, change)
    with pytest.raises(ModelMismatch, match=message):
        load_bundle(copy)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": NaN}', "\x00", "[" * 100_000])
def test_a_broken_manifest_is_refused(copy, text):
    (copy / "manifest.json").write_text(text)
    with pytest.raises(ModelMismatch, match=r"toy/manifest\.json"):
        load_bundle(copy)


def test_a_bundle_nobody_knows_is_named(tmp_path):
    with pytest.raises(UsageError, match="bundle"):
        load_bundle("no-such-bundle")
    with pytest.raises(UsageError, match=r"is no bundle: it has no manifest\.json"):
        load_bundle(tmp_path)


def test_writing_replaces_a_bundle_whole_and_nothing_else(bundle, copy, tmp_path):
    write_bundle(copy, bundle.manifest, {"only.json": b"{}"})
    assert sorted(path.name for path in copy.iterdir()) == ["manifest.json", "only.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["toy"]  # no drafts are left behind
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(UsageError, match="name a new folder for the bundle"):
        write_bundle(tmp_path / "mine", bundle.manifest, {})
    with pytest.raises(UsageError, match="is not allowed in a bundle"):
        write_bundle(tmp_path / "new", bundle.manifest, {"../x": b""})


def test_a_failed_write_leaves_the_old_bundle(bundle, copy):
    with pytest.raises(TypeError):
        write_bundle(copy, bundle.manifest, {"a.json": "no bytes"})
    assert load_bundle(copy).hash == bundle.hash


def test_a_bundle_of_both_sides_leans_both_ways(tmp_path):
    both = load_bundle(make_bundle(tmp_path, BARS, sides=("long", "short"))).evidence(BARS)
    assert set(both.lean.tolist()) == {-1, 1}
    assert (both.probability[np.isfinite(both.p_up)] >= 0.5).all()


def test_times_are_utc_with_or_without_a_z():
    assert parse_time("2024-01-01T08:00Z") == parse_time("2024-01-01T08:00")
    for text in ("2024-01-01T08:00+01:00", "2024-02-31", "NaT", "now", ""):
        with pytest.raises(ModelMismatch, match="was not understood"):
            parse_time(text)


def test_recorded_rows_may_be_written_in_pieces_with_zones_holes_and_half_the_digits(bundle, copy):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(copy / "oos.parquet")
    short = {"p_up", "rank", "audit", "tau", "atr", "belief_0", "belief_1", "belief_2"}
    table = table.cast(pa.schema([(f.name, pa.float32() if f.name in short else f.type) for f in table.schema]))
    stamped = table.column("open_time").cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
    holed = pa.array(table.column("audit").to_numpy(), from_pandas=True, mask=np.arange(len(table)) == 7)
    table = table.set_column(0, "open_time", stamped).set_column(table.schema.get_field_index("audit"), "audit", holed)
    pq.write_table(table, copy / "oos.parquet", row_group_size=100)
    files = {name: (copy / name).read_bytes() for name in bundle.manifest.files}
    told = load_bundle(write_bundle(copy, bundle.manifest, files)).stored_evidence(BARS)
    for name in ("p_up", "rank", "lean", "tau", "atr"):
        np.testing.assert_array_equal(getattr(told, name), getattr(bundle.stored_evidence(BARS), name), err_msg=name)
    assert np.flatnonzero(np.isnan(told.audit[1300:])).tolist() == [7]


def test_recorded_rows_of_another_atr_are_refused(bundle, copy):
    import pyarrow.parquet as pq

    table = pq.read_table(copy / "oos.parquet")
    place = table.schema.get_field_index("atr")
    pq.write_table(table.set_column(place, "atr", [table.column("atr").to_numpy() * 1.001]), copy / "oos.parquet")
    files = {name: (copy / name).read_bytes() for name in bundle.manifest.files}
    with pytest.raises(ModelMismatch, match="recorded another ATR than this code computes; retrain"):
        load_bundle(write_bundle(copy, bundle.manifest, files)).stored_evidence(BARS)


def test_recorded_rows_that_are_no_table_are_refused(bundle, copy):
    files = {name: (copy / name).read_bytes() for name in bundle.manifest.files} | {"oos.parquet": b"PAR1junk"}
    with pytest.raises(ModelMismatch, match=r"oos\.parquet cannot be read"):
        load_bundle(write_bundle(copy, bundle.manifest, files)).stored_evidence(BARS)


@pytest.mark.parametrize("column", ["audit", "tau"])
def test_recorded_rows_without_a_column_are_refused(bundle, copy, column):
    import pyarrow.parquet as pq

    pq.write_table(pq.read_table(copy / "oos.parquet").drop_columns([column]), copy / "oos.parquet")
    files = {name: (copy / name).read_bytes() for name in bundle.manifest.files}
    with pytest.raises(ModelMismatch, match=r"oos\.parquet.*retrain"):
        load_bundle(write_bundle(copy, bundle.manifest, files)).stored_evidence(BARS)
