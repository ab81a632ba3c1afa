"""The experiment that sets the streaming network beside the windowed one: equal rows, honest blocks, one word."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import UsageError
from engine.inference.interval import Draws, Interval
from engine.synthetic import random_bars
from research.config import parse_config
from research.experiments import pooled_or_alone
from research.experiments.finding import CONFIRMED, REFUTED, UNDECIDED
from research.experiments.lab import Lab
from research.experiments.streaming_or_windowed import COINS, KINDS, coins_of, gain, pooled_study, run, verdict
from research.finals import judged_rows
from research.study import make_study


@pytest.mark.parametrize(
    ("bounds", "word"),
    [
        ([(-0.0005, 0.001), (0.0001, 0.002)], CONFIRMED),
        ([(-0.0005, 0.001), (-0.002, 0.003)], UNDECIDED),
        ([(-0.003, -0.0001), (-0.0005, 0.001)], REFUTED),
        ([(None, None)], UNDECIDED),
    ],
)
def test_the_word_follows_from_the_intervals(bounds, word):
    assert verdict([Interval(0.0, low, high) for low, high in bounds]) == word


def test_coins_that_say_the_same_are_one_when_a_gain_is_judged():
    config = parse_config({"window": 8, "barriers": {"hold": 6}, "candidates": ["logistic"], "trees": {"lags": [0]}})
    home = random_bars(4000, seed=5)
    twins = [replace(home, symbol=f"TWIN-{i}") for i in range(3)]
    alone, four = make_study(config, home), make_study(config, home, twins)
    noise = np.random.default_rng(0).standard_normal(len(judged_rows(alone)))
    one, all_four = gain(alone, noise, 0.0 * noise), gain(four, np.repeat(noise, 4), np.zeros(4 * len(noise)))
    np.testing.assert_allclose([all_four.value, all_four.low, all_four.high], [one.value, one.low, one.high])
    assert one.block == Draws(block=12.0).block


def halves_of(bars, folder):
    """Write bars of an hour as two of half an hour each, in the form the coins lie in."""
    folder.mkdir(exist_ok=True, parents=True)
    middle = 0.5 * (bars.open + bars.close)
    first = [bars.open, bars.high, np.minimum(bars.open, middle), middle, bars.volume / 2]
    second = [middle, np.maximum(middle, bars.close), bars.low, bars.close, bars.volume / 2]
    time = bars.open_time[:, None] + np.array([0, 30], "timedelta64[m]")
    columns = {
        name: np.stack([a, b], axis=1).ravel()
        for name, a, b in zip(("open", "high", "low", "close", "volume"), first, second, strict=True)
    }
    table = pa.table({"timestamp": time.ravel(), **columns})
    pq.write_table(table, folder / f"{bars.symbol}_30m.parquet")


def test_the_quick_form_judges_every_model_on_the_same_rows(tmp_path):
    coins = [replace(random_bars(n, seed=n), symbol=name) for n, name in ((2600, "BTCUSDT"), (2200, "AAAUSDT"))]
    for bars in coins:
        halves_of(bars, tmp_path / COINS)
    lab = Lab(coins[0], quick=True, extra=tmp_path)
    found = run(lab)
    assert found.verdict in (CONFIRMED, REFUTED, UNDECIDED)
    assert [row[:2] for row in found.rows] == [
        (market, kind) for market in ("BTCUSDT", "2 coins") for kind in ("base rate", *KINDS)
    ]
    for market in ("BTCUSDT", "2 coins"):
        assert len({row[2:6] for row in found.rows if row[0] == market}) == 1
    for row in found.rows:
        assert len(row) == len(found.columns)
    assert "of skill, taught by 2 coins" in found.sentence
    pool = pooled_study(lab, coins_of(tmp_path / COINS, 2))
    assert [bars.symbol for bars in (pool.bars, *pool.others)] == ["BTCUSDT", "AAAUSDT"]
    assert pool.others[0].open_time[-1] <= pool.bars.open_time[-1]


def test_pooled_and_alone_are_judged_on_each_coins_own_rows(tmp_path):
    for n, name in ((2600, "BTCUSDT"), (2500, "AAAUSDT")):
        halves_of(replace(random_bars(n, seed=n), symbol=name), tmp_path / COINS)
    found = pooled_or_alone.run(Lab(random_bars(2600, seed=1), quick=True, extra=tmp_path))
    assert [row[0] for row in found.rows] == ["BTCUSDT", "AAAUSDT", "all"]
    first, second, both = found.rows
    assert both[1] == first[1] + second[1]
    assert both[2] == first[2] + second[2] == found.n
    assert first[6] != first[7]
    weighed = [(first[2] * first[k] + second[2] * second[k]) / both[2] for k in (6, 7)]
    np.testing.assert_allclose(both[6:8], weighed)
    with pytest.raises(UsageError, match="A18 needs bars of several coins below --extra FOLDER/alts_perp_30m"):
        pooled_or_alone.run(Lab(random_bars(2600, seed=1), quick=True))
