"""The rows of a stored series: times and columns, put together, cut by the calendar, written as Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.bars import COLUMNS, UNIT_NS, Bars, Floats, Times
from engine.history.arrays import arrow_column, arrow_reader, float_array, integer_array

MONTHLY_BELOW_NS = UNIT_NS["h"]  # finer bars are kept by month, the others by year
FLAGS = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Times, oldest first, and what belongs to each.

    Parameters
    ----------
    times : int64 array of shape (n,)
        Nanoseconds since 1970: open times of bars, or when values were known.
    columns : mapping of str to float64 arrays of shape (n,)
        By name.
    """

    times: NDArray[np.int64]
    columns: Mapping[str, Floats]

    def __len__(self) -> int:
        return len(self.times)

    def at(self, rows: slice | FLAGS | NDArray[np.int64]) -> Rows:
        """Return some of the rows."""
        return Rows(self.times[rows], {name: column[rows] for name, column in self.columns.items()})


class Merged(NamedTuple):
    """Rows put together, and which of the newer ones are new, and which another version of an older one."""

    rows: Rows
    fresh: FLAGS
    changed: FLAGS


def rows_of(bars: Bars) -> Rows:
    """Return bars as rows."""
    return Rows(bars.open_time.view(np.int64), {name: getattr(bars, name) for name in COLUMNS})


def one_after_another(parts: Sequence[Rows]) -> Rows:
    """Return the rows of all parts in their order; of no parts, no rows of no columns."""
    if not parts:
        return Rows(np.empty(0, np.int64), {})
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    return Rows(np.concatenate([part.times for part in parts]), columns)


def merged(old: Rows, new: Rows) -> Merged:
    """Return both in order of time, each time once; where they differ in any bit, the newer stands.

    Examples
    --------
    >>> old = Rows(np.array([1, 2]), {"a": np.array([1.0, 2.0])})
    >>> new = Rows(np.array([2, 3]), {"a": np.array([9.0, 3.0])})
    >>> both = merged(old, new)
    >>> both.rows.times.tolist(), both.rows.columns["a"].tolist(), both.fresh.tolist(), both.changed.tolist()
    ([1, 2, 3], [1.0, 9.0, 3.0], [False, True], [True, False])
    """
    place = np.searchsorted(old.times, new.times)
    met = place < len(old)
    met[met] = old.times[place[met]] == new.times[met]
    changed = np.zeros(len(new), np.bool_)
    for name, column in new.columns.items():
        if met.any():
            changed[met] |= old.columns[name][place[met]].view(np.int64) != column[met].view(np.int64)
    kept = np.ones(len(old), np.bool_)
    kept[place[met]] = False
    both = one_after_another([old.at(kept), new]) if len(old) else new
    return Merged(both.at(np.argsort(both.times, kind="stable")), ~met, changed)


def calendar_parts(times: NDArray[np.int64], step_ns: int) -> NDArray[np.datetime64]:
    """Return the year, or of bars under an hour the month, that each time belongs to.

    Examples
    --------
    >>> calendar_parts(np.array([0, 32 * 86400 * 10**9]), 60 * 10**9).astype(str).tolist()
    ['1970-01', '1970-02']
    """
    unit = "M" if 0 < step_ns < MONTHLY_BELOW_NS else "Y"
    return as_times(times).astype(f"datetime64[{unit}]")


def by_calendar(rows: Rows, step_ns: int) -> Iterator[tuple[str, Rows]]:
    """Yield the rows of each year or month, with its name."""
    parts = calendar_parts(rows.times, step_ns)
    edges = [0, *(np.flatnonzero(parts[1:] != parts[:-1]) + 1).tolist(), len(rows)]
    for begin, end in pairwise(edges):
        if end > begin:
            yield str(parts[begin]), rows.at(slice(begin, end))


def to_parquet(rows: Rows, time_name: str) -> bytes:
    """Return rows as a Parquet file, its first column the time in UTC."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = [arrow_column(rows.times, pa.timestamp("ns", "UTC"))]
    columns += [arrow_column(column, pa.float64()) for column in rows.columns.values()]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays(columns, names=[time_name, *rows.columns]), sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


def from_parquet(content: bytes) -> Rows:
    """Return the rows of a Parquet file that `to_parquet` wrote."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(arrow_reader(content)) as file:
        table = file.read()
    time, *names = table.column_names
    return Rows(integer_array(table[time]), {name: float_array(table[name]) for name in names})


def exact_time(time: np.int64 | int) -> str:
    """Return nanoseconds since 1970 as text that loses nothing.

    Examples
    --------
    >>> exact_time(8 * 10**6), exact_time(0)
    ('1970-01-01T00:00:00.008', '1970-01-01')
    """
    return str(np.datetime_as_string(as_times(np.array([time], np.int64)), unit="auto")[0])


def as_times(stamps: NDArray[np.int64]) -> Times:
    """Return nanoseconds since 1970 as datetime64[ns]."""
    return stamps.view("datetime64[ns]")
