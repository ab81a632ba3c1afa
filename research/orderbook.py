"""Recorded order books: what the queues lean to, what flowed into them, and both on the grid of bars.

A book is a series of snapshots of the best levels of both sides. What it says about a bar is made of the snapshots
known within that bar alone, up to and including its close, and is known at that close; where nothing was recorded,
nothing is known. Levels are numbered from the best price on.

Notes
-----
R. Cont, A. Kukanov, S. Stoikov, The Price Impact of Order Book Events, 2014 (order flow imbalance); K. Xu, M. Gould,
S. Howison, Multi-Level Order-Flow Imbalance, 2018; S. Stoikov, The Micro-Price, 2018. The microprice here is the mid
weighed by the opposite queues, the zeroth step of Stoikov's, which goes on to fit what mids tend to from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.bars import Bars, Floats, Times, format_timeframe
from engine.errors import DataError, UsageError
from engine.history.arrays import float_array, integer_array
from engine.history.external import External
from engine.history.infer import infer_symbol

DEEP = 5  # levels of what is called deep
LONGEST_STEP_NS = 5 * 10**9  # between two snapshots; beyond it what flowed in between is not known
EVENT_TIME, RECEIVED = "timestamp", ("received", "receive_timestamp", "local_timestamp")


@dataclass(frozen=True, slots=True, eq=False)
class Book:
    """Snapshots of the best levels of both sides, oldest first.

    Parameters
    ----------
    symbol : str
        Its market.
    known_at : datetime64[ns] array of shape (n,)
        When each was received, where that was recorded, else when the exchange says it happened; not falling.
    bid_price, bid_size, ask_price, ask_size : float64 arrays of shape (n, levels)
        Best level first; NaN where a level was not there.

    Raises
    ------
    DataError
        When the arrays do not fit or time goes back.
    """

    symbol: str
    known_at: Times
    bid_price: Floats
    bid_size: Floats
    ask_price: Floats
    ask_size: Floats

    def __post_init__(self) -> None:
        """Refuse what is no book."""
        for name in ("bid_size", "ask_price", "ask_size"):
            if getattr(self, name).shape != self.bid_price.shape:
                raise DataError(f"{name} has shape {getattr(self, name).shape} and bid_price {self.bid_price.shape}")
        if len(self.known_at) != len(self.bid_price):
            raise DataError(f"{len(self.known_at)} times were given for {len(self.bid_price)} snapshots")
        back = np.flatnonzero(np.diff(self.known_at.view(np.int64)) < 0)
        if len(back):
            raise DataError(f"snapshot {back[0] + 1} of {self.symbol} goes back in time; sort the file by time")

    def __len__(self) -> int:
        return len(self.known_at)

    @property
    def whole(self) -> NDArray[np.bool_]:
        """Which snapshots have both best prices, uncrossed, and something at them, shape (n,)."""
        there = (self.bid_size[:, 0] > 0) & (self.ask_size[:, 0] > 0)
        return there & (self.bid_price[:, 0] < self.ask_price[:, 0])

    @property
    def mid(self) -> Floats:
        """Mean of the best prices, shape (n,)."""
        return (self.bid_price[:, 0] + self.ask_price[:, 0]) / 2.0


def read_book(path: Path, symbol: str | None = None, latency_ns: int = 0) -> Book:
    """Return the book of a Parquet file with columns ``bid_px_1, bid_sz_1, ... ask_px_1, ask_sz_1, ... timestamp``.

    Parameters
    ----------
    path : Path
        One session of one market.
    symbol : str, optional
        By default what stands first in the file's name.
    latency_ns : int
        Added to the exchange's time where the time of receipt was not recorded.

    Raises
    ------
    DataError
        When it is no Parquet file or holds no levels, such as only sums of each side.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise UsageError(f"{path} does not exist; name the Parquet file of a recorded book")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        why = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"{path.name} is no Parquet file ({why}); a book is read from Parquet") from None
    levels = sum(name.startswith("bid_px_") for name in table.column_names)
    if not levels or EVENT_TIME not in table.column_names:
        raise DataError(f"{path.name} has no levels (bid_px_1, bid_sz_1, ... timestamp): no queue, no flow")
    received = next((name for name in RECEIVED if name in table.column_names), None)
    sides = (
        np.stack([float_array(table[f"{side}_{what}_{k}"]) for k in range(1, levels + 1)], axis=1)
        for side in ("bid", "ask")
        for what in ("px", "sz")
    )
    at = _nanoseconds(table[received or EVENT_TIME]) + (0 if received else latency_ns)
    return Book(symbol or infer_symbol(path.name.split("_")[0]), at.view("datetime64[ns]"), *sides)


