"""Features: equal to the obvious way, and the same bits however the history is cut."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import talib

from engine.bars import DAY_NS, Bars
from engine.coarse import COARSE_BLOCK, coarse_memory
from engine.controls import cusum_events
from engine.errors import UsageError
from engine.features import (
    BASIC,
    BESIDE,
    FEATURES,
    STRETCH,
    clear_run,
    default_features,
    describe,
    feature_lookback,
    feature_matrix,
    feature_memory,
    feature_needs,
)
from engine.indicators import BLOCK, atr, interleave, recursions, window_highest, window_moments
from engine.indicators.anchored import anchored_pass
from engine.indicators.events import cusum_pass
from engine.indicators.fractional import weigh
from engine.readings import EXTREME_WINDOWS
from engine.synthetic import random_bars, random_context
from tests.conftest import ROOT
from tests.oracles.slow_features import (
    anchored,
    first_of_block_before,
    frame_of,
    slow_cusum,
    slow_features,
    slow_macd,
)

ALL = tuple(FEATURES)
WARM = 112  # bars until the slowest recursion, ATR 28, speaks
LONG = 24 * WARM  # and of the longest bars
HOUR_NS = DAY_NS // 24
EVERY_FEATURE = pytest.mark.parametrize("feature", FEATURES.values(), ids=ALL)
THESE = [feature for feature in FEATURES.values() if feature.name[0] != "x"]  # longer bars are in test_coarse.py
OF_THESE_BARS = pytest.mark.parametrize("feature", THESE, ids=lambda feature: feature.name)
MARKETS = ("random", "gaps", "nasdaq", "btc")


def bars_of_frame(frame, timeframe_ns, sessions=False):
    columns = (frame[name].to_numpy(np.float64) for name in ("open", "high", "low", "close", "volume"))
    return Bars(frame.index.to_numpy("datetime64[ns]"), *columns, timeframe_ns, sessions=sessions)


def market_of(n, seed=0, gaps=0.0):
    """Return random bars with something beside them under every name that a feature reads."""
    return random_context(random_bars(n, seed=seed, gaps=gaps), BESIDE, seed)


def warm_up(feature):
    """Return the bars a feature may be silent at first."""
    ratio = int(feature.name[1:].split("_")[0]) if feature.name[0] == "x" else 1
    return max(ratio * WARM + ratio, feature.lookback)


@pytest.fixture(scope="module")
def nasdaq():
    from arch.data import nasdaq

    frame = nasdaq.load()
    frame.columns = [name.lower() for name in frame.columns]
    return random_context(bars_of_frame(frame, DAY_NS, sessions=True), BESIDE)


@pytest.fixture(scope="module")
def btc(shared_data):
    import pandas as pd

    frame = pd.read_parquet(shared_data / "crypto" / "BTCUSDT_1h.parquet")
    return random_context(bars_of_frame(frame.iloc[:9000], HOUR_NS), BESIDE)  # seven outages, the crash of January 2018


@pytest.fixture(params=MARKETS, scope="module")
def market(request):
    if request.param == "random":
        return market_of(STRETCH + 900, seed=3)
    if request.param == "gaps":
        return market_of(3000, seed=4, gaps=0.02)
    return request.getfixturevalue(request.param)


def same_bits(a, b):
    return np.array_equal(a, b, equal_nan=True)


def breach(feature, bars, rows):
    """Return the first of the rows at which the feature's memory was not enough; None where it was."""
    whole = feature.compute(bars)
    for t in rows:
        part = bars[max(0, t - feature.memory + 1) : t + 1]
        if not same_bits(feature.compute(part)[-1], whole[t]):
            return t
    return None


def rows_of(bars, count, seed=0):
    """Return random rows and those around the first changes of block, where the recursions change hands."""
    blocks = bars.slots // BLOCK
    edges = np.flatnonzero(np.diff(blocks))[:6]
    drawn = np.random.default_rng(seed).integers(0, len(bars), count)
    return np.unique(np.clip(np.r_[0, 1, drawn, edges, edges + 1, len(bars) - 1], 0, len(bars) - 1))


# --- the one law ---------------------------------------------------------------------------------------


@EVERY_FEATURE
def test_the_past_does_not_change_when_bars_arrive(feature, market):
    whole = feature.compute(market)
    for n in np.random.default_rng(1).integers(1, len(market), 6):
        assert same_bits(feature.compute(market.upto(n)), whole[:n]), n


