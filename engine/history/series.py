"""The manifest of one stored series: what is known about it, and its files' bytes, verified against it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.bars import Bars, format_time
from engine.history.external import External

RECORD = "series.json"
SCHEMA, ONE_FILE = 2, 1  # series of the first schema have all their bars in one file
REMEDY = "import its file again with --replace, or delete the folder"
READ_AGAIN = 50  # times a reader may be overtaken by a writer before something else must be wrong
BARS, VALUES = "bars", "values"


@dataclass(frozen=True, slots=True)
class Part:
    """One Parquet file of a series: its name, hash, rows, and first and last time."""

    file: str
    sha256: str
    rows: int
    first: str
    last: str


@dataclass(frozen=True, slots=True)
class Series:
    """What the store knows about one series; its ``series.json``.

    Parameters
    ----------
    name : str
        Such as ``BTCUSDT-1h``, its folder.
    symbol, timeframe, sessions
        As in ``Bars``; of values, the name and nothing.
    rows : int
        Number of bars, or of rows of values.
    first, last : str
        Earliest and latest open time (of values: when they were known), UTC.
    source : str
        Name of the imported file, or the exchange.
    fingerprint : str
        ``Bars.fingerprint()``: equal data has an equal fingerprint; empty while a fetch is under way.
    kind : str
        ``bars`` or ``values``.
    exchange, market : str
        Where more of it is fetched, in ccxt's words; empty when it was imported.
    columns : tuple of str
        Of values: what they are.
    session : dict
        Of values: the fields of their ``Session``, or nothing.
    absent : tuple of [first, last]
        Gaps that were asked for again and are not there.
    receipts : tuple of dict
        Bars whose other version was accepted: when, which, what they were and are.
    parts : tuple of Part
        The Parquet files, oldest first, and their hashes.
    schema : int
        Version of this record.
    damage : str
        Empty, or what is wrong and what to do; then the fields above may be blank.
    """

    name: str
    symbol: str = ""
    timeframe: str = ""
    sessions: bool = False
    rows: int = 0
    first: str = ""
    last: str = ""
    source: str = ""
    fingerprint: str = ""
    kind: str = BARS
    exchange: str = ""
    market: str = ""
    columns: tuple[str, ...] = ()
    session: dict[str, Any] = field(default_factory=dict)
    absent: tuple[tuple[str, str], ...] = ()
    receipts: tuple[dict[str, Any], ...] = ()
    parts: tuple[Part, ...] = ()
    schema: int = SCHEMA
    damage: str = ""

    def to_json(self) -> bytes:
        """Return the record as it stands in ``series.json``."""
        record = asdict(self)
        del record["name"], record["damage"]
        return (json.dumps(record, indent=1) + "\n").encode()

    def holds(self, other: Series) -> bool:
        """Return whether both are the same rows of the same market."""
        same = ("kind", "fingerprint", "symbol", "sessions", "session")
        return self.fingerprint != "" and all(getattr(self, f) == getattr(other, f) for f in same)

    @property
    def extent(self) -> str:
        """How much of what, in words."""
        if self.kind == VALUES:
            what = f"{self.rows} rows of {self.symbol} ({', '.join(self.columns)})"
        else:
            what = f"{self.rows} bars of {self.symbol}"
        kind = "" if self.kind == VALUES else ", sessions" if self.sessions else ", no sessions"
        return f"{what} {self.first} .. {self.last}{kind}, fingerprint {self.fingerprint[:8]}"


def describe_series(name: str, bars: Bars, source: str) -> Series:
    """Return what a series of these bars says about itself, but for its files."""
    return Series(
        name=name,
        symbol=bars.symbol,
        timeframe=bars.timeframe,
        sessions=bars.sessions,
        rows=len(bars),
        first=format_time(bars.open_time[0]),
        last=format_time(bars.open_time[-1]),
        source=source,
        fingerprint=bars.fingerprint(),
    )


def describe_values(external: External, source: str) -> Series:
    """Return what a series of these values says about itself, but for its files."""
    return Series(
        name=external.name,
        symbol=external.name,
        rows=len(external),
        first=format_time(external.known_at[0]),
        last=format_time(external.known_at[-1]),
        source=source,
        fingerprint=print_of_values(external),
        kind=VALUES,
        columns=tuple(external.columns),
        session=asdict(external.session) if external.session else {},
    )


def print_of_values(external: External) -> str:
    """Return the sha256 of moments and values: equal data has an equal one."""
    digest = hashlib.sha256(np.ascontiguousarray(external.known_at).tobytes())
    for name, column in external.columns.items():
        digest.update(f"|{name}|".encode() + np.where(np.isnan(column), np.nan, column).tobytes())
    return digest.hexdigest()


def read_record(folder: Path) -> Series:
    """Return the record in a series' folder; its ``damage`` says when it cannot be used.

    Raises
    ------
    OSError
        When there is no record or it may not be read.
    """
    try:
        record = json.loads((folder / RECORD).read_bytes())
        if record["schema"] == ONE_FILE:
            file, digest = record.pop("file"), record.pop("sha256")
            part = Part(file, digest, record["rows"], record["first"], record["last"])
            record |= {"schema": SCHEMA, "parts": [asdict(part)]}
        elif record["schema"] != SCHEMA:
            unknown = f"{RECORD} has schema {record['schema']}, this code knows {SCHEMA}; {REMEDY}"
            return Series(folder.name, damage=unknown)
        return _checked(folder.name, record)
    except (ValueError, TypeError, KeyError):
        return Series(folder.name, damage=f"{RECORD} is not readable; {REMEDY}")


def _checked(name: str, record: Mapping[str, Any]) -> Series:
    """Raise TypeError or ValueError where a record is none."""
    tuples: dict[str, Any] = {"parts": tuple(Part(**part) for part in record["parts"])}
    for key in ("columns", "absent", "receipts"):
        tuples[key] = tuple(tuple(item) if isinstance(item, list) else item for item in record.get(key, ()))
    series, blank = Series(name, **{**record, **tuples}), Series("")
    for part in series.parts:
        if not part.file.startswith((BARS, VALUES)) or Path(part.file).name != part.file:
            raise ValueError(part.file)
    if any(type(getattr(series, f.name)) is not type(getattr(blank, f.name)) for f in fields(Series)):
        raise TypeError(name)
    return series


def read_verified(folder: Path, wanted: Callable[[Part], bool] = lambda _: True) -> tuple[Series, dict[str, bytes]]:
    """Return a series' record and the bytes of its files, or a record whose ``damage`` says what is wrong.

    A writer may replace files at any moment: whoever finds a record without its files looks whether
    the record is still the same file, and if not, reads again.

    Parameters
    ----------
    folder : Path
        The series' folder.
    wanted : callable
        Which parts to read; all of them by default.
    """
    series, problem = Series(folder.name), ""
    for _ in range(READ_AGAIN):
        before, series = _identity(folder), Series(folder.name)
        try:
            series = read_record(folder)
            content = {}
            for part in reversed(series.parts):  # the newest is the one a writer is about to replace
                if wanted(part):
                    content[part.file] = (folder / part.file).read_bytes()
        except OSError as error:
            problem = f"{Path(error.filename or RECORD).name} cannot be read ({error.strerror})"
        else:
            wrong = [p.file for p in series.parts if p.file in content and not _matches(p, content[p.file])]
            if series.damage or not wrong:
                return series, content
            problem = f"{wrong[0]} does not match its hash"
        if _identity(folder) == before:
            break
    return replace(series, damage=f"{problem}; {REMEDY}"), {}


def _matches(part: Part, content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == part.sha256


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = (folder / RECORD).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
