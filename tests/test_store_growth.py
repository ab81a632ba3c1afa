"""A series that grows: each row once, in files by the calendar, whole after any kill, whoever else writes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.bars import UNIT_NS, Bars
from engine.errors import DataError, UsageError
from engine.history.external import External, Session
from engine.history.rows import Rows, rows_of
from engine.history.series import Series, describe_series
from engine.history.store import Store
from engine.synthetic import random_bars

ROOT = Path(__file__).resolve().parents[1]
YEARS = random_bars(3 * 8766, seed=5)  # hourly, 2020 to 2022
ABOUT = Series("X-1h", "X", "1h", source="binance X", exchange="binance", market="X")


def add(store: Store, bars: Bars, **how: object):
    return store.add(replace(ABOUT, **how.pop("about", {})), rows_of(bars), **how)


def parts(store: Store, name: str = "X-1h") -> list[str]:
    return sorted(path.name.rsplit("-", 1)[0] for path in (store.root / name).glob("*.parquet"))


# --- growth --------------------------------------------------------------------------------------------


def test_pages_become_the_series_in_files_by_year(tmp_path):
    store = Store(tmp_path)
    for begin in range(0, len(YEARS), 1000):
        assert add(store, YEARS[max(begin - 3, 0) : begin + 1000]).fresh == len(YEARS[begin : begin + 1000])
    assert parts(store) == ["bars-2020", "bars-2021", "bars-2022", "bars-2023"][: len(parts(store))]
    bars = store.load("X-1h")
    assert bars.fingerprint() == YEARS.fingerprint()
    assert store.seal("x-1h").fingerprint == YEARS.fingerprint()
    (listed,) = store.list()
    assert (listed.rows, listed.exchange, listed.damage) == (len(YEARS), "binance", "")


def test_fine_bars_are_kept_by_month(tmp_path):
    store = Store(tmp_path)
    bars = random_bars(9000, timeframe="15m")
    store.keep(replace(bars, symbol="X"), "x.csv")
    assert parts(store, "X-15m") == ["bars-2020-01", "bars-2020-02", "bars-2020-03", "bars-2020-04"]
    assert store.load("X-15m").fingerprint() == bars.fingerprint()


@settings(max_examples=15, deadline=None)
@given(pages=st.lists(st.tuples(st.integers(0, 90), st.integers(1, 20)), min_size=1, max_size=5))
def test_any_order_of_pages_is_the_same_as_a_dictionary_of_rows(pages, tmp_path_factory):
    store, bars, kept = Store(tmp_path_factory.mktemp("s")), random_bars(110, timeframe="1w"), {}
    for begin, length in pages:
        page = rows_of(bars[begin : begin + length])
        added = store.add(replace(ABOUT, name="X-1w", timeframe="1w"), page)
        assert added == (len(set(page.times.tolist()) - set(kept)), ())
        kept |= {int(t): float(c) for t, c in zip(page.times, page.columns["close"], strict=True)}
    whole = store.load("X-1w")
    assert whole.open_time.view(np.int64).tolist() == sorted(kept)
    assert whole.close.tolist() == [kept[t] for t in sorted(kept)]


def test_a_bar_that_changed_writes_nothing_unless_asked_and_then_leaves_a_receipt(tmp_path):
    store = Store(tmp_path)
    add(store, YEARS[:500])
    before = {path.name: path.read_bytes() for path in (tmp_path / "X-1h").iterdir()}
    volume = YEARS.volume.copy()
    volume[498] += 1e-9
    revised = replace(YEARS, volume=volume)[497:510]
    refused = add(store, revised)
    assert refused.fresh == 0
    was, now = float(YEARS.volume[498]), float(volume[498])
    assert [str(change) for change in refused.changes] == [f"2020-01-21T18:00 volume was {was!r} and is {now!r}"]
    assert {path.name: path.read_bytes() for path in (tmp_path / "X-1h").iterdir()} == before
    assert add(store, revised, replace=True, at="2024-01-01T00:00:00Z").fresh == 10
    assert store.load("X-1h").volume[498] == now
    (receipt,) = store.series("X-1h").receipts
    assert (receipt["at"], receipt["time"]) == ("2024-01-01T00:00:00Z", "2020-01-21T18:00")
    assert (receipt["was"]["volume"], receipt["now"]["volume"]) == (was, now)


def test_an_imported_series_is_grown_by_the_exchange_it_agrees_with(tmp_path):
    store = Store(tmp_path)
    store.keep(replace(YEARS[:400], symbol="X"), "x.csv")
    assert add(store, YEARS[395:600]).fresh == 200
    assert store.series("X-1h").exchange == "binance"
    for about, says in (
        ({"exchange": "kraken"}, "series X-1h has exchange 'binance', not 'kraken'; state another symbol"),
        ({"symbol": "Y"}, "series X-1h has symbol 'X', not 'Y'"),
        ({"kind": "values"}, "series X-1h has kind 'bars', not 'values'"),
    ):
        with pytest.raises(UsageError, match=says):
            add(store, YEARS[599:601], about=about)
    assert len(store.load("X-1h")) == 600


def test_a_series_in_one_file_of_before_is_read_and_grown(tmp_path):
    store, old = Store(tmp_path), YEARS[:9000]
    folder = store.keep(replace(old, symbol="X"), "x.csv")
    one = tmp_path / "one" / "X-1h"
    one.mkdir(parents=True)
    single = Store(tmp_path / "whole")
    content = to_one_file(old)
    (one / "bars-0123456789ab.parquet").write_bytes(content)
    record = json.loads((folder / "series.json").read_text())
    for name in ("kind", "exchange", "market", "columns", "session", "absent", "receipts", "parts"):
        del record[name]
    import hashlib

    record |= {"schema": 1, "file": "bars-0123456789ab.parquet", "sha256": hashlib.sha256(content).hexdigest()}
    (one / "series.json").write_text(json.dumps(record))
    single = Store(tmp_path / "one")
    assert single.load("X-1h").fingerprint() == old.fingerprint()
    assert single.list()[0].damage == ""
    add(single, YEARS[8990:10000])
    assert single.load("X-1h").fingerprint() == YEARS[:10000].fingerprint()
    assert parts(single) == ["bars-2020", "bars-2021"]


def to_one_file(bars: Bars) -> bytes:
    from engine.history.rows import to_parquet

    return to_parquet(rows_of(bars), "timestamp")


def test_a_damaged_part_is_refused_with_its_name_and_other_years_still_grow(tmp_path):
    store = Store(tmp_path)
    add(store, YEARS[:20000])
    broken = next((tmp_path / "X-1h").glob("bars-2020-*"))
    os.truncate(broken, 100)
    with pytest.raises(DataError, match=rf"series X-1h is damaged: {broken.name} does not match its hash; import"):
        store.load("X-1h")
    assert add(store, YEARS[19990:20010]).fresh == 10
    with pytest.raises(DataError, match="is damaged"):
        add(store, YEARS[100:110])


def test_a_record_cannot_name_files_elsewhere(tmp_path):
    store = Store(tmp_path)
    add(store, YEARS[:10])
    path = tmp_path / "X-1h" / "series.json"
    record = json.loads(path.read_text())
    record["parts"][0]["file"] = "../bars-x.parquet"
    path.write_text(json.dumps(record))
    with pytest.raises(DataError, match=r"series.json is not readable"):
        store.load("X-1h")


# --- values --------------------------------------------------------------------------------------------


def test_values_keep_their_moments_and_their_session(tmp_path):
    store = Store(tmp_path)
    session = Session("16:00", "America/New_York", 15 * UNIT_NS["m"], "09:30")
    days = np.arange("2023-12-25", "2024-01-10", dtype="M8[D]")
    vix = External("VIX", session.known_at(days), {"close": np.linspace(12, 15, 16)}, session)
    store.keep_values(vix, "vix.csv")
    again = store.load_values("vix")
    assert (again.name, again.session, parts(store, "VIX")) == ("VIX", session, ["values-2023", "values-2024"])
    np.testing.assert_array_equal(again.known_at, vix.known_at)
    np.testing.assert_array_equal(again.columns["close"], vix.columns["close"])
    with pytest.raises(UsageError, match="series VIX holds values, not bars; `tradsys data list` shows"):
        store.load("VIX")
    with pytest.raises(UsageError, match=r"series VIX holds 16 rows of VIX .*; replace it"):
        store.keep_values(External("VIX", vix.known_at, {"close": np.zeros(16)}), "other.csv")
    with pytest.raises(UsageError, match="'V/X' is no name for a series"):
        store.keep_values(External("V/X", vix.known_at, vix.columns), "vix.csv")


# --- kills and crowds ----------------------------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
from engine.history.rows import rows_of
from engine.history.series import Series
from engine.history.store import Store
from engine.synthetic import random_bars

root, first, step = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
bars = random_bars(3 * 8766, seed=5)[: int(sys.argv[4])]
about = Series("X-1h", "X", "1h", source="binance X", exchange="binance", market="X")
print("go", flush=True)
for begin in range(first, len(bars), step):
    assert not Store(root).add(about, rows_of(bars[max(begin - 5, 0) : begin + 250])).changes
    print(begin, flush=True)
"""


