"""Reading: every format gives the same bars, every file at hand loads, and it is quick."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.bars import COLUMNS, Bars
from engine.errors import DataError
from engine.history import EMBEDDED, check_file, embedded_bars, read_bars
from engine.history.arrays import float_array, integer_array, present_rows
from engine.synthetic import random_bars
from tests.oracles.market_files import FORMATS, binance, capitals, frame

TIMEFRAMES = st.sampled_from(["1m", "5m", "1h", "4h", "1d", "1w"])
MARKETS = st.builds(random_bars, st.integers(1, 40), st.integers(0, 999), TIMEFRAMES, gaps=st.sampled_from([0.0, 0.05]))
FOLDERS = ("crypto", "alts_perp_30m", "alts_spot_5m", "perp")


def write(folder: Path, name: str, content: bytes | str) -> Path:
    path = Path(folder) / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def same_bars(left: Bars, right: Bars) -> None:
    np.testing.assert_array_equal(left.open_time, right.open_time)
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)
    assert left.fingerprint() == right.fingerprint()


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=12, deadline=None)
@given(bars=MARKETS)
def test_every_format_gives_back_the_bars_that_were_written(name, bars):
    with tempfile.TemporaryDirectory() as folder:
        path = write(folder, name, FORMATS[name](bars))
        same_bars(read_bars(path, timeframe=bars.timeframe, sessions=False), bars)
        found = check_file(path, timeframe=bars.timeframe, sessions=False)
    assert not found.defects
    assert found.missing_bars == np.diff(bars.slots).sum() - max(len(bars) - 1, 0)


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 40), st.integers(0, 99), TIMEFRAMES)
def test_the_timeframe_is_the_most_common_step(n, seed, timeframe):
    bars = random_bars(n, seed, timeframe)
    with tempfile.TemporaryDirectory() as folder:
        assert read_bars(write(folder, "x.csv", frame(bars).to_csv())).timeframe_ns == bars.timeframe_ns


@pytest.mark.parametrize(
    ("file", "symbol"),
    [
        ("BTCUSDT_1h.csv", "BTCUSDT"),
        ("BTCUSDT-1h-2024-01.csv", "BTCUSDT"),
        ("BTC_USDT-1h.csv", "BTC_USDT"),
        ("BTC_USDT_USDT-1h-futures.csv", "BTC_USDT_USDT"),
        ("BTCUSDT-PERP-2025_5m.csv", "BTCUSDT-PERP-2025"),
        ("1000PEPEUSDT-1h.csv", "1000PEPEUSDT"),
        ("^GSPC.csv", "^GSPC"),
        ("mymarket.CSV", "mymarket"),
    ],
)
def test_the_symbol_is_what_stands_before_the_timeframe_in_the_name(tmp_path, file, symbol):
    path = write(tmp_path, file, frame(random_bars(9)).to_csv())
    assert read_bars(path).symbol == symbol
    assert read_bars(path, symbol="OTHER").symbol == "OTHER"


def test_float32_prices_are_the_same_numbers_as_float64(tmp_path):
    table = frame(random_bars(50)).astype("float32")
    table.to_parquet(tmp_path / "x.parquet")
    bars = read_bars(tmp_path / "x.parquet")
    assert bars.high.dtype == np.float64
    np.testing.assert_array_equal(bars.high, table["high"].to_numpy().astype(np.float64))


def test_a_market_that_never_trades_at_weekends_has_sessions(tmp_path):
    days = pd.bdate_range("2024-01-01", periods=17, tz="UTC", name="timestamp")  # three weeks and a day
    bars = random_bars(17, timeframe="1d")
    path = write(tmp_path, "x.csv", frame(bars).set_index(days).to_csv())
    assert read_bars(path).sessions
    assert not read_bars(path, sessions=False).sessions
    assert not read_bars(write(tmp_path, "y.csv", frame(bars).set_index(days)[:15].to_csv())).sessions
    assert not read_bars(write(tmp_path, "z.csv", frame(random_bars(40, timeframe="1d")).to_csv())).sessions
    assert not read_bars(write(tmp_path, "w.csv", frame(random_bars(40, timeframe="1w")).to_csv())).sessions


def new_york_days(tmp_path, kind):
    days = pd.bdate_range("2024-02-01", periods=60, tz="America/New_York", name="Date")  # summer time begins inside
    table = capitals(random_bars(60, timeframe="1d"), "Date").set_index(days)
    path = tmp_path / f"SPY.{kind}"
    getattr(table, f"to_{kind}")(path)
    return path, days.tz_localize(None).to_numpy()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_midnight_by_the_exchange_clock_is_the_date_of_a_session(tmp_path, kind):
    path, days = new_york_days(tmp_path, kind)
    bars = read_bars(path)
    assert bars.sessions
    np.testing.assert_array_equal(bars.open_time, days)
    with pytest.raises(DataError, match="off the 1d grid"):
        read_bars(path, sessions=False)  # a market that never closes has instants, not dates


def test_both_archive_epochs_mean_the_same_time(tmp_path):
    bars = random_bars(20, timeframe="15m")
    ms, us = (write(tmp_path, f"{u}-15m.csv", binance(bars, u, header=False)) for u in ("ms", "us"))
    assert read_bars(ms).fingerprint() == read_bars(us).fingerprint() == bars.fingerprint()


def test_every_file_at_hand_loads(shared_data):
    begin = time.process_time()
    files = [file for name in FOLDERS for file in sorted((shared_data / name).glob("*.parquet"))]
    for file in files:
        if file.name == "FUNDING_8h.parquet":
            with pytest.raises(DataError, match="has no column open, high, low, close, volume"):
                read_bars(file)
            continue
        bars = read_bars(file)
        assert (bars.symbol, bars.timeframe) == tuple(file.stem.rsplit("_", 1))
        assert not bars.sessions
        assert not check_file(file).defects
    assert len(files) == 45
    assert time.process_time() - begin < 15


def test_macro_series_have_sessions_where_their_markets_close(shared_data):
    closing = {file.stem: read_bars(file).sessions for file in (shared_data / "macro").glob("*.parquet")}
    assert {name for name, sessions in closing.items() if sessions} == {
        "DXY_1d",
        "GLD_1d",
        "QQQ_1d",
        "SPY_1d",
        "VIX_1d",
    }


def test_nasdaq_is_the_file_of_the_arch_package():
    from arch.data import nasdaq

    bars, table = embedded_bars("nasdaq-1d"), nasdaq.load()
    np.testing.assert_array_equal(bars.open_time, table.index.to_numpy())
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(bars, name), table[name.capitalize()])
    assert (bars.symbol, bars.timeframe, bars.sessions, len(bars)) == ("NASDAQ", "1d", True, 5031)
    assert not (~bars.follows[1:]).any()


def test_embedded_data_stays_what_the_shipped_models_saw():
    prints = {name: embedded_bars(name).fingerprint()[:16] for name in EMBEDDED}
    assert prints == {"nasdaq-1d": "0edaec7d53564f67"}


def test_reading_imports_neither_pandas_nor_arch(tmp_path):
    path = tmp_path / "x-1h.parquet"
    frame(random_bars(99)).to_parquet(path)
    text = write(tmp_path, "x-1h.csv", frame(random_bars(99)).to_csv())
    code = (
        "import sys; from pathlib import Path; from engine.history import *; embedded_bars('nasdaq-1d');"
        "assert 'pyarrow' not in sys.modules;"
        f"read_bars(Path({str(path)!r})); read_bars(Path({str(text)!r}));"
        f"Store(Path({str(tmp_path)!r})).import_file(Path({str(path)!r})); find_bars('x-1h', Path({str(tmp_path)!r}));"
        "print([m for m in ('pandas', 'arch', 'scipy', 'numba') if m in sys.modules])"
    )
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-X", "faulthandler", "-c", code]
    out = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert (out.returncode, out.stdout.strip(), out.stderr) == (0, "[]", "")


@pytest.mark.parametrize("first", [0, 1, 2, 3])
def test_a_part_of_an_arrow_column_is_its_own_values(first):
    import pyarrow as pa

    column = pa.chunked_array([[1, None], [3]], pa.int32()).slice(first)
    np.testing.assert_array_equal(float_array(column), [1.0, np.nan, 3.0][first:])
    np.testing.assert_array_equal(integer_array(column), [1, 0, 3][first:])
    np.testing.assert_array_equal(present_rows(column), [True, False, True][first:])
    plain = pa.array([1.5, 2.5, 3.5])[first:]
    np.testing.assert_array_equal(float_array(plain), [1.5, 2.5, 3.5][first:])
