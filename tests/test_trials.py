"""The trial ledger counts every try and cannot be changed unseen."""

from __future__ import annotations

import sqlite3
import subprocess
import sys

import numpy as np
import pytest

from engine.errors import DataError
from engine.trials import Trial, TrialLedger


def trial(i: int, **changes) -> Trial:
    rng = np.random.default_rng(i)
    fields = {
        "kind": "compare",
        "name": f"t{i}",
        "config": {"threshold": i},
        "data": "d1",
        "zone": "test",
        "metric": 0.5,
        "days": np.arange(10 + i),
        "returns": rng.standard_normal(10 + i),
        "at": "2024-01-01T00:00:00Z",
    }
    return Trial(**{**fields, **changes})


@pytest.fixture
def ledger(tmp_path):
    return TrialLedger(tmp_path / "trials.db")


def test_a_trial_comes_back_bit_for_bit(ledger):
    ledger.append(
        trial(1), trial(2, status="nan", metric=float("nan"), days=np.empty(0, np.int64), returns=np.empty(0))
    )
    first, second = ledger.trials("d1")
    np.testing.assert_array_equal(first.returns, trial(1).returns)
    assert (first.config, first.metric, second.status, second.metric) == ({"threshold": 1}, 0.5, "nan", None)


def test_the_same_configuration_counts_once_and_a_failed_one_counts_too(ledger):
    ledger.append(trial(1), trial(1), trial(2, status="pruned"), trial(3, data="other"))
    assert ledger.count("d1") == 2


def test_a_ledger_of_the_first_days_goes_on_with_every_row_as_it_was(ledger):
    ledger.append(trial(1), trial(2))
    with sqlite3.connect(ledger.path) as db:
        db.execute("alter table trials drop column costs")
    again = TrialLedger(ledger.path)
    assert (again.broken(), [one.costs for one in again.trials()]) == (None, ["", ""])
    again.append(trial(2, costs="fee 0.001"))
    assert (again.broken(), again.count("d1"), again.trials()[-1].costs) == (None, 2, "fee 0.001")


@pytest.mark.parametrize("statement", ["delete from trials", "update trials set name = 'x'", "delete from looks"])
def test_nothing_is_updated_or_deleted(ledger, statement):
    ledger.append(trial(1))
    ledger.look("b", "why", "now")
    with sqlite3.connect(ledger.path) as db, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        db.execute(statement)


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        ("update trials set metric = 9 where id = 2", "row 2 of trials was changed"),
        ("delete from trials where id = 2", "row 2 of trials is missing"),
        ("delete from trials where id = 3", "rows 3 to 3 of trials are missing"),
        ("update trials set returns = x'00' where id = 1", "row 1 of trials was changed"),
    ],
)
def test_tampering_is_said(ledger, tamper, said):
    ledger.append(trial(1), trial(2), trial(3))
    assert ledger.broken() is None
    with sqlite3.connect(ledger.path) as db:
        for trigger in ("trials_are_kept", "trials_stand"):
            db.execute(f"drop trigger {trigger}")
        db.execute(tamper)
    assert ledger.broken() == said


def test_looks_at_a_sealed_zone_are_counted(ledger):
    assert ledger.look("b", "first", "now") == 1
    assert ledger.look("b", "second", "now") == 2
    assert (ledger.looks("b"), ledger.looks("other")) == (2, 0)


def test_two_processes_write_at_once(ledger):
    code = (
        "import sys; from pathlib import Path; from engine.trials import Trial, TrialLedger\n"
        "path, who = Path(sys.argv[1]), sys.argv[2]\n"
        "for i in range(40): TrialLedger(path).append(Trial('tune', f'{who}{i}', {'i': i, 'w': who}, 'd1', 'test'))"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(ledger.path), name]) for name in "ab"]
    assert [w.wait() for w in writers] == [0, 0]
    assert (ledger.count("d1"), ledger.broken()) == (80, None)


def test_a_file_that_is_no_ledger_is_refused(tmp_path):
    (tmp_path / "x.db").write_text("not a database, just words that are long enough to be read as a header")
    with pytest.raises(DataError, match="is not a trial ledger"):
        TrialLedger(tmp_path / "x.db")


def test_a_damaged_ledger_is_one_line_whatever_is_asked_of_it(tmp_path):
    book = TrialLedger(tmp_path / "x.db")
    book.append(*(trial(i) for i in range(60)))
    with sqlite3.connect(book.path) as db:
        db.execute("pragma wal_checkpoint(truncate)")
    content = bytearray(book.path.read_bytes())
    content[4096:] = b"\x5a" * (len(content) - 4096)
    book.path.write_bytes(bytes(content))
    asked = (book.trials, book.broken, book.__len__, lambda: book.count("d1"), lambda: book.append(trial(1)))
    for ask in (*asked, lambda: book.looks("b"), lambda: book.look("b", "why", "now")):
        with pytest.raises(DataError, match=r"the trial ledger .*x\.db cannot be read .*restore it from a backup"):
            ask()


@pytest.mark.parametrize("made", ["create table fills (id)", "create table trials (id)", "pragma application_id = 7"])
def test_the_database_of_another_program_is_left_as_it_is(tmp_path, made):
    with sqlite3.connect(tmp_path / "bot.db") as db:
        db.execute(made)
    before = (tmp_path / "bot.db").read_bytes()
    with pytest.raises(DataError, match="another database; name another file"):
        TrialLedger(tmp_path / "bot.db")
    assert (tmp_path / "bot.db").read_bytes() == before


def test_a_ledger_from_before_they_were_marked_still_opens(tmp_path):
    book = TrialLedger(tmp_path / "x.db")
    book.append(trial(1))
    with sqlite3.connect(book.path) as db:
        assert db.execute("pragma application_id").fetchone()[0] != 0
        db.execute("pragma application_id = 0")
    assert len(TrialLedger(book.path)) == 1


def test_a_place_that_cannot_be_written_is_said_plainly(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "x.db", tmp_path):
        with pytest.raises(DataError, match=r"cannot be written .* or name another with --ledger"):
            TrialLedger(place)
