"""What is known beside the bars: kept with them, and joined when it was known, never before."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from engine.bars import DAY_NS, Bars
from engine.errors import DataError, UsageError
from engine.features import BESIDE, FEATURES, feature_matrix
from engine.history.context import COLUMNS, _stored, joined, series_of, with_context
from engine.history.external import External
from engine.history.read import read_bars
from engine.history.resample import resample
from engine.history.store import Store
from engine.invariance import FUTURES, with_future
from engine.synthetic import random_bars

BARS = random_bars(300, seed=1)


def bars_at(times, close, timeframe_ns, symbol, sessions=False):
    flat = np.asarray(close, np.float64)
    return Bars(times.astype("M8[ns]"), flat, flat, flat, flat, np.zeros(len(flat)), timeframe_ns, symbol, sessions)


def hourly(first, last):
    times = np.arange(np.datetime64(first, "h"), np.datetime64(last, "h"))
    return bars_at(times, 100.0 + np.arange(len(times)) % 7, DAY_NS // 24, "BTCUSDT")


def vix_of(day):
    """The VIX of these tests: the day of its session, in days since 2023, and the Friday before at a weekend."""
    number = np.datetime64(day, "D").astype(int)
    return 10.0 + number - 19358 - max((number + 3) % 7 - 4, 0)


def rate_of(time):
    return np.datetime64(time, "h").astype(int) % 77 * 1e-6


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Daily sessions of four markets, an hourly index and funding with a hole of a day."""
    root = tmp_path_factory.mktemp("data")
    days = np.arange(np.datetime64("2024-01-01"), np.datetime64("2024-03-20"))
    days = days[(days.astype(int) + 3) % 7 < 5]
    for symbol in ("VIX", "DXY", "QQQ", "GLD"):
        Store(root).keep(bars_at(days, [vix_of(day) for day in days], DAY_NS, symbol, sessions=True), "made up")
    Store(root).keep(DVOL, "made up")
    due = np.arange(np.datetime64("2024-01-01", "h"), np.datetime64("2024-03-20", "h"), 8)
    due = due[(due < np.datetime64("2024-02-21")) | (due >= np.datetime64("2024-02-22"))]
    rates = {"rate": np.array([rate_of(time) for time in due])}
    Store(root).keep_values(External("BTCUSDT-funding", due.astype("M8[ns]"), rates), "made up")
    return root


DVOL = replace(hourly("2024-02-01", "2024-03-20"), symbol="BTC-DVOL")
SEEN = {"fear": np.linspace(10.0, 40.0, 300), "carry": np.where(np.arange(300) < 50, np.nan, 0.0001)}


def same(a, b):
    return list(a.context) == list(b.context) and all(
        np.array_equal(a.context[name], b.context[name], equal_nan=True) for name in a.context
    )


# --- context stays with its bars -----------------------------------------------------------------------


def test_context_is_cut_with_the_bars_and_read_only():
    bars = BARS.beside(SEEN)
    assert list(bars.context) == ["carry", "fear"]
    assert same(bars[40:60], BARS[40:60].beside({name: column[40:60] for name, column in SEEN.items()}))
    assert len(bars.upto(7).context["fear"]) == 7
    with pytest.raises(ValueError, match="read-only"):
        bars.context["fear"][0] = 1.0
    with pytest.raises(TypeError):
        bars.context["fear"] = SEEN["fear"]
    SEEN["fear"][0] += 1.0  # the caller's own array is still his, and no longer ours
    assert bars.context["fear"][0] == 10.0
    SEEN["fear"][0] -= 1.0


def test_bars_without_context_are_what_they_were():
    assert BARS.context == {}
    assert BARS.beside(SEEN).beside({}).fingerprint() == BARS.fingerprint()


def test_other_context_is_another_fingerprint():
    prints = [
        BARS.fingerprint(),
        BARS.beside(SEEN).fingerprint(),
        BARS.beside({"fear": SEEN["fear"]}).fingerprint(),
        BARS.beside({"greed": SEEN["fear"]}).fingerprint(),
        BARS.beside({"fear": SEEN["fear"] + 1e-12}).fingerprint(),
    ]
    assert len(set(prints)) == len(prints)
    assert BARS.beside(dict(reversed(SEEN.items()))).fingerprint() == prints[1]


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (np.zeros(299), "context fear has 299 rows and open_time 300"),
        (np.zeros((300, 2)), "context fear must be one-dimensional"),
        (np.where(np.arange(300) == 8, np.inf, 0.0), r"context fear\[8\] of 300 .* is infinite; state .* as NaN"),
    ],
)
def test_context_that_does_not_fit_is_refused(column, said):
    with pytest.raises(DataError, match=said):
        BARS.beside({"fear": column})