@EVERY_FEATURE
def test_memory_is_enough(feature, market):
    assert breach(feature, market, rows_of(market, 20)) is None


@EVERY_FEATURE
def test_another_future_leaves_the_past_as_it_was(feature):
    bars, other = market_of(LONG, seed=5), market_of(LONG, seed=6)
    whole = feature.compute(bars)
    for t in (1, 130, 777, 1300, 2600):
        columns = {
            c: np.r_[getattr(bars, c)[:t], getattr(other, c)[t:]] for c in ("open", "high", "low", "close", "volume")
        }
        beside = {name: np.r_[bars.context[name][:t], other.context[name][t:]] for name in BESIDE}
        forked = replace(bars, **columns, context=beside)
        assert same_bits(feature.compute(forked)[:t], whole[:t])


def test_the_matrix_is_made_of_the_features_whatever_the_stretch(market):
    matrix = feature_matrix(market, ALL)
    for column, feature in zip(matrix.T, FEATURES.values(), strict=True):
        assert same_bits(column, feature.compute(market)), feature.name


def test_a_feature_is_the_same_alone_and_in_company():
    bars = market_of(2 * STRETCH + 10, seed=7)
    matrix = feature_matrix(bars, ALL)
    for j in (0, 8, 18, 24, 33, 38, 39, 44, 50):
        assert same_bits(feature_matrix(bars, [ALL[j]])[:, 0], matrix[:, j])


@OF_THESE_BARS
def test_a_memory_too_small_is_noticed(feature):
    bars = random_bars(1600, seed=8)
    recursive = feature.memory >= 2 * BLOCK
    too_small = 58 if feature.name.startswith("cusum") else BLOCK // 4  # the sums agree again at the next events
    planted = replace(feature, memory=too_small if recursive else feature.memory - 1)
    if feature.name == "volume_z_24":  # only bars without volume need all of it
        bars = with_columns(bars, volume=np.where(np.arange(1600) % 23 < 22, 0.0, bars.volume))
    if planted.memory and not feature.needs:
        assert breach(planted, bars, range(500, 1600, 7 if recursive else 1)) is not None


@EVERY_FEATURE
def test_memory_is_declared_and_small(feature):
    assert 1 <= feature.lookback <= feature.memory <= coarse_memory(2 * COARSE_BLOCK, 24)
    assert feature.meaning


# --- no scale, no surprises ----------------------------------------------------------------------------


def with_columns(bars, **columns):
    """Return bars with some columns replaced."""
    return replace(bars, **columns)


@pytest.mark.parametrize(("price", "volume"), [(1000.0, 1.0), (1.0, 1000.0), (1e-7, 1e9)])
def test_features_have_no_scale(price, volume):
    bars = market_of(LONG + 400, seed=9)
    prices = {name: price * getattr(bars, name) for name in ("open", "high", "low", "close")}
    scaled = with_columns(bars, **prices, volume=volume * bars.volume)
    np.testing.assert_allclose(feature_matrix(scaled, ALL), feature_matrix(bars, ALL), rtol=1e-8, atol=1e-9)


def flat(bars, since=0):
    """Return bars whose price stands still from a row on."""
    still = np.arange(len(bars)) >= since
    level = bars.close[since - 1] if since else 100.1
    return with_columns(bars, **{c: np.where(still, level, getattr(bars, c)) for c in ("open", "high", "low", "close")})


def narrow(bars):
    """Return bars that each have one price."""
    return with_columns(bars, open=bars.close, high=bars.close, low=bars.close)


def spiked(bars):
    """Return bars with one high ten thousand times its neighbours'."""
    return with_columns(bars, high=np.where(np.arange(len(bars)) == 700, 1e6, bars.high))


def sparse(bars, share=0.9):
    """Return bars of which most have no volume, none of them for two spells of 60."""
    row = np.arange(len(bars))
    silent = (np.random.default_rng(1).random(len(bars)) < share) | (row % 500 < 60)
    return with_columns(bars, volume=np.where(silent, 0.0, bars.volume))


