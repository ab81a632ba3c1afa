"""Resampling: the same as pandas on complete bars, and never a bar before it is over."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.bars import COLUMNS, Bars, parse_timeframe
from engine.errors import UsageError
from engine.history import embedded_bars, read_bars, resample
from engine.synthetic import random_bars
from tests.oracles.market_files import frame

PAIRS = st.sampled_from(
    [("15m", "1h"), ("1h", "4h"), ("1h", "1d"), ("4h", "1d"), ("1d", "3d"), ("1d", "1w"), ("5m", "45m")]
)
HOW = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}


def by_pandas(bars: Bars, timeframe: str) -> pd.DataFrame:
    """Bars of pandas' own, those with a fine bar missing dropped."""
    rule = {"1w": "W-MON"}.get(timeframe, timeframe.replace("m", "min").replace("d", "D"))
    naive = frame(bars).tz_localize(None)
    origin = {} if timeframe == "1w" else {"origin": "epoch"}
    groups = naive.resample(rule, closed="left", label="left", **origin)
    return groups.agg(HOW)[groups["open"].count() == parse_timeframe(timeframe) // bars.timeframe_ns]


@settings(max_examples=60, deadline=None)
@given(PAIRS, st.integers(0, 200), st.integers(0, 99), st.sampled_from([0.0, 0.1]))
def test_equals_pandas_on_complete_bars(pair, n, seed, gaps):
    fine, coarse = pair
    bars = random_bars(n, seed, fine, gaps=gaps)
    ours = resample(bars, coarse)
    if n == 0:
        assert len(ours) == 0
        return
    theirs = by_pandas(bars, coarse)
    np.testing.assert_array_equal(ours.open_time, theirs.index.to_numpy())
    for name in COLUMNS:
        np.testing.assert_allclose(getattr(ours, name), theirs[name], rtol=1e-12)
    assert (ours.timeframe, ours.symbol, ours.sessions) == (coarse, bars.symbol, bars.sessions)


def trading_hours(n: int, seed: int) -> Bars:
    """30-minute bars of a stock exchange: 13 a day, Monday to Friday, some days shut."""
    days = pd.bdate_range("2024-01-02", periods=n)[np.random.default_rng(seed).random(n) > 0.1]
    slots = np.arange(13) * np.timedelta64(30, "m") + np.timedelta64(870, "m")
    times = (days.to_numpy()[:, None] + slots).ravel().astype("datetime64[ns]")
    bars = random_bars(len(times), seed, "30m")
    return Bars(times, bars.open, bars.high, bars.low, bars.close, bars.volume, bars.timeframe_ns, "X", sessions=True)


MARKETS = st.one_of(
    st.builds(random_bars, st.integers(1, 300), st.integers(0, 99), st.just("30m"), gaps=st.sampled_from([0.0, 0.05])),
    st.builds(trading_hours, st.integers(2, 25), st.integers(0, 99)),
)


@settings(max_examples=60, deadline=None)
@given(MARKETS, st.sampled_from(["1h", "4h", "1d", "1w"]), st.data())
def test_the_past_does_not_change_when_the_future_arrives(bars, coarse, data):
    n = data.draw(st.integers(0, len(bars)))
    whole, part = resample(bars, coarse), resample(bars.upto(n), coarse)
    assert len(part) <= len(whole)
    for name in ("open_time", *COLUMNS):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[: len(part)])


@settings(max_examples=60, deadline=None)
@given(MARKETS, st.sampled_from(["1h", "4h", "1d", "1w"]), st.data())
def test_a_later_beginning_changes_no_bar_that_is_left(bars, coarse, data):
    n = data.draw(st.integers(0, len(bars)))
    whole, part = resample(bars, coarse), resample(bars[n:], coarse)
    kept = np.isin(whole.open_time, part.open_time)
    assert kept.sum() == len(part)
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[kept])


@settings(max_examples=40, deadline=None)
@given(MARKETS, st.sampled_from(["1h", "4h", "1d"]))
def test_a_coarse_bar_is_closed_when_all_its_bars_are(bars, coarse):
    made = resample(bars, coarse)
    for opens, closes, high in zip(made.open_time, made.close_time, made.high, strict=True):
        inside = (bars.open_time >= opens) & (bars.open_time < closes)
        assert bars.close_time[inside].max() <= closes
        assert bars.high[inside].max() == high
        assert closes <= bars.close_time[-1] or (bars.open_time >= closes).any()


def test_a_session_is_over_when_the_next_one_begins():
    bars = trading_hours(4, seed=1)
    days = np.unique(bars.open_time.astype("datetime64[D]"))
    np.testing.assert_array_equal(
        resample(bars, "1d").open_time, days[1:-1]
    )  # the first may be cut, the last may go on
    np.testing.assert_array_equal(resample(bars.upto(len(bars) - 12), "1d").open_time, days[1:-1])
    np.testing.assert_array_equal(resample(bars.upto(len(bars) - 13), "1d").open_time, days[1:-2])


def test_weeks_begin_on_monday():
    weeks = resample(embedded_bars("nasdaq-1d"), "1w")
    assert {time.astype(object).weekday() for time in weeks.open_time.astype("datetime64[D]")} == {0}
    assert len(weeks) == 1043  # 20 years of weeks; the last, to New Year's Eve, is not over


def test_one_missing_bar_is_a_gap_in_the_coarse_bars():
    bars = random_bars(48, timeframe="1h")
    rows = np.arange(48) != 9
    holed = Bars(*(getattr(bars, name)[rows] for name in ("open_time", *COLUMNS)), bars.timeframe_ns)
    assert (resample(holed, "4h").open_time - bars.open_time[0]).astype("m8[h]").astype(int).tolist() == [
        *(0, 4, 12, 16, 20, 24, 28, 32, 36, 40, 44),
    ]


@pytest.mark.parametrize("timeframe", ["90m", "30m", "2w", "7h30m"])
def test_only_multiples_up_to_a_week_can_be_made(timeframe):
    with pytest.raises(UsageError, match=r"^1h bars cannot become|was not understood"):
        resample(random_bars(9), timeframe)


def test_the_same_timeframe_is_the_same_bars():
    bars = random_bars(9)
    assert resample(bars, "60m") is bars


def test_hours_of_real_quarters_are_the_exchange_s_own_hours(shared_data):
    quarters = read_bars(shared_data / "crypto" / "BTCUSDT_15m.parquet")
    hours, made = read_bars(shared_data / "crypto" / "BTCUSDT_1h.parquet"), resample(quarters, "1h")
    same = np.isin(hours.open_time, made.open_time)
    assert len(made) == same.sum() > 25_000
    for name in COLUMNS:
        np.testing.assert_allclose(getattr(hours, name)[same], getattr(made, name), rtol=1e-6, err_msg=name)
