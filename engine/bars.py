"""Closed bars of one market, checked once at the door."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import DataError, UsageError

Floats = NDArray[np.float64]
Times = NDArray[np.datetime64]

COLUMNS = ("open", "high", "low", "close", "volume")
UNIT_NS = {"m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9, "w": 7 * 86400 * 10**9}
LONGEST_CLOSURE_NS = 7 * UNIT_NS["d"]  # exchanges were last shut longer in 1933
DAY_NS = UNIT_NS["d"]

LOWEST_PRICE, HIGHEST_PRICE, HIGHEST_VOLUME = 1e-15, 1e15, 1e30  # beyond them float32 and squares overflow
LAST_TIME = np.datetime64("2100-01-01", "ns")
ABSURD_PRICE = "is no price (allowed: 1e-15 to 1e15); state it in another unit or repair the bar upstream"
ABSURD_VOLUME = "is no volume (allowed: below 1e30); state it in another unit or repair the bar upstream"
ABSURD_TIME = "is not before 2100; check the unit of the stamps (s, ms, us or ns)"


def parse_timeframe(text: str, what: str = "timeframe", such_as: str = "15m, 1h, 1d", also: str = "") -> int:
    """Return the length of a timeframe such as ``15m``, ``1h`` or ``1d`` in nanoseconds.

    Parameters
    ----------
    text : str
        A number and a unit.
    what, such_as, also : str
        For the message: who was told it, examples, and what else is allowed there.

    Raises
    ------
    UsageError
        If it is none.

    Examples
    --------
    >>> parse_timeframe("1h") // 10**9
    3600
    """
    match = re.fullmatch(r"([1-9][0-9]{0,3})([mhdw])", text)
    if match is None:
        raise UsageError(
            f"{what} {text!r} was not understood; write {also}a number and m, h, d or w, such as {such_as}"
        )
    return int(match[1]) * UNIT_NS[match[2]]


def format_timeframe(timeframe_ns: int) -> str:
    """Return the shortest name of a timeframe.

    Examples
    --------
    >>> format_timeframe(3600 * 10**9), format_timeframe(90 * 60 * 10**9)
    ('1h', '90m')
    """
    for unit in "wdhm":
        if timeframe_ns % UNIT_NS[unit] == 0:
            return f"{timeframe_ns // UNIT_NS[unit]}{unit}"
    return f"{timeframe_ns / 1e9:g}s"


def format_time(time: np.datetime64) -> str:
    """Return a bar's time to the minute, in UTC, as every message and table prints it."""
    return str(time.astype("datetime64[m]"))


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """Closed OHLCV bars of one symbol, oldest first, checked once and then read-only.

    A bar is stamped with its *open* time, as exchanges do, and becomes public at
    ``close_time``: ``close_time[i] <= now`` is the whole no-look-ahead rule. An
    unfinished bar is not a bar. The arrays are copied when they are still writeable.

    Parameters
    ----------
    open_time : datetime64[ns] array of shape (n,)
        Open times in UTC, strictly increasing, on the timeframe's grid, before 2100.
    open, high, low, close, volume : float64 arrays of shape (n,)
        Finite; prices in 1e-15..1e15; volume in 0..1e30; ``low <= open, close <= high``.
    timeframe_ns : int
        Length of one bar in nanoseconds.
    symbol : str
        Name of the market.
    sessions : bool
        True for markets that close overnight and on holidays (stocks): closures up to a
        week are then no gaps. False for markets that never close (crypto).
    context : mapping of str to float64 arrays of shape (n,)
        What else was known at each close, from outside this market, by name: NaN where nothing
        was, never infinite. Sliced, compared and hashed with the bars; coarser bars have none.
    funding : float64 array of shape (n,), optional
        What a long position pays and a short one receives at each open, as a fraction of its notional: see
        `engine.funding`. NaN where it is not known. A cost and no price: no decision reads it, no fingerprint knows it.

    Raises
    ------
    DataError
        With the column, row, time, rule and remedy.

    Examples
    --------
    >>> from engine.synthetic import random_bars
    >>> bars = random_bars(5, seed=1)
    >>> len(bars), len(bars.upto(3))
    (5, 3)
    """

    open_time: Times
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    timeframe_ns: int
    symbol: str = "UNNAMED"
    sessions: bool = False
    context: Mapping[str, Floats] = field(default_factory=dict)
    funding: Floats | None = None

    def __post_init__(self) -> None:
        """Copy what is writeable, check everything once, freeze."""
        if self.timeframe_ns <= 0:
            raise DataError(f"timeframe must be positive, was {self.timeframe_ns} ns")
        for name in ("open_time", *COLUMNS):
            dtype = "datetime64[ns]" if name == "open_time" else "float64"
            object.__setattr__(self, name, _owned(self, name, getattr(self, name), dtype))
        context = {
            name: _owned(self, f"context {name}", self.context[name], "float64") for name in sorted(self.context)
        }
        object.__setattr__(self, "context", MappingProxyType(context))
        if self.funding is not None:
            object.__setattr__(self, "funding", _owned(self, "funding", self.funding, "float64"))
            _refuse(self, np.isinf(self.funding), "funding", "is infinite; state what is not known as NaN")
        _check_times(self)
        _check_prices(self)
        for name, column in context.items():
            _refuse(self, np.isinf(column), f"context {name}", "is infinite; state what is not known as NaN")

    def __len__(self) -> int:
        return len(self.open_time)

    def __getitem__(self, rows: slice) -> Bars:
        """Return the bars of a slice, as views; every bar of it is kept."""
        if rows.step not in (None, 1):
            raise UsageError(f"bars[{rows}] must keep every bar: a step of {rows.step} would hide bars")
        part = object.__new__(Bars)  # a slice of checked bars is checked
        for name in ("open_time", *COLUMNS):
            object.__setattr__(part, name, getattr(self, name)[rows])
        for name in ("timeframe_ns", "symbol", "sessions"):
            object.__setattr__(part, name, getattr(self, name))
        context = {name: column[rows] for name, column in self.context.items()}
        object.__setattr__(part, "context", MappingProxyType(context))
        object.__setattr__(part, "funding", None if self.funding is None else self.funding[rows])
        return part

    def beside(self, context: Mapping[str, Floats]) -> Bars:
        """Return these bars with other context beside them; an empty one takes it all away."""
        return replace(self, context=context)

    def paying(self, funding: Floats | None) -> Bars:
        """Return these bars with what a long pays at each open; None takes it away."""
        return self if funding is None is self.funding else replace(self, funding=funding)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process whole, and be checked and frozen again there."""
        given = {name: getattr(self, name) for name in self.__slots__}
        return Bars, tuple((given | {"context": dict(self.context)}).values())

    def upto(self, n: int) -> Bars:
        """Return the first n bars: all that was known at the close of bar n-1."""
        return self[:n]

    def since(self, time: np.datetime64) -> int:
        """Return the index of the first bar that opens at or after a time."""
        return int(np.searchsorted(self.open_time, time.astype("datetime64[ns]")))

    @property
    def timeframe(self) -> str:
        """Name of the timeframe, such as ``1h``."""
        return format_timeframe(self.timeframe_ns)

    @property
    def close_time(self) -> Times:
        """When each bar became public, datetime64[ns] of shape (n,)."""
        return self.open_time + np.timedelta64(self.timeframe_ns, "ns")

    @property
    def slots(self) -> NDArray[np.int64]:
        """Number of each bar on the timeframe's grid since 1970, the same in every slice."""
        return self.open_time.view(np.int64) // self.timeframe_ns

    @property
    def follows(self) -> NDArray[np.bool_]:
        """Whether each bar directly follows the one before it; False for the first."""
        out = np.zeros(len(self), np.bool_)
        out[1:] = np.diff(self.open_time.view(np.int64)) <= self.longest_step_ns
        return out

    @property
    def longest_step_ns(self) -> int:
        """The longest time between two bars that is not a gap."""
        return max(LONGEST_CLOSURE_NS, self.timeframe_ns) if self.sessions else self.timeframe_ns

    @property
    def bars_per_year(self) -> float:
        """Bars in a year of this market, for annualisation."""
        if not self.sessions:
            return 365.0 * DAY_NS / self.timeframe_ns
        span = float(self.open_time[-1] - self.open_time[0]) / DAY_NS if len(self) > 1 else 0.0
        return (len(self) - 1) / span * 365.25 if span > 0 else 252.0

    @property
    def days_per_year(self) -> int:
        """Days with a return in a year: 365 where the market never closes, else 252, or fewer for longer bars."""
        if not self.sessions:
            return 365
        return 252 if self.timeframe_ns <= DAY_NS else round(365.25 * DAY_NS / self.timeframe_ns)

    def fingerprint(self) -> str:
        """Return the sha256 of times, prices and context: equal data has an equal fingerprint."""
        digest = hashlib.sha256(f"{self.timeframe_ns}".encode())
        for name in ("open_time", *COLUMNS):
            digest.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        for name, column in self.context.items():
            told = np.where(np.isnan(column), np.nan, column)  # what is unknown has no sign
            digest.update(f"|{name}|".encode() + told.tobytes())
        return digest.hexdigest()


