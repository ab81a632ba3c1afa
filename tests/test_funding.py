"""Funding: due when the exchange says, charged by everything that simulates, and told where it is not known."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.barriers import label_barriers
from engine.bars import Bars, parse_timeframe
from engine.card.judge import judge
from engine.card.record import as_dict
from engine.card.stress import free_of_cost, stresses, with_costs
from engine.card.text import card_lines
from engine.controls import hold, wishing
from engine.errors import DataError
from engine.funding import charged, due_at_opens, funding_mark, known_share, returns_of
from engine.history import External, Store, resample
from engine.history.funding import with_funding
from engine.indicators import atr
from engine.jsons import dumps
from engine.random_entries import fates_of, lots_of, place, random_entries, seed_of
from engine.report.compose import compose
from engine.report.terminal import believed, fitting_table
from engine.rules import Rules
from engine.run import run
from engine.score import score
from engine.signals import BELOW_THRESHOLD, FIRST_VETO, Signals
from engine.simulate import simulate
from engine.sweep import Grid, sweep
from engine.sweep.selection import keep
from engine.synthetic import random_bars
from live.replay import replay
from live.settings import Settings
from models.bundle import load_bundle
from strategies import make_strategy
from strategies.explain import veto_worths
from strategies.ledgered import judge_ledgered
from strategies.sweeping import Question, sweep_bundle
from strategies.workbench import compare_bundle, find_market
from tests.bundles import make_bundle
from tests.conftest import SHARED
from tests.markets import bars_of, lively_signals, markets, rules, wish_at
from tests.oracles.slow_market import slow_market

HOUR = np.timedelta64(1, "h")
RATES = SHARED / "perp" / "FUNDING_8h.parquet"
BARS = replace(random_bars(1500, seed=3), symbol="RANDOM.P")
FREE = Rules(fee=0.0, maker_fee=0.0, slippage=0.0)


def every_eight_hours(bars, seed=0, scale=0.002):
    """Rates due at 0, 8 and 16 o'clock over some bars, some milliseconds late."""
    first, last = bars.open_time[0] - 24 * HOUR, bars.close_time[-1]
    moments = np.arange(first.astype("M8[D]"), last.astype("M8[h]"), 8, dtype="M8[h]").astype("M8[ns]")
    rng = np.random.default_rng(seed)
    late = rng.integers(0, 20, len(moments)).astype("m8[ms]").astype("m8[ns]")
    return moments + late, rng.standard_normal(len(moments)) * scale + scale


PAYING = BARS.paying(due_at_opens(BARS, *every_eight_hours(BARS)))


# --- what is due ---------------------------------------------------------------------------------------


def slow_due(bars, moments, rates):
    """The same, told minute by minute: a payment belongs to the first open at or after its minute."""
    minutes = {}
    for moment, rate in zip(moments, rates, strict=True):
        if not np.isnan(rate):
            minutes[moment.astype("M8[m]")] = float(rate)
    out = []
    for i, opened in enumerate(bars.open_time.astype("M8[m]")):
        before = opened - np.timedelta64(bars.timeframe_ns, "ns") if i == 0 else bars.open_time[i - 1].astype("M8[m]")
        due = [rate for minute, rate in minutes.items() if before < minute <= opened]
        fresh = any(opened - np.timedelta64(8, "h") < minute <= opened for minute in minutes)
        out.append(sum(due) if due else 0.0 if fresh else np.nan)
    return np.array(out)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["5m", "45m", "1h", "4h", "8h", "1d"]), st.integers(0, 60), st.integers(0, 99), st.booleans())