def test_bars_travel_to_other_processes_with_their_context():
    sent = BARS.beside(SEEN)[10:200]
    arrived = pickle.loads(pickle.dumps(sent))
    assert arrived.fingerprint() == sent.fingerprint()
    assert not arrived.close.flags.writeable
    assert (arrived.symbol, arrived.timeframe_ns, arrived.sessions) == (sent.symbol, sent.timeframe_ns, sent.sessions)


@pytest.mark.parametrize("how", FUTURES)
def test_another_future_is_another_context_after_the_bar_alone(how):
    bars = BARS.beside(SEEN)
    changed = with_future(bars, 100, how, seed=1)
    assert isinstance(changed, Bars)
    assert same(changed.upto(101), bars.upto(101))
    if how in ("noise", "another path"):
        assert not np.isclose(changed.context["fear"][101:], bars.context["fear"][101:]).any()


def test_coarser_bars_have_no_context():
    assert resample(BARS.beside(SEEN), "4h").context == {}


# --- and comes from stored series, as they were known ---------------------------------------------------

HOURS = hourly("2024-02-01", "2024-03-20")


def test_every_feature_of_context_has_a_way_to_be_made():
    assert set(COLUMNS) == set(BESIDE)
    assert {name: FEATURES[name].needs for name in BESIDE} == {name: (name,) for name in BESIDE}


def test_a_session_is_known_at_its_close_by_new_yorks_clock(store):
    """Summer time begins on 2024-03-10: the close moves from 21:15 to 20:15 UTC."""
    bars = with_context(HOURS, ["vix_level"], store)
    level, closes = np.exp(bars.context["vix_level"]), bars.close_time
    for day, at in (("2024-03-08", "2024-03-08T21:15"), ("2024-03-11", "2024-03-11T20:15")):
        row = int(np.searchsorted(closes, np.datetime64(at)))
        assert level[row] == pytest.approx(vix_of(day))
        assert level[row - 1] == pytest.approx(vix_of(np.datetime64(day) - (1 if day == "2024-03-08" else 3)))


def test_a_date_stamped_join_would_have_leaked(store):
    level = np.exp(with_context(HOURS, ["vix_level"], store).context["vix_level"])
    naive = np.array([vix_of(day) for day in HOURS.close_time.astype("datetime64[D]")])
    assert np.mean(~np.isclose(level, naive)) > 0.4


def test_returns_are_over_sessions_and_stand_still_at_weekends(store):
    bars = with_context(HOURS, ["vix_change_5", "vix_age"], store)
    saturday = bars.since(np.datetime64("2024-03-16T12"))
    assert bars.context["vix_change_5"][saturday] == pytest.approx(np.log(vix_of("2024-03-15") / vix_of("2024-03-08")))
    weekend = slice(saturday, saturday + 24)
    assert len(set(bars.context["vix_change_5"][weekend])) == 1
    np.testing.assert_allclose(np.diff(bars.context["vix_age"][weekend]), 1 / 24)


def test_new_york_is_open_by_its_own_clock_from_monday_to_friday(store):
    bars = with_context(HOURS, ["qqq_open"], store)
    closes = bars.close_time[bars.context["qqq_open"] == 1.0].astype("datetime64[h]")
    friday, monday = (
        closes[closes.astype("datetime64[D]") == np.datetime64(day)] for day in ("2024-03-08", "2024-03-11")
    )
    assert friday.astype(int).tolist() == (np.datetime64("2024-03-08T15").astype(int) + np.arange(6)).tolist()
    assert monday.astype(int).tolist() == (np.datetime64("2024-03-11T14").astype(int) + np.arange(6)).tolist()
    assert (((closes.astype("datetime64[D]").astype(int) + 3) % 7) < 5).all()


def test_the_past_of_a_join_does_not_change_when_bars_or_rows_arrive(store):
    names = [name for name in COLUMNS if "book" not in COLUMNS[name].series[0]]
    whole = with_context(HOURS, names, store)
    for n in (1, 30, 400, 900):
        assert same(with_context(HOURS.upto(n), names, store), whole.upto(n))
    for name in names:
        series = _stored(series_of(name, HOURS, Store(store)), Store(store))
        for t in (300, 700):
            keep = series.known_at <= HOURS.close_time[t]
            past = External(series.name, series.known_at[keep], {k: v[keep] for k, v in series.columns.items()})
            known = joined(HOURS.upto(t + 1), name, past)
            np.testing.assert_array_equal(known, whole.context[name][: t + 1], err_msg=name)


