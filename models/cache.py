"""Probabilities that were worked out before, kept on disk: the same model over the same windows is asked once.

An entry is named by everything that decides it: the graph's bytes, the very windows and rows asked about, the
runtime that answers. So code, data or models may change without an entry ever being wrong, and later bars
appended to a series leave the entries of the earlier ones in use.
"""

from __future__ import annotations

import contextlib
import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.bars import Floats, format_time
from models.calibration import DIGITS

FORMAT = "tradsys predictions 1"
BLOCK = 2048  # bars of one entry: what an appended bar makes to be asked again
FEWEST = 256  # rows below which asking is as quick as looking
MOST_BYTES = 512 * 2**20
DIGEST = 32
SUFFIX = ".p"
NAMES = "names.txt"  # beside the entries: by which bundles they were asked for

Floats32 = NDArray[np.float32]
Rows = NDArray[np.int64]
Ask = Callable[[Floats32, Rows], Floats]


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of one predictor.

    Parameters
    ----------
    predictor : str
        sha256 of its graph.
    entries, bars, bytes : int
        Files, probabilities in them, and their size.
    last_used : str
        UTC time.
    """

    predictor: str
    entries: int
    bars: int
    bytes: int
    last_used: str


class PredictionCache:
    """Probabilities under one root folder; safe to share between processes, safe to delete at any time.

    An entry is written beside its place and moved there whole. One that is damaged, of another length or
    unreadable is as good as none: it is worked out again. A folder that cannot be written keeps nothing.

    Parameters
    ----------
    root : Path
        Folder of the entries; made when the first is written.
    most_bytes : int
        Size beyond which the entries unused for longest are deleted.
    """

    def __init__(self, root: Path, most_bytes: int = MOST_BYTES) -> None:
        self.root = Path(root)
        self.most_bytes = most_bytes

    def probabilities(self, predictor: str, window: int, asked: tuple[Floats32, Rows], ask: Ask) -> Floats:
        """Return the probability at each row, asking only for what is not kept.

        Parameters
        ----------
        predictor : str
            sha256 of its graph.
        window : int
            Bars of a window.
        asked : (float32 array of shape (n, F), int64 array of shape (m,))
            Features of every bar, and the rows to predict at; each has ``window - 1`` bars before it.
        ask : callable
            The predictor itself.

        Returns
        -------
        float64 array of shape (m,)
            Bit for bit what ``ask`` returns.
        """
        matrix, rows = asked
        if len(rows) < FEWEST:
            return ask(matrix, rows)
        out, missing = np.empty(len(rows)), []
        for part in _parts(rows):
            path = self._path(predictor, window, matrix, rows[part])
            known = _read(path, part.stop - part.start)
            if known is None:
                missing.append((part, path))
            else:
                out[part] = known
        if missing:
            answers = ask(matrix, np.concatenate([rows[part] for part, _ in missing]))
            for part, path in missing:
                out[part], answers = answers[: part.stop - part.start], answers[part.stop - part.start :]
                _write(path, out[part])
            self._trim()
        return out

    def kept(self) -> list[Kept]:
        """Return what is kept of each predictor, the one used last first."""
        found: dict[str, list[os.stat_result]] = {}
        for path, stat in self._files():
            found.setdefault(path.parent.name, []).append(stat)
        rows = [
            Kept(
                predictor,
                len(stats),
                sum(max(stat.st_size - DIGEST, 0) for stat in stats) // 8,
                sum(stat.st_size for stat in stats),
                format_time(np.datetime64(max(stat.st_mtime_ns for stat in stats), "ns")),
            )
            for predictor, stats in found.items()
        ]
        return sorted(rows, key=lambda row: row.last_used, reverse=True)

    def note(self, predictor: str, label: str) -> None:
        """Remember by which name a predictor was asked, where anything of it is kept."""
        path = self.root / predictor / NAMES
        with contextlib.suppress(OSError):
            if path.parent.is_dir() and label not in _lines(path):
                with path.open("a", encoding="utf-8") as file:
                    file.write(f"{label}\n")

    def names(self) -> Iterator[tuple[str, list[str]]]:
        """Return by which names each predictor was asked."""
        for path in _listed(self.root, f"*/{NAMES}"):
            yield path.parent.name, _lines(path)

    def clear(self) -> int:
        """Delete every entry; return how many bytes that freed."""
        freed = 0
        for path, stat in self._files():
            with contextlib.suppress(OSError):
                path.unlink()
                freed += stat.st_size
        for folder in _listed(self.root, "*/"):
            with contextlib.suppress(OSError):
                (folder / NAMES).unlink(missing_ok=True)
                folder.rmdir()
        return freed

    def _path(self, predictor: str, window: int, matrix: Floats32, rows: Rows) -> Path:
        """Return where the answer to a question is kept: the question names it."""
        low, high = int(rows.min()) - (window - 1), int(rows.max()) + 1
        question = blake2b(_head(predictor, window).encode(), digest_size=16)
        question.update(np.ascontiguousarray(matrix[low:high], np.float32).data)
        question.update(np.ascontiguousarray(rows - low, np.int64).data)
        return self.root / predictor / f"{question.hexdigest()}{SUFFIX}"

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for folder in _listed(self.root, "*/"):
            for path in _listed(folder, f"*{SUFFIX}"):
                with contextlib.suppress(OSError):  # another process has deleted it
                    yield path, path.stat()

    def _trim(self) -> None:
        """Delete the entries unused for longest, until what is left fits."""
        files = sorted(self._files(), key=lambda file: file[1].st_mtime_ns)
        excess = sum(stat.st_size for _, stat in files) - self.most_bytes
        for path, stat in files:
            if excess <= 0:
                return
            with contextlib.suppress(OSError):
                path.unlink()
            excess -= stat.st_size


def named_predictors(cache: PredictionCache) -> dict[str, str]:
    """Return the bundles each graph serves, by its sha256: all that ship, and those the cache was asked by."""
    import json

    from models.bundle import BASELINE, BUNDLES, PREDICTOR

    found = {graph: list(names) for graph, names in cache.names()}
    for path in sorted(BUNDLES.glob("*/manifest.json")):
        files = json.loads(path.read_text())["files"]
        for graph, label in ((PREDICTOR, path.parent.name), (BASELINE, control_of(path.parent.name))):
            if graph in files:
                found.setdefault(files[graph], []).append(label)
    return {graph: _told(names) for graph, names in found.items()}


def control_of(name: str) -> str:
    """Return what the last-bar control of a bundle is called."""
    return f"control of {name}"


def _told(labels: list[str]) -> str:
    """Say each bundle once, those it predicts for first; a bundle's own control that is its predictor is no other."""
    served = sorted({label for label in labels if control_of("") not in label})
    beside = sorted({label for label in labels if control_of("") in label} - {control_of(name) for name in served})
    return ", ".join((*served, *beside))


