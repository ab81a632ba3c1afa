"""Sweeps: every combo is a simulation, whichever road it took; the best is shown with the ground it stands on."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.jsons import dumps
from engine.rules import Rules
from engine.score import score
from engine.signals import Signals
from engine.simulate import simulate
from engine.sweep import Grid, parse_axis, sweep
from engine.sweep.market import COLUMNS
from engine.sweep.page import write_sweep_page
from engine.sweep.selection import BEST, DRAWN, Tried, keep, select
from engine.sweep.text import print_across, print_swept
from engine.synthetic import random_bars
from engine.trials import TrialLedger
from live.sweeps import _as_dict, _pages
from models.bundle import load_bundle
from strategies.ledgered import trials_of
from strategies.sweeping import Question
from strategies.sweeping import sweep_bundle as sweep_markets
from strategies.workbench import compare_bundle
from tests.browser import Browser, find_chromium
from tests.bundles import make_bundle
from tests.markets import fill_rules, lively_signals, markets, rules, steps, wish_at

EXACT = ("total_return", "max_drawdown", "trades", "win_rate")
GRID = Grid(threshold=(0.2, 0.6), k_up=(0.5, 3.0), k_down=(1.0, 1e9), hold=(1, 3, 40))


def sweep_bundle(*given):
    (swept,) = sweep_markets(*given)
    return swept


def wishes_of(n, seed):
    """Wishes on both sides, each with a confidence that is sometimes unknown or just a threshold."""
    drawn = lively_signals(n, seed)
    confidence = np.random.default_rng(seed).choice([np.nan, 0.1, 0.2, 0.5, 0.6, 0.9], n)
    return Signals(drawn.side, drawn.atr, confidence=confidence)


def simulated(bars, wishes, terms, combo, funding=None):
    sure = wishes.confidence >= combo.threshold
    asked = Signals(np.where(sure, wishes.side, 0).astype(np.int8), wishes.atr)
    return score(simulate(bars, asked, combo.rules(terms), funding=funding))


def assert_simulated(found, wishes, terms, funding=None):
    for place in np.ndindex(found.grid.shape):
        want, got = simulated(found.bars, wishes, terms, found.combo(place), funding), found.at(place)
        for name in EXACT:
            assert got[name] == getattr(want, name), (place, name)
        for name in ("sharpe", "expectancy_bp"):
            assert (got[name] is None) == (getattr(want, name) is None), (place, name)
            assert (got[name] or 0.0) == pytest.approx(getattr(want, name) or 0.0, rel=1e-12, abs=1e-11), (place, name)


@settings(max_examples=120, deadline=None)
@given(markets, rules, st.integers(0, 99))
def test_every_combo_is_the_simulation_of_its_rules(bars, terms, seed):
    wishes = wishes_of(len(bars), seed)
    assert_simulated(sweep(bars, wishes, wishes.atr, terms, GRID, road="scan"), wishes, terms)


@settings(max_examples=120, deadline=None)
@given(markets, rules, st.integers(0, 99))
def test_looking_up_touches_has_the_bits_of_walking(bars, terms, seed):
    wishes = wishes_of(len(bars), seed)
    walked, looked_up = (sweep(bars, wishes, wishes.atr, terms, GRID, road=road) for road in ("scan", "touch"))
    np.testing.assert_array_equal(walked.figures, looked_up.figures)


@settings(max_examples=60, deadline=None)
@given(markets, rules, st.integers(0, 99))
def test_funding_is_paid_as_the_simulation_pays_it(bars, terms, seed):
    wishes = wishes_of(len(bars), seed)
    funding = np.random.default_rng(seed).choice([0.0, 0.01, -0.01, 0.3], len(bars))
    assert_simulated(sweep(bars, wishes, wishes.atr, terms, GRID, funding), wishes, terms, funding)


@pytest.mark.parametrize("road", ["scan", "touch"])
def test_long_trades_on_both_sides_are_simulations_too(road):
    bars, dice = random_bars(5000, seed=5, gaps=0.01, drift=0.0002), np.random.default_rng(5)
    side = dice.choice(np.array([-1, 1], np.int8), 5000)
    wishes = Signals(side, bars.high - bars.low, confidence=dice.random(5000))
    terms = Rules(fee=0.0, maker_fee=0.0, slippage=0.0)
    found = sweep(bars, wishes, wishes.atr, terms, Grid((0.5, 0.99), (2, 8, 30), (2, 8, 30), (10, 90, 600)), road=road)
    assert_simulated(found, wishes, terms)
    assert (found.total_return > 0.5).any()
    assert (found.max_drawdown < -0.2).any()


RECOVERED = [100, 100, 94, 94, 100, 104, 107, 109, 110, 110, 111, 120, 130, 120, 122, 122, 122, 122]
DIPPED = [100, 100, 50, *[50] * 45, 49.9, *[50] * 80]


@pytest.mark.parametrize("road", ["scan", "touch"])
@pytest.mark.parametrize(
    ("path", "wished", "hold", "depth"),
    [
        (RECOVERED, {0: 10.0, 2: 1.0, 9: 1.0}, 6, -0.07),  # a loss, a gain, a new top with a deeper fall behind it
        (DIPPED, {0: 100.0, 2: 0.25}, 110, -0.47),  # a great loss, then a long trade with one close below it
    ],
)
def test_a_low_inside_a_trade_is_seen_whatever_the_barriers_promise(road, path, wished, hold, depth):
    bars, terms = steps(path), Rules(fee=0.0, maker_fee=0.0, slippage=0.0)
    wishes = wish_at(len(bars), *wished)
    wishes.atr[list(wished)] = list(wished.values())
    found = sweep(bars, wishes, wishes.atr, terms, Grid((0.0,), (40.0,), (0.5,), (hold,)), road=road)
    result = simulate(bars, wishes, found.combo((0, 0, 0, 0)).rules(terms))
    assert len(result.trades) == len(wished)
    assert found.max_drawdown.item() == result.score.max_drawdown < depth


def test_a_short_that_is_used_up_stops_trading():
    bars, wishes = steps([10, 10, 12, 15, 25, 9, 9, 9, 5, 5]), wish_at(9, 0, 5, side=-1)
    found = sweep(bars, wishes, wishes.atr, Rules(), Grid((0.0,), (1.0,), (1e9,), (6,)))
    result = simulate(bars, wishes, found.combo((0, 0, 0, 0)).rules(Rules()))
    assert result.ruined
    assert found.at((0, 0, 0, 0))["trades"] == len(result.trades) == 1
    assert found.total_return.item() == result.score.total_return < -1.0


@settings(max_examples=20, deadline=None)
@given(markets, fill_rules, st.integers(0, 99), st.integers(2, 5))
def test_threads_and_company_change_nothing(bars, fills, seed, threads):
    wishes, terms = wishes_of(len(bars), seed), Rules(fills=fills)
    alone = sweep(bars, wishes, wishes.atr, terms, GRID)
    np.testing.assert_array_equal(alone.figures, sweep(bars, wishes, wishes.atr, terms, GRID, threads=threads).figures)
    for place in [(0, 0, 0, 0), (1, 1, 0, 2)]:
        one = Grid(*((value,) for value in GRID[place]))
        np.testing.assert_array_equal(
            sweep(bars, wishes, wishes.atr, terms, one).figures[:, 0],
            [column[place] for column in alone.figures.reshape(len(COLUMNS), *GRID.shape)],
        )


def test_no_bars_and_no_wishes_are_no_trades():
    bars = random_bars(50, seed=1)
    for stretch in (bars[:0], bars[:1], bars):
        unsure = np.full(len(stretch), np.nan)
        found = sweep(stretch, unsure, np.ones(len(stretch)), Rules(), GRID)
        assert (found.trades == 0).all()
        assert np.isnan(found.win_rate).all()
        assert_simulated(
            found, Signals(np.ones(len(stretch), np.int8), np.ones(len(stretch)), confidence=unsure), Rules()
        )


def test_signals_without_confidence_are_taken_as_they_are():
    bars = random_bars(300, seed=2)
    plain = Signals(np.tile(np.array([1, 0, -1, 0], np.int8), 75), bars.high - bars.low)
    found = sweep(bars, plain, plain.atr, Rules(), Grid((0.9,), (1.0, 2.0)))
    want = simulate(bars, plain, Rules(k_up=2.0))
    assert found.trades[0, 1, 0, 0] == len(want.trades) > 20
    assert found.total_return[0, 1, 0, 0] == want.score.total_return


def test_a_combo_costs_few_bytes():
    bars = random_bars(200, seed=3)
    grid = Grid(np.linspace(0.1, 0.9, 20), np.linspace(1, 3, 10), np.linspace(1, 3, 10), (5, 10))
    found = sweep(bars, np.random.default_rng(3).random(200), bars.high - bars.low, Rules(), grid)
    assert found.figures.nbytes / len(found) <= 128


BARS = random_bars(400, seed=4)
DICE = np.random.default_rng(4).random(400)
ATR = BARS.high - BARS.low


@pytest.mark.parametrize(
    ("said", "args", "more"),
    [
        ("wishes 399, atr 400 and bars 400 rows; they must be of the same bars", (BARS, DICE[1:], ATR), {}),
        ("wishes 400, atr 400, funding 3 and bars 400 rows", (BARS, DICE, ATR), {"funding": np.zeros(3)}),
        ("funding[7] is not finite; write 0", (BARS, DICE, ATR), {"funding": np.where(np.arange(400) == 7, np.inf, 0)}),
        (
            "carry no confidence, so 2 thresholds would ask the same",
            (BARS, Signals(np.ones(400, np.int8), ATR), ATR),
            {},
        ),
        ("threads must be at least 1, was 0", (BARS, DICE, ATR), {"threads": 0}),
        ("unknown road 'tuch'; did you mean 'touch'", (BARS, DICE, ATR), {"road": "tuch"}),
        ("funding is paid bar by bar; take scan", (BARS, DICE, ATR), {"road": "touch", "funding": np.zeros(400)}),
    ],
)
def test_questions_that_cannot_be_asked_are_refused(said, args, more):
    with pytest.raises(UsageError) as refusal:
        sweep(*args, Rules(), GRID, **more)
    assert said in str(refusal.value)


def test_touches_beyond_sixteen_bits_are_walked():
    grid = Grid(hold=(5, 40_000))
    assert sweep(BARS, DICE, ATR, Rules(), grid).road == "scan"
    with pytest.raises(UsageError, match="counted up to 32766 bars and hold goes to 40000"):
        sweep(BARS, DICE, ATR, Rules(), grid, road="touch")


@pytest.mark.parametrize(
    ("axis", "values", "said"),
    [
        ("threshold", (0.5, 1.2), "threshold must be in [0, 1], was 1.2"),
        ("k_up", (0.0, 1.0), "k_up must be above 0 ATR, was 0"),
        ("k_down", (1.0, float("nan")), "k_down must be above 0 ATR, was nan"),
        ("hold", (0,), "hold must be whole, at least 1 bar and at most 2147483647, was 0"),
        ("hold", (5, 7.5), "hold must be whole, at least 1 bar and at most 2147483647, was 7.5"),
        ("hold", (24, 12), "hold must rise from value to value, was 24, 12"),
        ("k_up", (1.0, 1.0), "k_up must rise from value to value"),
        ("k_up", (), "k_up holds no value"),
    ],
)
def test_axes_no_market_offers_are_refused(axis, values, said):
    with pytest.raises(UsageError) as refusal:
        Grid(**{axis: values})
    assert said in str(refusal.value)


@pytest.mark.parametrize("text", ["", "x", "1:2", "1:2:x", "1:2:1", "1:2:3:4", "1,,2", "1:inf:3", "1:2:9999999"])
def test_ranges_that_cannot_be_read_are_refused(text):
    with pytest.raises(UsageError, match="was not understood; write a value, a list"):
        parse_axis("--k-up", text)


def test_ranges_hold_round_numbers():
    assert parse_axis("--threshold", "0.5:0.99:50")[7] == 0.57
    assert parse_axis("--hold", "6,12,24") == (6, 12, 24)


@pytest.fixture(scope="module")
def dice():
    """A sweep of a market without an edge, with its wishes and the combos kept."""
    bars = random_bars(3000, seed=6)
    wishes = Signals(np.ones(3000, np.int8), bars.high - bars.low, confidence=np.random.default_rng(6).random(3000))
    grid = Grid(np.linspace(0.5, 0.95, 8), (1.0, 2.0, 3.0), (1.0, 2.0, 3.0), (6, 12, 24))
    found = sweep(bars, wishes, wishes.atr, Rules(fee=0.0, maker_fee=0.0, slippage=0.0), grid)
    return found, wishes, keep(found, wishes, wishes.atr)


def test_the_best_stand_first_and_under_thirty_trades_nothing_is_ranked(dice):
    found, _, kept = dice
    order = [found.sharpe[place] for place in found.ranked(20)]
    assert order == sorted(order, reverse=True)
    assert all(found.trades[place] >= 30 for place in found.ranked(1000))
    assert order[0] == np.nanmax(found.sharpe[found.trades >= 30])
    assert kept.places[:BEST] == tuple(found.ranked(BEST))
    assert len(set(kept.places)) == len(kept.places) == BEST + DRAWN


def test_a_plateau_is_all_that_lies_within_one_step(dice):
    found, _, _ = dice
    sharpe = found.sharpe[2:5, 0:3, 0:2, 1:3].ravel()
    near = np.delete(sharpe, np.ravel_multi_index((1, 1, 0, 1), (3, 3, 2, 2)))
    plateau = found.plateau((3, 1, 0, 2))
    assert (plateau.neighbours, plateau.known) == (35, 35)
    assert (plateau.median, plateau.worst) == (np.median(near), near.min())


def test_luck_is_told_as_luck_and_every_trial_makes_it_likelier(dice):
    found, _, kept = dice
    alone, crowded = select(found, kept), select(found, kept, Tried(others=5000))
    assert alone.best == found.ranked(1)[0]
    assert alone.assessment.deflated.trials == len(found) == 216
    assert crowded.assessment.deflated.trials == 5216
    assert crowded.assessment.deflated.value < alone.assessment.deflated.value < 0.95
    assert alone.overfit.trials == BEST + DRAWN
    assert "luck is enough" in alone.sentences[0]


def test_combos_of_other_sweeps_are_trials_but_not_as_many_ideas(dice):
    found, _, kept = dice
    ideas = [select(found, kept, Tried(others=500, swept=n)).assessment.deflated for n in (0, 500)]
    assert ideas[0].trials == ideas[1].trials
    assert ideas[1].effective_trials == pytest.approx(ideas[0].effective_trials - 500)


def test_an_edge_that_is_there_is_believed():
    bars = random_bars(6000, seed=7)
    ahead = np.append(np.diff(bars.close), 0.0) + np.random.default_rng(7).normal(0, bars.close.std() / 40, 6000)
    wishes = Signals((ahead > 0).astype(np.int8), bars.high - bars.low, confidence=np.argsort(np.argsort(ahead)) / 6000)
    found = sweep(bars, wishes, wishes.atr, Rules(), Grid((0.6, 0.7, 0.8), (1.0, 1.5), (1.0, 1.5), (2, 4)))
    chosen = select(found, keep(found, wishes, wishes.atr))
    assert chosen.assessment.deflated.value > 0.95
    assert "more than luck explains" in chosen.sentences[0]
    assert chosen.sentences[2].endswith("a plateau.")


HISTORY = random_bars(4000, seed=11)
SMALL = Question("", threshold="0.5,0.75", k_up="1,1.5", k_down="1.5", hold="12,24", threads=1)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundles"), HISTORY)


@pytest.fixture
def data(tmp_path):
    """A data folder that holds the bundle's own market."""
    import engine.history

    columns = (HISTORY.open, HISTORY.high, HISTORY.low, HISTORY.close, HISTORY.volume)
    stamps = HISTORY.open_time.astype("datetime64[ms]").astype("int64")
    rows = [f"{t},{','.join(repr(float(c[i])) for c in columns)}" for i, t in enumerate(stamps)]
    (tmp_path / "RANDOM-11-1h.csv").write_text("timestamp,open,high,low,close,volume\n" + "\n".join(rows) + "\n")
    engine.history.Store(tmp_path).import_file(tmp_path / "RANDOM-11-1h.csv", "RANDOM-11", "1h")
    return tmp_path