def test_each_payment_is_due_at_the_first_open_from_its_minute_on(timeframe, n, seed, holes):
    bars, rng = random_bars(n, seed, timeframe, gaps=0.1 * holes), np.random.default_rng(seed)
    moments, rates = every_eight_hours(random_bars(max(n, 1) * 2, seed, timeframe), seed)
    kept = np.sort(rng.choice(len(moments), int(len(moments) * (0.7 if holes else 1.0)), replace=False))
    rates[rng.random(len(rates)) < 0.05 * holes] = np.nan
    found = due_at_opens(bars, moments[kept], rates[kept])
    np.testing.assert_allclose(found, slow_due(bars, moments[kept], rates[kept]), rtol=1e-12, atol=0)
    for cut in {0, n // 2, n}:
        np.testing.assert_array_equal(due_at_opens(bars[:cut], moments[kept], rates[kept]), found[:cut])
        past = moments[kept] < (bars.open_time[cut - 1] + np.timedelta64(1, "m") if cut else moments[0])
        np.testing.assert_array_equal(due_at_opens(bars[:cut], moments[kept][past], rates[kept][past]), found[:cut])


def test_a_payment_two_milliseconds_late_is_due_at_its_open_and_one_a_minute_late_at_the_next():
    bars = random_bars(4)
    moments = np.array(["2020-01-01T00:00:00.002", "2020-01-01T01:01", "2020-01-01T03:00"], "M8[ns]")
    assert due_at_opens(bars, moments, np.array([0.1, 0.2, 0.4])).tolist() == [0.1, 0.0, 0.2, 0.4]


def test_of_two_stamps_of_one_minute_one_is_paid():
    moments = np.array(["2020-01-01T00:00:00.000", "2020-01-01T00:00:00.004"], "M8[ns]")
    assert due_at_opens(random_bars(2), moments, np.array([0.1, 0.2])).tolist() == [0.2, 0.0]


def test_without_rates_nothing_is_known():
    nothing = np.empty(0, "M8[ns]"), np.empty(0)
    assert np.isnan(due_at_opens(BARS, *nothing)).all()
    assert len(due_at_opens(BARS[:0], *every_eight_hours(BARS))) == 0
    for bars in (BARS, BARS[:0], BARS.paying(np.full(len(BARS), np.nan))):
        assert (charged(bars), known_share(bars), funding_mark(bars)) == (None, 0.0, "")


HOLE = np.datetime64("2024-05-14T08:00"), np.datetime64("2024-12-31T00:00")  # from the first payment not recorded
HOLE_OF_DAYS = np.datetime64("2024-05-15"), HOLE[1]


def recorded(symbol):
    """The recorded rates of a coin."""
    if not RATES.exists():
        pytest.skip(f"the recorded rates are not here: {RATES}")
    import pandas as pd

    table = pd.read_parquet(RATES)
    return table[table.symbol == symbol].funding_rate.tz_localize(None)


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
@pytest.mark.parametrize("timeframe", ["5m", "1h", "1d"])
def test_recorded_rates_are_due_as_pandas_sums_them(symbol, timeframe):
    rates = recorded(symbol)
    step = parse_timeframe(timeframe)
    opens = np.arange(np.datetime64("2023-01-01", "ns"), np.datetime64("2025-07-01", "ns"), np.timedelta64(step, "ns"))
    one = np.ones(len(opens))
    bars = Bars(opens, one, one, one, one, one, step, symbol)
    found = due_at_opens(bars, rates.index.to_numpy().astype("M8[ns]"), rates.to_numpy())
    rule = timeframe.replace("m", "min").replace("d", "D")
    theirs = rates.set_axis(rates.index.floor("min")).resample(rule, closed="right", label="right").sum()
    theirs = theirs.reindex(opens).fillna(0.0)
    np.testing.assert_allclose(np.nan_to_num(found), theirs, rtol=1e-12, atol=1e-18)
    unknown = opens[np.isnan(found)]
    first, stop = HOLE_OF_DAYS if timeframe == "1d" else HOLE
    np.testing.assert_array_equal(unknown, opens[(opens >= first) & (opens < stop)])
    assert known_share(bars.paying(found)) == pytest.approx(1 - 231 / 912, abs=0.002)


# --- it goes with the bars, and decides nothing --------------------------------------------------------


def test_funding_is_cut_with_the_bars_travels_with_them_and_is_read_only():
    import pickle

    part = PAYING[100:200]
    np.testing.assert_array_equal(part.funding, PAYING.funding[100:200])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(part)).funding, part.funding)
    assert not PAYING.funding.flags.writeable
    assert PAYING.paying(None).funding is None
    assert PAYING.beside({"x": np.zeros(len(PAYING))}).funding is PAYING.funding
    with pytest.raises(DataError, match="funding has 3 rows and open_time 1500"):
        BARS.paying(np.zeros(3))
    with pytest.raises(DataError, match=r"funding\[7\] of 1500 .* is infinite"):
        BARS.paying(np.where(np.arange(1500) == 7, np.inf, 0.0))


