"""Features of longer bars: of closed ones alone, and decided by a number of fine bars that can be told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import talib

from engine.bars import Bars
from engine.catalogue import COARSENED, RATIOS
from engine.coarse import COARSE_BLOCK, CoarseReadings
from engine.features import FEATURES, clear_run, feature_matrix
from engine.history.resample import resample
from engine.synthetic import random_bars
from tests.oracles.slow_features import first_of_block_before, frame_of, slow_features

LONGER = {name: feature for name, feature in FEATURES.items() if name.split("_")[0] in {f"x{r}" for r in RATIOS}}
EVERY = pytest.mark.parametrize("name", LONGER)
N = 9_000


def kept(bars, keep):
    columns = {name: getattr(bars, name)[keep] for name in ("open_time", "open", "high", "low", "close", "volume")}
    return replace(bars, **columns)


def holed(bars):
    """One hour of every day is missing for 300 days: longer than a block of days in which no day is whole."""
    row = np.arange(len(bars))
    return kept(bars, ~((row % 24 == 7) & (row > 2000) & (row < 2000 + 300 * 24)))


def office(bars):
    """Seven hours a day from Monday to Friday, as stocks."""
    hour = bars.open_time.astype("datetime64[h]").astype(int)
    return replace(kept(bars, (hour % 24 >= 14) & (hour % 24 < 21) & ((hour // 24 + 3) % 7 < 5)), sessions=True)


MARKETS = {
    "whole": lambda: random_bars(N, seed=1),
    "gaps": lambda: random_bars(N, seed=2, gaps=0.004),
    "a hole in every day": lambda: holed(random_bars(3 * N, seed=3)),
    "office hours": lambda: office(random_bars(5 * N, seed=4)),
    "daily": lambda: random_bars(N, seed=5, timeframe="1d"),
}


@pytest.fixture(params=MARKETS, scope="module")
def market(request):
    return MARKETS[request.param]()


def breach(feature, bars, rows, whole=None):
    """Return the first row at which the memory was not enough; None where it was."""
    whole = feature.compute(bars) if whole is None else whole
    for t in rows:
        part = bars[max(0, t - feature.memory + 1) : t + 1]
        if not np.array_equal(feature.compute(part)[-1], whole[t], equal_nan=True):
            return t
    return None


@EVERY
def test_memory_is_enough(name, market):
    drawn = np.random.default_rng(1).integers(0, len(market), 60)
    whole = FEATURES[name].compute(market)
    behind_the_hole = range(9000, min(10_500, len(market)), 60)
    assert breach(FEATURES[name], market, [*drawn.tolist(), *behind_the_hole, len(market) - 1], whole) is None


@EVERY
def test_the_past_does_not_change_when_bars_arrive(name, market):
    whole = FEATURES[name].compute(market)
    for n in np.random.default_rng(2).integers(1, len(market), 25):
        assert np.array_equal(FEATURES[name].compute(market.upto(n)), whole[:n], equal_nan=True), n


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("base", COARSENED)
def test_a_memory_one_block_short_is_noticed(base, ratio):
    feature = FEATURES[f"x{ratio}_{base}"]
    planted = replace(feature, memory=feature.memory - (COARSE_BLOCK + 1) * ratio)
    assert breach(planted, random_bars(N, seed=6), range(N - 24 * COARSE_BLOCK, N, 13)) is not None


@pytest.mark.parametrize("ratio", RATIOS)
def test_what_is_known_is_the_last_whole_coarse_bar(ratio, market):
    known = CoarseReadings(market, ratio)
    frame = f"{ratio}h" if market.timeframe == "1h" else f"{ratio}d"
    if frame != "24d":  # longer than a week: only features have such bars
        again = resample(market, frame)
        assert np.array_equal(again.close, known.bars.close)
    for t in np.random.default_rng(3).integers(0, len(market), 200):
        closed = np.flatnonzero(known.bars.close_time <= market.close_time[t])
        late = market.close_time[t] - known.bars.close_time[closed[-1]] if len(closed) else None
        if known.place[t] == -1:
            assert late is None or (not market.sessions and late >= ratio * np.timedelta64(market.timeframe_ns, "ns"))
        else:
            assert known.place[t] == closed[-1]


def test_between_two_coarse_closes_nothing_changes():
    bars = random_bars(N, seed=7)
    matrix = feature_matrix(bars, [f"x24_{base}" for base in COARSENED])[24 * 120 :]
    hour = bars.open_time[24 * 120 :].astype("datetime64[h]").astype(int) % 24
    moved = (np.diff(matrix, axis=0) != 0).all(axis=1)
    assert np.array_equal(moved, hour[1:] == 23)  # known at the close of the day's last hour


def test_a_coarse_bar_under_way_tells_nothing():
    bars = random_bars(N, seed=8)
    last = N - 240 - 1  # closes a day
    rises = np.where(np.arange(N) > last, 2.0, 1.0)
    other = replace(bars, high=bars.high * rises, close=bars.close * np.where(rises > 1, 1.5, 1.0))
    for name in LONGER:
        if name.startswith("x24"):
            whole, spiked = FEATURES[name].compute(bars), FEATURES[name].compute(other)
            assert np.array_equal(whole[: last + 24], spiked[: last + 24], equal_nan=True)
            assert whole[last + 24] != spiked[last + 24]


@pytest.mark.parametrize("ratio", RATIOS)
def test_every_feature_is_what_pandas_says_of_resampled_bars(ratio):
    bars = random_bars(N, seed=9)
    rule = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    coarse = frame_of(bars).resample(f"{ratio}h").agg(rule)
    coarse = coarse[: len(bars) // ratio]
    slow = slow_features(coarse, COARSENED)
    slow.index = slow.index + pd.Timedelta(hours=ratio - 1)  # the open of the fine bar that closes it
    there = slow.reindex(pd.DatetimeIndex(bars.open_time), method="ffill").to_numpy()
    ours = feature_matrix(bars, [f"x{ratio}_{base}" for base in COARSENED])
    since = ratio * 2 * COARSE_BLOCK
    np.testing.assert_allclose(ours[since:], there[since:], rtol=1e-3, atol=1e-3)
    assert np.isfinite(ours[since:]).all()


@pytest.mark.parametrize("ratio", RATIOS)
def test_recursions_are_talibs_begun_at_the_coarse_block_before(ratio):
    bars = random_bars(N, seed=10)
    coarse = resample(bars, f"{ratio}h" if ratio < 24 else "1d")
    ours = FEATURES[f"x{ratio}_rsi_14"].compute(bars)
    for t in np.random.default_rng(4).integers(COARSE_BLOCK, len(coarse), 20):
        first = first_of_block_before(coarse, t, COARSE_BLOCK)
        fine = (t + 1) * ratio - 1
        assert ours[fine] == pytest.approx(talib.RSI(coarse.close[first : t + 1], 14)[-1], rel=1e-9)


def test_a_day_with_a_missing_hour_says_nothing_until_its_window_is_whole_again():
    bars = kept(random_bars(N, seed=11), np.arange(N) != 4000)
    values, run = FEATURES["x24_ma_dist_20"].compute(bars), clear_run(bars)
    after = np.arange(len(bars)) >= 4006  # the close of that day; until then the day before is the newest there is
    known = np.isfinite(values)
    assert not known[after & (run < 20 * 24)].any()
    assert known[after & (run >= FEATURES["x24_ma_dist_20"].lookback)].all()


def test_an_empty_or_short_market_has_nothing_to_say():
    for n in (0, 1, 5, 23, 24, 30):
        bars = random_bars(max(n, 1), seed=1).upto(n)
        assert isinstance(bars, Bars)
        assert np.isnan(feature_matrix(bars, list(LONGER))).all()
