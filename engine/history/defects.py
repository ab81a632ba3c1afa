"""Every rule a row of a market file can break, in one place: reading refuses the first, checking lists them all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.bars import (
    ABSURD_PRICE,
    ABSURD_TIME,
    ABSURD_VOLUME,
    COLUMNS,
    DAY_NS,
    HIGHEST_PRICE,
    HIGHEST_VOLUME,
    LAST_TIME,
    LOWEST_PRICE,
    Floats,
    format_timeframe,
)
from engine.history.infer import Stamps

REPAIR = "drop or repair the bar upstream"


class Defect(NamedTuple):
    """The rows of a file that break one rule.

    Parameters
    ----------
    kind : str
        Short name of the rule: unparsable, missing, unsorted, duplicate, off-grid, non-finite, not-positive,
        absurd, ohlc.
    column : str
        Column at fault.
    rows : int64 array of shape (k,)
        Rows at fault, from 0, in the file's order.
    values : array of shape (k,)
        What stands there.
    rule : str
        The rule and the remedy, such as ``is not finite; drop or repair the bar upstream``.
    """

    kind: str
    column: str
    rows: NDArray[np.int64]
    values: NDArray[Any]
    rule: str


def order_defects(stamps: Stamps) -> Iterator[Defect]:
    """Yield the rows without a time, those before the row above them, and the second rows of a bar."""
    times = stamps.view("datetime64[ns]")
    absent = np.isnat(times)
    yield _defect("missing", "timestamp", absent, times, "is missing; drop the row")
    yield _defect("absurd", "timestamp", times >= LAST_TIME, times, ABSURD_TIME)
    known = np.flatnonzero(~absent)
    step = np.diff(stamps[known])
    back = "goes back in time; sort the file by time"
    if len(step) and (step <= 0).all() and (step < 0).any():
        back = "goes back in time: the file runs newest first; sort it oldest first"
    yield _of_rows("unsorted", known[1:][step < 0], times, back)
    order = known[np.argsort(stamps[known], kind="stable")] if (step < 0).any() else known
    again = np.sort(order[1:][np.diff(stamps[order]) == 0])
    yield _of_rows("duplicate", again, times, "is a duplicate; keep one row per bar")


def grid_defects(stamps: Stamps, timeframe_ns: int) -> Iterator[Defect]:
    """Yield the rows whose time is not on the timeframe's grid; weeks may begin on any weekday."""
    if timeframe_ns < 7 * DAY_NS:
        times = stamps.view("datetime64[ns]")
        off = ~np.isnat(times) & (stamps % timeframe_ns != 0)
        rule = f"is off the {format_timeframe(timeframe_ns)} grid; state the right timeframe or drop the row"
        yield _defect("off-grid", "timestamp", off, times, rule)


def price_defects(prices: dict[str, Floats]) -> Iterator[Defect]:
    """Yield the cells that are no prices and the bars whose high or low does not hold the others."""
    for name in COLUMNS:
        yield _defect("non-finite", name, ~np.isfinite(prices[name]), prices[name], f"is not finite; {REPAIR}")
    for name in COLUMNS[:4]:
        yield _defect("not-positive", name, prices[name] <= 0, prices[name], f"is not positive; {REPAIR}")
    yield _defect("not-positive", "volume", prices["volume"] < 0, prices["volume"], f"is negative; {REPAIR}")
    for name in COLUMNS[:4]:
        cells = prices[name]
        absurd = ((cells >= HIGHEST_PRICE) & (cells < np.inf)) | ((cells > 0) & (cells <= LOWEST_PRICE))
        yield _defect("absurd", name, absurd, cells, ABSURD_PRICE)
    volume = prices["volume"]
    yield _defect("absurd", "volume", (volume >= HIGHEST_VOLUME) & (volume < np.inf), volume, ABSURD_VOLUME)
    whole = np.isfinite(prices["open"] + prices["high"] + prices["low"] + prices["close"])
    below = whole & (prices["high"] < np.maximum(prices["open"], prices["close"]))
    above = whole & (prices["low"] > np.minimum(prices["open"], prices["close"]))
    yield _defect("ohlc", "high", below, prices["high"], f"is below open or close; {REPAIR}")
    yield _defect("ohlc", "low", above, prices["low"], f"is above open or close; {REPAIR}")


def _defect(kind: str, column: str, bad: NDArray[np.bool_], values: NDArray[Any], rule: str) -> Defect:
    rows = np.flatnonzero(bad)
    return Defect(kind, column, rows, values[rows], rule)


def _of_rows(kind: str, rows: NDArray[np.int64], values: NDArray[Any], rule: str) -> Defect:
    return Defect(kind, "timestamp", rows, values[rows], rule)