def test_bars_that_pay_are_the_same_data():
    assert PAYING.fingerprint() == BARS.fingerprint()


@pytest.mark.parametrize("timeframe", ["4h", "1d", "3d"])
def test_coarser_bars_sum_what_their_finer_ones_pay(timeframe):
    moments, rates = every_eight_hours(BARS)
    fine = BARS[5:]
    coarse = resample(fine.paying(due_at_opens(fine, moments, rates)), timeframe)
    np.testing.assert_allclose(coarse.funding[1:], due_at_opens(coarse, moments, rates)[1:], rtol=1e-12, atol=1e-18)
    gaps = replace(random_bars(900, seed=4, gaps=0.02), symbol="X.P")
    fine = gaps.paying(due_at_opens(gaps, moments, rates))
    coarse = resample(fine, timeframe)
    first = fine.since(coarse.open_time[0])
    after = (fine.open_time > coarse.open_time[0]) & (fine.open_time <= coarse.open_time[-1])
    assert first >= 0
    assert np.nansum(coarse.funding[1:]) == pytest.approx(np.nansum(fine.funding[after]), rel=1e-12)
    cut = resample(fine.upto(500), timeframe)
    np.testing.assert_array_equal(cut.funding, coarse.funding[: len(cut)])


@pytest.fixture(scope="module")
def two_sided(tmp_path_factory):
    return load_bundle(make_bundle(tmp_path_factory.mktemp("bundle"), BARS, sides=("long", "short")))


def test_no_decision_and_no_evidence_knows_of_funding(two_sided):
    before, after = (compare_bundle(two_sided, bars, "validation") for bars in (BARS, PAYING))
    assert before.about == after.about
    for a, b in zip(before.rows, after.rows, strict=True):
        if a.signals is not None:
            np.testing.assert_array_equal(a.signals.side, b.signals.side)
            np.testing.assert_array_equal(a.signals.confidence, b.signals.confidence)
        if a.score.trades:
            assert a.score.funding_paid == 0.0 != b.score.funding_paid


# --- everything that simulates charges it --------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(markets, rules, st.integers(0, 99))
def test_bars_that_pay_are_charged_as_the_slow_market_charges(bars, terms, seed):
    signals = lively_signals(len(bars), seed)
    due = np.random.default_rng(seed).choice([0.0, 0.01, -0.01, np.nan], len(bars))
    result = simulate(bars.paying(due), signals, terms)
    equity, trades = slow_market(bars, signals.side, signals.atr, terms, np.nan_to_num(due))
    np.testing.assert_allclose(result.equity, equity, rtol=1e-9, atol=1e-7)
    assert len(result.trades) == len(trades)
    given_ = simulate(bars, signals, terms, funding=np.nan_to_num(due))
    np.testing.assert_array_equal(result.equity, given_.equity)


def test_a_long_under_positive_rates_earns_less_and_a_short_more():
    bars = bars_of([(10, 10, 10, 10)] * 6)
    paying = bars.paying(np.full(6, 0.01))
    for side, sign in ((1, -1), (-1, 1)):
        wishes, terms = wish_at(6, 0, side=side), replace(FREE, hold=3, exposure=0.5)
        assert simulate(bars, wishes, terms).equity[-1] == FREE.cash
        assert simulate(paying, wishes, terms).equity[-1] == pytest.approx(FREE.cash + sign * 5_000 * 0.03)
    nobody = simulate(paying, wish_at(6, 0), FREE, funding=np.zeros(6))
    assert nobody.equity[-1] == FREE.cash  # what is given counts before what the bars carry


