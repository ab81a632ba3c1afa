"""Files that exist whole or not at all, and writers that take turns."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import UsageError


def target(path: Path) -> Path:
    """Return where a file or folder lies in the end: what a link leads to is written, the link stays.

    Raises
    ------
    UsageError
        If it is a device or a pipe, whose place a result would take, or a link that leads to itself.
    """
    try:
        lies = path.resolve()
        stands = path.exists()
    except (OSError, RuntimeError):  # a link that leads to itself; RuntimeError up to Python 3.12
        raise UsageError(f"{path} cannot be written: its links lead round in a circle; name another place") from None
    if stands and not (path.is_file() or path.is_dir()):
        raise UsageError(f"{path} is a device or a pipe; name a file to write")
    return lies


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that, whenever the machine stops, the old or the new content is there, complete."""
    path = target(path)
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut, where the system can."""
    if sys.platform != "win32":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until no other process writes into a folder; the lock of a killed process is free."""
    with (folder / ".lock").open("a+b") as file:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield  # closing the file gives the lock back
