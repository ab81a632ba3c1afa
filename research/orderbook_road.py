"""``tradsys book``: from a recorded order book to a stored series of what it says about bars."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from engine.bars import Times, format_time, parse_timeframe
from engine.errors import UsageError
from engine.history.infer import check_symbol
from engine.history.store import Store
from research.orderbook import LONGEST_STEP_NS, Book, book_bars, read_book


def store_book(
    path: Path, timeframe: str, store: Store, symbol: str | None = None, latency_ns: int = 0, replace: bool = False
) -> tuple[Path, int]:
    """Keep what a recorded book says about bars, for the features that read it beside them.

    Returns
    -------
    folder : Path
        Of the series.
    partly : int
        Bars at the ends of the recording of which only a part was recorded.

    Raises
    ------
    UsageError
        When no bar was recorded from its open to its close.
    """
    if symbol is not None:
        check_symbol(symbol)
    seconds = re.fullmatch(r"([1-9][0-9]?)s", timeframe)
    length = (
        int(seconds[1]) * 10**9 if seconds else parse_timeframe(timeframe, "--timeframe", "1m, 1h", "1s to 99s, or ")
    )
    book = read_book(path, symbol, latency_ns)
    bars = book_bars(book, length)
    part = partly_recorded(book, bars.known_at, length)
    if part == len(bars):
        raise UsageError(
            f"{path.name} holds no whole bar of {timeframe}: it was recorded from {format_time(book.known_at[0])} to"
            f" {format_time(book.known_at[-1])}; state a shorter --timeframe"
        )
    return store.keep_values(bars, path.name, replace), part


def partly_recorded(book: Book, closes: Times, timeframe_ns: int) -> int:
    """Return how many bars begin before the recording or end after it, five seconds aside."""
    first, last = book.known_at.view(np.int64)[[0, -1]]
    ends = closes.view(np.int64)
    late, early = first > ends - timeframe_ns + LONGEST_STEP_NS, last < ends - LONGEST_STEP_NS
    return int((late | early).sum())
