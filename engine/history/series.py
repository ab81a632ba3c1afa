"""What is known about one stored series, and its bars' bytes, verified against it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from engine.bars import Bars, format_time

RECORD = "series.json"
SCHEMA = 1
REMEDY = "import its file again with --replace, or delete the folder"
READ_AGAIN = 50  # times a reader may be overtaken by a writer before something else must be wrong


@dataclass(frozen=True, slots=True)
class Series:
    """What the store knows about one series; its ``series.json``.

    Parameters
    ----------
    name : str
        Such as ``BTCUSDT-1h``, its folder.
    symbol, timeframe, sessions
        As in ``Bars``.
    rows : int
        Number of bars.
    first, last : str
        Earliest and latest open time, UTC.
    source : str
        Name of the imported file.
    fingerprint : str
        ``Bars.fingerprint()``: equal data has an equal fingerprint.
    file, sha256 : str
        The Parquet file with the bars, and its hash.
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
    file: str = ""
    sha256: str = ""
    schema: int = SCHEMA
    damage: str = ""

    def to_json(self) -> bytes:
        """Return the record as it stands in ``series.json``."""
        record = asdict(self)
        del record["name"], record["damage"]
        return (json.dumps(record, indent=1) + "\n").encode()

    def holds(self, other: Series) -> bool:
        """Return whether both are the same bars of the same market."""
        return all(getattr(self, f) == getattr(other, f) for f in ("fingerprint", "symbol", "sessions"))

    @property
    def extent(self) -> str:
        """How much of what, in words."""
        kind = "sessions" if self.sessions else "no sessions"
        text = f"{self.rows} bars of {self.symbol} {self.first} .. {self.last}, {kind}"
        return f"{text}, fingerprint {self.fingerprint[:8]}"


def describe_series(name: str, bars: Bars, source: str) -> Series:
    """Return what a series of these bars says about itself, but for file and hash."""
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


def read_record(folder: Path) -> Series:
    """Return the record in a series' folder; its ``damage`` says when it cannot be used.

    Raises
    ------
    OSError
        When there is no record or it may not be read.
    """
    try:
        series = Series(folder.name, **json.loads((folder / RECORD).read_bytes()))
    except (ValueError, TypeError):
        return Series(folder.name, damage=f"{RECORD} is not readable; {REMEDY}")
    blank = Series("")
    if any(type(getattr(series, f.name)) is not type(getattr(blank, f.name)) for f in fields(Series)):
        return Series(folder.name, damage=f"{RECORD} is not readable; {REMEDY}")
    if series.schema != SCHEMA:
        return Series(folder.name, damage=f"{RECORD} has schema {series.schema}, this code knows {SCHEMA}; {REMEDY}")
    return series


def read_verified(folder: Path) -> tuple[Series, bytes]:
    """Return a series' record and the Parquet bytes it names, or a record whose ``damage`` says what is wrong.

    A writer may replace both at any moment: whoever finds a record without its bars looks whether
    the record is still the same file, and if not, reads again.
    """
    series, problem = Series(folder.name), ""
    for _ in range(READ_AGAIN):
        before, series = _identity(folder), Series(folder.name)
        try:
            series = read_record(folder)
            content = b"" if series.damage else (folder / series.file).read_bytes()
        except OSError as error:
            problem = f"{series.file or RECORD} cannot be read ({error.strerror})"
        else:
            if series.damage or hashlib.sha256(content).hexdigest() == series.sha256:
                return series, content
            problem = f"{series.file} does not match its hash"
        if _identity(folder) == before:
            break
    return replace(series, damage=f"{problem}; {REMEDY}"), b""


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = (folder / RECORD).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
