"""A file of values from outside a market, each with the moment from which it was known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.bars import DAY_NS, parse_timeframe
from engine.errors import DataError, UsageError
from engine.history.columns import NAMELESS, TIME, TIME_NAMES
from engine.history.external import External, Session
from engine.history.infer import Stamps
from engine.history.raw import Sheet, open_sheet, read_numbers
from engine.history.rows import as_times
from engine.history.stamps import MISSING, read_stamps

KNOWN_AT = "known_at"


@dataclass(frozen=True, slots=True)
class Moments:
    """How the times of a file become moments of knowledge.

    Parameters
    ----------
    close, zone, open : str
        Of the session whose date a row carries, as in ``Session``; no close where rows carry times.
    lag : str
        From the close, or the time in the file, to the publication: ``0``, ``15m``, ``1d``.
    """

    close: str = ""
    zone: str = "UTC"
    lag: str = ""
    open: str = ""

    @property
    def lag_ns(self) -> int:
        """The lag in nanoseconds."""
        return 0 if self.lag in ("", "0") else parse_timeframe(self.lag, "--lag", "15m, 1h, 1d", "0, or ")

    @property
    def session(self) -> Session | None:
        """The session, if the rows are of one."""
        if not self.close and (self.open or self.zone != "UTC"):
            raise UsageError("a session has a close: state --session-close, such as 16:00")
        return Session(self.close, self.zone, self.lag_ns, self.open) if self.close else None


def read_values(path: Path, name: str, moments: Moments, columns: tuple[str, ...] = ()) -> External:
    """Return a CSV, Parquet or feather file of values, each row with the moment it was known.

    A column ``known_at`` is taken as it is (plus the lag); with a column of dates beside it, rows are
    vintages, and the revision of an older date than the latest one known is left out. Otherwise the
    dates of sessions need ``--session-close``, and times need a lag, be it 0: a stamp alone does not
    tell when its value was known.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        Of the series.
    moments : Moments
        When its rows were known.
    columns : tuple of str
        Which columns to take; by default all that hold numbers.

    Raises
    ------
    UsageError
        When there is no such file, or the moments are not stated.
    DataError
        With file, row, rule and remedy.
    """
    sheet = open_sheet(Path(path))
    plain = [column.strip().lower() for column in sheet.names]
    times = [c for c in (KNOWN_AT, *TIME_NAMES, *NAMELESS) if c in plain]
    if not times:
        raise DataError(f"{sheet.label} has no column of times; name one of them {', '.join(TIME_NAMES[:4])}")
    stamps = _stamps(sheet, plain.index(times[0]))
    dated = _stamps(sheet, plain.index(times[1])) if times[0] == KNOWN_AT and len(times) > 1 else None
    taken = _wanted(sheet, plain, set(times), columns)
    values = {
        column: _numbers(sheet, plain.index(times[0]), sheet.names.index(column), column, bool(columns))
        for column in taken
    }
    numbers = {column: array for column, array in values.items() if array is not None}
    if not numbers:
        raise DataError(f"{sheet.label} has no column of numbers beside its times")
    known = _known_at(stamps, times[0] == KNOWN_AT, moments, sheet.label)
    order = np.lexsort((dated, known)) if dated is not None else np.arange(len(known))
    if dated is not None:
        order = order[dated[order] >= np.maximum.accumulate(dated[order])]
    return External(name, as_times(known[order]), {c: a[order] for c, a in numbers.items()}, moments.session)


def _known_at(stamps: Stamps, stated: bool, moments: Moments, label: str) -> Stamps:
    session = moments.session
    if session is not None and not stated:
        if (stamps % DAY_NS).any():
            row = int(np.argmax(stamps % DAY_NS != 0))
            raise UsageError(
                f"{label} row {row + 1} carries a time, {as_times(stamps[row : row + 1])[0].astype('M8[m]')}, and no"
                " session's date; leave --session-close away and state --lag"
            )
        return session.known_at(as_times(stamps)).view(np.int64)
    if not stated and not moments.lag:
        raise UsageError(
            f"{label} does not tell when its values were known: state --session-close and --zone where its rows are"
            " sessions' dates, or --lag (0 where a stamp is the moment itself, the timeframe where it is a bar's open)"
        )
    return stamps + moments.lag_ns


def _stamps(sheet: Sheet, column: int) -> Stamps:
    stamps, defects = read_stamps(sheet.take({TIME: column})[TIME], None, sheet.label)
    bad = [defect for defect in defects if len(defect.rows)]
    if bad or (stamps == MISSING).any():
        row = int(bad[0].rows[0]) if bad else int(np.argmax(stamps == MISSING))
        place = f"{sheet.label} {sheet.unit} {sheet.line_of(np.array([row]))[0]}"
        raise DataError(f"{place}: its time {bad[0].rule if bad else 'is missing; drop the row'}")
    return stamps


def _wanted(sheet: Sheet, plain: list[str], times: set[str], columns: tuple[str, ...]) -> list[str]:
    lost = [column for column in columns if column not in sheet.names]
    if lost:
        raise UsageError(f"{sheet.label} has no column {', '.join(lost)}; it has {', '.join(sheet.names)}")
    return list(columns) or [raw for raw, name in zip(sheet.names, plain, strict=True) if name not in times]


def _numbers(sheet: Sheet, time: int, place: int, column: str, asked: bool) -> NDArray[np.float64] | None:
    """A column's numbers; None where it holds something else and nobody asked for it by name."""
    try:
        values, bad = read_numbers(sheet.take({TIME: time, column: place})[column], column, sheet.label)
    except DataError:
        if asked:
            raise
        return None
    if not bad:
        return values
    if not asked and sum(len(defect.rows) for defect in bad) == len(values):
        return None
    row = int(bad[0].rows[0])
    raise DataError(f"{sheet.label} {sheet.unit} {sheet.line_of(np.array([row]))[0]}: {column} {bad[0].rule}")