def test_funding_has_a_hole_where_none_was_recorded(store):
    bars = with_context(HOURS, ["funding_8h", "funding_mean_3d"], store)
    last, mean = bars.context["funding_8h"], bars.context["funding_mean_3d"]
    at = bars.since(np.datetime64("2024-02-10T07"))  # closes at 08:00, when a rate is due
    assert last[at] == rate_of(np.datetime64("2024-02-10T08"))
    assert last[at - 1] == rate_of(np.datetime64("2024-02-10T00"))
    nine = [rate_of(np.datetime64("2024-02-10T08") - 8 * k) for k in range(9)]
    assert mean[at] == pytest.approx(np.mean(nine), rel=1e-12)
    hole = bars.since(np.datetime64("2024-02-21T12"))
    assert np.isnan([last[hole], mean[hole]]).all()
    after = bars.since(np.datetime64("2024-02-23T12"))
    assert np.isfinite(last[after])
    assert np.isnan(mean[after])


def test_dvol_is_known_when_its_hour_is_over(store):
    level = np.exp(with_context(HOURS, ["dvol_level"], store).context["dvol_level"])
    np.testing.assert_allclose(level, DVOL.close)


def test_a_perpetual_takes_its_pairs_funding(store):
    perpetual = replace(HOURS, symbol="BTCUSDT.P")
    assert series_of("funding_8h", perpetual, Store(store)) == "BTCUSDT-funding"
    assert same(with_context(perpetual, ["funding_8h"], store), with_context(HOURS, ["funding_8h"], store))


def test_what_is_joined_already_stays_and_nothing_is_read_for_it(tmp_path):
    bars = HOURS.beside({"vix_level": np.ones(len(HOURS))})
    assert with_context(bars, ["vix_level"], tmp_path) is bars


def test_a_series_that_is_not_stored_is_asked_for_by_name_and_remedy(tmp_path):
    said = (
        "vix_level beside BTCUSDT needs VIX or VIX-1d, which is not stored here; `tradsys data import FILE --symbol V"
    )
    with pytest.raises(UsageError, match=said):
        with_context(HOURS, ["vix_level"], tmp_path)
    with pytest.raises(UsageError, match=r"`data import-series FILE --name BTCUSDT-funding`"):
        with_context(HOURS, ["funding_8h"], tmp_path)
    with pytest.raises(UsageError, match="unknown column beside bars 'vix_levl'; did you mean 'vix_level'"):
        with_context(HOURS, ["vix_levl"], tmp_path)


def test_real_macro_series_are_imported_as_they_are_and_joined(shared_data, tmp_path):
    store = Store(tmp_path)
    for name in ("VIX_1d", "DXY_1d", "QQQ_1d", "GLD_1d", "BTC-DVOL_1h"):
        store.import_file(shared_data / "macro" / f"{name}.parquet")
    bars = read_bars(shared_data / "crypto" / "BTCUSDT_1h.parquet")
    bars = bars[bars.since(np.datetime64("2022-01-01")) : bars.since(np.datetime64("2025-06-01"))]
    names = [name for name in COLUMNS if "{" not in COLUMNS[name].series[0]]
    joined_bars = with_context(bars, names, tmp_path)
    matrix = feature_matrix(joined_bars, names)
    known = np.isfinite(matrix).mean(axis=0)
    assert dict(zip(names, known.round(2), strict=True)) == pytest.approx(dict.fromkeys(names, 1.0), abs=0.03)
    row = joined_bars.since(np.datetime64("2024-08-06T12"))  # the day after the carry trade was undone
    assert np.exp(joined_bars.context["vix_level"][row]) == pytest.approx(38.57)
    assert joined_bars.context["vix_change_5"][row] > 0.7


def test_values_imported_with_their_moments_come_before_bars(store, tmp_path):
    """Under the plain name, as `import-series` and `fetch --funding` keep them, whatever the only column is called."""
    bars = HOURS[:90]
    Store(tmp_path).keep(bars_at(np.array(["2024-01-05"], "M8[D]"), [30.0], DAY_NS, "VIX", sessions=True), "bars")
    at = np.array(["2024-01-31"], "M8[ns]")
    Store(tmp_path).keep_values(External("VIX", at, {"value": np.array([20.0])}), "values")
    np.testing.assert_allclose(with_context(bars, ["vix_level"], tmp_path).context["vix_level"], np.log(20.0))
    rates = External("BTCUSDT-funding", bars.open_time[:1], {"funding_rate": np.array([1e-4]), "mark": np.array([1.0])})
    Store(tmp_path).keep_values(rates, "values")
    assert with_context(bars, ["funding_8h"], tmp_path).context["funding_8h"][:5].tolist() == [1e-4] * 5
    Store(tmp_path).keep_values(External("DXY", at, {"a": np.ones(1), "b": np.ones(1)}), "values")
    with pytest.raises(UsageError, match="dxy_ret_5 is made of close; the series DXY has a, b"):
        with_context(bars, ["dxy_ret_5"], tmp_path)