def test_every_combo_is_a_trial_once_and_a_strategy_of_a_comparison_is_the_same_trial(bundle, data):
    book = data / "trials.db"
    asked = replace(SMALL, bundle=bundle)
    first = sweep_bundle(asked, data, book, "2024-01-01T00:00:00Z")
    again = sweep_bundle(asked, data, book, "2024-01-02T00:00:00Z")
    rows = TrialLedger(book).trials("RANDOM-11 1h")
    assert len(rows) == len(first.found) == 8
    assert {trial.kind for trial in rows} == {"sweep"}
    assert dumps(first.as_dict()) == dumps(again.as_dict())
    compared = trials_of(compare_bundle(bundle, HISTORY, "validation"), "compare", "now")
    reckless = next(trial for trial in compared if trial.name == "Reckless")
    swept = next(trial for trial in rows if trial.config_hash == reckless.config_hash)
    np.testing.assert_array_equal(swept.returns, reckless.returns)


@pytest.mark.parametrize("gates", ["none", "regime", "auditor", "all"])
def test_gates_stand_before_every_combo(bundle, data, gates):
    found = sweep_bundle(replace(SMALL, bundle=bundle, gates=gates), data, None, "now").found
    names = {"none": "0.75", "regime": "0.75 +regime", "auditor": "0.75 +auditor", "all": "0.75 +regime +auditor"}
    rows = {row.name: row for row in compare_bundle(bundle, HISTORY, "validation").rows}
    row = rows.get(names[gates]) or rows[{"none": "Reckless", "all": "Audited"}[gates]]
    assert found.at((1, 1, 0, 1))["total_return"] == row.score.total_return
    assert found.at((1, 1, 0, 1))["trades"] == row.score.trades