DEGENERATE = {
    "flat": flat,
    "flat later": lambda bars: flat(bars, since=200),
    "narrow": narrow,
    "spiked": spiked,
    "no volume": lambda bars: with_columns(bars, volume=np.zeros(len(bars))),
    "sparse volume": sparse,
    "equal volume": lambda bars: with_columns(bars, volume=np.full(len(bars), 0.1)),
    "full range": lambda bars: with_columns(bars, open=bars.low, close=bars.high),
    "ordinary": lambda bars: bars,
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_every_value_is_finite_after_warm_up_whatever_the_bars(name):
    bars = DEGENERATE[name](market_of(LONG + 400, seed=10))
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        matrix = feature_matrix(bars, ALL)
    assert not np.isinf(matrix).any()
    for feature, column in zip(FEATURES.values(), matrix.T, strict=True):
        assert np.isfinite(column[warm_up(feature) :]).all(), feature.name
        assert np.abs(column[warm_up(feature) :]).max() < 1e5, feature.name


@pytest.mark.parametrize("name", DEGENERATE)
def test_memory_is_enough_on_degenerate_bars(name):
    bars = DEGENERATE[name](market_of(1500, seed=10))
    for feature in FEATURES.values():
        assert breach(feature, bars, (0, 30, 60, 250, 530, 777, 1203, 1499)) is None, feature.name


def test_a_market_that_stands_still_says_nothing():
    bars = with_columns(flat(market_of(LONG + 100)), volume=np.full(LONG + 100, 0.1))
    silent = {"rsi_14": 50.0, "x4_rsi_14": 50.0, "x24_rsi_14": 50.0, "log_range": np.log(1e-5)}
    for feature in FEATURES.values():
        if not feature.intraday and not feature.needs:
            column = feature.compute(bars)[warm_up(feature) :]
            assert (column == silent.get(feature.name, 0.0)).all(), feature.name


def test_a_bar_without_volume_counts_as_the_quietest_of_the_last_24():
    bars = random_bars(300, seed=11)
    volume = bars.volume.copy()
    volume[[100, 101, 222]] = 0.0
    filled = volume.copy()
    for t in (100, 101, 222):
        filled[t] = min(v for v in volume[t - 23 : t + 1] if v > 0)
    silent, quiet = (with_columns(bars, volume=v) for v in (volume, filled))
    assert same_bits(FEATURES["volume_z_24"].compute(silent), FEATURES["volume_z_24"].compute(quiet))
    assert (feature_matrix(with_columns(bars, volume=np.zeros(300)), ["volume_z_24"])[23:] == 0.0).all()


def test_time_waves_follow_the_week_from_monday_midnight():
    bars = random_bars(24 * 14, seed=1)  # from Wednesday, 2020-01-01 00:00
    waves = feature_matrix(bars, ["hour_sin", "hour_cos", "week_sin", "week_cos"])
    monday = bars.since(np.datetime64("2020-01-06"))
    np.testing.assert_allclose(waves[monday], [0, 1, 0, 1], atol=1e-12)
    np.testing.assert_allclose(waves[monday + 6], [1, 0, np.sin(np.pi / 14), np.cos(np.pi / 14)], atol=1e-12)
    np.testing.assert_allclose(waves[monday + 7 * 12], [0, -1, 0, -1], atol=1e-12)


# --- the obvious way -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["btc", "nasdaq"])
def test_every_feature_is_what_pandas_says(name, request):
    bars = request.getfixturevalue(name)
    names = [name for name in ALL if name in BASIC or name.startswith("ffd")]  # test_coarse.py has longer bars
    ours, slow = feature_matrix(bars, names), slow_features(frame_of(bars), names).to_numpy()
    for j, feature in enumerate(names):
        # a block holds 352 daily sessions: the 28-bar ATR then still shares (27/28)**352 = 3e-6 of its past
        np.testing.assert_allclose(ours[1000:, j], slow[1000:, j], rtol=1e-6, atol=1e-6, err_msg=feature)


def talib_macd(high, low, close):
    return talib.MACD(close, 12, 26, 9)[0]


def talib_signal(high, low, close):
    return talib.MACD(close, 12, 26, 9)[1]


ENDLESS = {
    "atr": talib.ATR,
    "atr_short": lambda *prices: talib.ATR(*prices, 7),
    "atr_long": lambda *prices: talib.ATR(*prices, 28),
    "rsi": lambda high, low, close: talib.RSI(close, 14),
    "macd": talib_macd,
    "macd_signal": talib_signal,
}


@pytest.mark.parametrize("name", ENDLESS)
def test_recursions_are_talib_begun_at_the_block_before(name, market):
    values = getattr(recursions(market), name)
    for t in rows_of(market, 30, seed=2):
        if t >= 250:  # until then TA-Lib's other start of the fast average is seen
            expected = anchored(market, t, BLOCK, ENDLESS[name])
            assert values[t] == pytest.approx(expected, rel=1e-9, abs=1e-9 * market.close[t])


def test_averages_begin_as_plain_means():
    bars = random_bars(300, seed=13)
    found, (line, signal) = recursions(bars), slow_macd(bars.close)
    np.testing.assert_allclose(found.macd[103:], line[103:], rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(found.macd_signal[103:], signal[103:], rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", ["btc", "nasdaq"])
def test_atr_is_talibs(name, request):
    bars = request.getfixturevalue(name)
    ours, talibs = atr(bars), talib.ATR(bars.high, bars.low, bars.close, 14)
    early = bars.slots - bars.slots[0] < BLOCK
    assert np.isnan(ours[: 4 * 14 - 1]).all()
    assert np.isfinite(ours[4 * 14 - 1 :]).all()
    np.testing.assert_allclose(ours[early][55:], talibs[early][55:], rtol=1e-9)
    np.testing.assert_allclose(ours[55:], talibs[55:], rtol=1e-8)


@pytest.mark.parametrize("period", [1, 5, 30])
def test_atr_takes_other_periods(period):
    bars = random_bars(400, seed=12)
    expected = talib.ATR(bars.high, bars.low, bars.close, period)
    np.testing.assert_allclose(atr(bars, period)[4 * period - 1 :], expected[4 * period - 1 :], rtol=1e-9)


def test_atr_refuses_a_period_it_could_not_forget():
    with pytest.raises(UsageError, match="the period of an ATR must be 1 to 30 bars, was 200"):
        atr(random_bars(10), 200)


def test_windows_are_talibs(btc):
    matrix = feature_matrix(btc, ["boll_20", "ma_dist_20", "ma_dist_50", "ma_dist_100"])
    upper, middle, _ = talib.BBANDS(btc.close, 20, 2.0, 2.0)
    unit = atr(btc)
    np.testing.assert_allclose(matrix[99:, 0], ((btc.close - middle) / (upper - middle))[99:], rtol=1e-5, atol=1e-7)
    for j, k in ((1, 20), (2, 50), (3, 100)):
        np.testing.assert_allclose(matrix[99:, j], ((btc.close - talib.SMA(btc.close, k)) / unit)[99:], atol=1e-8)


@pytest.mark.parametrize("n", [1, 2, 3, 19, 20, 21, 64, 65, 200])
def test_windows_of_any_length_are_numpys(n):
    values = np.random.default_rng(n).standard_normal(n) + 1e3
    values.flags.writeable = False
    windows = np.array([1, 2, 3, 7, 20, 33, 64])
    mean, deviation = window_moments(values, windows)
    for w, k in enumerate(windows):
        for t in range(n):
            part = values[t - k + 1 : t + 1] if t + 1 >= k else np.full(1, np.nan)
            expected = part.mean(), part.std(), part.max()
            found = mean[w, t], deviation[w, t], window_highest(values, k)[t]
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


# --- doors ---------------------------------------------------------------------------------------------


def test_clear_run_counts_bars_since_the_last_gap(market):
    expected, run = [], 0
    for follows in market.follows:
        run = run + 1 if follows else 1
        expected.append(run)
    assert clear_run(market).tolist() == expected


def test_the_matrix_is_contiguous_and_as_wide_as_asked():
    bars = random_bars(70)
    for n in (0, 1, 70):
        for names in ((), tuple(BASIC), tuple(name for name in ALL if not FEATURES[name].needs)):
            matrix = feature_matrix(bars.upto(n), names)
            assert matrix.shape == (n, len(names))
            assert matrix.dtype == np.float64
            assert matrix.flags.c_contiguous


def test_an_unknown_feature_is_refused_with_the_nearest_known():
    for ask in (feature_memory, feature_lookback, lambda names: feature_matrix(random_bars(5), names)):
        with pytest.raises(UsageError, match="unknown feature 'rsi_15'; did you mean 'rsi_14'"):
            ask(["ret_1", "rsi_15"])


def test_memory_and_lookback_of_a_list_are_the_largest():
    assert (feature_memory(["ret_1", "vol_24"]), feature_lookback(["ret_1", "vol_24"])) == (25, 25)
    assert (feature_memory(BASIC), feature_lookback(BASIC)) == (2 * BLOCK, 100)
    assert (feature_memory(["cusum_event", "ffd_40"]), feature_lookback(["cusum_event", "ffd_40"])) == (1536, 256)
    assert (feature_memory([]), feature_lookback([])) == (1, 1)


def test_default_features_are_two_dozen_and_know_the_week_only_below_a_day():
    hourly, daily = default_features(HOUR_NS, sessions=False), default_features(DAY_NS, sessions=True)
    assert set(hourly) - set(daily) == {"hour_sin", "hour_cos", "week_sin", "week_cos"}
    assert 24 <= len(daily) < len(hourly) <= 28
    assert set(hourly) < BASIC
    assert feature_matrix(random_bars(5), hourly).shape == (5, len(hourly))


def test_default_features_do_not_repeat_one_another(btc):
    matrix = feature_matrix(btc, default_features(HOUR_NS, sessions=False))[1000:]
    likeness = np.abs(np.corrcoef(matrix.T)) - np.eye(matrix.shape[1])
    assert likeness.max() < 0.98


def test_each_feature_is_described_in_one_line():
    rows = describe()
    assert [row[0] for row in rows] == list(ALL)
    assert all(lookback <= memory and "\n" not in meaning for _, lookback, memory, meaning in rows)


def test_each_kernel_is_compiled_once():
    feature_matrix(market_of(50), ALL)
    atr(random_bars(50)[3:])
    kernels = (anchored_pass, window_moments, interleave, cusum_pass, weigh)
    assert [len(kernel.signatures) for kernel in kernels] == [1] * 5


def test_windows_of_extremes_reach_as_far_as_declared():
    assert {FEATURES[f"high_dist_{k}"].lookback for k in EXTREME_WINDOWS} == set(EXTREME_WINDOWS)


# --- events --------------------------------------------------------------------------------------------


def test_events_are_the_filters_of_the_no_model_control(market):
    """Anchored sums begin elsewhere; they agree as soon as both have fired."""
    unit = atr(market)
    endless, ours = cusum_events(market, unit), FEATURES["cusum_event"].compute(market)
    known = np.isfinite(ours)
    np.testing.assert_array_equal(known, np.isfinite(unit))
    assert np.mean(ours[known] == endless[known]) > 0.99
    first = market.slots // BLOCK < market.slots[0] // BLOCK + 2
    np.testing.assert_array_equal(ours[first & known], endless[first & known])


def test_events_are_the_plain_filter_begun_at_the_block_before(market):
    unit, moves = 3.0 * atr(market) / market.close, np.r_[np.nan, np.diff(np.log(market.close))]
    events, echo = FEATURES["cusum_event"].compute(market), FEATURES["cusum_echo"].compute(market)
    for t in rows_of(market, 30, seed=3):
        first = first_of_block_before(market, t)
        fired = slow_cusum(moves[first : t + 1], unit[first : t + 1])
        last, age = fired[-1] if fired else (0, t - first)
        if np.isfinite(unit[t]):
            assert (events[t], echo[t]) == (last if age == 0 else 0, last / (1 + age))


# --- what is known beside the bars ---------------------------------------------------------------------


@pytest.mark.parametrize("name", BESIDE)
def test_a_feature_of_what_is_beside_the_bars_reads_it_and_nothing_else(name):
    bars = market_of(50, seed=3)
    assert same_bits(feature_matrix(bars, [name])[:, 0], bars.context[name])
    assert FEATURES[name].memory == 1


def test_bars_without_what_a_feature_reads_beside_them_are_refused():
    said = "the bars of RANDOM-0 carry no vix_level, ofi beside them; store its series"
    with pytest.raises(UsageError, match=said):
        feature_matrix(random_bars(5), ["rsi_14", "vix_level", "ofi"])
    with pytest.raises(UsageError, match="carry no ofi"):
        FEATURES["ofi"].compute(random_bars(5))
    assert feature_needs(["ofi", "rsi_14", "ofi"]) == ("ofi",)


def test_the_page_lists_every_feature_as_it_is():
    page = (ROOT / "docs" / "features.md").read_text()
    listed = [line for line in page.splitlines() if line.startswith("| `") and line.count("|") == 5]
    assert listed == [f"| `{name}` | {back:,} | {memory:,} | {meaning} |" for name, back, memory, meaning in describe()]