def _owned(bars: Bars, name: str, given: NDArray[Any], dtype: str) -> NDArray[Any]:
    array = np.asarray(given, dtype=dtype)
    if array.ndim != 1:
        raise DataError(f"{name} must be one-dimensional, had shape {array.shape}")
    if len(array) != len(bars.open_time):
        raise DataError(f"{name} has {len(array)} rows and open_time {len(bars.open_time)}; they must be the same bars")
    if array.flags.writeable:
        array = array.copy()
    array.flags.writeable = False
    return array


def _check_times(bars: Bars) -> None:
    stamps = bars.open_time.view(np.int64)
    _refuse(bars, np.isnat(bars.open_time), "open_time", "is missing; drop the row")
    _refuse(bars, bars.open_time >= LAST_TIME, "open_time", ABSURD_TIME)
    step = np.diff(stamps)
    _refuse(bars, np.r_[False, step == 0], "open_time", "is a duplicate; keep one row per bar")
    _refuse(bars, np.r_[False, step < 0], "open_time", "goes back in time; sort the file by time")
    off = stamps % bars.timeframe_ns != 0
    if bars.timeframe_ns < 7 * DAY_NS:  # weeks begin on the exchange's weekday, not on 1970's
        _refuse(bars, off, "open_time", f"is off the {bars.timeframe} grid; state the right timeframe or drop the row")


