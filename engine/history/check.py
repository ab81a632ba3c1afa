"""Everything that is wrong or remarkable in a market file, by time, also in files that reading refuses."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.bars import COLUMNS, LONGEST_CLOSURE_NS, Bars, format_timeframe, parse_timeframe
from engine.errors import DataError
from engine.history.infer import Stamps, infer_sessions, infer_symbol, stated_or_inferred
from engine.history.raw import RawBars, describe, read_raw
from engine.history.remarks import flat_stretches, spikes
from engine.history.stamps import MISSING, READABLE
from engine.wording import counted

REMARKS = ("gap", "zero-volume", "spike", "flat")  # true of real markets: worth knowing, no reason to refuse


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong or remarkable.

    Parameters
    ----------
    kind : str
        ``gap``, ``zero-volume``, ``spike`` and ``flat`` are remarks; the others make reading refuse the file:
        unreadable, unparsable, missing, unsorted, duplicate, timeframe, off-grid, non-finite, not-positive,
        absurd, ohlc.
    time : str
        UTC time of the bar (of a gap: its first missing bar); empty where there is none.
    row : int
        Line of a CSV or row of another file, from 1 (of a gap: the row after it); 0 for the whole file.
    detail : str
        What, in words.
    """

    kind: str
    time: str
    row: int
    detail: str


