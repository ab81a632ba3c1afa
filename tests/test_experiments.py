"""The claims as experiments: each verdict is a rule of its own, and no experiment sees the sealed zone."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from engine.errors import UsageError
from engine.inference.interval import Interval
from engine.jsons import dumps
from engine.synthetic import random_bars
from engine.trials import TrialLedger
from research.experiments import EXPERIMENTS, all_names, chosen
from research.experiments.conduct import conduct, conduct_all
from research.experiments.finding import CONFIRMED, REFUTED, UNDECIDED, judge_gain
from research.experiments.lab import Lab, seal
from research.experiments.show import cell, leaderboard, pages_in, print_page, write_leaderboard
from research.experiments.streaming_or_windowed import COINS

CLAIMS = [f"A{i}" for i in range(1, 17)]
DEEP = ("A11", "A13")  # they train networks: minutes of a test's patience
FIXED = ("A3", "A11", "A16")  # their verdict says nothing about a market's direction


def module_of(name):
    return importlib.import_module(f"research.experiments.{EXPERIMENTS[name].module}")


def interval(low, high):
    return Interval((low + high) / 2, low, high)


@pytest.fixture(scope="module")
def noise():
    """A market without any edge."""
    return random_bars(3600, seed=11)


@pytest.fixture(scope="module")
def lab(noise, tmp_path_factory):
    """One quick lab, so that every experiment shares its walk-forward."""
    return Lab(noise, quick=True, extra=macro_folder(tmp_path_factory.mktemp("extra"), noise))


def macro_folder(root, bars, follow=None):
    """Write daily series of noise below ``root/macro``; with ``follow``, DXY foretells each next day's market."""
    import pandas as pd

    (root / "macro").mkdir()
    first = bars.open_time[0].astype("datetime64[D]") - 40
    days = pd.date_range(first, periods=60 + len(bars) // 24 + 40, tz="UTC")
    for i, name in enumerate(("DXY", "QQQ", "GLD", "SPY", "VIX")):
        move = np.random.default_rng(i).normal(0.0, 0.01, len(days))
        if follow is not None and name == "DXY":
            move = np.resize(follow, len(days))
        pd.DataFrame({"close": 100.0 * np.exp(np.cumsum(move))}, index=days).to_parquet(
            root / "macro" / f"{name}_1d.parquet"
        )
    return root


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch):
    monkeypatch.setattr(module_of("A5"), "MOVED", (5, 5))
    monkeypatch.setattr(module_of("A16"), "WINDOWS", (5, 5))
    monkeypatch.setattr(module_of("A16"), "WINDOWS_DAYS", (30, 90))


def test_every_claim_of_the_list_has_an_experiment():
    assert [name for name in EXPERIMENTS if name.startswith("A")][:16] == CLAIMS
    for name in CLAIMS:
        module = module_of(name)
        assert module.CLAIM
        assert module.__doc__.startswith(f"{name}: ")


@pytest.mark.parametrize(
    "name", [name if name not in DEEP else pytest.param(name, marks=pytest.mark.slow) for name in CLAIMS]
)
def test_an_experiment_on_noise_confirms_no_edge(name, lab):
    page, trials = conduct(name, lab)
    traded = Counter(one["zone"] for one in page["standings"] if "trades" in one)
    assert traded <= Counter(trial.zone for trial in trials)  # every strategy scored is a trial
    assert page["verdict"] in ((CONFIRMED, REFUTED, UNDECIDED) if name in FIXED else (REFUTED, UNDECIDED))
    assert page["sentence"]
    assert page["seeds"]
    assert page["n"] > 0
    assert {len(row) for row in page["rows"]} == {len(page["columns"])}
    dumps(page)  # numbers that are not finite would be refused


