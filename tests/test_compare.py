"""Comparisons: equal terms for every row, the same bytes every time, and honest about what was seen."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from engine.card.judge import History, judge
from engine.card.record import as_dict
from engine.card.text import card_lines
from engine.card.verdict import alarms_of
from engine.compare import CONTROL, GRID, PROFILE
from engine.errors import DataError, UsageError
from engine.history import embedded_bars
from engine.jsons import dumps
from engine.report.compose import compose
from engine.report.page import render
from engine.report.terminal import believed
from engine.synthetic import random_bars
from strategies.ledgered import judge_ledgered
from strategies.workbench import compare_bundle
from tests.bundles import make_bundle

BARS = random_bars(4000, seed=11)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundles"), BARS)


@pytest.fixture(scope="module")
def comparison(bundle):
    return compare_bundle(bundle, BARS, "test")


@pytest.fixture(scope="module")
def judged(comparison):
    return judge(comparison, History(others=5))


def test_profiles_come_first_then_the_grid_between_them_then_controls(comparison):
    kinds = [row.kind for row in comparison.rows]
    assert kinds == sorted(kinds, key=(PROFILE, GRID, CONTROL).index)
    assert [row.name for row in comparison.rows[:3]] == ["Sniper", "Audited", "Reckless"]
    terms = {tuple(sorted((k, v) for k, v in row.terms.items() if k != "mode")) for row in comparison.rows[:8]}
    assert len(terms) == 8


def test_every_row_trades_the_same_bars_at_the_same_costs(comparison):
    for row in comparison.rows:
        assert len(row.result.equity) == len(comparison.bars)
        assert (row.result.rules.fee, row.result.rules.slippage) == (comparison.rules.fee, comparison.rules.slippage)


def test_more_gates_trade_a_subset_of_wishes(comparison):
    for row in comparison.rows:
        for gate in ("regime", "auditor"):
            bare = {**row.terms, gate: False}
            for other in comparison.rows:
                if row.terms.get(gate) and dict(other.terms) == bare:
                    assert not (row.signals.side != 0)[other.signals.side == 0].any()


def test_the_same_question_has_the_same_bytes(bundle):
    texts = [dumps(as_dict(judge(compare_bundle(bundle, BARS, "test")))) for _ in range(2)]
    assert texts[0] == texts[1]
    assert json.loads(texts[0])["schema"] == "tradsys.compare/1"


def test_json_never_holds_nan(judged):
    assert "NaN" not in dumps(as_dict(judged))


def test_the_record_has_every_key_its_page_documents(judged):
    from pathlib import Path

    page = (Path(__file__).resolve().parents[1] / "docs" / "compare-json.md").read_text()
    for key in (*as_dict(judged), *as_dict(judged)["judgement"], *as_dict(judged)["rows"][0]):
        assert f"`{key}`" in page, key


def test_costs_named_are_costs_paid(bundle):
    free = compare_bundle(bundle, BARS, "test", costs={"fee": 0.0, "maker_fee": 0.0, "slippage": 0.0})
    assert all(row.score.fees_paid == 0 for row in free.rows)
    with pytest.raises(UsageError, match="fee must be in"):
        compare_bundle(bundle, BARS, "test", costs={"fee": -1.0})


@pytest.mark.parametrize(
    ("named", "fee", "maker_fee"),
    [
        ({}, 0.001, 0.001),
        ({"fee": 0.0001}, 0.0001, 0.0001),
        ({"fee": 0.002}, 0.002, 0.001),
        ({"fee": 0.0001, "maker_fee": 0.0003}, 0.0001, 0.0003),
        ({"maker_fee": 0.0003}, 0.001, 0.0003),
    ],
)
def test_a_fee_named_alone_is_the_most_that_a_resting_order_pays_too(bundle, named, fee, maker_fee):
    rules = compare_bundle(bundle, BARS, "test", costs=named).rules
    assert (rules.fee, rules.maker_fee) == (fee, maker_fee)


def test_rows_on_bars_the_models_saw_are_marked(bundle):
    seen = compare_bundle(bundle, BARS, "development")
    assert all(row.in_sample == 1.0 for row in seen.rows if row.kind != CONTROL)
    judged = judge(seen)
    assert {one.verdict.word for one in judged.profiles} == {"IN-SAMPLE"}
    assert judged.ranking == ()
    assert all(row.in_sample == 0.0 for row in compare_bundle(bundle, BARS, "test").rows)


def test_on_another_market_it_is_the_time_that_was_seen_not_the_bars(bundle):
    other = judge(compare_bundle(bundle, replace(BARS, symbol="OTHER"), "development"))
    own = judge(compare_bundle(bundle, BARS, "development"))
    for judged, said in (
        (own, "on 100% of these bars"),
        (other, f"on {BARS.symbol} at the time of 100% of these bars"),
    ):
        assert all(one.verdict.reasons == (f"parts of the bundle were fitted {said}",) for one in judged.profiles)
        told = next(line for line in believed(judged) if line.startswith("* IN-SAMPLE"))
        assert said.replace("100% of ", "") in told
        assert said.replace("100% of ", "") in compose(judged)["header"]["seen"]
        ends = "IN-SAMPLE 100%" + " of the time, on another market" * (judged is other)
        assert all(card_lines(judged, one.row.name)[1].endswith(ends) for one in judged.profiles)


def test_a_predictor_that_is_the_control_is_said_to_be(bundle):
    bars = replace(random_bars(3000, seed=3), symbol="BTCUSDT")
    twins = judge(compare_bundle("btcusdt-1h", bars, "all"))
    said = "Reckless and Last-bar logistic are one: this bundle's predictor is that control, so neither can beat it"
    assert (said in believed(twins), compose(twins)["header"]["note"]) == (True, said)
    assert not any("are one" in line for line in believed(judge(compare_bundle(bundle, BARS, "test"))))


def test_the_walk_forward_zone_speaks_from_the_record(bundle):
    recorded = compare_bundle(bundle, BARS, "oos")
    own = compare_bundle(bundle, BARS, "all")
    assert len(recorded.bars) < len(own.bars)
    with pytest.raises(DataError, match="recorded its out-of-sample rows on"):
        compare_bundle(bundle, random_bars(4000, seed=12), "oos")


def test_zones_that_do_not_exist_or_hold_no_bars_are_refused(bundle):
    with pytest.raises(UsageError, match="unknown zone 'tset'; did you mean 'test'"):
        compare_bundle(bundle, BARS, "tset")
    with pytest.raises(DataError, match="holds no bars of zone test"):
        compare_bundle(bundle, BARS.upto(2500), "test")


def test_under_thirty_trades_nothing_is_ranked(judged):
    for one in judged.profiles:
        if one.win.few:
            assert one.row.name not in judged.ranking
            assert one.verdict.word in ("TOO FEW TRADES", "NO TRADES", "LEAK ALARM")


def test_noise_is_never_proven(judged):
    assert all(one.verdict.word != "PROVEN" for one in judged.profiles)


def test_what_is_too_good_to_be_true_is_an_alarm(judged, comparison):
    from dataclasses import replace

    row = comparison.rows[2]
    golden = replace(row, score=replace(row.score, sharpe=4.0, trades=400, win_rate=0.8))
    assert alarms_of(row, None) == ()
    assert alarms_of(golden, None) == ("Sharpe 4.0 > 2.5 over 400 trades", "win rate 80% > 65% at equal barriers")


def test_chance_alone_is_no_alarm(comparison):
    from types import SimpleNamespace

    from engine.inference.forecast import LogLoss
    from engine.inference.interval import Interval

    def told(auc_low, skill_low):
        loss = LogLoss(0.65, 0.5, 0.69, 0.06, skill_low, 0.1, n=200)
        return alarms_of(comparison.rows[2], SimpleNamespace(auc=Interval(0.62, auc_low, 0.7), loss=loss))

    assert told(0.49, -0.01) == ()  # 200 bars of overlapping labels are a dozen: noise looks like that
    assert told(0.51, 0.01) == ("AUC 0.620 > 0.58", "log-loss skill 6.0% > 2%")


def test_a_gate_trained_again_is_another_try_and_counted(bundle, tmp_path):
    from dataclasses import replace

    from models.bundle import load_bundle
    from models.folder import write_bundle

    opened = load_bundle(bundle)
    files = {name: (opened.folder / name).read_bytes() for name in opened.manifest.files}
    stricter = replace(opened.manifest, thresholds={**opened.manifest.thresholds, "auditor": 0.9})
    book, other = tmp_path / "t.db", write_bundle(tmp_path / "stricter", stricter, files)
    first = judge_ledgered(compare_bundle(bundle, BARS, "test"), book, "now")
    again = judge_ledgered(compare_bundle(other, BARS, "test"), book, "now")
    audited = sum(bool(row.terms.get("auditor")) for row in first.comparison.rows)
    assert again.trials.count == first.trials.count + audited
    assert judge_ledgered(compare_bundle(bundle, BARS, "test"), book, "now").trials.count == again.trials.count


def test_a_training_repeated_hides_none_of_what_was_tried_before_it(bundle, comparison, tmp_path):
    from dataclasses import replace

    from models.bundle import load_bundle
    from strategies.ledgered import record_training

    opened = load_bundle(bundle)
    told = {**opened.manifest.predictor, "candidates": [{"kind": k, "loss": 0.69} for k in ("logistic", "trees")]}
    trained = replace(opened, manifest=replace(opened.manifest, predictor=told, trials=10))
    asked = replace(comparison, about={**comparison.about, "bundle": {**comparison.about["bundle"], "trials": 10}})
    for _ in range(3):
        record_training(tmp_path / "t.db", trained, "now")
        assert judge_ledgered(asked, tmp_path / "t.db", "now").trials.count == 8 + 10


def test_a_look_counts_for_every_draft_whose_sealed_bars_it_showed(bundle, tmp_path):
    from dataclasses import replace

    from models.bundle import load_bundle
    from strategies.ledgered import record_look

    opened, book = load_bundle(bundle), tmp_path / "t.db"
    zones = opened.manifest.zones
    later = replace(zones, test=(zones.test[0] + np.timedelta64(1, "h"), zones.test[1]))  # a window one bar longer
    drafts = [
        replace(opened, manifest=replace(opened.manifest, released=False, zones=each), _remembered={})
        for each in (zones, later)
    ]
    for draft in drafts:
        record_look(book, draft, "test", "why", "2026-01-01T00:00:00Z")
    record_look(book, drafts[0], "test", "why", "2019-01-01T00:00:00Z")  # before there was a bar of it to be seen
    for draft in drafts:
        found = compare_bundle(draft, BARS, "test", unseal="why")
        assert judge_ledgered(found, book, "now").looks == 2


def test_a_rebate_is_not_doubled_where_terms_get_harder():
    from engine.card.stress import with_costs
    from engine.rules import Rules

    rules = Rules(fee=0.0004, maker_fee=-0.0002)
    assert [with_costs(rules, multiple).maker_fee for multiple in (0.0, 1.0, 3.0)] == [0.0, -0.0002, -0.0002]


def test_a_perpetual_is_told_that_its_funding_is_not_charged(comparison):
    from dataclasses import replace

    from engine.funding import NOT_CHARGED
    from engine.report.terminal import believed

    assert not any(NOT_CHARGED in line for line in believed(judge(comparison)))
    perpetual = replace(comparison, bars=replace(comparison.bars, symbol="RANDOM.P"))
    assert any(NOT_CHARGED in line for line in believed(judge(perpetual)))


def test_what_was_earned_at_other_costs_is_counted_but_not_judged_by(bundle, tmp_path):
    free = {"fee": 0.0, "maker_fee": 0.0, "slippage": 0.0}

    def judged_after(costs):
        book = tmp_path / f"{len(costs)}.db"
        judge_ledgered(compare_bundle(bundle, BARS, "test", mode="probability", costs=costs), book, "now")
        return judge_ledgered(compare_bundle(bundle, BARS, "test"), book, "now")

    alone = judge_ledgered(compare_bundle(bundle, BARS, "test"), tmp_path / "alone.db", "now")
    dear, cheap = judged_after({}), judged_after(free)
    assert dear.trials.count == cheap.trials.count == alone.trials.count + 8
    assert (cheap.beats_cash, cheap.trials.variance) == (alone.beats_cash, alone.trials.variance)
    assert dear.beats_cash != alone.beats_cash  # at equal costs the others are part of what is judged


def test_trials_in_the_ledger_deflate_the_sharpe_ratio(comparison):
    few, many = (judge(comparison, History(others=n)) for n in (0, 500))
    for a, b in zip(few.profiles, many.profiles, strict=True):
        if a.assessment.deflated.value is not None:
            assert b.assessment.deflated.value < a.assessment.deflated.value


def test_a_comparison_is_a_trial_once_however_often_it_runs(comparison, tmp_path):
    book = tmp_path / "trials.db"
    first = judge_ledgered(comparison, book, "2024-01-01T00:00:00Z")
    again = judge_ledgered(comparison, book, "2024-01-02T00:00:00Z")
    assert first.trials == again.trials
    assert first.trials.count >= 8


def test_every_card_answers_every_question(judged):
    for one in judged.profiles:
        text = "\n".join(card_lines(judged, one.row.name))
        assert "nan" not in text.lower().replace("finance", "")
        for question in (
            "sample",
            "win rate",
            "Sharpe",
            "selection",
            "vs controls",
            "calibration",
            "stress",
            "VERDICT",
        ):
            assert f"  {question}" in text


def test_the_page_is_made_of_the_whole_comparison(judged):
    page = render(compose(judged))
    assert len(page) < 5_000_000
    assert "Buy and hold" in page


@pytest.mark.parametrize("case", ["constant", "three bars", "no trades"])
def test_markets_without_answers_get_words_not_numbers(bundle, case):
    n = 1500
    flat = np.full(n, 100.0)
    bars = {
        "constant": type(BARS)(BARS.open_time[-n:], flat, flat, flat, flat, flat, BARS.timeframe_ns, "FLAT"),
        "three bars": BARS[-3:],
        "no trades": BARS[-1200:],
    }[case]
    costs = {} if case != "no trades" else {"exposure": 0.01}
    found = judge(compare_bundle(bundle, bars, "test", costs=costs))
    assert "NaN" not in dumps(as_dict(found))
    for one in found.profiles:
        assert card_lines(found, one.row.name)


def test_the_embedded_bars_are_real():
    bars = embedded_bars("nasdaq-1d")
    assert (len(bars), bars.sessions, bars.timeframe) == (5031, True, "1d")


def test_the_sealed_zone_of_a_draft_needs_a_reason_and_every_look_counts(bundle, tmp_path):
    from dataclasses import replace

    from models.bundle import load_bundle
    from strategies.ledgered import record_look

    opened = load_bundle(bundle)
    draft = replace(opened, manifest=replace(opened.manifest, released=False))
    for zone in ("test", "all"):
        with pytest.raises(UsageError, match="is sealed"):
            compare_bundle(draft, BARS, zone)
    assert compare_bundle(draft, BARS, "validation").rows
    found = compare_bundle(draft, BARS, "test", unseal="final check")
    for _ in range(2):
        record_look(tmp_path / "t.db", draft, "test", "final check", "now")
    assert judge_ledgered(found, tmp_path / "t.db", "now").looks == 2
    record_look(tmp_path / "t.db", opened, "test", "released", "now")
    assert judge_ledgered(found, tmp_path / "t.db", "now").looks == 2


def test_releasing_a_draft_opens_its_test_zone_and_changes_nothing_else(bundle, tmp_path):
    import shutil
    from dataclasses import replace

    from models.bundle import load_bundle, release
    from models.folder import write_bundle

    folder = tmp_path / "mine"
    shutil.copytree(bundle, folder)
    opened = load_bundle(folder)
    files = {name: (folder / name).read_bytes() for name in opened.manifest.files}
    write_bundle(folder, replace(opened.manifest, released=False), files)
    with pytest.raises(UsageError, match="is sealed"):
        compare_bundle(folder, BARS, "test")
    assert load_bundle(release(folder)).manifest == opened.manifest
    assert compare_bundle(release(folder), BARS, "test").rows


def test_a_ledger_that_was_tampered_with_stops_the_judgement(comparison, tmp_path):
    import sqlite3

    judge_ledgered(comparison, tmp_path / "t.db", "now")
    with sqlite3.connect(tmp_path / "t.db") as db:
        db.execute("drop trigger trials_are_kept")
        db.execute("delete from trials where id = 3")
    with pytest.raises(DataError, match="row 3 of trials is missing"):
        judge_ledgered(comparison, tmp_path / "t.db", "now")


def test_a_notebook_gets_a_table_and_a_figure(comparison):
    table, figure = comparison.table(), comparison.plot()
    assert list(table.index) == [row.name for row in comparison.rows]
    assert table.loc["Reckless", "trades"] == comparison["Reckless"].score.trades
    assert [trace.name for trace in figure.data] == list(table.index)


def test_strategies_between_the_profiles_get_cards_where_asked_for(comparison):
    found = judge(comparison, kinds=(PROFILE, GRID))
    assert len(found.profiles) == 8
    assert card_lines(found, "0.75 +regime")


def test_a_training_is_as_many_trials_as_it_had_candidates_and_counted_once(bundle, comparison, tmp_path):
    from dataclasses import replace

    from engine.trials import TrialLedger
    from models.bundle import load_bundle
    from strategies.ledgered import record_training

    opened = load_bundle(bundle)
    told = {**opened.manifest.predictor, "candidates": [{"kind": k, "loss": 0.69} for k in ("logistic", "trees")]}
    trained = replace(opened, manifest=replace(opened.manifest, predictor=told, trials=2))
    asked = replace(comparison, about={**comparison.about, "bundle": {**comparison.about["bundle"], "trials": 2}})
    without = judge_ledgered(asked, tmp_path / "a.db", "now").trials.count
    record_training(tmp_path / "b.db", trained, "now")
    assert TrialLedger(tmp_path / "b.db").count("RANDOM-11 1h") == 2
    assert judge_ledgered(asked, tmp_path / "b.db", "now").trials.count == without


def test_the_same_wishes_at_other_costs_are_no_new_trial(bundle, tmp_path):
    book = tmp_path / "t.db"
    first = judge_ledgered(compare_bundle(bundle, BARS, "test"), book, "now")
    for fee in (0.002, 0.005, 0.01):
        again = judge_ledgered(compare_bundle(bundle, BARS, "test", costs={"fee": fee}), book, "now")
    again = judge_ledgered(compare_bundle(bundle, BARS, "test"), book, "now")
    assert (first.fresh, again.fresh) == (True, False)
    assert (first.trials, first.overfit) == (again.trials, again.overfit)


def test_one_bar_more_or_less_does_not_forget_what_was_tried(bundle, tmp_path):
    book = tmp_path / "t.db"
    judge_ledgered(compare_bundle(bundle, BARS, "test", mode="probability"), book, "now")
    whole = judge_ledgered(compare_bundle(bundle, BARS, "test"), book, "now")
    fewer = judge_ledgered(compare_bundle(bundle, BARS.upto(len(BARS) - 1), "test"), book, "now")
    assert whole.trials.count == fewer.trials.count == 16 + 1  # the toy was one variant of one


def test_copies_of_a_worthless_idea_do_not_lower_the_bar():
    from engine.inference.deflated import trials_of

    rng = np.random.default_rng(3)
    ideas = rng.normal(0, 0.01, (500, 8))
    copies = ideas[:, :1] * rng.uniform(0.2, 1.0, 200)
    few, many = trials_of(ideas), trials_of(np.concatenate((ideas, copies), axis=1))
    assert many.count == 208
    assert many.variance == pytest.approx(few.variance)
    assert many.effective == pytest.approx(few.effective)


@pytest.mark.parametrize(
    ("zone", "looks", "word"), [("test", 0, "PROVEN"), ("oos", 0, "NOT PROVEN"), ("test", 2, "NOT PROVEN")]
)
def test_only_the_first_look_at_the_test_zone_can_prove(comparison, zone, looks, word):
    from dataclasses import replace

    from engine.card.verdict import Grounds, verdict_of
    from engine.inference.assess import assess
    from engine.inference.interval import Interval
    from engine.inference.pbo import Overfit

    row = comparison.rows[2]
    golden = replace(row, score=replace(row.score, trades=400, sharpe=1.5, win_rate=0.55))
    record = assess(np.random.default_rng(1).normal(0.003, 0.01, 1500), 365)
    assert (
        verdict_of(golden, Grounds(record, Overfit(0.1), Interval(1.0, 0.5, 1.5), 0.99, None, zone, looks)).word == word
    )


def test_equal_runs_have_equal_intervals_wherever_they_are_shown(judged):
    for one in judged.profiles:
        shown = judged.sharpes[one.row.name]
        assert (shown.low, shown.high) == (one.assessment.sharpe.low, one.assessment.sharpe.high)