def test_holding_a_perpetual_pays_every_payment_between_its_fills():
    held = hold(PAYING, FREE)
    units = FREE.exposure * FREE.cash / BARS.open[1]
    paid = units * (np.nan_to_num(PAYING.funding) * BARS.open)[2:].sum()
    assert score(held).funding_paid == pytest.approx(paid, rel=1e-9)
    assert held.equity[-1] == pytest.approx(hold(BARS, FREE).equity[-1] - paid, rel=1e-9)


def test_pieces_pay_what_the_whole_pays():
    class Dice:
        name, memory = "Dice", 1

        def signals(self, bars, since=0):
            side = np.where(bars.slots % 7 == 0, 1, np.where(bars.slots % 11 == 0, -1, 0)).astype(np.int8)
            return Signals(side, bars.high - bars.low)

    whole = run(Dice(), PAYING, Rules()).result
    first = run(Dice(), PAYING[:700], Rules()).result
    then = run(Dice(), PAYING, Rules(), start=first.account, since=700).result
    assert then.account == whole.account
    assert whole.trades["funding"].any()


def test_a_comparison_charges_every_row_what_its_own_simulation_pays(two_sided):
    found = compare_bundle(two_sided, PAYING, "validation")
    stretch = found.bars
    for row in found.rows:
        paid = simulate(stretch, row.signals, found.rules).score.funding_paid if row.signals is not None else None
        assert paid is None or row.score.funding_paid == paid
    assert found["Buy and hold"].score.funding_paid == pytest.approx(score(hold(stretch, found.rules)).funding_paid)
    assert found["Buy and hold"].score.funding_paid > 0.0 == found["Cash"].score.funding_paid
    assert found["No model"].score.funding_paid > 0.0


def test_stress_keeps_the_funding_and_what_is_free_of_cost_has_none():
    signals = wishing(np.where(np.arange(1500) % 30 == 0, 1, 0).astype(np.int8), atr(BARS))
    terms = Rules(hold=24, k_up=5.0, k_down=5.0)
    dear = {one.name: one.score for one in stresses(PAYING, signals, terms)}["costs x2"]
    assert dear.funding_paid == score(simulate(PAYING, signals, with_costs(terms, 2.0))).funding_paid > 0.0
    assert free_of_cost(PAYING, signals, terms) == free_of_cost(BARS, signals, terms)