GOOD, BAD, WIDE = interval(0.01, 0.03), interval(-0.03, -0.01), interval(-0.02, 0.03)
TOLD = [
    ("A2", ((0.03, 0.002), (0.03, 0.002)), CONFIRMED),
    ("A2", ((0.03, 0.002), (0.001, 0.002)), REFUTED),  # knows when, not where to
    ("A2", ((0.001, 0.002), (0.03, 0.002)), REFUTED),  # what a constant loses
    ("A2", ((0.03, 0.002), (0.01, 0.002)), UNDECIDED),
    ("A3", ([10, 20, 40], [5, 5, 5], True, False), CONFIRMED),
    ("A3", ([10, 20, 40], [5, 10, 20], True, False), REFUTED),
    ("A3", ([10, 20, 40], [5, 5, 5], True, True), UNDECIDED),
    ("A4", ([0.0, 1.0, 3.0], [0.0, 1.0, 3.0]), CONFIRMED),
    ("A4", ([0.0, 1.0, 1.9], [0.0, 1.0, 1.9]), REFUTED),  # 1.9 is nothing as the best of three
    ("A4", ([0.0, 1.0, 3.0], [0.0, 1.0, 1.0]), UNDECIDED),
    ("A6", (0.01, 0.02, 0.1), CONFIRMED),
    ("A6", (0.01, 0.02, 0.9), UNDECIDED),
    ("A6", (-0.01, 0.0005, 0.1), REFUTED),
    ("A7", ([(100, 0.96), (2, None)],), CONFIRMED),
    ("A7", ([(29, 0.99), (500, 0.94)],), REFUTED),
    ("A8", (GOOD, interval(1.0, 3.0), 0.96), CONFIRMED),
    ("A8", (GOOD, interval(1.0, 3.0), 0.90), UNDECIDED),
    ("A8", (BAD, interval(1.0, 3.0), 0.96), REFUTED),
    ("A8", (WIDE, interval(-2.0, 2.4), 0.96), REFUTED),  # the notes' 2.49 lies above
    ("A9", (interval(0.52, 0.58), GOOD, 0), CONFIRMED),
    ("A9", (interval(0.52, 0.58), GOOD, 1), REFUTED),  # a gate cannot recover anything
    ("A9", (interval(0.45, 0.49), WIDE, 0), REFUTED),
    ("A9", (interval(0.48, 0.55), WIDE, 0), UNDECIDED),
    ("A10", (12, 12), CONFIRMED),
    ("A10", (6, 12), REFUTED),
    ("A10", (9, 12), UNDECIDED),
    ("A11", (0.002, 0), CONFIRMED),
    ("A11", (0.0005, 0), REFUTED),
    ("A11", (0.002, 3), UNDECIDED),
    ("A12", (GOOD, GOOD), CONFIRMED),
    ("A12", (GOOD, WIDE), UNDECIDED),  # shuffled dates do as well
    ("A12", (GOOD, BAD), REFUTED),
    ("A13", (["contrast"], GOOD), CONFIRMED),
    ("A13", (["BCE", "contrast"], GOOD), REFUTED),  # 10.2 % is excluded
    ("A13", (["BCE", "contrast"], interval(-0.1, 0.2)), UNDECIDED),
    ("A19", ([(GOOD, GOOD, 0.001), (BAD, BAD, -0.01)],), CONFIRMED),
    ("A19", ([(GOOD, GOOD, -0.001), (BAD, BAD, -0.01)],), UNDECIDED),  # it loses less than a bad model
    ("A19", ([(GOOD, WIDE, 0.001), (BAD, BAD, -0.01)],), UNDECIDED),  # shuffled dates do as well
    ("A19", ([(WIDE, WIDE, 0.001), (BAD, BAD, -0.01)],), UNDECIDED),
    ("A19", ([(GOOD, BAD, 0.001), (BAD, GOOD, 0.001)],), REFUTED),
    ("A14", (GOOD, WIDE, 0.001), CONFIRMED),
    ("A14", (GOOD, WIDE, -0.001), UNDECIDED),  # to lose less than a bad model is not to generalise
    ("A14", (BAD, BAD, 0.001), REFUTED),
    ("A15", (GOOD,), CONFIRMED),
    ("A15", (BAD,), REFUTED),
    ("A15", (WIDE,), UNDECIDED),
    ("A16", (0.01, 3000, 2000.0), CONFIRMED),
    ("A16", (0.20, 3000, 2000.0), REFUTED),
    ("A16", (0.01, 90, 2000.0), REFUTED),
    ("A16", (float("nan"), 90, 2000.0), UNDECIDED),
]  # fmt: skip