@dataclass(frozen=True, slots=True)
class Check:
    """What a check found in one file or series: the findings by time, and their summary.

    Parameters
    ----------
    name : str
        File or series.
    symbol, timeframe : str
        As stated or inferred; the timeframe is empty where it cannot be told.
    sessions : bool
        Whether closures up to a week are no gaps.
    rows : int
        Rows in the file.
    first, last : str
        Earliest and latest open time, UTC; empty where there is none.
    gaps, missing_bars : int
        Number of gaps, and of bars missing in them all.
    zero_volume_share : float
        Share of rows without any volume.
    findings : tuple of Finding
        Ordered by time, then row; those without a time first.
    """

    name: str
    symbol: str = ""
    timeframe: str = ""
    sessions: bool = False
    rows: int = 0
    first: str = ""
    last: str = ""
    gaps: int = 0
    missing_bars: int = 0
    zero_volume_share: float = 0.0
    findings: tuple[Finding, ...] = ()

    @property
    def defects(self) -> int:
        """Number of findings because of which reading refuses the file."""
        return sum(finding.kind not in REMARKS for finding in self.findings)

    @property
    def summary(self) -> str:
        """The check in one line."""
        market = f"{self.symbol} {self.timeframe or 'unknown timeframe'}{' sessions' if self.sessions else ''}"
        rows = counted(self.rows, "bar" if self.first else "row")
        span = f"{rows} {self.first} .. {self.last}" if self.first else rows
        gaps = f"{counted(self.gaps, 'gap')} ({counted(self.missing_bars, 'bar')} missing)"
        volume = f"{self.zero_volume_share:.2%} without volume"
        verdict = "usable" if not self.defects else f"REFUSED: {counted(self.defects, 'defect')}"
        return f"{self.name}: {market}, {span}, {gaps}, {volume}, {verdict}"

    @property
    def remarks(self) -> list[str]:
        """What is worth knowing of bars that are usable, in a few words each; empty if nothing is."""
        found = []
        if self.gaps:
            found.append(f"{counted(self.gaps, 'gap')} ({counted(self.missing_bars, 'bar')} missing)")
        if self.zero_volume_share:
            found.append(f"no volume in {self.zero_volume_share:.2%}")
        kinds = [finding.kind for finding in self.findings]
        for kind, one, many in (("spike", "lone spike", ""), ("flat", "flat stretch", "flat stretches")):
            if kind in kinds:
                found.append(counted(kinds.count(kind), one, many))
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the check as plain JSON values."""
        return {**asdict(self), "findings": [asdict(f) for f in self.findings], "defects": self.defects}


def check_file(
    path: Path, symbol: str | None = None, timeframe: str | None = None, sessions: bool | None = None
) -> Check:
    """Return everything that is wrong or remarkable in a market file.

    Works on files that ``read_bars`` refuses, and takes the same arguments. Gaps are looked for
    between the bars in order of time. Of a market with sessions, closures up to a week are no gaps,
    so bars missing inside a week are not noticed.

    Raises
    ------
    UsageError
        When there is no such file, or the timeframe is no timeframe.
    """
    if timeframe is not None:
        parse_timeframe(timeframe)
    blank = Check(path.name, symbol or infer_symbol(path.name), timeframe or "", bool(sessions))
    try:
        raw = read_raw(path, sessions)
    except DataError as error:
        return replace(blank, findings=(Finding("unreadable", "", 0, str(error)),))
    known = _known(raw.stamps)
    found = []
    timeframe_ns = 0
    unread = len(raw.stamps) - int((raw.stamps != MISSING).sum())
    try:
        if len(known) < 2 and unread:
            raise DataError(f"{raw.label}: {unread} of {len(raw.stamps)} times could not be read; {READABLE}")
        timeframe_ns = stated_or_inferred(known, timeframe, raw.label)
    except DataError as error:
        found.append(Finding("timeframe", "", 0, str(error)))
    closes = infer_sessions(known, timeframe_ns or 1) if sessions is None else sessions
    found += _refusals(raw, timeframe_ns)
    blank = replace(blank, timeframe=format_timeframe(timeframe_ns) if timeframe_ns else "", sessions=closes)
    return _finished(blank, found, raw, timeframe_ns)


def check_bars(bars: Bars, name: str) -> Check:
    """Return what is remarkable in bars that passed the door: gaps, bars without volume, spikes, stillness."""
    blank = Check(name, bars.symbol, bars.timeframe, bars.sessions)
    stamps = bars.open_time.view(np.int64)
    prices = {column: getattr(bars, column) for column in COLUMNS}
    return _finished(blank, [], RawBars(_Memory(name), stamps, prices, ()), bars.timeframe_ns)


def find_gaps(stamps: Stamps, timeframe_ns: int, sessions: bool) -> NDArray[np.int64]:
    """Return the gaps between sorted open times.

    Returns
    -------
    int64 array of shape (k, 3)
        First and last missing open time in nanoseconds, and the number of bars missing.
    """
    if timeframe_ns == 0 or len(stamps) < 2:
        return np.empty((0, 3), np.int64)
    step = np.diff(stamps)
    longest = max(LONGEST_CLOSURE_NS, timeframe_ns) if sessions else timeframe_ns
    missing = (step - 1) // timeframe_ns
    at = np.flatnonzero((step > longest) & (missing > 0))
    first = stamps[at] + timeframe_ns
    return np.stack([first, first + (missing[at] - 1) * timeframe_ns, missing[at]], axis=1)


@dataclass(frozen=True, slots=True)
class _Memory:
    """Bars in memory, where a file is expected."""

    label: str
    names: tuple[str, ...] = COLUMNS
    unit: str = "row"

    def take(self, picked: dict[str, int]) -> dict[str, Any]:
        raise AssertionError("bars in memory are not read again")

    def line_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return rows + 1


def _refusals(raw: RawBars, timeframe_ns: int) -> list[Finding]:
    """Return a finding for each row of each defect; a cell that is no number is not also one that is missing."""
    defects = [d for d in (*raw.row_defects(), *raw.bar_defects(timeframe_ns or 1)) if len(d.rows)]
    no_value = {(defect.column, int(row)) for defect in raw.unreadable for row in defect.rows}
    lines = raw.sheet.line_of(np.arange(len(raw.stamps))) if defects else np.empty(0, np.int64)
    found = []
    for defect in defects:
        times = _time_texts(raw.stamps[defect.rows])
        for i, row in enumerate(defect.rows.tolist()):
            if defect.kind not in ("missing", "non-finite") or (defect.column, row) not in no_value:
                found.append(Finding(defect.kind, times[i], int(lines[row]), describe(defect, i)))
    return found


def _finished(check: Check, found: list[Finding], raw: RawBars, timeframe_ns: int) -> Check:
    """Add the remarks and the summary."""
    known = _known(raw.stamps)
    gaps = find_gaps(known, timeframe_ns, check.sessions)
    silent = np.flatnonzero(raw.prices["volume"] == 0)
    after = np.array([np.argmax(raw.stamps > last) for last in gaps[:, 1]], dtype=np.int64)
    begins, ends = _time_texts(gaps[:, 0]), _time_texts(gaps[:, 1])
    for i, row in enumerate(raw.sheet.line_of(after) if len(after) else ()):
        missing = gaps[i, 2]
        text = f"{missing} bars are missing, {begins[i]} .. {ends[i]}" if missing > 1 else "1 bar is missing"
        found.append(Finding("gap", begins[i], int(row), text))
    share = len(silent) / max(len(raw.stamps), 1)
    for row in silent[:1]:
        text = f"{len(silent)} of {len(raw.stamps)} bars ({share:.2%}) have no volume; this is the first"
        line = int(raw.sheet.line_of(silent[:1])[0])
        found.append(Finding("zero-volume", _time_texts(raw.stamps[row : row + 1])[0], line, text))
    found += _oddities(raw)
    first, last = _time_texts(known[[0, -1]]) if len(known) else ("", "")
    return replace(
        check,
        rows=len(raw.stamps),
        first=first,
        last=last,
        gaps=len(gaps),
        missing_bars=int(gaps[:, 2].sum()),
        zero_volume_share=share,
        findings=tuple(sorted(found, key=lambda finding: (finding.time, finding.row))),
    )


def _oddities(raw: RawBars) -> list[Finding]:
    """Return lone spikes and still stretches, in the order of the file."""
    prices, found = raw.prices, []
    lone, still = spikes(prices["high"], prices["low"], prices["close"]), flat_stretches(prices)
    for row, time in zip(lone, _time_texts(raw.stamps[lone]), strict=True):
        text = f"high {prices['high'][row]:g}, low {prices['low'][row]:g}: over 5 times off the closes around it"
        found.append(Finding("spike", time, _line(raw, row), text))
    begins, ends = _time_texts(raw.stamps[still[:, 0]]), _time_texts(raw.stamps[still[:, 1]])
    for (first, last), begin, end in zip(still, begins, ends, strict=True):
        text = f"{last - first + 1} equal bars without any movement, {begin} .. {end}"
        found.append(Finding("flat", begin, _line(raw, first), text))
    return found


def _line(raw: RawBars, row: int) -> int:
    return int(raw.sheet.line_of(np.array([row]))[0])


def _known(stamps: Stamps) -> Stamps:
    """Return the times that are there, each once, in order."""
    known = stamps[stamps != MISSING]
    return known if (np.diff(known) > 0).all() else np.unique(known)


def _time_texts(stamps: Stamps) -> list[str]:
    texts = np.datetime_as_string(np.ascontiguousarray(stamps).view("datetime64[ns]"), unit="m")
    return ["" if text == "NaT" else str(text) for text in texts]
