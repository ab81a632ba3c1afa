"""What is said when SQLite refuses a trial ledger."""

from __future__ import annotations

import sqlite3
from pathlib import Path

NO_WRITING = ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_FULL", "SQLITE_PERM", "SQLITE_AUTH")


def ledger_refusal(path: Path, error: sqlite3.DatabaseError) -> str:
    """Return what is wrong with a ledger that SQLite refuses, and what to do."""
    code = getattr(error, "sqlite_errorname", "")
    if code.startswith(NO_WRITING):
        return unwritable_ledger(path, str(error))
    if code.startswith("SQLITE_NOTADB"):
        return f"{path} is not a trial ledger ({error}); move it away or name another"
    if code.startswith("SQLITE_BUSY"):
        return f"the trial ledger {path} is kept busy by another process; try again when it is done"
    return f"the trial ledger {path} cannot be read ({error}): restore it from a backup or move it away"


def unwritable_ledger(path: Path, why: str) -> str:
    """Return that a ledger cannot be written, and what to do."""
    return f"the trial ledger {path} cannot be written ({why}): see to its permissions or name another with --ledger"