@pytest.mark.parametrize(("name", "told", "word"), TOLD, ids=[f"{t[0]}-{i}" for i, t in enumerate(TOLD)])
def test_a_verdict_is_a_rule_of_its_numbers(name, told, word):
    module = module_of(name)
    if name == "A19":
        told = ([module.Gained(*cell) for cell in told[0]],)
    assert module.verdict(*told) == word


def test_the_verdict_on_the_next_bar_looks_at_both_ends():
    from research.measures import score_forecast

    rng = np.random.default_rng(0)
    y = (rng.random(4000) < 0.5).astype(float)
    coin = score_forecast(y, rng.uniform(0.4, 0.6, 4000), 4000, 1)
    seer = score_forecast(y, np.clip(0.5 + 0.1 * (y - 0.5) + rng.normal(0, 0.05, 4000), 0.01, 0.99), 4000, 1)
    rule = module_of("A1").verdict
    assert (rule(coin, [coin, seer]), rule(seer, [coin]), rule(coin, [coin])) == (CONFIRMED, REFUTED, UNDECIDED)


def test_a_regime_filter_must_beat_its_copies_at_other_times():
    a5 = module_of("A5")
    assert a5.verdict({0: a5.Worth(GOOD, 0.01)}) == CONFIRMED
    assert a5.verdict({0: a5.Worth(GOOD, 0.2)}) == UNDECIDED  # trading less would do
    assert a5.verdict({0: a5.Worth(GOOD, 0.6), 1: a5.Worth(WIDE, 0.9)}) == REFUTED


def test_an_unknown_gain_decides_nothing():
    assert judge_gain(None, None) == UNDECIDED
    assert judge_gain(0.0001, 0.0005, worth=0.001) == REFUTED


@pytest.mark.parametrize("name", ["A2", "A9"])
def test_what_lies_in_the_sealed_zone_changes_no_finding(name, noise):
    cut = int(len(noise) * 0.85)
    part = {c: getattr(noise, c).copy() for c in ("open", "high", "low", "close", "volume")}
    for column in part.values():
        column[cut:] *= 3.0
    other = replace(noise, **part)
    told = [conduct(name, Lab(bars, quick=True))[0] for bars in (noise, other)]
    for page in told:
        del page["measured"]
    assert dumps(told[0]) == dumps(told[1])  # the second run of two: the same bytes, too
    assert told[0]["n"] > 100


def test_a_full_lab_has_no_sealed_zone_to_look_at(noise):
    bars, stop = seal(noise)
    assert Lab(noise).stop == stop
    assert set(bars.close[stop:]) == {noise.close[stop - 1]}
    assert not bars.volume[stop:].any()
    assert np.array_equal(bars.close[:stop], noise.close[:stop])
    quick = Lab(noise, quick=True)
    assert quick.bars.open_time[-1] < noise.open_time[stop]


def trending(n, seed, pull=0.5):
    """Bars whose closes keep half of the last move: the direction can be foreseen."""
    base = random_bars(n, seed=seed)
    rng = np.random.default_rng(seed)
    move = np.zeros(n)
    for t in range(1, n):
        move[t] = pull * move[t - 1] + 0.003 * rng.standard_normal()
    close = 100.0 * np.exp(np.cumsum(move))
    opened = np.r_[close[0], close[:-1]]
    wick = 1.0 + 0.0005 * rng.random((2, n))
    return replace(
        base,
        open=opened,
        close=close,
        high=np.maximum(opened, close) * wick[0],
        low=np.minimum(opened, close) / wick[1],
    )


def test_a_planted_direction_is_confirmed_as_a_signal():
    assert conduct("A2", Lab(trending(6000, 5), quick=True))[0]["verdict"] == CONFIRMED


def test_a_planted_trend_state_is_confirmed():
    n, rng = 8000, np.random.default_rng(2)
    state = np.repeat(rng.integers(0, 3, n // 50), 50)
    move = np.array([0.0005, 0.003, 0.012])[state] * rng.standard_normal(n) + np.array([0.0, 0.0012, 0.0])[state]
    close = 100.0 * np.exp(np.cumsum(move))
    opened = np.r_[close[0], close[:-1]]
    reach = np.array([0.0002, 0.001, 0.004])[state] * (0.5 + rng.random(n))
    bars = replace(
        random_bars(n, seed=1), open=opened, close=close,
        high=np.maximum(opened, close) * (1 + reach), low=np.minimum(opened, close) * (1 - reach),
    )  # fmt: skip
    page, _ = conduct("A4", Lab(bars, quick=True))
    assert page["verdict"] == CONFIRMED
    assert page["numbers"]["agreement_with_first_seed"][0] > 0.9


def test_a_state_is_worth_what_the_next_bar_earns():
    told = module_of("A4").next_moves(np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, True, False, True]))
    assert np.array_equal(told, [2.0, np.nan, 4.0, np.nan], equal_nan=True)


