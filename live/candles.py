"""Closed bars from an exchange: final by its own clock, remembered by hash, and compared when they are seen again."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.bars import COLUMNS, Bars, format_time, format_timeframe
from engine.errors import DataError
from live.broker import Broker, Candle, Retry
from live.clock import now
from live.ledger import Receipt
from live.schema import plain

OVERLAP = 3  # bars asked for again at each close
SETTLED_NS = 5 * 10**9  # after this a market where nobody trades has no forming bar, and the last is final all the same


class News(NamedTuple):
    """What a look at the exchange brought.

    Parameters
    ----------
    fresh : list of Candle
        Final bars not seen before, oldest first.
    changed : list of (int, str)
        Open time of each bar that is no longer as it was when it was final, and how.
    """

    fresh: list[Candle]
    changed: list[tuple[int, str]]


class Candles:
    """The last bars of one market, and the one that is forming.

    Parameters
    ----------
    broker : Broker
        The exchange.
    symbol : str
        The market.
    timeframe_ns : int
        Length of a bar.
    memory : int
        Bars a decision needs.
    seen : Bars or None
        Bars known from the ledger: they are gone on from, and never replaced.
    """

    def __init__(self, broker: Broker, symbol: str, timeframe_ns: int, memory: int, seen: Bars | None) -> None:
        self.broker, self.symbol, self.timeframe_ns, self.memory = broker, symbol, timeframe_ns, memory
        self.bars = seen
        self.forming: Candle | None = None
        self._opened = (0, 0.0)
        self.beside: Callable[[Bars], Bars] = _nothing_beside

    @property
    def next_close(self) -> int:
        """When the bar after the last one closes, by the exchange's clock."""
        if self.bars is None:
            return 0
        return int(self.bars.open_time[-1].astype(np.int64)) + 2 * self.timeframe_ns

    def opened(self, open_time: int) -> float | None:
        """Return the open of the bar that began at a time, once something was traded in it."""
        known = self.forming
        if known is not None and known.open_time == open_time and known.volume > 0:
            self._opened = (open_time, known.open)  # it stays known when the exchange stops showing it
        return self._opened[1] if self._opened[0] == open_time else None

    def look(self) -> News:
        """Ask for what closed since the last look.

        A bar is final when the exchange's clock, asked first, had passed its close and the next bar has begun, or
        nobody trades: the clock of an exchange may run ahead of its candles.

        Raises
        ------
        Retry, Refused
            From the exchange.
        """
        since = self._since()
        clock = self.broker.server_time()
        rows = [row for page in self._pages(since, clock) for row in page]
        self.forming = rows[-1] if rows and not rows[-1].final else None
        newest = rows[-1].open_time if rows else 0
        final = [
            row
            for row in rows
            if row.final and (newest > row.open_time or clock >= row.open_time + self.timeframe_ns + SETTLED_NS)
        ]
        last = -1 if self.bars is None else int(self.bars.open_time[-1].astype(np.int64))
        fresh = [row for row in final if row.open_time > last]
        return News(fresh, self._changes([row for row in final if row.open_time <= last]))

    def take(self, fresh: Sequence[Candle]) -> Bars:
        """Add final bars, with what is known beside them now, to the window, and return its last ``memory`` bars."""
        more = self.beside(bars_of(fresh, self.timeframe_ns, self.symbol))
        if self.bars is not None:
            kept = self.bars[-max(self.memory - len(more), 0) :] if self.memory > len(more) else self.bars[:0]
            more = joined(kept, more)
        self.bars = more[-self.memory :]
        return self.bars

    def _since(self) -> int:
        """Where to ask from: some bars back from the last, or as far back as a decision needs."""
        if self.bars is not None:
            return int(self.bars.open_time[-1].astype(np.int64)) - (OVERLAP - 1) * self.timeframe_ns
        last = self.broker.server_time() // self.timeframe_ns * self.timeframe_ns
        return last - (self.memory + OVERLAP) * self.timeframe_ns

    def _pages(self, since: int, clock: int) -> list[list[Candle]]:
        pages = [self.broker.candles(self.symbol, self._timeframe, since)]
        while pages[-1] and pages[-1][-1].open_time + self.timeframe_ns <= clock:
            page = self.broker.candles(self.symbol, self._timeframe, pages[-1][-1].open_time + 1)
            if not page:
                break
            pages.append(page)
        return pages

    @property
    def _timeframe(self) -> str:
        return format_timeframe(self.timeframe_ns)

    def _changes(self, again: Sequence[Candle]) -> list[tuple[int, str]]:
        """Compare bars seen again with those decided on."""
        known = self.bars
        if known is None:
            return []
        again_at = {row.open_time: row for row in again}
        changes = []
        for row in range(max(len(known) - OVERLAP, 0), len(known)):
            time = int(known.open_time[row].astype(np.int64))
            if again_at and time >= min(again_at):
                changes += [(time, said) for said in (_change(known, row, again_at.get(time)),) if said]
        return changes


def _change(known: Bars, row: int, again: Candle | None) -> str:
    """Say how a bar differs from what was decided on."""
    bar = format_time(known.open_time[row])
    if again is None:
        return f"bar {bar} is gone"
    pairs = [(name, float(getattr(known, name)[row]), float(getattr(again, name))) for name in COLUMNS]
    said = [f"{name} was {was!r} and is {now_is!r}" for name, was, now_is in pairs if was != now_is]
    return f"bar {bar}: {', '.join(said)}" if said else ""


def receipt(candle: Candle) -> Receipt:
    """Return when a candle arrived, and its hash."""
    return Receipt(int(plain(now()) or 0), candle_hash(candle))


def candle_hash(candle: Candle) -> str:
    """Return the sha256 of a candle's time and prices.

    Examples
    --------
    >>> candle_hash(Candle(0, 1.0, 2.0, 1.0, 1.5, 3.0, True))[:8]
    '9e2cc816'
    """
    return hashlib.sha256(struct.pack("<q5d", candle.open_time, *candle[1:6])).hexdigest()


def bars_of(rows: Sequence[Candle], timeframe_ns: int, symbol: str) -> Bars:
    """Return candles as bars.

    Raises
    ------
    Retry
        If they are none: an exchange that gave nonsense once may give bars the next time.
    """
    columns: dict[str, Any] = {name: np.array([getattr(row, name) for row in rows], np.float64) for name in COLUMNS}
    times = np.array([row.open_time for row in rows], np.int64).view("datetime64[ns]")
    try:
        return Bars(times, timeframe_ns=timeframe_ns, symbol=symbol, **columns)
    except DataError as why:
        raise Retry(f"the exchange gave {symbol} bars that are none: {why}") from None


def nothing_yet(timeframe_ns: int, symbol: str) -> Bars:
    """Return no bars at all of a market."""
    none = np.empty(0)
    return Bars(np.empty(0, "datetime64[ns]"), none, none, none, none, none, timeframe_ns, symbol)


def joined(first: Bars, second: Bars) -> Bars:
    """Return the bars of one after those of the other."""
    columns: dict[str, Any] = {name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in COLUMNS}
    unknown = np.full(len(first), np.nan)
    columns["context"] = {
        name: np.concatenate([first.context.get(name, unknown), column]) for name, column in second.context.items()
    }
    times = np.concatenate([first.open_time, second.open_time])
    return Bars(times, timeframe_ns=second.timeframe_ns, symbol=second.symbol, sessions=second.sessions, **columns)


def _nothing_beside(bars: Bars) -> Bars:
    return bars
