"""The rows of a market file as they stand, before anything is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.bars import COLUMNS, Floats, format_time
from engine.errors import DataError, UsageError
from engine.history.arrays import float_array
from engine.history.columnar import is_feather, is_parquet, open_columnar
from engine.history.columns import TIME, pick_columns
from engine.history.defects import Defect, grid_defects, order_defects, price_defects
from engine.history.delimited import open_delimited
from engine.history.infer import Stamps
from engine.history.stamps import read_stamps

COLUMNAR = (".parquet", ".pq", ".feather", ".arrow")
DELIMITED = (".csv", ".txt", ".tsv", ".csv.gz", ".zip")


class Sheet(Protocol):
    """A file as a table: named columns, of which the picked ones are read."""

    @property
    def label(self) -> str: ...
    @property
    def names(self) -> Sequence[str]: ...
    @property
    def unit(self) -> str: ...
    def take(self, picked: dict[str, int]) -> dict[str, Any]: ...
    def line_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]: ...


@dataclass(frozen=True, slots=True)
class RawBars:
    """A market file's open times and columns, with the cells that could not be read.

    Parameters
    ----------
    sheet : Sheet
        The file.
    stamps : int64 array of shape (n,)
        Open times in nanoseconds, numpy's NaT where there is none.
    prices : dict of str to float64 array of shape (n,)
        Open, high, low, close and volume; NaN where a cell is empty or no number.
    unreadable : tuple of Defect
        Cells that are neither.
    """

    sheet: Sheet
    stamps: Stamps
    prices: dict[str, Floats]
    unreadable: tuple[Defect, ...]

    @property
    def label(self) -> str:
        """Name of the file."""
        return self.sheet.label

    def row_defects(self) -> Iterator[Defect]:
        """Yield what is wrong with cells and order: what can be told before the timeframe is known."""
        yield from self.unreadable
        yield from order_defects(self.stamps)

    def bar_defects(self, timeframe_ns: int) -> Iterator[Defect]:
        """Yield what is wrong with the bars themselves."""
        yield from grid_defects(self.stamps, timeframe_ns)
        yield from price_defects(self.prices)

    def refuse(self, defects: Iterator[Defect]) -> None:
        """Raise the first defect that any row has, naming file, line, time, value, rule and remedy."""
        for defect in defects:
            if len(defect.rows):
                row = int(defect.rows[0])
                place = f"{self.label} {self.sheet.unit} {self.sheet.line_of(defect.rows[:1])[0]}"
                time = "" if defect.column == TIME else f" ({self.time_text(row)})"
                more = f" (and {len(defect.rows) - 1} more rows)" if len(defect.rows) > 1 else ""
                raise DataError(f"{place}{time}: {describe(defect, 0)}{more}")

    def time_text(self, row: int) -> str:
        """Return the time of a row as messages print it."""
        return format_time(self.stamps[row : row + 1].view("datetime64[ns]")[0])


def describe(defect: Defect, i: int) -> str:
    """Return in words what is wrong with the i-th row of a defect."""
    value = defect.values[i]
    text = format_time(value) if isinstance(value, np.datetime64) else repr(value) if isinstance(value, str) else value
    return f"{defect.column} {text} {defect.rule}" if text != "NaT" else f"{defect.column} {defect.rule}"


def read_raw(path: Path, sessions: bool | None = None) -> RawBars:
    """Return the rows of a market file in any known format, whatever is wrong with them.

    Raises
    ------
    UsageError
        When there is no such file.
    DataError
        When the file holds no table of bars: wrong kind of file, empty, damaged, columns missing.
    """
    sheet = open_sheet(path)
    columns = sheet.take(pick_columns(sheet.names, sheet.label))
    stamps, unreadable = read_stamps(columns[TIME], sessions, sheet.label)
    prices = {}
    for name in COLUMNS:
        prices[name], bad = read_numbers(columns[name], name, sheet.label)
        unreadable += bad
    return RawBars(sheet, stamps, prices, tuple(unreadable))


def is_market_file_name(name: str) -> bool:
    """Return whether a name ends as a kind of file that is read."""
    return name.lower().endswith((*COLUMNAR, *DELIMITED))


def open_sheet(path: Path) -> Sheet:
    """Return a file of any known kind as a table.

    Raises
    ------
    UsageError, DataError
        As ``read_raw``.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file in it")
    if not path.exists():
        raise UsageError(f"{path} does not exist; name a file that does")
    name = path.name.lower()
    try:
        known = is_market_file_name(name)
        if known and (is_parquet(path) or is_feather(path) or name.endswith(COLUMNAR)):
            return open_columnar(path)
        if known:
            return open_delimited(path)
    except OSError as error:
        raise DataError(f"{path.name} cannot be read: {error.strerror}; see to its permissions") from None
    allowed = ", ".join((*COLUMNAR, *DELIMITED))
    raise DataError(f"{path.name} is not a kind of file this reads; allowed: {allowed}")


def read_numbers(column: Any, name: str, label: str) -> tuple[Floats, list[Defect]]:
    """Return a column's numbers, NaN where a cell is empty or none, and the cells that are none.

    Raises
    ------
    DataError
        When it holds something else than numbers and text.
    """
    import pyarrow as pa
    import pyarrow.types as types

    kind = column.type
    if types.is_string(kind) or types.is_large_string(kind):
        try:
            return float_array(column), []
        except pa.ArrowInvalid:
            return _numbers_of_text([(cell or "").strip() for cell in column.to_pylist()], name)
    if not (types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_null(kind)):
        raise DataError(f"{label}: its column {name} is of type {kind}; it must hold numbers")
    return float_array(column), []


def _numbers_of_text(cells: list[str], name: str) -> tuple[Floats, list[Defect]]:
    out = np.full(len(cells), np.nan)
    bad = []
    for i, cell in enumerate(cells):
        try:
            out[i] = float(cell) if cell and "_" not in cell else np.nan
        except ValueError:
            bad.append(i)
    rows = np.array(bad, dtype=np.int64)
    values = np.array([cells[i] for i in bad], dtype=object)
    rule = "is not a number; drop the line or write it with a decimal point and no other sign"
    return out, [Defect("unparsable", name, rows, values, rule)]
