"""Compiled kernels are kept on disk between runs; this forgets them when any source changed.

numba keys a cached kernel by its own file alone. A kernel that calls one from another file keeps
the callee's old code after that file changed, and computes last week's answer today. So all
sources are hashed at import (about 2 ms), and one changed byte forgets every compiled kernel.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

FOLDERS = ("engine", "models")
STAMP = "kernels.stamp"
ROOT = Path(__file__).resolve().parents[1]


def forget_stale_kernels(root: Path) -> bool:
    """Delete the compiled kernels of a source tree if its sources changed since they were compiled.

    Parameters
    ----------
    root : Path
        Folder that holds ``engine`` and ``models``.

    Returns
    -------
    bool
        Whether anything had to be forgotten. A tree that cannot be written keeps no kernels either.
    """
    stamp = root / FOLDERS[0] / "__pycache__" / STAMP
    now = fingerprint(root)
    with contextlib.suppress(OSError):
        if stamp.is_file() and stamp.read_text() == now:
            return False
        for folder in FOLDERS:
            for kept in (root / folder).rglob("__pycache__/*.nb[ci]"):
                kept.unlink(missing_ok=True)
        stamp.parent.mkdir(exist_ok=True)
        stamp.write_text(now)
    return True


def uncompiled(root: Path = ROOT) -> bool:
    """Return whether this process has yet to compile kernels, so that whoever waits can be told why."""
    return not any((root / FOLDERS[0]).rglob("__pycache__/*.nbi"))


def fingerprint(root: Path) -> str:
    """Return one hash of all sources that hold kernels or constants of kernels."""
    digest = hashlib.blake2b()
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
