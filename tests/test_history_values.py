"""Files from outside a market become values with moments; several files of a market become one series."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from engine.bars import Bars
from engine.errors import DataError, UsageError
from engine.history import Store, as_of, read_bars
from engine.history.join import import_files
from engine.history.values import Moments, read_values
from engine.synthetic import random_bars
from live.data_verbs import data_app
from tests.oracles.market_files import frame

NEW_YORK = Moments("16:00", "America/New_York", "15m", "09:30")
HOURS = replace(random_bars(2000, seed=4), symbol="BTCUSDT")
TERMS = (None, None, None)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def known(values) -> list[str]:
    return values.known_at.astype("M8[m]").astype(str).tolist()


# --- moments -------------------------------------------------------------------------------------------


def test_the_date_of_a_session_becomes_the_moment_after_its_close(tmp_path):
    vix = read_values(written(tmp_path / "v.csv", "Date,VIX\n2024-03-08,14.7\n2024-03-11,15.2\n"), "VIX", NEW_YORK)
    assert known(vix) == ["2024-03-08T21:15", "2024-03-11T20:15"]
    assert {name: column.tolist() for name, column in vix.columns.items()} == {"VIX": [14.7, 15.2]}
    assert vix.session.open == "09:30"


def test_a_time_needs_a_lag_be_it_none(tmp_path):
    path = written(tmp_path / "d.csv", "timestamp,dvol,note\n2024-01-01T00:00,50.5,a\n2024-01-01T01:00,,b\n")
    with pytest.raises(UsageError, match=r"d.csv does not tell when its values were known: state --session-close"):
        read_values(path, "DVOL", Moments())
    assert known(read_values(path, "DVOL", Moments(lag="0"))) == ["2024-01-01T00:00", "2024-01-01T01:00"]
    hourly = read_values(path, "DVOL", Moments(lag="1h"))
    assert known(hourly) == ["2024-01-01T01:00", "2024-01-01T02:00"]
    assert list(hourly.columns) == ["dvol"]  # a note is no number
    assert np.isnan(hourly.columns["dvol"][1])


def test_of_vintages_the_latest_date_known_counts_and_its_revisions(tmp_path):
    rows = """date,known_at,cpi
