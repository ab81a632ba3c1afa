"""What was known outside a market at each of its closes: macro series, funding, anything with a moment of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from engine.bars import DAY_NS, UNIT_NS, Bars, Floats, Times, format_time
from engine.errors import DataError, UsageError

TOLERANCE_NS = 5 * DAY_NS  # the longest a value counts as the latest one: a weekend between two holidays
SATURDAY = 5


@dataclass(frozen=True, slots=True)
class Session:
    """When a market that closes has its day, by its own clock; weekends are closed, holidays are not known.

    Parameters
    ----------
    close : str
        Such as ``16:00``, in local time.
    zone : str
        Such as ``America/New_York``: summer time is the zone's.
    lag_ns : int
        From the close to the publication.
    open : str
        Such as ``09:30``; empty when nobody asks whether the market is open.

    Raises
    ------
    UsageError
        When a time or the zone is not understood.

    Examples
    --------
    >>> days = np.array(["2024-03-08", "2024-03-11"], "datetime64[D]")
    >>> Session("16:00", "America/New_York", 15 * 60 * 10**9).known_at(days).astype("datetime64[m]").tolist()
    [datetime.datetime(2024, 3, 8, 21, 15), datetime.datetime(2024, 3, 11, 20, 15)]
    """

    close: str
    zone: str = "UTC"
    lag_ns: int = 0
    open: str = ""

    def __post_init__(self) -> None:
        """Refuse what no clock shows."""
        begin, end = self.open and _clock_time(self.open), _clock_time(self.close)
        if begin and begin >= end:
            raise UsageError(f"a session from {self.open} to {self.close} does not end after it began")
        _zone(self.zone)
        if self.lag_ns < 0:
            raise UsageError("the lag of a publication is not negative")

    def known_at(self, days: Times) -> Times:
        """Return when the values of each session were public, in UTC, datetime64[ns]."""
        return _instants(days, self.close, self.zone) + np.timedelta64(self.lag_ns, "ns")

    def is_open(self, times: Times) -> Floats:
        """Return 1.0 within a weekday's session and 0.0 outside; a session ends with its close."""
        if len(times) == 0:
            return np.empty(0)
        first = times.min().astype("datetime64[D]") - 1
        days = np.arange(first, times.max().astype("datetime64[D]") + 2)
        days = days[(days.astype(np.int64) + 3) % 7 < SATURDAY]
        begins, ends = _instants(days, self.open, self.zone), _instants(days, self.close, self.zone)
        row = np.searchsorted(begins, times, side="right") - 1
        return np.where((row >= 0) & (times < ends[np.maximum(row, 0)]), 1.0, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class External:
    """Values from outside a market, each row with the moment from which it was known.

    Parameters
    ----------
    name : str
        Such as ``VIX``; the columns of a join begin with it.
    known_at : datetime64[ns] array of shape (n,)
        UTC, never going back; of rows known at once the last one counts.
    columns : mapping of str to float64 arrays of shape (n,)
        NaN where nothing was published, never infinite.
    session : Session, optional
        When the market behind it is open, if that is known.

    Raises
    ------
    DataError
        With the column, row, time, rule and remedy.
    """

    name: str
    known_at: Times
    columns: Mapping[str, Floats]
    session: Session | None = None

    def __post_init__(self) -> None:
        """Check everything once, freeze."""
        known = _frozen(self.known_at, "datetime64[ns]")
        columns = {name: _frozen(column, "float64") for name, column in self.columns.items()}
        object.__setattr__(self, "known_at", known)
        object.__setattr__(self, "columns", MappingProxyType(columns))
        self._refuse(np.isnat(known), "known_at is missing; drop the row")
        self._refuse(np.r_[False, np.diff(known.view(np.int64)) < 0], "known_at goes back in time; sort by it")
        for name, column in columns.items():
            if column.shape != known.shape:
                raise DataError(f"{self.name}: {name} has shape {column.shape} and known_at {known.shape}")
            self._refuse(np.isinf(column), f"{name} is infinite; state what is not known as NaN")

    def __len__(self) -> int:
        return len(self.known_at)

    def _refuse(self, bad: NDArray[np.bool_], rule: str) -> None:
        if bad.any():
            row = int(np.argmax(bad))
            raise DataError(f"{self.name} row {row} of {len(self)} ({format_time(self.known_at[row])}): {rule}")


def as_of(bars: Bars, external: External, tolerance_ns: int = TOLERANCE_NS) -> dict[str, Floats]:
    """Return what was known of an external series at each bar's close, never anything later.

    The latest row with ``known_at <= close_time`` counts, for as long as the tolerance; over a weekend
    its values stand still and its age grows. A bar's values depend on its own close alone, so any
    slice of the bars has the same ones.

    Parameters
    ----------
    bars : Bars
        Any.
    external : External
        Any.
    tolerance_ns : int
        Beyond this age nothing is known.

    Returns
    -------
    dict of str to float64 array of shape (n,)
        ``NAME.column`` of every column, ``NAME.age_hours`` since it was known, and, where the series
        knows its session's opening, ``NAME.is_session_open`` (1 or 0); NaN where nothing was known.
    """
    at = bars.close_time
    row = np.searchsorted(external.known_at, at, side="right") - 1
    known = row >= 0
    row = np.maximum(row, 0)
    age = (at - external.known_at[row]).view(np.int64) if len(external) else np.zeros(len(bars), np.int64)
    known &= age <= tolerance_ns
    out = {}
    for name, column in external.columns.items():
        out[f"{external.name}.{name}"] = (
            np.where(known, column[row], np.nan) if len(external) else np.full(len(at), np.nan)
        )
    out[f"{external.name}.age_hours"] = np.where(known, age / UNIT_NS["h"], np.nan)
    if external.session is not None and external.session.open:
        out[f"{external.name}.is_session_open"] = external.session.is_open(at)
    return out


def _clock_time(text: str) -> timedelta:
    try:
        time = datetime.strptime(text, "%H:%M")
    except ValueError:
        raise UsageError(f"{text!r} is no time of day; write it as 16:00") from None
    return timedelta(hours=time.hour, minutes=time.minute)


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise UsageError(f"time zone {name!r} is not known here; write it as America/New_York or UTC") from None


def _instants(days: Times, clock: str, zone: str) -> Times:
    """A local time of each day in UTC; where a clock shows it twice or never, the later reading, so never too early."""
    place, time = _zone(zone), _clock_time(clock)
    numbers = days.astype("datetime64[D]").astype(np.int64)
    unique, back = np.unique(numbers, return_inverse=True)
    local = [datetime.combine(date(1970, 1, 1) + timedelta(int(n)), datetime.min.time()) + time for n in unique]
    later = [max(t.replace(tzinfo=place, fold=fold).timestamp() for fold in (0, 1)) for t in local]
    return (np.array(later, np.int64) * 10**9).view("datetime64[ns]")[back]


def _frozen(given: NDArray[np.generic], dtype: str) -> NDArray[np.generic]:
    array = np.array(given, dtype=dtype)
    array.flags.writeable = False
    return array