def test_what_is_chosen_on_is_never_the_sealed_zone_of_a_draft(bundle, data, tmp_path):
    text = (bundle / "manifest.json").read_text()
    draft = tmp_path / "draft"
    draft.mkdir()
    for file in bundle.iterdir():
        (draft / file.name).write_bytes(file.read_bytes())
    (draft / "manifest.json").write_text(text.replace('"released": true', '"released": false'))
    assert not load_bundle(draft).manifest.released
    for zone in ("test", "all"):
        with pytest.raises(UsageError, match="is sealed: what is chosen on the test zone cannot be judged on it"):
            sweep_bundle(replace(SMALL, bundle=draft, zone=zone), data, None, "now")
    released = sweep_bundle(replace(SMALL, bundle=bundle, zone="test"), data, None, "now")
    assert any("can no longer judge" in note for note in released.notes)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"gates": "al"}, "unknown gates 'al'; did you mean 'all'"),
        ({"confidence": "rnk"}, "unknown confidence mode 'rnk'"),
        ({"zone": "tets"}, "unknown zone 'tets'; did you mean 'test'"),
        ({"hold": "1:2"}, "--hold '1:2' was not understood"),
        ({"threshold": "0.9:0.5:5"}, "threshold must rise"),
        ({"k_up": "1:3:500", "k_down": "1:3:500"}, "this grid has 1,000,000 combos"),
        ({"costs": {"fee": 3.0}}, "fee must be in [0, 0.1), was 3"),
    ],
)
def test_a_mistake_is_one_line(bundle, data, more, said):
    with pytest.raises(UsageError) as refusal:
        sweep_bundle(replace(SMALL, bundle=bundle, **more), data, None, "now")
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_ten_thousand_trials_are_written_in_two_seconds(bundle, data):
    grid = {"threshold": "0.5:0.99:50", "k_up": "1:3:10", "k_down": "1:3:10", "hold": "12,24"}
    swept = sweep_bundle(replace(SMALL, bundle=bundle, **grid), data, data / "trials.db", "now")
    trials = TrialLedger(data / "trials.db").trials("RANDOM-11 1h")
    assert len({trial.config_hash for trial in trials}) == len(trials) == len(swept.found) == 10_000
    assert sum(len(trial.days) > 0 for trial in trials) == BEST + DRAWN
    begun = time.process_time()
    TrialLedger(data / "other.db").append(*trials)
    assert time.process_time() - begun < 2.0