def cache_in(data: Path) -> PredictionCache:
    """Return the cache of a data folder."""
    return PredictionCache(Path(data) / "cache")


@lru_cache(maxsize=8)
def _head(predictor: str, window: int) -> str:
    """Return what decides an answer besides the windows themselves."""
    return f"{FORMAT} {predictor} {window} {DIGITS} {version('onnxruntime')} {platform.machine()}\n"


def _listed(folder: Path, pattern: str) -> list[Path]:
    """Return what a folder holds; nothing if another process deletes the folder while we look."""
    try:
        return list(folder.glob(pattern))
    except OSError:
        return []


def _lines(path: Path) -> list[str]:
    """Return the lines of a text; none where it cannot be read."""
    try:
        return path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def _parts(rows: Rows) -> Iterator[slice]:
    """Divide rows at the blocks of bars they lie in: rows appended later leave the earlier parts as they are."""
    edges = [0, *(np.flatnonzero(np.diff(rows // BLOCK)) + 1).tolist(), len(rows)]
    for first, end in pairwise(edges):
        yield slice(first, end)


def _read(path: Path, count: int) -> Floats | None:
    """Return an entry's probabilities, and mark it as used; None where there is no sound one."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, values = content[:DIGEST], content[DIGEST:]
    if len(values) != 8 * count or blake2b(values, digest_size=DIGEST).digest() != digest:
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return np.frombuffer(values, "<f8")


def _write(path: Path, values: Floats) -> None:
    """Keep an entry, if the folder lets us."""
    content = np.ascontiguousarray(values, "<f8").tobytes()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(SUFFIX, ".part-", path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(blake2b(content, digest_size=DIGEST).digest() + content)
            os.replace(part, path)
        except OSError:
            Path(part).unlink(missing_ok=True)