def _check_prices(bars: Bars) -> None:
    for name in COLUMNS:
        _refuse(bars, ~np.isfinite(getattr(bars, name)), name, "is not finite; drop or repair the bar upstream")
    for name in COLUMNS[:4]:
        _refuse(bars, getattr(bars, name) <= 0, name, "is not positive; drop or repair the bar upstream")
        absurd = (getattr(bars, name) >= HIGHEST_PRICE) | (getattr(bars, name) <= LOWEST_PRICE)
        _refuse(bars, absurd, name, ABSURD_PRICE)
    _refuse(bars, bars.volume < 0, "volume", "is negative; drop or repair the bar upstream")
    _refuse(bars, bars.volume >= HIGHEST_VOLUME, "volume", ABSURD_VOLUME)
    top = np.maximum(bars.open, bars.close)
    bottom = np.minimum(bars.open, bars.close)
    _refuse(bars, bars.high < top, "high", "is below open or close; drop or repair the bar upstream")
    _refuse(bars, bars.low > bottom, "low", "is above open or close; drop or repair the bar upstream")


def _refuse(bars: Bars, bad: NDArray[np.bool_], column: str, remedy: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        more = f" (and {int(bad.sum()) - 1} more)" if bad.sum() > 1 else ""
        raise DataError(f"{column}[{row}] of {len(bars)} ({format_time(bars.open_time[row])}){more} {remedy}")
