"""How a stored series changes: files under new names, then the one record that names them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace as altered
from pathlib import Path
from typing import NamedTuple

import numpy as np

from engine.bars import format_time, parse_timeframe
from engine.errors import DataError, UsageError
from engine.history.atomic import write_whole
from engine.history.rows import (
    Rows,
    by_calendar,
    calendar_parts,
    exact_time,
    from_parquet,
    merged,
    one_after_another,
    to_parquet,
)
from engine.history.series import BARS, RECORD, VALUES, Part, Series, read_record, read_verified

TIME_NAMES = {BARS: "timestamp", VALUES: "known_at"}


class Change(NamedTuple):
    """A row that is stored and came again with other values."""

    time: str
    was: dict[str, float]
    now: dict[str, float]

    def __str__(self) -> str:
        changed = [name for name in self.was if self.was[name] != self.now[name]]
        return f"{self.time} " + ", ".join(
            f"{name} was {self.was[name]!r} and is {self.now[name]!r}" for name in changed
        )


class Added(NamedTuple):
    """What became of rows handed to a series: how many are new, and which came with other values."""

    fresh: int
    changes: tuple[Change, ...]


def publish(folder: Path, series: Series, kept: Sequence[Part], fresh: Iterable[tuple[str, Rows]]) -> None:
    """Write files of fresh rows beside the kept ones, then the record that names them all, then drop the rest."""
    parts = list(kept)
    for label, rows in fresh:
        content = to_parquet(rows, TIME_NAMES[series.kind])
        digest = hashlib.sha256(content).hexdigest()
        file = f"{series.kind}-{label}-{digest[:12]}.parquet"
        write_whole(folder / file, content)
        parts.append(Part(file, digest, len(rows), exact_time(rows.times[0]), exact_time(rows.times[-1])))
    parts.sort(key=lambda part: np.datetime64(part.first))
    first, last = (format_time(np.datetime64(time)) for time in (parts[0].first, parts[-1].last))
    count = sum(part.rows for part in parts)
    new = altered(series, parts=tuple(parts), rows=count, first=first, last=last)
    write_whole(folder / RECORD, new.to_json())
    drop_all_but(folder, new)


def drop_all_but(folder: Path, series: Series) -> None:
    """Remove replaced files and what killed writers left; who cannot do it leaves it to the next."""
    named = {part.file for part in series.parts}
    ours = tuple(f"{dot}{kind}-" for dot in ("", ".") for kind in (BARS, VALUES))
    for path in folder.iterdir():
        if path.name not in named and path.name.startswith((*ours, f".{RECORD}")):
            with contextlib.suppress(OSError):
                path.unlink()


def grow(folder: Path, about: Series, rows: Rows, replace: bool, at: str) -> Added:
    """Put rows into the series in a folder, or begin one there; see `Store.add`."""
    steps = parse_timeframe(about.timeframe) if about.timeframe else 0
    old = read_record(folder) if (folder / RECORD).is_file() else None
    if old is not None and not old.damage:
        _fit(old, about)
    begin, end = calendar_parts(rows.times[[0, -1]], steps)
    stored, content = read_verified(folder, lambda p: _meets(p, begin, end, steps)) if old else (about, {})
    if stored.damage:
        raise DataError(f"series {folder.name} is damaged: {stored.damage}")
    touched = one_after_another([from_parquet(content[p.file]) for p in stored.parts if p.file in content])
    both = merged(touched, rows)
    changes = _changes(touched, rows.at(both.changed))
    if (changes and not replace) or not (changes or both.fresh.any()):
        return Added(0, changes)
    receipts = [*stored.receipts, *({"at": at, **change._asdict()} for change in changes)]
    named = altered(stored, exchange=about.exchange, market=about.market, fingerprint="", receipts=tuple(receipts))
    publish(folder, named, [p for p in stored.parts if p.file not in content], by_calendar(both.rows, steps))
    return Added(int(both.fresh.sum()), changes)


def _meets(part: Part, begin: np.datetime64, end: np.datetime64, steps: int) -> bool:
    """Whether a part has rows of the same years or months."""
    edges = np.array([part.first, part.last], "datetime64[ns]").view(np.int64)
    first, last = calendar_parts(edges, steps)
    return bool(first <= end and last >= begin)


def _changes(stored: Rows, again: Rows) -> tuple[Change, ...]:
    out = []
    for row, place in enumerate(np.searchsorted(stored.times, again.times)):
        was = {name: float(column[place]) for name, column in stored.columns.items()}
        now = {name: float(column[row]) for name, column in again.columns.items()}
        out.append(Change(exact_time(again.times[row]), was, now))
    return tuple(out)


def _fit(old: Series, about: Series) -> None:
    """Refuse rows of another market."""
    for what in ("kind", "symbol", "timeframe", "exchange", "market"):
        had, has = getattr(old, what), getattr(about, what)
        if had != has and (had or what not in ("exchange", "market")):
            raise UsageError(f"series {old.name} has {what} {had!r}, not {has!r}; state another symbol (--symbol)")
