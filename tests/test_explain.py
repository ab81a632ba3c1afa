"""Explaining: who spoke, on bars it had seen or not, what became of it, and nothing of a sealed zone."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.barriers import label_barriers
from engine.bars import format_time
from engine.compare import CONTROL
from engine.errors import UsageError
from engine.report.explained import explanation_lines, print_explained
from engine.signals import FIRST_VETO
from engine.synthetic import random_bars
from engine.trials import TrialLedger
from models.bundle import load_bundle
from models.evidence import OOS
from models.folder import write_bundle
from strategies import make_strategy
from strategies.explaining import Look, explain_bundle
from strategies.workbench import compare_bundle, find_stretch, seal_key
from tests.bundles import make_bundle

BARS = random_bars(3000, seed=11)
RECORDED = "recorded by the walk-forward; contributions are not recorded"
IN_SAMPLE = "IN-SAMPLE: parts of the bundle were fitted on"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    """A bundle whose walk-forward said something else than the models it serves."""
    import pyarrow.parquet as pq

    path = make_bundle(tmp_path_factory.mktemp("bundles"), BARS)
    manifest = load_bundle(path).manifest
    files = {name: (path / name).read_bytes() for name in manifest.files}
    table = pq.read_table(io.BytesIO(files[OOS])).to_pandas()
    for column in ("p_up", "rank", "audit"):
        table[column] = 1.0 - table[column]
    table[["belief_0", "belief_1"]] = table[["belief_1", "belief_0"]].to_numpy()
    sink = io.BytesIO()
    table.to_parquet(sink, index=False)
    return write_bundle(path, manifest, files | {OOS: sink.getvalue()})


@pytest.fixture(scope="module")
def draft(bundle, tmp_path_factory) -> Path:
    manifest = replace(load_bundle(bundle).manifest, released=False)
    files = {name: (bundle / name).read_bytes() for name in manifest.files}
    return write_bundle(tmp_path_factory.mktemp("drafts") / "toy", manifest, files)


@pytest.fixture(scope="module")
def csv(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("bars") / "RANDOM-1h.csv"
    columns = (BARS.open, BARS.high, BARS.low, BARS.close, BARS.volume)
    stamps = BARS.open_time.astype("datetime64[ms]").astype("int64")
    rows = [f"{t},{','.join(repr(float(c[i])) for c in columns)}" for i, t in enumerate(stamps)]
    path.write_text("timestamp,open,high,low,close,volume\n" + "\n".join(rows) + "\n")
    return str(path)


@pytest.fixture
def ask(csv, tmp_path):
    """Ask one thing about a profile; everything else has a default."""

    def call(bundle, at=None, trade=None, vetoes=False, zone="test", look=None, profile="reckless"):
        return explain_bundle(bundle, profile, csv, tmp_path / "data", zone, look, (at, trade, vetoes))

    return call


def sealed_from(bundle: Path) -> int:
    """First row of the sealed test zone."""
    return BARS.since(load_bundle(bundle).manifest.zones.test[0])


def when(row: int) -> str:
    return format_time(BARS.open_time[row])


# ---- out of sample, the walk-forward speaks
@pytest.mark.parametrize("profile", ["reckless", "audited"])
def test_a_trade_of_the_walk_forward_is_explained_by_what_the_walk_forward_said(ask, bundle, profile):
    compared = next(r for r in compare_bundle(bundle, BARS, "oos").rows if r.name.lower() == profile)
    opened = load_bundle(bundle)
    said, served = opened.stored_evidence(BARS), opened.evidence(BARS)
    for number in (1, len(compared.result.trades)):
        trade, found = compared.result.trades[number - 1], ask(bundle, trade=number, zone="oos", profile=profile)
        row, one = BARS.since(trade["wish_time"]), found.decision
        assert one.time == format_time(trade["wish_time"])
        assert (one.p, one.confidence, one.audit) == (said.p_up[row], said.rank[row], said.audit[row])
        assert list(one.belief.values()) == list(said.belief[row])
        assert one.p != served.p_up[row]
        assert (one.wish, one.why, one.atr) == (1, "wish", said.atr[row])
        assert one.outcome.ret == pytest.approx(trade["ret"], rel=1e-12)
        assert (one.recorded, one.in_sample, found.in_sample) == (True, False, False)
        assert (one.contributions, one.features) == ((), {})
        text = "\n".join(explanation_lines(one))
        assert RECORDED in text
        assert "IN-SAMPLE" not in text
        assert "features" not in text


def test_vetoes_of_the_walk_forward_are_those_it_recorded(ask, bundle):
    opened = load_bundle(bundle)
    strategy, stretch = make_strategy("audited", opened), find_stretch(opened, BARS, "oos")
    signals = strategy.signals_from(stretch.evidence)[stretch.rows]
    labels = label_barriers(BARS[stretch.rows], signals.atr, opened.rules(), signals.proposed)
    found = ask(bundle, vetoes=True, zone="oos", profile="audited")
    assert [one.gate for one in found.vetoes] == ["regime", "auditor"]
    for i, one in enumerate(found.vetoes):
        assert one.count == int(((signals.reason == FIRST_VETO + i) & (labels.end >= 0)).sum())
    assert found.in_sample is False


# ---- elsewhere the served models speak, and say on which bars they were fitted
def test_what_was_fitted_on_the_bar_says_so_loudly(ask, bundle, capsys):
    fence = BARS.since(load_bundle(bundle).manifest.fence)
    for row, fitted in ((fence - 200, True), (fence, True), (fence + 1, False), (len(BARS) - 60, False)):
        found = ask(bundle, at=when(row))
        assert (found.decision.in_sample, found.in_sample, found.decision.recorded) == (fitted, fitted, False)
        print_explained(found, as_json=False)
        assert (f"{IN_SAMPLE} RANDOM-11 at the time of this bar" in capsys.readouterr().out) == fitted
        print_explained(found, as_json=True)
        record = json.loads(capsys.readouterr().out)
        assert (record["in_sample"], record["decision"]["in_sample"]) == (fitted, fitted)


@pytest.mark.parametrize(("zone", "fitted"), [("development", True), ("validation", True), ("test", False)])
def test_a_zone_says_whether_it_was_fitted_on(ask, bundle, capsys, zone, fitted):
    assert ask(bundle, trade=1, zone=zone).decision.in_sample == fitted
    print_explained(ask(bundle, vetoes=True, zone=zone, profile="audited"), as_json=False)
    assert (f"{IN_SAMPLE} RANDOM-11 at the time of some of these bars" in capsys.readouterr().out) == fitted


# ---- the seal
@pytest.mark.parametrize("zone", ["test", "oos", "validation", "development", "all"])
def test_a_draft_says_nothing_of_a_sealed_bar_whatever_the_zone(ask, draft, zone):
    for row in (sealed_from(draft), len(BARS) - 60):
        with pytest.raises(UsageError, match=f"toy is a draft: its bars from {when(sealed_from(draft))} are sealed"):
            ask(draft, at=when(row), zone=zone)


@pytest.mark.parametrize("zone", ["test", "all"])
def test_a_draft_says_nothing_of_a_sealed_zone(ask, draft, zone):
    for question in ({"trade": 1}, {"vetoes": True}, {"trade": 10**6}):
        with pytest.raises(UsageError, match="are sealed"):
            ask(draft, zone=zone, **question)


def test_a_bar_before_the_seal_is_explained_though_its_outcome_reaches_beyond(ask, draft):
    found = ask(draft, at=when(sealed_from(draft) - 1)).decision
    assert found.outcome.entry_time == when(sealed_from(draft))
    assert ask(draft, trade=1, zone="validation").decision.wish == 1


def test_every_look_is_counted_and_only_looks(ask, draft, bundle, tmp_path):
    look, book = Look("curious", tmp_path / "looks.db", "2024-01-01T00:00:00Z"), tmp_path / "looks.db"
    key, sealed = seal_key(load_bundle(draft)), when(sealed_from(draft) + 5)
    ask(draft, at=when(5), look=look)
    ask(bundle, at=sealed, look=look)
    ask(draft, trade=1, zone="validation", look=look)
    assert not book.exists()
    for question in ({"at": sealed}, {"trade": 1}, {"vetoes": True}):
        ask(draft, look=look, **question)
    assert TrialLedger(book).looks(key) == 3


def test_looks_are_counted_by_the_bars_that_were_seen_and_not_by_the_model(bundle, draft, tmp_path):
    again = load_bundle(make_bundle(tmp_path, BARS, name="another", seed=3))
    first = load_bundle(draft)
    assert again.predictor_hash != first.predictor_hash
    assert seal_key(again) == seal_key(first) == f"RANDOM-11 1h test from {when(sealed_from(draft))}"
    assert compare_bundle(again, BARS).about["bundle"]["seal"] == seal_key(first)
    assert seal_key(load_bundle(make_bundle(tmp_path, BARS[:2500], name="older"))) != seal_key(first)


# ---- questions that have no answer
@pytest.mark.parametrize("time", ["2001-01-01", format_time(BARS.close_time[-1]), "2999-01-01"])
def test_a_time_outside_the_bars_is_refused(ask, bundle, time):
    with pytest.raises(UsageError, match="lies outside these bars"):
        ask(bundle, at=time)


def test_a_time_that_is_none_is_refused(ask, bundle):
    with pytest.raises(UsageError, match="'yesterday' is not a time"):
        ask(bundle, at="yesterday")


@pytest.mark.parametrize("asked", [{}, {"at": when(5), "trade": 1}, {"trade": 1, "vetoes": True}])
def test_one_question_at_a_time(ask, bundle, asked):
    with pytest.raises(UsageError, match="ask for one thing: --at TIME, --trade N or --vetoes"):
        ask(bundle, **asked)


def test_only_trades_that_were_made_have_a_number(ask, bundle):
    made = len(next(r for r in compare_bundle(bundle, BARS).rows if r.name == "Reckless").result.trades)
    assert ask(bundle, trade=made).decision.wish == 1
    for number in (0, -1, made + 1):
        with pytest.raises(UsageError, match=rf"--trade must be in 1\.\.{made}: the trades of Reckless in zone test"):
            ask(bundle, trade=number)


# ---- what is said
def test_what_is_not_known_is_null_in_json_and_a_dash_in_words(ask, bundle, capsys):
    found = ask(bundle, at=when(3))
    assert (found.decision.p, found.decision.why) == (None, "no evidence")
    print_explained(found, as_json=True)
    out = capsys.readouterr().out
    assert json.loads(out, parse_constant=lambda word: pytest.fail(word))["decision"]["p"] is None
    assert "nan" not in "\n".join(explanation_lines(found.decision)).lower()


def test_a_vetoed_wish_would_have_become_what_its_label_says_and_a_trade_became(ask, bundle):
    opened = load_bundle(bundle)
    signals = make_strategy("audited", opened).signals(BARS)
    labels = label_barriers(BARS, signals.atr, opened.rules(), signals.proposed)
    vetoed = np.flatnonzero((signals.reason >= FIRST_VETO) & (labels.end >= 0))[0]
    wished = np.flatnonzero((signals.side != 0) & (labels.end >= 0))[0]
    for row, verb in ((vetoed, "would have become"), (wished, "became")):
        one = ask(bundle, at=when(row), profile="audited").decision
        assert one.outcome.ret == pytest.approx(labels.ret[row], rel=1e-12)
        line = next(line for line in explanation_lines(one) if line.startswith("  outcome"))
        assert line.split("outcome")[1].strip().startswith(f"{verb} {one.outcome.ret:+.2%} net")
    assert ask(bundle, at=when(vetoed), profile="audited").decision.why.startswith("vetoed by")


@pytest.mark.parametrize("zone", ["test", "validation", "oos"])
def test_what_the_vetoes_were_worth_is_what_the_vetoed_wishes_would_have_earned(ask, bundle, zone):
    found = ask(bundle, vetoes=True, zone=zone, profile="audited").vetoes
    row = next(r for r in compare_bundle(bundle, BARS, zone).rows if r.kind != CONTROL and r.name == "Audited")
    opened, signals = load_bundle(bundle), row.signals
    stretch = BARS[find_stretch(opened, BARS, zone).rows]
    labels = label_barriers(stretch, signals.atr, opened.rules(), signals.proposed)
    vetoed = (signals.reason >= FIRST_VETO) & (labels.end >= 0)
    assert vetoed.sum() > 5
    assert sum(one.count for one in found) == vetoed.sum()
    worth = sum(one.count * one.mean.value for one in found if one.count)
    assert worth == pytest.approx(labels.ret[vetoed].sum(), rel=1e-9)