@pytest.mark.slow  # the join itself is tested below
def test_planted_news_is_confirmed_and_only_as_known(tmp_path):
    n, rng = 6000, np.random.default_rng(4)
    news = rng.choice([-0.01, 0.01], n // 24 + 100)
    base = random_bars(n, seed=8)
    macro_folder(tmp_path, base, follow=news)
    day = np.arange(n) // 24
    tide = np.r_[0.0, 0.004 * np.sign(news)][day + 40]  # day d of the market follows the news of day d - 1
    lift = np.exp(np.cumsum(tide))
    bars = replace(base, **{c: getattr(base, c) * lift for c in ("open", "high", "low", "close")})
    page, _ = conduct("A12", Lab(bars, quick=True, extra=tmp_path))
    assert page["verdict"] == CONFIRMED


def test_a_macro_row_is_known_from_the_next_day_on():
    a12, bars = module_of("A12"), random_bars(72, seed=0)
    day = bars.open_time[0].astype("datetime64[D]").astype(np.int64)
    table = np.arange(5.0)[:, None]
    known = a12.joined(bars, day - 1 + np.arange(5), table, 1)[:, 0]
    assert known[:23].tolist() == [0.0] * 23  # during the first day only the day before is known
    assert known[23:47].tolist() == [1.0] * 24  # its last hour closes at midnight, when the day is over
    early = a12.joined(bars, day - 1 + np.arange(5), table, 0)[:, 0]
    assert (early == known + 1.0).all()


def test_the_best_path_equals_the_likeliest_of_all_paths():
    from itertools import pairwise, product

    from models.regime import RegimeModel

    rng = np.random.default_rng(1)
    move = np.array([[0.8, 0.2], [0.3, 0.7]])
    model = RegimeModel(
        ("ret_1",), ("calm", "turbulent"), np.array([0.5, 2.0]), np.zeros(1), np.ones(1), np.array([0.6, 0.4]),
        move, np.array([[0.1], [-0.2]]), np.array([[0.25], [4.0]]), 64, 10,
    )  # fmt: skip
    x = rng.standard_normal((7, 1))
    told = model.log_likelihood(x)

    def likelihood(path):
        steps = np.log(model.start[path[0]]) + sum(np.log(move[a, b]) for a, b in pairwise(path))
        return steps + sum(told[t, s] for t, s in enumerate(path))

    best = max(product((0, 1), repeat=7), key=likelihood)
    assert module_of("A5").viterbi(model, x).tolist() == list(best)


def test_a_fractional_series_is_the_plain_sum_of_its_weights():
    from engine.indicators.fractional import ffd_weights, ffd_width

    a14, x = module_of("A14"), np.log(random_bars(900, seed=2).close)
    weights = ffd_weights(0.5, ffd_width(0.5, a14.CUT))
    told = a14.fractional(x, 0.5)
    k = len(weights)
    assert np.isnan(told[: k - 1]).all()
    assert told[700] == pytest.approx(weights @ x[700 - k + 1 : 701][::-1], abs=1e-9)


def test_the_unit_root_statistic_equals_statsmodels():
    from statsmodels.tsa.stattools import adfuller

    x = np.cumsum(np.random.default_rng(3).standard_normal(600))
    assert module_of("A14").adf(x, 5) == pytest.approx(
        adfuller(x, maxlag=5, autolag=None, result_object=False)[0], abs=1e-8
    )


def test_scored_configurations_reach_the_ledger_once_and_finished_experiments_are_kept(lab, tmp_path):
    said = []
    for again in (False, False, True):
        ran = conduct_all(
            ["A9", "A7"], lab, tmp_path / "out", tmp_path / "t.db", again, lambda *step: said.append(step)
        )
        kept = [kept for _, kept in ran]
        assert kept == [not again and len(said) > 0 and (tmp_path / "seen").exists()] * 2
        (tmp_path / "seen").touch()
        assert len(TrialLedger(tmp_path / "t.db")) == 3  # the three meanings of 0.95
    assert TrialLedger(tmp_path / "t.db").trials()[0].kind == "experiment"
    assert said[-1][1] <= said[-1][2]
    other = Lab(replace(lab.bars, volume=lab.bars.volume * 2), quick=True)
    assert [kept for _, kept in conduct_all(["A9"], other, tmp_path / "out", tmp_path / "t.db", False, print_not)] == [
        False
    ]  # other bars are another question


def print_not(*_):
    """Hear nothing."""


def test_the_leaderboard_counts_a_configuration_once_and_ranks_by_the_lower_end(lab, tmp_path):
    for name in ("A1", "A7", "A14"):
        page, _ = conduct(name, lab)
        (tmp_path / f"{name}.json").write_text(dumps(page))
    text = write_leaderboard(tmp_path, tmp_path / "board.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("| logistic on")]
    assert len(lines) == len(set(lines)) == 12  # three tables, two zones; forecasts and trades
    assert text.count("| A1 |") >= 6
    assert leaderboard(pages_in(tmp_path)) == text
    with pytest.raises(UsageError, match="no findings"):
        pages_in(tmp_path / "nothing")


def test_the_shipped_leaderboard_is_what_its_command_writes():
    from pathlib import Path

    root = Path(__file__).parents[1] / "research"
    assert leaderboard(pages_in(root / "results")) == (root / "LEADERBOARD.md").read_text(encoding="utf-8")


def test_the_verb_prints_a_table_and_one_sentence_or_json(noise, tmp_path):
    from tradsys import app

    bars = tmp_path / "NOISE-1h.csv"
    stamps = noise.open_time.astype("datetime64[ms]").astype(np.int64)
    rows = zip(stamps, noise.open, noise.high, noise.low, noise.close, noise.volume, strict=True)
    bars.write_text("timestamp,open,high,low,close,volume\n" + "".join(",".join(map(str, r)) + "\n" for r in rows))
    asked = ["experiment", "A3", "--quick", "--bars", str(bars), "--out", str(tmp_path / "out")]
    asked += ["--ledger", str(tmp_path / "t.db")]
    shown = CliRunner().invoke(app, asked)
    assert shown.exit_code == 0, shown.output
    assert "CONFIRMED: " in shown.stdout
    told = CliRunner().invoke(app, [*asked, "--json"])
    assert json.loads(told.stdout)["id"] == "A3"
    with pytest.raises(UsageError, match="A1"):
        CliRunner().invoke(app, ["experiment", "B99", "--bars", str(bars)], catch_exceptions=False)


def test_experiments_come_in_the_order_of_the_list():
    assert chosen([], True) == list(EXPERIMENTS)
    assert chosen(["A10", "a2"], False) == ["A2", "A10"]


def test_too_little_history_is_refused():
    with pytest.raises(UsageError, match="at least 2000 bars"):
        Lab(random_bars(500))


def test_help_and_pages_name_every_experiment_there_is():
    assert all_names() == "A1 to A19"
    assert list(EXPERIMENTS) == [f"A{number}" for number in range(1, 20)]
    assert f"claim, {all_names()}," in (Path(__file__).parents[1] / "docs" / "experiments.md").read_text()
    assert EXPERIMENTS["A18"].extra == (COINS,)


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_no_width_cuts_a_figure_of_a_finding(width):
    from io import StringIO

    from rich.console import Console

    for page in pages_in(Path(__file__).resolve().parents[1] / "research" / "results"):
        screen = Console(width=width, file=StringIO(), highlight=False)
        print_page(page, screen)
        told = screen.file.getvalue()
        for row in page["rows"]:
            for value, (_, style) in zip(row, page["columns"], strict=True):
                assert all(part in told for part in cell(value, style).split()), (page["id"], value)
        table = told.split(" s\n", 1)[1].split(page["verdict"].upper())[0]
        assert max(len(line.rstrip()) for line in table.splitlines()) <= max(width, 72), page[
            "id"
        ]  # names are not folded