def queue_imbalance(book: Book, levels: int = 1) -> Floats:
    """Return size bid less size asked over both, -1 to 1, of some levels together, shape (n,); NaN without a book."""
    bid, ask = (np.nansum(side[:, :levels], axis=1) for side in (book.bid_size, book.ask_size))
    return np.divide(bid - ask, bid + ask, out=np.full(len(book), np.nan), where=book.whole)


def microprice_deviation(book: Book) -> Floats:
    """Return the microprice less the mid in basis points of the mid, shape (n,); NaN without a book.

    The microprice lies nearer to the side that is about to give way: where much is bid, nearer to the ask. It is
    away from the mid by the best queues' imbalance, in half spreads.
    """
    half = (book.ask_price[:, 0] - book.bid_price[:, 0]) / 2.0
    return queue_imbalance(book) * half / book.mid * 1e4


@njit(cache=True, nogil=True)
def side_step(price: float, size: float, last_price: float, last_size: float, better: float) -> float:
    """Return what was added to a side by one event; ``better`` is 1 where a higher price is the better, else -1."""
    gain = better * (price - last_price)
    return (size if gain >= 0.0 else 0.0) - (last_size if gain <= 0.0 else 0.0)


@njit(cache=True, nogil=True)
def flows(bid_price: Floats, bid_size: Floats, ask_price: Floats, ask_size: Floats, out: Floats) -> None:
    """Write the order flow imbalance of every event and level: what the bid gained less what the ask gained.

    Parameters
    ----------
    bid_price, bid_size, ask_price, ask_size : float64 arrays of shape (n, levels)
        Snapshots.
    out : float64 array of shape (n, levels)
        In size; its first row is left as it is: nothing came before.
    """
    for i in range(1, len(out)):
        for k in range(out.shape[1]):
            bid = side_step(bid_price[i, k], bid_size[i, k], bid_price[i - 1, k], bid_size[i - 1, k], 1.0)
            ask = side_step(ask_price[i, k], ask_size[i, k], ask_price[i - 1, k], ask_size[i - 1, k], -1.0)
            out[i, k] = bid - ask


def order_flow(book: Book, levels: int = 1) -> Floats:
    """Return the order flow imbalance of every snapshot against the one before it, in size.

    Returns
    -------
    float64 array of shape (n, levels)
        NaN where either snapshot is no whole book, has no such level, or they are further apart than 5 s.
    """
    sides = (book.bid_price, book.bid_size, book.ask_price, book.ask_size)
    cut = [np.ascontiguousarray(side[:, :levels]) for side in sides]
    out: Floats = np.full(cut[0].shape, np.nan)
    flows(*cut, out)
    there = np.isfinite(cut).all(axis=0) & book.whole[:, None]
    near = np.diff(book.known_at.view(np.int64)) <= LONGEST_STEP_NS
    out[1:][~(there[1:] & there[:-1] & near[:, None])] = np.nan
    return out


