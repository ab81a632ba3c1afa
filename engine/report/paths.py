"""Where results are written: refused before any work if it cannot be, whole or not at all when it can."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from engine.errors import UsageError
from engine.history.atomic import target


def writable(path: Path, folder: bool = False) -> Path:
    """Return a path that a file, or a folder of files, can be written to; nothing is made.

    Parameters
    ----------
    path : Path
        Where the result shall lie.
    folder : bool
        Whether it is a folder of files.

    Raises
    ------
    UsageError
        Saying what stands in the way.
    """
    lies = target(path)
    if folder and path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file; name a folder to write into")
    if not folder and path.is_dir():
        raise UsageError(f"{path} is a folder; name a file to write, such as {path / 'result'}")
    there = lies if folder else lies.parent
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise UsageError(f"{path} cannot be written: {there} is a file; name another place")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"{path} cannot be written: {there} does not let you; name another place")
    return path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a place to write to; it becomes the file if the body succeeds, and is removed if not.

    Raises
    ------
    UsageError
        If it cannot be written.
    """
    lies = target(path)
    unfinished = lies.with_name(f"{lies.name}.{token_hex(4)}.part")  # another may be writing the same file
    try:
        lies.parent.mkdir(parents=True, exist_ok=True)
        yield unfinished
        os.replace(unfinished, lies)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}; name another place") from None
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
