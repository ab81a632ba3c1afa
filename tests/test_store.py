"""The store: what was kept is what is loaded, whoever was killed, whatever else is going on."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.bars import Bars
from engine.errors import DataError, UsageError
from engine.history import External, Store, check_named, find_bars, list_series
from engine.synthetic import random_bars
from tests.oracles.market_files import frame

ROOT = Path(__file__).resolve().parents[1]
OLD, NEW = random_bars(300, seed=1), random_bars(300, seed=2)


def named(bars: Bars, symbol: str = "BTCUSDT") -> Bars:
    return replace(bars, symbol=symbol)


@pytest.fixture
def store(tmp_path):
    kept = Store(tmp_path / "data")
    kept.keep(named(OLD), "old.csv")
    return kept


def files(folder: Path) -> list[str]:
    return sorted(path.name.split("-")[0] for path in folder.iterdir())


def test_what_was_imported_is_loaded(tmp_path):
    frame(OLD).to_csv(tmp_path / "ETHUSDT_1h.csv")
    store = Store(tmp_path / "data")
    folder = store.import_file(tmp_path / "ETHUSDT_1h.csv")
    bars = store.load("ETHUSDT-1h")
    assert (folder.name, bars.symbol, bars.timeframe, bars.sessions) == ("ETHUSDT-1h", "ETHUSDT", "1h", False)
    assert bars.fingerprint() == OLD.fingerprint()
    (row,) = store.list()
    assert (row.rows, row.first, row.last) == (300, "2020-01-01T00:00", "2020-01-13T11:00")
    assert (row.source, row.fingerprint, row.damage) == ("ETHUSDT_1h.csv", OLD.fingerprint(), "")
    assert files(folder) == [".lock", "bars", "series.json"]


def test_names_are_found_in_any_case_and_listed_in_order(store, tmp_path):
    store.keep(named(NEW, "AAVE/USDT:USDT"), "aave.csv")
    assert [row.name for row in store.list()] == ["AAVE_USDT_USDT-1h", "BTCUSDT-1h"]
    assert store.load("btcusdt-1H").symbol == "BTCUSDT"
    assert store.load("aave_usdt_usdt-1h").symbol == "AAVE/USDT:USDT"
    assert store.keep(named(OLD, "BTCUSDT"), "again.csv").name == "BTCUSDT-1h"
    with pytest.raises(UsageError, match="series BTCUSDT-1h holds"):
        store.keep(named(OLD, "btcusdt"), "another market or the same, a person must say.csv")
    assert Store(tmp_path / "nothing").list() == []


def test_other_data_is_not_overwritten_unless_asked(store):
    with pytest.raises(UsageError) as refusal:
        store.keep(named(NEW), "new.csv")
    span = "300 bars of BTCUSDT 2020-01-01T00:00 .. 2020-01-13T11:00, no sessions, fingerprint"
    assert str(refusal.value) == (
        f"series BTCUSDT-1h holds {span} {OLD.fingerprint()[:8]}, and new.csv has {span} {NEW.fingerprint()[:8]};"
        " replace it (--replace) or state another symbol"
    )
    assert store.load("BTCUSDT-1h").fingerprint() == OLD.fingerprint()
    folder = store.keep(named(NEW), "new.csv", replace=True)
    assert store.load("BTCUSDT-1h").fingerprint() == NEW.fingerprint()
    assert files(folder) == [".lock", "bars", "series.json"]


def test_the_same_data_again_changes_nothing(store):
    record = store.root / "BTCUSDT-1h" / "series.json"
    before = record.stat()
    store.keep(named(OLD), "old-copy.csv")
    assert (record.stat().st_ino, record.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_the_same_bars_with_other_sessions_are_other_data(store):
    stocks = replace(named(OLD), sessions=True)
    with pytest.raises(UsageError, match=r"no sessions, fingerprint .* sessions, fingerprint"):
        store.keep(stocks, "stocks.csv")


DAMAGES = {
    "bars cut": (lambda f: os.truncate(next(f.glob("bars-*")), 100), "does not match its hash"),
    "bars gone": (lambda f: next(f.glob("bars-*")).unlink(), "cannot be read (No such file or directory)"),
    "record cut": (lambda f: os.truncate(f / "series.json", 40), "series.json is not readable"),
    "record empty": (lambda f: (f / "series.json").write_text(""), "series.json is not readable"),
    "record of another kind": (lambda f: (f / "series.json").write_text("[1]"), "series.json is not readable"),
    "record with a wrong type": (lambda f: edit(f, rows="many"), "series.json is not readable"),
    "record of the future": (lambda f: edit(f, schema=9), "series.json has schema 9, this code knows 2"),
}


def edit(folder: Path, **change: object) -> None:
    path = folder / "series.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_series_is_listed_with_the_remedy_and_refused(store, damage):
    harm, says = DAMAGES[damage]
    harm(store.root / "BTCUSDT-1h")
    (row,) = store.list()
    assert says in row.damage
    assert row.damage.endswith("; import its file again with --replace, or delete the folder")
    with pytest.raises(DataError) as refusal:
        store.load("BTCUSDT-1h")
    assert str(refusal.value) == f"series BTCUSDT-1h is damaged: {row.damage}"
    store.keep(named(NEW), "new.csv", replace=True)
    assert store.load("BTCUSDT-1h").fingerprint() == NEW.fingerprint()
    assert store.list()[0].damage == ""


def test_the_same_file_again_heals_lost_bars(store):
    next((store.root / "BTCUSDT-1h").glob("bars-*")).unlink()
    store.keep(named(OLD), "old.csv")
    assert store.load("BTCUSDT-1h").fingerprint() == OLD.fingerprint()


def test_names_that_cannot_be_kept_are_refused(store):
    for symbol, says in (
        ("", "symbol '' makes no folder name"),
        ("...", "symbol '...' makes no folder name"),
    ):
        with pytest.raises(UsageError, match=says):
            store.keep(named(OLD, symbol), "x.csv")
    daily = random_bars(30, timeframe="1d")
    with pytest.raises(UsageError, match="series NASDAQ-1d is embedded and cannot be replaced"):
        store.keep(named(daily, "NASDAQ"), "x.csv")
    with pytest.raises(DataError, match=r"x.csv has no bars to keep"):
        store.keep(named(OLD)[:0], "x.csv")
    assert store.keep(named(OLD, "../../x"), "x.csv").parent == store.root


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(UsageError, match=r"^series BTCUSDT-1h cannot be written to .*data/BTCUSDT-1h: "):
        Store(tmp_path / "data").keep(named(OLD), "x.csv")


KILLED_AT_EACH_STEP = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from engine.history import Store
from engine.synthetic import random_bars
import pyarrow.parquet

def import_and_die(root, at):
    steps = iter(range(1, 99))
    def deadly(real):
        def step(*args):
            if next(steps) == at:
                if real is fsync and os.fstat(args[0]).st_size > 4096:
                    os.ftruncate(args[0], 100)  # the write was half done
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args)
        return step
    fsync = os.fsync
    os.fsync, os.replace, os.unlink = deadly(os.fsync), deadly(os.replace), deadly(os.unlink)
    Store(root).keep(replace(random_bars(300, seed=2), symbol="BTCUSDT"), "new.csv", replace=True)

for root in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        import_and_die(Path(root), int(Path(root).name))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_whoever_is_killed_at_any_step_leaves_the_old_or_the_new(tmp_path, store):
    fresh = [tmp_path / "first" / str(at) for at in range(1, 9)]
    filled = [tmp_path / "again" / str(at) for at in range(1, 9)]
    for root in filled:
        shutil.copytree(store.root, root)
    command = [sys.executable, "-c", KILLED_AT_EACH_STEP, *map(str, fresh + filled)]
    exits = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    # each of two files: sync, rename, sync of the folder; then the old bars are removed
    assert exits == ["-9"] * 6 + ["0"] * 2 + ["-9"] * 7 + ["0"]
    assert [prints(Store(root)) for root in fresh] == [[]] * 5 + [[NEW.fingerprint()]] * 3
    assert [prints(Store(root)) for root in filled] == [[OLD.fingerprint()]] * 5 + [[NEW.fingerprint()]] * 3
    for after in map(Store, fresh + filled):
        assert not any(row.damage for row in after.list())
        after.keep(named(NEW), "new.csv", replace=True)  # nothing stands in the way of the next import
        assert prints(after) == [NEW.fingerprint()]
        assert files(after.root / "BTCUSDT-1h") == [".lock", "bars", "series.json"]


def prints(store: Store) -> list[str]:
    return [store.load(name).fingerprint() for name in store.names()]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_failing_disk_leaves_the_old_and_says_so(store, monkeypatch, step, at):
    real, calls = getattr(os, step), iter(range(1, 99))

    def failing(*args):
        if next(calls) == at:
            raise OSError(28, "No space left on device")
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(os, step, failing)
        if (step, at) == ("replace", 3):
            store.keep(named(NEW), "new.csv", replace=True)  # there is no third rename
        else:
            with pytest.raises(UsageError, match=r"cannot be written to .*: No space left on device"):
                store.keep(named(NEW), "new.csv", replace=True)
    expected = NEW if (step, at) == ("replace", 3) else OLD
    assert store.load("BTCUSDT-1h").fingerprint() == expected.fingerprint()


BUSY_WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
from engine.history import Store
from engine.synthetic import random_bars
both = [replace(random_bars(300, seed=seed), symbol="BTCUSDT") for seed in (2, 1)]
for i in range(20):
    Store(Path(sys.argv[1])).keep(both[i % 2], "x.csv", replace=True)
"""


