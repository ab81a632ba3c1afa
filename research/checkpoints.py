"""What a training has finished, so that an interrupted one goes on where it stopped."""

from __future__ import annotations

import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.bars import Bars
from research.config import TrainConfig

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("engine", "models", "research")  # code whose change makes a finished part stale
Arrays = dict[str, NDArray[Any]]


class Checkpoints:
    """Finished parts of one training, each written whole or not at all; arrays only, never pickles.

    Parameters
    ----------
    folder : Path
        ``runs/NAME``; parts go into a subfolder named after the key.
    key : str
        Of configuration, data and code: another key finds none of these parts.
    resume : bool
        Whether parts of an earlier run are used; they are written in any case.
    """

    def __init__(self, folder: Path, key: str, resume: bool) -> None:
        self.folder = folder / f"parts-{key[:16]}"
        self.resume = resume
        self.resumed: list[str] = []

    def load(self, part: str) -> tuple[Arrays, dict[str, Any]] | None:
        """Return arrays and notes of a finished part; None if it is not there or resuming is off."""
        path = self.folder / f"{part}.npz"
        if not (self.resume and path.is_file()):
            return None
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files if name != "notes"}
            notes: dict[str, Any] = json.loads(str(stored["notes"]))
        self.resumed.append(part)
        return arrays, notes

    def save(self, part: str, arrays: Arrays, notes: dict[str, Any]) -> None:
        """Write a finished part."""
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, notes=np.array(json.dumps(notes)), **arrays)
        write_whole(self.folder / f"{part}.npz", buffer.getvalue())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees all of it or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    draft.write_bytes(content)
    os.replace(draft, path)


def run_key(config: TrainConfig, *markets: Bars) -> str:
    """Return the sha256 of everything a result depends on: configuration, bars and code."""
    told = "|".join(f"{bars.symbol}|{bars.sessions}|{bars.fingerprint()}" for bars in markets)
    identity = f"{told}|{config.digest()}|{code_digest()}"
    return hashlib.sha256(identity.encode()).hexdigest()


def code_digest() -> str:
    """Return the sha256 of the code that makes a bundle."""
    digest = hashlib.sha256()
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()
