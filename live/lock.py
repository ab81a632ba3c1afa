"""One bot per ledger: a lock that dies with the process that holds it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO

from engine.errors import SettingsError
from live.clock import Clock

if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: IO[str]) -> None:
        file.seek(1 << 20)  # Windows bars others from locked bytes: leave the pid readable
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _try_lock(file: IO[str]) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


OPENING = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)  # what a link leads to is not ours to overwrite
LOOKS, LOOK_S = 5, 0.05


class Lock:
    """Holds ``<ledger>.lock`` until closed or until the process ends, however it ends.

    The operating system frees it, so a killed bot never leaves a lock behind that somebody
    must delete; the file itself stays. On a network drive the lock is only as good as the drive's.

    Parameters
    ----------
    ledger : Path
        The ledger to guard.
    what, remedy : str, optional
        How the error names it, and what it advises.

    Raises
    ------
    SettingsError
        If another process holds it; names the process.
    """

    def __init__(self, ledger: Path, what: str = "", remedy: str = "stop that bot or set another BOT_LEDGER") -> None:
        path = ledger.with_name(ledger.name + ".lock")
        self._file = os.fdopen(os.open(path, OPENING, 0o600), "r+", encoding="ascii")
        if not self._held():
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise SettingsError(
                f"{what or f'BOT_LEDGER: {ledger}'} is in use by process {holder}, one bot per"
                f" {what.split()[0] if what else 'ledger'}; {remedy}"
            ) from None
        self._file.seek(0)
        self._file.truncate()
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def _held(self) -> bool:
        """Try for a moment: who only asks whether it is held (`holder`) has it for a millisecond."""
        for _ in range(LOOKS):
            try:
                _try_lock(self._file)
                return True
            except OSError:
                Clock().sleep(LOOK_S)
        return False

    def close(self) -> None:
        """Let another bot have the ledger."""
        self._file.close()


def holder(ledger: Path) -> str | None:
    """Return the process that holds a ledger's lock, or None when nobody does."""
    path = ledger.with_name(ledger.name + ".lock")
    if not path.exists():
        return None
    with path.open("r+", encoding="ascii") as file:
        try:
            _try_lock(file)
        except OSError:
            file.seek(0)
            return file.read().strip() or "unknown"
    return None