def test_probabilities_get_thresholds_of_their_own(bundle, data):
    asked = replace(SMALL, bundle=bundle, confidence="probability", threshold=None)
    found = sweep_bundle(asked, data, None, "now").found
    assert found.trades[0].min() > found.trades[-1].max() > 0


def test_the_record_is_json_and_says_where_the_best_stands(bundle, data):
    swept = sweep_bundle(replace(SMALL, bundle=bundle), data, None, "now")
    record = json.loads(dumps(swept.as_dict(3)))
    assert record["schema"] == "tradsys.sweep/1"
    assert (record["combos"], len(record["figures"]["sharpe"]), len(record["top"])) == (8, 8, 3)
    assert record["selection"]["best"] == record["top"][0]
    assert {"median", "worst"} <= record["selection"]["plateau"].keys()


def test_the_terminal_shows_table_heat_map_and_what_choosing_is_worth(bundle, data, capsys):
    swept = sweep_bundle(replace(SMALL, bundle=bundle, hold="12,24,48"), data, None, "now")
    print_swept(swept)
    said = capsys.readouterr().out
    for part in ("12 combos", "Sharpe ratio at", "DSR", "PBO", "neighbours within one step", "IN-SAMPLE"):
        assert part in said
    assert "nan" not in said.lower()


