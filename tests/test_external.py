"""What was known outside a market: joined when it was known, never before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.bars import DAY_NS, UNIT_NS, Bars
from engine.errors import DataError, UsageError
from engine.history.external import External, Session, as_of
from engine.synthetic import random_bars

HOUR, MINUTE = UNIT_NS["h"], UNIT_NS["m"]
NEW_YORK = Session("16:00", "America/New_York", 15 * MINUTE, "09:30")


def bars_at(opens: np.ndarray, timeframe_ns: int) -> Bars:
    opens = np.asarray(opens).astype("M8[ns]")
    flat = np.ones(len(opens))
    return Bars(opens, flat, flat, flat, flat, flat, timeframe_ns)


def daily(days: list[str], session: Session = NEW_YORK) -> External:
    dates = np.array(days, "M8[D]")
    return External("VIX", session.known_at(dates), {"close": np.arange(1.0, len(days) + 1)}, session)


# --- the join ------------------------------------------------------------------------------------------


@settings(deadline=None)  # pandas is imported at the first example
@given(
    known=st.lists(st.integers(0, 400), max_size=30).map(sorted),
    tolerance=st.integers(0, 50),
    drop=st.integers(0, 7),
)
def test_the_join_is_pandas_own(known, tolerance, drop):
    import pandas as pd

    bars = bars_at(np.arange(0, 300)[:: drop + 1] * MINUTE, MINUTE)
    times = np.array([n * MINUTE // 2 for n in known], "M8[ns]")
    values = np.where(np.arange(len(known)) % 5 == 3, np.nan, np.arange(len(known), dtype=float))
    ours = as_of(bars, External("X", times, {"a": values}), tolerance * MINUTE)
    left = pd.DataFrame({"at": bars.close_time})
    right = pd.DataFrame({"at": times.astype("M8[ns]"), "a": values, "known": times.astype("M8[ns]")})
    theirs = pd.merge_asof(left, right, on="at", tolerance=pd.Timedelta(tolerance * MINUTE, "ns"))
    np.testing.assert_array_equal(ours["X.a"], theirs["a"].to_numpy(float))
    age = (theirs["at"] - theirs["known"]).dt.total_seconds().to_numpy(float) / 3600
    np.testing.assert_allclose(ours["X.age_hours"], age, rtol=1e-15)


@given(st.lists(st.integers(0, 10**4), min_size=1, max_size=20).map(sorted), st.integers(1, 99))
def test_no_value_is_seen_before_it_was_known(known, cut):
    bars = bars_at(np.arange(100) * HOUR, HOUR)
    times = np.array([n * MINUTE for n in known], "M8[ns]")
    moments = External("X", times, {"known": times.view(np.int64) / MINUTE})
    seen = as_of(bars, moments, 10**18)
    close = bars.close_time.view(np.int64) / MINUTE
    assert not (seen["X.known"] > close).any()
    np.testing.assert_allclose(close - seen["X.known"], seen["X.age_hours"] * 60, atol=1e-9)
    for part, rows in ((bars[:cut], slice(cut)), (bars[cut:], slice(cut, None))):
        sliced = as_of(part, moments, 10**18)
        for name in seen:
            np.testing.assert_array_equal(sliced[name], seen[name][rows])
    past = External("X", times[:1], {"known": times[:1].view(np.int64) / MINUTE})
    before = bars.close_time < times[min(1, len(times) - 1)]
    np.testing.assert_array_equal(as_of(bars, past, 10**18)["X.known"][before], seen["X.known"][before])


def test_the_value_flips_when_the_session_is_public_in_summer_and_in_winter():
    vix = daily(["2024-03-07", "2024-03-08", "2024-03-11", "2024-03-12"])
    bars = bars_at(
        np.arange(np.datetime64("2024-03-08T00:00"), np.datetime64("2024-03-14"), np.timedelta64(15, "m")), 15 * MINUTE
    )
    seen = as_of(bars, vix)
    flips = bars.close_time[1:][np.diff(seen["VIX.close"]) != 0].astype("M8[m]").astype(str).tolist()
    assert flips == ["2024-03-08T21:15", "2024-03-11T20:15", "2024-03-12T20:15"]
    assert np.nanmax(seen["VIX.age_hours"]) == 71 - 0.25  # Friday 21:15 to Monday 20:00


def test_a_date_is_no_moment():
    """What a join by date would have leaked: on the hourly bars of two DST days, the hours before each close."""
    vix = daily(["2024-03-07", "2024-03-08", "2024-03-11"])
    hours = np.r_[np.arange(24) + 0, np.arange(24) + 72] * HOUR + np.datetime64("2024-03-08", "ns").astype(np.int64)
    bars = bars_at(hours, HOUR)
    by_date = External("VIX", np.array(["2024-03-07", "2024-03-08", "2024-03-11"], "M8[ns]"), vix.columns)
    leaked = as_of(bars, by_date)["VIX.close"] > as_of(bars, vix)["VIX.close"]
    assert leaked.tolist() == [True] * 21 + [False] * 3 + [True] * 20 + [False] * 4


def test_beyond_five_days_nothing_is_known():
    bars = bars_at(np.arange(8 * 24) * HOUR, HOUR)
    seen = as_of(bars, External("X", np.array([0], "M8[ns]"), {"a": np.array([7.0])}))
    assert np.isfinite(seen["X.a"]).sum() == np.isfinite(seen["X.age_hours"]).sum() == 5 * 24
    assert seen["X.age_hours"][119] == 120.0


def test_the_session_is_open_by_its_own_clock_and_closed_at_weekends():
    vix = daily(["2024-03-07"])
    bars = bars_at(
        np.arange(np.datetime64("2024-03-08T00:00"), np.datetime64("2024-03-12"), np.timedelta64(30, "m")), 30 * MINUTE
    )
    is_open = as_of(bars, vix)["VIX.is_session_open"]
    edges = np.flatnonzero(np.diff(is_open)) + 1
    assert bars.close_time[edges].astype("M8[m]").astype(str).tolist() == [
        "2024-03-08T14:30", "2024-03-08T21:00", "2024-03-11T13:30", "2024-03-11T20:00",
    ]  # fmt: skip
    np.testing.assert_array_equal(as_of(bars[50:90], vix)["VIX.is_session_open"], is_open[50:90])


def test_a_time_that_the_clock_shows_twice_counts_as_the_later():
    night = Session("01:30", "America/New_York")
    days = np.array(["2024-11-02", "2024-11-03"], "M8[D]")
    assert night.known_at(days).astype("M8[m]").astype(str).tolist() == ["2024-11-02T05:30", "2024-11-03T06:30"]


def test_bars_take_what_was_known_beside_them():
    bars = random_bars(200, seed=3)
    vix = daily([str(day) for day in np.arange("2019-12-28", "2020-01-09", dtype="M8[D]")])
    assert sorted(bars.beside(as_of(bars, vix)).context) == ["VIX.age_hours", "VIX.close", "VIX.is_session_open"]


def test_a_series_of_no_rows_knows_nothing():
    seen = as_of(random_bars(5), External("X", np.array([], "M8[ns]"), {"a": np.array([])}))
    assert all(np.isnan(column).all() and len(column) == 5 for column in seen.values())


@pytest.mark.parametrize(
    ("known", "values", "says"),
    [
        ([2, 1], [1.0, 1.0], "X row 1 of 2 .*known_at goes back in time; sort by it"),
        ([1, 2], [1.0, np.inf], "X row 1 of 2 .*a is infinite; state what is not known as NaN"),
        ([1, 2], [1.0], "X: a has shape"),
        (["NaT", 2], [1.0, 2.0], "X row 0 of 2 .*known_at is missing"),
    ],
)
def test_rows_that_break_a_rule_are_refused(known, values, says):
    with pytest.raises(DataError, match=says):
        External("X", np.array(known, "M8[D]"), {"a": np.array(values)})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("25:00",), "'25:00' is no time of day; write it as 16:00"),
        (("16:00", "New York"), "time zone 'New York' is not known here"),
        (("16:00", "UTC", 0, "17:00"), "a session from 17:00 to 16:00 does not end after it began"),
        (("16:00", "UTC", -1), "not negative"),
    ],
)
def test_sessions_that_no_clock_shows_are_refused(arguments, says):
    with pytest.raises(UsageError, match=says):
        Session(*arguments)


def test_five_minute_bars_of_seven_years_join_fast():
    from time import perf_counter

    bars = bars_at(np.arange(7 * 365 * 288) * 5 * MINUTE, 5 * MINUTE)
    days = External("X", np.arange(0, 7 * 365).astype("M8[D]").astype("M8[ns]"), {c: np.zeros(7 * 365) for c in "abcd"})
    begin = perf_counter()
    as_of(bars, days)
    assert perf_counter() - begin < 2.0  # 0.1 s on a quiet core
    assert DAY_NS == 288 * 5 * MINUTE