def book_bars(book: Book, timeframe_ns: int) -> External:
    """Return what a book says about each bar of a length, known at the bar's close.

    Parameters
    ----------
    book : Book
        Snapshots of a time after a bar's open, up to and with its close, are the bar's.
    timeframe_ns : int
        Length of a bar; the grid begins in 1970.

    Returns
    -------
    External
        ``book_imbalance`` and ``microprice_dev`` of the last whole snapshot; ``imbalance_deep`` of its best 5
        levels together; ``ofi`` and ``ofi_deep``: flow at the best level, and at the best 5, over the mean size of a
        side there; ``spread_bp``; ``snapshots``, how many whole ones. Bars without any are not in it.
    """
    whole, deep = book.whole, min(DEEP, book.bid_price.shape[1])
    slot = (book.known_at.view(np.int64) - 1) // timeframe_ns
    slots, place = np.unique(slot[whole], return_inverse=True)
    last = np.flatnonzero(whole)[np.searchsorted(place, np.arange(len(slots)), side="right") - 1]
    flow = order_flow(book, deep)
    best, all_levels = flow[:, 0], np.where(np.isnan(flow[:, 0]), np.nan, np.nansum(flow, axis=1))
    spread = (book.ask_price[:, 0] - book.bid_price[:, 0]) / book.mid * 1e4
    columns = {
        "book_imbalance": queue_imbalance(book)[last],
        "imbalance_deep": queue_imbalance(book, deep)[last],
        "microprice_dev": microprice_deviation(book)[last],
        "ofi": _per_depth(best, _depth(book, 1), slot, slots),
        "ofi_deep": _per_depth(all_levels, _depth(book, deep), slot, slots),
        "spread_bp": spread[last],
        "snapshots": np.bincount(place, minlength=len(slots)).astype(np.float64),
    }
    closes = ((slots + 1) * timeframe_ns).view("datetime64[ns]")
    return External(f"{book.symbol}-book-{format_timeframe(timeframe_ns)}", closes, columns)


def _depth(book: Book, levels: int) -> Floats:
    """Mean size of a side over some levels, of each snapshot; NaN without a book."""
    both = np.nansum(book.bid_size[:, :levels], axis=1) + np.nansum(book.ask_size[:, :levels], axis=1)
    return np.where(book.whole, both / 2.0, np.nan)


def _per_depth(flow: Floats, depth: Floats, slot: NDArray[np.int64], slots: NDArray[np.int64]) -> Floats:
    """Sum of the flows of each slot over the mean depth in it; NaN where no flow is known."""

    def summed(values: Floats) -> Floats:
        known = np.isfinite(values)  # in a whole snapshot, whose slot is therefore one of these
        place = np.searchsorted(slots, slot[known])
        weights = (values[known], np.ones(len(place)))
        return np.stack([np.bincount(place, weight, len(slots)) for weight in weights])

    (total, events), (sizes, snapshots) = summed(flow), summed(depth)
    return np.where(events > 0, total * snapshots / np.maximum(sizes, 1e-300), np.nan)


def trade_bars(path: Path, timeframe_ns: int, symbol: str | None = None) -> Bars:
    """Return the bars of recorded trades (``price, qty, timestamp``); a bar without a trade is missing."""
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=["price", "qty", EVENT_TIME])
    price, size, at = float_array(table["price"]), float_array(table["qty"]), _nanoseconds(table[EVENT_TIME])
    order = np.argsort(at, kind="stable")
    price, size, slot = price[order], size[order], at[order] // timeframe_ns
    first = np.flatnonzero(np.diff(slot, prepend=slot[0] - 1))
    return Bars(
        (slot[first] * timeframe_ns).view("datetime64[ns]"),
        price[first],
        np.maximum.reduceat(price, first),
        np.minimum.reduceat(price, first),
        price[np.r_[first[1:], len(price)] - 1],
        np.add.reduceat(size, first),
        timeframe_ns,
        symbol or infer_symbol(path.name.split("_")[0]),
    )


def _nanoseconds(column: object) -> NDArray[np.int64]:
    import pyarrow as pa

    return integer_array(column.cast(pa.timestamp("ns", "UTC")))  # type: ignore[attr-defined]