def test_a_sweep_without_trades_says_so(bundle, data, capsys):
    swept = sweep_bundle(replace(SMALL, bundle=bundle, threshold="1", confidence="probability"), data, None, "now")
    assert swept.selection is None
    print_swept(swept)
    assert "no combo made a trade" in capsys.readouterr().out
    assert write_sweep_page(swept, data / "s.html").stat().st_size < 100_000


def test_the_page_draws_itself_and_a_cell_moves_the_maps(bundle, data):
    program = find_chromium()
    if program is None:
        pytest.skip("needs a Chromium to look at the page")
    swept = sweep_bundle(replace(SMALL, bundle=bundle, hold="12,24,48"), data, None, "now")
    page = write_sweep_page(swept, data / "sweep.html")
    with Browser(program) as browser:
        browser.open(page)
        assert browser.js("document.querySelectorAll('.heat').length") == 3
        assert browser.js("document.querySelectorAll('#best tbody tr').length") == len(swept.top(25))
        best = swept.selection.best
        shown = browser.js("document.querySelector('.heat .chosen').innerText").replace("\u2212", "-")
        assert float(shown) == pytest.approx(swept.found.sharpe[best], abs=0.005)
        browser.click(".heat tbody tr:first-child td", 0)
        assert browser.js("state.place.join()") == ",".join(map(str, (0, 0, *best[2:])))
        assert browser.errors == []
        assert len(browser.requests) == 1


def test_several_markets_are_swept_one_by_one_and_said_together(bundle, data, capsys):
    from engine.history import Store

    Store(data).keep(random_bars(4000, seed=12), "dice")
    asked = replace(SMALL, bundle=bundle, zone="development")
    names = ["RANDOM-11-1h", "RANDOM-12-1h"]
    found = sweep_markets(replace(asked, bars=",".join(names)), data, None, "now")
    alone = [sweep_bundle(replace(asked, bars=name), data, None, "now") for name in names]
    assert [dumps(one.as_dict()) for one in found] == [dumps(one.as_dict()) for one in alone]

    told = _as_dict(found, 3)
    sharpes = np.stack([one.found.sharpe.ravel() for one in found])
    best = np.median(sharpes, axis=0).max()
    assert told["across"][0]["median"] == best
    assert (found[0].found.trades >= 30).all()
    assert (found[1].found.trades >= 30).all()
    assert [page.name for page in _pages(Path("out/sweep.html"), found)] == [
        "sweep-RANDOM-11.html", "sweep-RANDOM-12.html",
    ]  # fmt: skip
    print_across(found, 3)
    shown = capsys.readouterr().out
    assert "the same combo on every market" in shown
    assert f"{best:+.2f}" in shown