def test_a_reader_beside_two_writers_sees_the_old_or_the_new(store):
    command = [sys.executable, "-c", BUSY_WRITER, str(store.root)]
    writers = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]
    seen = []
    while any(writer.poll() is None for writer in writers):
        seen.append(store.load("BTCUSDT-1h").fingerprint())
        assert store.list()[0].damage == ""
    assert [writer.wait() for writer in writers] == [0, 0]
    assert set(seen) == {OLD.fingerprint(), NEW.fingerprint()}
    assert files(store.root / "BTCUSDT-1h") == [".lock", "bars", "series.json"]


def test_a_reader_overtaken_between_record_and_bars_reads_again(store, monkeypatch):
    real, overtaken = Path.read_bytes, []

    def slow(path):
        if path.name.startswith("bars-") and len(overtaken) < 3:
            overtaken.append(path)
            store.keep(named(NEW if len(overtaken) % 2 else OLD), "x.csv", replace=True)
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", slow)
    assert store.load("BTCUSDT-1h").fingerprint() == NEW.fingerprint()
    assert len(overtaken) == 3


def test_bars_are_found_by_name_or_path(store, tmp_path):
    path = tmp_path / "SOLUSDT_1h.csv"
    frame(NEW).to_csv(path)
    assert find_bars("Nasdaq-1D", store.root).symbol == "NASDAQ"
    assert find_bars("btcusdt-1h", store.root).fingerprint() == OLD.fingerprint()
    assert find_bars(str(path), store.root).symbol == "SOLUSDT"
    assert [row.name for row in list_series(store.root)] == ["nasdaq-1d", "BTCUSDT-1h"]
    assert check_named("nasdaq-1d", store.root).zero_volume_share == 2 / 5031
    assert check_named("BTCUSDT-1h", store.root).rows == check_named(str(path), store.root).rows == 300
    assert check_named(str(path), store.root, timeframe="4h").defects == 1