@pytest.mark.parametrize("holes", [False, True])
def test_a_sweep_of_bars_that_pay_is_their_simulation(holes):
    due = np.where(np.arange(1500) // 100 % 2 == 0, np.nan, PAYING.funding) if holes else PAYING.funding
    bars, dice = BARS.paying(due), np.random.default_rng(1)
    wishes = Signals(dice.choice(np.array([-1, 1], np.int8), 1500), atr(BARS), confidence=dice.random(1500))
    found = sweep(bars, wishes, wishes.atr, Rules(), Grid((0.5, 0.9), (1.0, 3.0), (1.0, 3.0), (8, 40)))
    assert found.road == "scan"
    for place_ in np.ndindex(found.grid.shape):
        combo = found.combo(place_)
        side = np.where(wishes.confidence >= combo.threshold, wishes.side, 0).astype(np.int8)
        told = score(simulate(bars, Signals(side, wishes.atr), combo.rules(Rules())))
        assert (told.total_return, told.trades) == (found.at(place_)["total_return"], found.at(place_)["trades"])
        assert told.funding_paid != 0.0
    keep(found, wishes, wishes.atr)  # refuses combos that are not their simulations
    given_ = sweep(BARS, wishes, wishes.atr, Rules(), found.grid, funding=np.nan_to_num(due))
    np.testing.assert_array_equal(given_.figures, found.figures)
    keep(given_, wishes, wishes.atr)


def test_bars_whose_funding_nobody_knows_are_swept_as_those_of_a_spot_market():
    unknown, dice = BARS.paying(np.full(1500, np.nan)), np.random.default_rng(1).random(1500)
    a, b = (sweep(bars, dice, atr(BARS), Rules(), Grid((0.5,), (1.0,), (1.0,), (8,))) for bars in (unknown, BARS))
    assert a.road == b.road
    np.testing.assert_array_equal(a.figures, b.figures)


def test_labelled_trades_earn_what_the_simulation_pays_out():
    unit, terms = atr(BARS), Rules(hold=30, k_up=2.0, k_down=2.0)
    for side in (1, -1):
        earned = returns_of(PAYING, label_barriers(PAYING, unit, terms, side), side, terms.slippage)
        for row in range(300, 1400, 37):
            (trade,) = simulate(PAYING, wish_at(1500, row, side=side, atr=unit[row]), terms).trades
            assert trade["ret"] == pytest.approx(earned[row], rel=1e-9, abs=1e-12)
    labels = label_barriers(BARS, unit, terms)
    np.testing.assert_array_equal(returns_of(BARS, labels, 1, terms.slippage), labels.ret)


def test_a_random_draw_pays_what_the_simulation_says_it_pays():
    bars, terms, unit = PAYING, Rules(fee=0.0004, maker_fee=0.0002, slippage=0.0001), atr(BARS)
    rows = np.sort(np.random.default_rng(0).choice(np.arange(400, 1400), 200, replace=False))
    side = np.zeros(1500, np.int8)
    side[rows] = np.where(np.arange(200) % 40 < 15, -1, 1)
    trades = simulate(bars, wishing(side, unit), terms).trades[:25]
    found = random_entries(bars, unit, terms, trades, draws=5, seed=3)
    dry = random_entries(BARS, unit, terms, trades, draws=5, seed=3)
    fates = fates_of(bars, unit, terms)
    lots = lots_of(bars, unit, fates, trades)
    for k in range(5):
        wishes = np.empty(25, np.int64)
        assert place(lots, fates, np.uint64(seed_of(3, k)), wishes) == 25
        side = np.zeros(1500, np.int8)
        side[wishes >> 1] = 1 - 2 * (wishes & 1)
        drawn = score(simulate(bars, wishing(side, unit), terms))
        assert drawn.total_return == pytest.approx(found.total_return[k], rel=1e-9)
        assert drawn.sharpe == pytest.approx(found.sharpe[k], rel=1e-6)
        assert abs(found.total_return[k] - dry.total_return[k]) > 1e-4


def test_vetoed_trades_would_have_paid_too():
    proposed = np.where(np.arange(1500) % 40 == 39, 1, 0).astype(np.int8)
    reason = np.where(proposed != 0, FIRST_VETO, BELOW_THRESHOLD).astype(np.uint8)
    gates = {"regime": np.zeros(1500, np.bool_)}
    signals = Signals(np.zeros(1500, np.int8), atr(BARS), proposed=proposed, reason=reason, gates=gates)
    (wet,), (dry,) = (veto_worths(signals, bars, Rules(hold=30)) for bars in (PAYING, BARS))
    labels = label_barriers(BARS, signals.atr, Rules(hold=30))
    rows = np.flatnonzero((proposed != 0) & (labels.end >= 0))
    paid = [simulate(PAYING, wish_at(1500, row, atr=signals.atr[row]), Rules(hold=30)).trades["ret"][0] for row in rows]
    assert wet.mean.value == pytest.approx(np.mean(paid), rel=1e-9)
    assert dry.mean.value > wet.mean.value


# --- it is found where it is stored, and told ----------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Hourly bars of a perpetual, the second half of its rates, and the bars of its spot market."""
    root = tmp_path_factory.mktemp("data")
    moments, rates = every_eight_hours(BARS)
    later = moments > BARS.open_time[750]
    Store(root).keep(BARS, "made up")
    Store(root).keep(replace(BARS, symbol="RANDOM"), "made up")
    Store(root).keep_values(External("RANDOM-funding", moments[later], {"rate": rates[later]}), "made up")
    return root


@pytest.fixture(scope="module")
def long_only(tmp_path_factory):
    return load_bundle(make_bundle(tmp_path_factory.mktemp("bundle"), BARS))


def test_a_perpetual_and_a_bundle_that_goes_short_are_joined_with_stored_funding(store, long_only, two_sided, tmp_path):
    assert known_share(find_market(long_only, "RANDOM.P-1h", store)) == pytest.approx(0.5, abs=0.01)
    assert find_market(long_only, "RANDOM-1h", store).funding is None
    assert known_share(find_market(two_sided, "RANDOM-1h", store)) == pytest.approx(0.5, abs=0.01)
    assert with_funding(BARS, tmp_path).funding is None


def test_the_report_says_on_how_many_bars_funding_is_known(store, two_sided):
    from engine.report.terminal import console

    market = find_market(two_sided, "RANDOM.P-1h", store)
    for bars, words, paid in (
        (PAYING, "funding is charged", ", funding "),
        (market, "funding is charged where it is known: 50 % of the bars", " (known for 50 % of the bars)"),
        (BARS, "funding is not charged: none is stored for these bars; `tradsys data", ", funding is not charged"),
    ):
        judged = judge(compare_bundle(two_sided, bars, "all"))
        assert any(line.startswith(words) for line in believed(judged))
        for one in judged.profiles:
            (costs,) = (line for line in card_lines(judged, one.row.name) if line.startswith("  costs"))
            assert paid in costs
        record, page = json.loads(dumps(as_dict(judged))), compose(judged)
        assert record["funding"]["owed"]
        assert record["funding"]["known"] == known_share(bars)
        assert record["funding"]["said"] == page["header"]["funding"]
        held = next(row for row in page["table"] if row["name"] == "Buy and hold")
        assert (held["funding"] is None) == (bars is BARS)
        screen = console()
        screen.width = 200
        heads = [column.header for column in fitting_table(judged, screen).columns]
        assert ("funding" in heads) == (bars is not BARS)


def test_a_spot_market_without_shorts_is_told_nothing(long_only):
    judged = judge(compare_bundle(long_only, replace(BARS, symbol="SPOT"), "validation"))
    assert not any("funding" in line for line in (*believed(judged), *card_lines(judged, "Reckless")))
    assert "funding" not in compose(judged)["header"]
    assert as_dict(judged)["funding"] == {"owed": False, "known": 0.0, "said": None}


def test_returns_with_funding_and_without_are_never_judged_together(two_sided, tmp_path):
    def judged_after(bars, name):
        book = tmp_path / f"{name}.db"
        judge_ledgered(compare_bundle(two_sided, bars, "oos", mode="probability"), book, "now")
        return judge_ledgered(compare_bundle(two_sided, PAYING, "oos"), book, "now")

    alone = judge_ledgered(compare_bundle(two_sided, PAYING, "oos"), tmp_path / "alone.db", "now")
    wet, dry = judged_after(PAYING, "wet"), judged_after(BARS, "dry")
    assert wet.trials.count == dry.trials.count > alone.trials.count
    assert (dry.beats_cash, dry.trials.variance) == (alone.beats_cash, alone.trials.variance)
    assert wet.beats_cash != alone.beats_cash


def test_a_sweep_of_a_bundle_finds_the_stored_funding_and_says_so(store, two_sided, tmp_path):
    asked = Question(two_sided.folder, "RANDOM.P-1h", "validation", threshold="0.6", k_up="2", k_down="2", hold="24")
    (swept,) = sweep_bundle(asked, store, None, "now")
    assert swept.found.bars.funding is not None
    assert any(note.startswith("Funding is charged") for note in swept.notes)
    Store(tmp_path).keep(BARS, "made up")
    (without,) = sweep_bundle(asked, tmp_path, None, "now")
    assert any(note.startswith("Funding is not charged") for note in without.notes)
    assert without.found.total_return.item() != swept.found.total_return.item()


def test_a_replay_pays_at_every_close_what_the_backtest_pays_through_a_restart(two_sided, tmp_path):
    ledger = tmp_path / "bot.db"
    settings_ = Settings("reckless", str(two_sided.folder), "replay", "rank", ledger, None, BARS.open_time[1200], {})
    replay(settings_, PAYING[:1377])
    report = replay(settings_, PAYING)
    assert (report.difference, report.decided) == (None, 300)
    with closing(sqlite3.connect(ledger)) as book:
        paid = [row[0] for row in book.execute("SELECT funding FROM trades ORDER BY exit_time")]
    strategy = make_strategy("reckless", two_sided, "rank")
    backtest = run(strategy, PAYING, two_sided.rules(), since=1200).result
    assert paid == backtest.trades["funding"].tolist()
    assert any(paid)