def writer(root: Path, first: int = 0, step: int = 250, count: int = len(YEARS)) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(root), str(first), str(step), str(count)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def killed_somewhere(root: Path, pages: int, wait_s: float) -> None:
    child = writer(root)
    for _ in range(pages + 1):
        child.stdout.readline()
    time.sleep(wait_s)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()


def is_a_beginning(store: Store) -> int:
    """Rows stored, after making sure that they are the first rows, whole."""
    if "X-1h" not in store.names():
        return 0
    bars = store.load("X-1h")
    assert bars.fingerprint() == YEARS[: len(bars)].fingerprint()
    assert len(bars) % 250 == 0 or len(bars) == len(YEARS)
    return len(bars)


@pytest.mark.parametrize("kills", [4, pytest.param(60, marks=pytest.mark.slow)])
def test_a_writer_killed_at_any_moment_leaves_whole_pages(tmp_path, kills):
    draw, seen = random.Random(kills), []
    for _ in range(kills):
        killed_somewhere(tmp_path, draw.randrange(8), draw.uniform(0.0, 0.03))
        seen.append(is_a_beginning(Store(tmp_path)))
    assert seen == sorted(seen)
    assert len(set(seen)) > 1
    add(Store(tmp_path), YEARS)
    assert Store(tmp_path).load("X-1h").fingerprint() == YEARS.fingerprint()
    assert not list((tmp_path / "X-1h").glob(".*part"))


def test_two_writers_at_once_make_the_series_of_both(tmp_path):
    writers = [writer(tmp_path, first, 500, 10_000) for first in (0, 250)]
    store, seen = Store(tmp_path), 0
    while any(each.poll() is None for each in writers):
        if "X-1h" in store.names():
            seen = max(seen, len(store.load("X-1h")))
    assert [each.wait() for each in writers] == [0, 0]
    for each in writers:
        each.stdout.close()
    assert store.load("X-1h").fingerprint() == YEARS[:10_000].fingerprint()
    assert seen > 250
    assert isinstance(store.series("X-1h"), Series)


def test_rows_of_two_exchanges_never_mix(tmp_path):
    store = Store(tmp_path)
    add(store, YEARS[:10])
    mine = Rows(np.array([0], np.int64), {name: np.ones(1) for name in ("open", "high", "low", "close", "volume")})
    with pytest.raises(UsageError, match="has market 'X', not 'X/USD'"):
        store.add(replace(ABOUT, market="X/USD"), mine)
    assert describe_series("X-1h", YEARS[:10], "x").fingerprint == store.seal("X-1h").fingerprint