KNOWN = "did you mean 'BTCUSDT-1h'? (known: BTCUSDT-1h, nasdaq-1d)"
BRING = "bring others with `tradsys data import FILE` or `tradsys data fetch`"


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("btcusd-1h", f"unknown market data 'btcusd-1h'; {KNOWN}; {BRING}"),
        ("BTCUSD-1h", f"unknown market data 'BTCUSD-1h'; {KNOWN}; {BRING}"),
        ("nowhere/x", "nowhere/x does not exist; name a file that does, or a series (tradsys data list)"),
        ("none.csv", "none.csv does not exist; name a file that does"),
    ],
)
def test_what_cannot_be_found_is_refused_with_the_nearest_name(store, what, message):
    store.keep_values(External("BTCUSD-funding", OLD.open_time[:2], {"rate": np.ones(2)}), "x")  # no bars: not offered
    with pytest.raises(UsageError) as refusal:
        find_bars(what, store.root)
    assert str(refusal.value) == message


def test_loading_is_exact_for_every_price_there_can_be(tmp_path):
    wild = np.array([1.1e-15, 1e-10 / 3, 0.1, 1 / 3, 9.9e14])
    times = np.arange(5).astype("M8[h]").astype("M8[ns]")
    bars = Bars(times, wild, wild, wild, wild, wild, 3600 * 10**9, "WILD")
    store = Store(tmp_path)
    store.keep(bars, "x")
    assert store.load("WILD-1h").fingerprint() == bars.fingerprint()
