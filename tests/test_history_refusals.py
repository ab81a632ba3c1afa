"""Refusing and checking: each mistake has its own line, and a check finds all of them at once."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import DataError, UsageError
from engine.history import check_bars, check_file, read_bars
from engine.synthetic import random_bars
from tests.oracles.market_files import binance, ccxt, frame, zipped

HEAD = "timestamp,open,high,low,close,volume\n"
GOOD = [f"2024-01-01T{hour:02d}:00,10,12,9,11,5" for hour in range(8)]
REPAIR = "drop or repair the bar upstream"


def lines(*changed: tuple[int, str]) -> str:
    rows = list(GOOD)
    for row, text in changed:
        rows[row] = text
    return HEAD + "\n".join(rows) + "\n"


REFUSED_ROWS = [
    ((2, "2024-01-01T02:00,10,12,9,nan,5"), f"x.csv line 4 (2024-01-01T02:00): close nan is not finite; {REPAIR}"),
    ((2, "2024-01-01T02:00,10,12,9,,5"), f"x.csv line 4 (2024-01-01T02:00): close nan is not finite; {REPAIR}"),
    ((2, "2024-01-01T02:00,inf,12,9,11,5"), f"x.csv line 4 (2024-01-01T02:00): open inf is not finite; {REPAIR}"),
    ((2, "2024-01-01T02:00,10,12,0,11,5"), f"x.csv line 4 (2024-01-01T02:00): low 0.0 is not positive; {REPAIR}"),
    ((2, "2024-01-01T02:00,10,12,9,11,-5"), f"x.csv line 4 (2024-01-01T02:00): volume -5.0 is negative; {REPAIR}"),
    (
        (2, "2024-01-01T02:00,10,10.5,9,11,5"),
        f"x.csv line 4 (2024-01-01T02:00): high 10.5 is below open or close; {REPAIR}",
    ),
    (
        (2, "2024-01-01T02:00,10,12,10.5,11,5"),
        f"x.csv line 4 (2024-01-01T02:00): low 10.5 is above open or close; {REPAIR}",
    ),
    (
        (2, "2024-01-01T02:00,10,12,9,1O,5"),
        "x.csv line 4 (2024-01-01T02:00): close '1O' is not a number;"
        " drop the line or write it with a decimal point and no other sign",
    ),
    (
        (2, "2024-01-01T01:00,10,12,9,11,5"),
        "x.csv line 4: timestamp 2024-01-01T01:00 is a duplicate; keep one row per bar",
    ),
    (
        (5, "2024-01-01T01:00,10,12,9,11,5"),
        "x.csv line 7: timestamp 2024-01-01T01:00 goes back in time; sort the file by time",
    ),
    (
        (2, "2024-01-01T02:10,10,12,9,11,5"),
        "x.csv line 4: timestamp 2024-01-01T02:10 is off the 1h grid; state the right timeframe or drop the row",
    ),
    ((2, ",10,12,9,11,5"), "x.csv line 4: timestamp is missing; drop the row"),
    (
        (2, "01.02.2024,10,12,9,11,5"),
        "x.csv line 4: timestamp '01.02.2024' is not a time;"
        " write UTC as 2024-01-31T15:00 or as an epoch in s, ms, us or ns",
    ),
    (
        (2, "2024-01-01T02:00,10,12,9,11"),
        "x.csv line 4 has 5 columns and the first line 6; repair or drop the line",
    ),
]


@pytest.mark.parametrize(("change", "message"), REFUSED_ROWS, ids=[m[6:50] for _, m in REFUSED_ROWS])
def test_a_bad_row_is_refused_by_file_line_rule_and_remedy(tmp_path, change, message):
    path = tmp_path / "x.csv"
    path.write_text(lines(change))
    with pytest.raises(DataError) as refusal:
        read_bars(path)
    assert str(refusal.value) == message
    defects = [f for f in check_file(path).findings if f.kind != "gap"]
    assert [f.row for f in defects if f.kind != "duplicate" or "duplicate" in message] == [
        0 if "has 5 columns" in message else change[0] + 2
    ]


EMPTY, NO_ROWS = "is empty; export or download it again", "has a header and no rows; export or download it again"
DAMAGED = "file; export or download it again"
NO_COLUMN = "x.csv has no column"
NEEDS = "a file of bars needs timestamp, open, high, low, close, volume"
NO_HEADER = (
    "columns and no header; without one, 6 columns (ccxt) and 12 (Binance klines) are understood:"
    " add a header with timestamp, open, high, low, close, volume"
)
NO_TIME = "is not a time; write UTC as 2024-01-31T15:00 or as an epoch in s, ms, us or ns"
MONTHS = [f"{day:%Y-%m-%d},10,12,9,11,5" for day in pd.date_range("2020-01-01", periods=12, freq="MS")]
TWICE = "date,open,high,low,close,volume,close\n2024,1,1,1,1,1,1"
SUFFIXES = ".parquet, .pq, .feather, .arrow, .csv, .txt, .tsv, .csv.gz, .zip"
REFUSED_FILES = [
    ("x.csv", b"", f"x.csv {EMPTY}"),
    ("x.csv", b"\n \n", f"x.csv {EMPTY}"),
    ("x.parquet", b"", f"x.parquet {EMPTY}"),
    ("x.csv", HEAD, f"x.csv {NO_ROWS}"),
    ("x.parquet", b"PAR1 and no more", f"x.parquet is not a readable Parquet {DAMAGED}"),
    ("x.feather", b"nothing", f"x.feather is not a readable feather {DAMAGED}"),
    ("x.csv.gz", b"\x1f\x8b broken", "x.csv.gz is a damaged archive; download it again"),
    ("x.zip", b"not a zip", "x.zip is not a .zip archive; download it again or rename it"),
    ("x.csv", HEAD.encode("utf-16"), "x.csv is not CSV text in UTF-8; export it as CSV in UTF-8"),
    ("x.xlsx", b"PK", f"x.xlsx is not a kind of file this reads; allowed: {SUFFIXES}"),
    ("x.csv", "price\n1\n", f"{NO_COLUMN} timestamp, open, high, low, close, volume (it has price); {NEEDS}"),
    ("x.csv", "t,o,h,l,c\n1,1,1,1,1", f"{NO_COLUMN} volume (it has t, o, h, l, c); {NEEDS}"),
    ("x.csv", TWICE, "x.csv has 2 columns named 'close'; keep one market per file"),
    ("x.csv", "1704067200000,1,1,1,1,1,7\n", f"x.csv has 7 {NO_HEADER}"),
    ("x.csv", GOOD[0], "x.csv has a single row, which does not tell its timeframe; state the timeframe, such as 1h"),
    (
        "x.csv",
        HEAD + "\n".join(reversed(GOOD)),
        "x.csv line 3: timestamp 2024-01-01T06:00 goes back in time:"
        " the file runs newest first; sort it oldest first (and 6 more rows)",
    ),
    (
        "x.csv",
        HEAD + "\n".join(MONTHS),
        "x.csv does not tell its timeframe: its rows are 31d (55%), 30d (36%), 29d (9%) apart; state the timeframe",
    ),
    (
        "x.csv",
        HEAD + "\n".join(GOOD[i] for i in (0, 2, 5)),
        "x.csv does not tell its timeframe: its rows are 2h (50%), 3h (50%) apart; state the timeframe",
    ),
    (
        "x.csv",
        "20240101,1,1,1,1,1\n20240102,1,1,1,1,1\n",
        f"x.csv line 1: timestamp 20240101 {NO_TIME} (and 1 more rows)",
    ),
    (
        "x.csv",
        "1704067200000,1,1,1,1,1\n1704070800000000,1,1,1,1,1\n",
        "x.csv line 2: timestamp 1704070800000000 counts us and the rows above it ms;"
        " split the file or write one unit throughout",
    ),
    (
        "x.csv",
        binance(random_bars(2), "ms", header=True) * 2,
        f"x.csv line 4: timestamp 'open_time' {NO_TIME}",
    ),
]


@pytest.mark.parametrize(("name", "content", "message"), REFUSED_FILES, ids=[m[:40] for *_, m in REFUSED_FILES])
def test_a_bad_file_is_refused_in_one_line(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as refusal:
        read_bars(path)
    assert str(refusal.value) == message
    assert check_file(path).defects


def test_an_archive_must_hold_one_table(tmp_path):
    (tmp_path / "x.zip").write_bytes(zipped("").replace(b"inside.csv", b"inside.exe"))
    with pytest.raises(DataError, match=r"^x.zip holds 1 files \(inside.exe\); it must hold one CSV file$"):
        read_bars(tmp_path / "x.zip")


def test_columns_of_other_types_are_refused(tmp_path):
    table = frame(random_bars(5)).reset_index()
    table.assign(close=True).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"^x.parquet: its column close is of type bool; it must hold numbers$"):
        read_bars(tmp_path / "x.parquet")
    table.assign(timestamp=True).to_parquet(tmp_path / "y.parquet")
    with pytest.raises(DataError, match=r"^y.parquet: its time column is of type bool; it must hold times, dates or"):
        read_bars(tmp_path / "y.parquet")


def test_what_is_not_there_is_a_mistake_of_the_request(tmp_path):
    with pytest.raises(UsageError, match=r"none.csv does not exist; name a file that does"):
        read_bars(tmp_path / "none.csv")
    with pytest.raises(UsageError, match="is a folder; name a file in it"):
        read_bars(tmp_path)
    (tmp_path / "x.csv").write_text(lines())
    with pytest.raises(UsageError, match="timeframe 'hourly' was not understood"):
        read_bars(tmp_path / "x.csv", timeframe="hourly")


@pytest.mark.parametrize(("stated", "remedy"), [("30m", "state 1h"), ("4h", "state 1h and resample")])
def test_a_timeframe_no_two_rows_support_is_refused(tmp_path, stated, remedy):
    (tmp_path / "x.csv").write_text(frame(random_bars(24)).to_csv())
    with pytest.raises(DataError) as refusal:
        read_bars(tmp_path / "x.csv", timeframe=stated)
    assert str(refusal.value) == (
        f"x.csv was stated to be {stated}, but no two rows are {stated} apart and most are 1h; {remedy}"
    )


def test_lines_are_counted_as_an_editor_counts_them(tmp_path):
    text = lines((6, "2024-01-01T06:00,10,12,9,nan,5")).replace("\n2024-01-01T03", "\n\n\n2024-01-01T03")
    (tmp_path / "x.csv").write_text("\n" + text)
    with pytest.raises(DataError, match="line 11 "):
        read_bars(tmp_path / "x.csv")
    assert text.splitlines()[9].startswith("2024-01-01T06")


def test_a_check_lists_everything_by_time(tmp_path):
    rows = [GOOD[i] for i in (0, 1, 1, 5, 4)] + [
        "2024-01-01T09:00,10,8,9,11,5",
        "2024-01-01T09:30,10,12,9,11,0",
        "2024-01-01T12:00,10,12,9,x,5",
    ]
    (tmp_path / "x.csv").write_text(HEAD + "\n".join(rows))
    check = check_file(tmp_path / "x.csv", timeframe="1h")
    assert [(f.kind, f.time[11:], f.row) for f in check.findings] == [
        ("duplicate", "01:00", 4),
        ("gap", "02:00", 5),
        ("unsorted", "04:00", 6),
        ("gap", "06:00", 7),
        ("ohlc", "09:00", 7),
        ("off-grid", "09:30", 8),
        ("zero-volume", "09:30", 8),
        ("gap", "10:30", 9),
        ("unparsable", "12:00", 9),
    ]
    assert (check.rows, check.first, check.last) == (8, "2024-01-01T00:00", "2024-01-01T12:00")
    assert not check.summary.endswith("usable")


def test_the_outages_of_binance_are_found_and_none_where_there_are_none(shared_data):
    check = check_file(shared_data / "crypto" / "BTCUSDT_1h.parquet")
    assert (check.gaps, check.missing_bars, check.defects) == (28, 128, 0)
    assert [f.kind for f in check.findings].count("gap") == 28
    assert check.findings[1].detail == "6 bars are missing, 2017-09-06T17:00 .. 2017-09-06T22:00"
    assert check.summary == (
        "BTCUSDT_1h.parquet: BTCUSDT 1h, 68868 bars 2017-08-17T04:00 .. 2025-06-30T23:00,"
        " 28 gaps (128 bars missing), 0.01% without volume, usable"
    )
    assert check_file(shared_data / "alts_perp_30m" / "ETHUSDT_30m.parquet").findings == ()


def test_every_file_at_hand_can_be_checked(shared_data):
    checks = {file.stem: check_file(file) for file in sorted(shared_data.glob("*/*.parquet"))}
    assert all(check.rows or check.findings[0].kind == "unreadable" for check in checks.values())
    assert checks["pumpfun_ohlcv_1h"].defects  # many coins in one file
    assert checks["SPY_1d"].gaps == 0


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_reading_refuses_exactly_what_a_check_finds_wrong(data):
    text = data.draw(
        st.sampled_from([ccxt(random_bars(30, 1), header=False), lines(), frame(random_bars(30)).to_csv()])
    )
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        text = text[:at] + data.draw(st.sampled_from(["", "9", "-", ".", ",", "\n", "x", "0", "e9"])) + text[at + 1 :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.csv"
        path.write_text(text)
        refusal = refused(path)
        assert (refusal == "") == (check_file(path).defects == 0)
        assert "\n" not in refusal
        assert refusal.startswith("x.csv" if refusal else "")


def refused(path):
    try:
        read_bars(path)
    except DataError as error:
        return str(error)
    return ""


def test_bars_in_memory_can_be_checked_like_a_file(tmp_path):
    bars = random_bars(200, seed=3, gaps=0.1)
    frame(bars).to_parquet(tmp_path / "x.parquet")
    file, memory = check_file(tmp_path / "x.parquet"), check_bars(bars, "x.parquet")
    assert file.findings == memory.findings != ()
    assert file.missing_bars == memory.missing_bars == int((np.diff(bars.slots) - 1).sum())


def test_a_check_is_plain_json(tmp_path):
    import json

    (tmp_path / "x.csv").write_text(lines((2, "2024-01-01T02:00,10,12,9,nan,5")))
    plain = json.loads(json.dumps(check_file(tmp_path / "x.csv").to_dict()))
    assert plain["defects"] == 1
    assert plain["findings"][0]["kind"] == "non-finite"


@pytest.mark.parametrize("column", range(1, 6))
def test_absurd_prices_volumes_and_times_are_refused_at_the_door(tmp_path, column):
    row = ["2024-01-01T02:00", "10", "12", "9", "11", "5"]
    row[column] = "1e31" if column == 5 else "1e-16" if column == 3 else "1e16"
    path = tmp_path / "x.csv"
    path.write_text(lines((2, ",".join(row))))
    assert "absurd" in [f.kind for f in check_file(path).findings]
    with pytest.raises(DataError, match=r"x.csv line 4 .*(is no price|is no volume).* repair the bar upstream"):
        read_bars(path)


def test_times_in_the_wrong_unit_are_refused_at_the_door(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(lines((2, "2150-01-01T02:00,10,12,9,11,5")))
    with pytest.raises(DataError, match="is not before 2100; check the unit"):
        read_bars(path)


def test_bars_made_by_hand_are_held_to_the_same(tmp_path):
    bars = random_bars(20, seed=1)
    for changed in ({"high": bars.high * 1e16}, {"low": bars.low * 1e-18}, {"volume": bars.volume + 1e30}):
        with pytest.raises(DataError, match=r"is no (price|volume)"):
            replace(bars, **changed)
    with pytest.raises(DataError, match="is not before 2100"):
        replace(bars, open_time=bars.open_time + np.timedelta64(36500, "D"))


def test_lone_spikes_and_still_stretches_are_remarks_and_no_steps():
    bars = random_bars(400, seed=1)
    prices = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close", "volume")}
    for name in ("open", "high", "low", "close"):
        prices[name][200:] *= 40.0  # a split is a step, no spike
        prices[name][300:350] = bars.close[299] * 40.0
        prices[name][351:389] = bars.close[350] * 40.0
    prices["high"][100] *= 6.0
    prices["low"][398] /= 6.0
    found = check_bars(replace(bars, **prices), "mine")
    assert [(f.kind, f.row) for f in found.findings if f.kind in ("spike", "flat")] == [
        ("spike", 101),
        ("flat", 301),
        ("spike", 399),
    ]
    assert (found.defects, found.remarks) == (0, ["2 lone spikes", "1 flat stretch"])


def test_dates_that_nobody_can_read_are_said_first_and_not_taken_for_a_single_row(tmp_path):
    rows = [f"{day:02}/08/2022,1,1,1,1,1" for day in range(1, 9)]
    path = tmp_path / "x.csv"
    path.write_text(HEAD + "\n".join(rows) + "\n")
    first, *others = check_file(path).findings
    assert first.detail.startswith(
        "x.csv: 8 of 8 times could not be read; write UTC as 2024-01-31T15:00 or as an epoch"
    )
    assert [finding.row for finding in others] == list(range(2, 10))