2024-01-31,2024-02-13T13:30,3.1
2024-02-29,2024-03-12T12:30,3.2
2024-01-31,2024-03-20T12:30,3.0
2024-02-29,2024-04-10T12:30,3.3
2024-03-31,2024-04-10T12:30,3.5
"""
    cpi = read_values(written(tmp_path / "cpi.csv", rows), "CPI", Moments())
    assert known(cpi) == ["2024-02-13T13:30", "2024-03-12T12:30", "2024-04-10T12:30", "2024-04-10T12:30"]
    assert cpi.columns["cpi"].tolist() == [3.1, 3.2, 3.3, 3.5]
    hours = np.array(["2024-03-12T11:00", "2024-03-12T12:00", "2024-04-10T12:00"], "M8[ns]")
    one = np.ones(3)
    seen = as_of(Bars(hours, one, one, one, one, one, 3600 * 10**9), cpi, 60 * 86400 * 10**9)
    assert seen["CPI.cpi"].tolist() == [3.1, 3.2, 3.5]


@pytest.mark.parametrize(
    ("text", "how", "says"),
    [
        ("day,a\n1,2\n", {}, "x.csv has no column of times; name one of them open_time, timestamp, datetime, date"),
        ("date,a\n2024-01-05,1\nnone,2\n", {}, r"x.csv line 3: its time is not a time; write UTC as"),
        ("date,a\n2024-01-05,1\n2024-01-08,x\n", {}, r"x.csv line 3: a is not a number; drop the line"),
        ("date,a\n2024-01-05T10:00,1\n", {}, r"x.csv row 1 carries a time, 2024-01-05T10:00, and no session's date"),
        ("date,a\n2024-01-05,1\n2024-01-04,1\n", {}, r"X row 1 of 2 .*known_at goes back in time; sort by it"),
        ("date,a\n2024-01-05,x\n", {}, "x.csv has no column of numbers beside its times"),
        ("date,a\n2024-01-05,1\n", {"columns": ("b",)}, "x.csv has no column b; it has date, a"),
    ],
)
def test_files_that_do_not_tell_are_refused_by_line(tmp_path, text, how, says):
    with pytest.raises((DataError, UsageError), match=says):
        read_values(written(tmp_path / "x.csv", text), "X", NEW_YORK, **how)


def test_real_sessions_join_to_real_hours_without_looking_ahead(shared_data):
    vix = read_values(shared_data / "macro" / "VIX_1d.parquet", "VIX", NEW_YORK, ("close",))
    bars = read_bars(shared_data / "crypto" / "BTCUSDT_1h.parquet")
    seen = as_of(bars, vix)
    import pandas as pd

    table = pd.DataFrame({"at": vix.known_at, "close": vix.columns["close"]})
    joined = pd.merge_asof(pd.DataFrame({"at": bars.close_time}), table, on="at", tolerance=pd.Timedelta("5D"))
    np.testing.assert_array_equal(seen["VIX.close"], joined["close"].to_numpy())
    assert np.nanmax(seen["VIX.age_hours"]) < 4 * 24 + 24
    by_date = pd.DataFrame({"at": vix.known_at.astype("M8[D]").astype("M8[ns]"), "close": vix.columns["close"]})
    naive = pd.merge_asof(pd.DataFrame({"at": bars.close_time}), by_date, on="at")["close"].to_numpy()
    leaked = (naive != seen["VIX.close"]) & np.isfinite(seen["VIX.close"])
    assert 0.5 < leaked.mean() < 0.65  # most hours of a week would have known a close of the same day's future


# --- files put together --------------------------------------------------------------------------------


def monthly(folder: Path, edges: tuple[int, ...] = (0, 700, 1400, 2000), overlap: int = 0) -> list[Path]:
    paths = []
    for begin, end in pairwise(edges):
        path = folder / f"BTCUSDT-1h-{begin:04}.csv"
        frame(HOURS[max(begin - overlap, 0) : end]).to_csv(path)
        paths.append(path)
    return paths


def test_archives_in_any_order_become_one_series(tmp_path):
    paths = monthly(tmp_path, overlap=5)
    assert import_files(tmp_path / "data", paths[::-1], TERMS, False, False) == ("BTCUSDT-1h",)
    assert Store(tmp_path / "data").load("BTCUSDT-1h").fingerprint() == HOURS.fingerprint()
    assert Store(tmp_path / "data").series("BTCUSDT-1h").source == "3 files, such as BTCUSDT-1h-0000.csv"


def test_an_archive_is_added_to_the_stored_series_if_it_agrees(tmp_path):
    first, second, third = monthly(tmp_path, overlap=3)
    root = tmp_path / "data"
    import_files(root, [first], TERMS, True, False)
    import_files(root, [third, second], TERMS, True, False)
    store = Store(root)
    assert store.load("BTCUSDT-1h").fingerprint() == HOURS.fingerprint() == store.series("BTCUSDT-1h").fingerprint
    table = frame(HOURS[1990:2000])
    table.loc[table.index[3], "volume"] += 1
    table.to_csv(tmp_path / "BTCUSDT-1h-new.csv")
    with pytest.raises(DataError, match=r"new.csv differs from series BTCUSDT-1h in 1 bars, the first 2020-03-24T01"):
        import_files(root, [tmp_path / "BTCUSDT-1h-new.csv"], TERMS, True, False)
    assert store.load("BTCUSDT-1h").fingerprint() == HOURS.fingerprint()
    import_files(root, [tmp_path / "BTCUSDT-1h-new.csv"], TERMS, True, True)
    assert len(store.series("BTCUSDT-1h").receipts) == 1


def test_archives_that_disagree_are_refused_by_name_and_bar(tmp_path):
    first, second, _ = monthly(tmp_path, overlap=5)
    table = frame(HOURS[695:1400])
    table.iloc[2, table.columns.get_loc("volume")] += 1
    table.to_csv(second)
    with pytest.raises(DataError, match=r"0000.csv and BTCUSDT-1h-0700.csv differ in the bar of 2020-01-30T01:00"):
        import_files(tmp_path / "data", [first, second], TERMS, False, False)
    assert not (tmp_path / "data").exists()


# --- the verbs -----------------------------------------------------------------------------------------


def test_the_verbs_store_and_list_values_beside_bars(tmp_path):
    path = written(tmp_path / "VIX.csv", "Date,Open,Close\n2024-03-08,14.7,14.8\n2024-03-11,15.2,15.1\n")
    words = ["import-series", str(path), "--name", "VIX", "--session-close", "16:00", "--zone", "America/New_York"]
    data = ["--data", str(tmp_path / "data")]
    done = CliRunner().invoke(data_app, [*words, "--lag", "15m", "--columns", "Close", *data])
    assert done.stdout == "stored VIX: 2 rows of Close, known 2024-03-08T21:15 .. 2024-03-11T20:15 (UTC)\n"
    listed = CliRunner().invoke(data_app, ["list", *data]).stdout
    assert [line.split()[:4] for line in listed.splitlines() if "VIX.csv" in line] == [["VIX", "VIX", "values", "2"]]
    checked = CliRunner().invoke(data_app, ["check", "VIX", *data])
    assert "series VIX holds values, not bars" in str(checked.exception)


def test_the_verb_joins_monthly_archives(tmp_path):
    paths = [str(path) for path in monthly(tmp_path)]
    done = CliRunner().invoke(data_app, ["import", *paths, "--data", str(tmp_path / "data")])
    assert done.stdout.startswith("stored BTCUSDT-1h: 2000 bars; compare with:")


def test_a_letter_more_is_the_option_s_mistake_and_0_is_no_lag():
    assert Moments(lag="0").lag_ns == 0
    with pytest.raises(UsageError, match="--lag 'foo' was not understood; write 0, or a number and m, h, d or w"):
        _ = Moments(lag="foo").lag_ns
