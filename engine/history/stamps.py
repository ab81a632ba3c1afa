"""Open times in any of the forms files hold them, as nanoseconds since 1970 in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.bars import DAY_NS
from engine.errors import DataError
from engine.history.arrays import float_array, integer_array, present_rows
from engine.history.defects import Defect
from engine.history.delimited import OFFSET
from engine.history.infer import Stamps, never_at_weekends

MISSING = np.iinfo(np.int64).min  # numpy's NaT
UNITS = ("s", "ms", "us", "ns")
UNIT_BOUNDS = np.array([10**8, 10**10, 10**11, 10**13, 10**14, 10**16, 10**17, 2**63 - 1])  # all from 1973 on
UNIT_SCALE = np.array([10**9, 10**6, 10**3, 1])
READABLE = "write UTC as 2024-01-31T15:00 or as an epoch in s, ms, us or ns"
NOT_A_TIME = f"is not a time; {READABLE}"


def read_stamps(column: Any, sessions: bool | None, label: str) -> tuple[Stamps, list[Defect]]:
    """Return the open times of an Arrow column and what is wrong with them.

    Epochs are told apart by their size (s, ms, us or ns, from 1973 on). A time without an offset is
    UTC. Times with an offset are converted, with one exception: where every one of them is midnight
    by the market's own clock and the market closes at weekends, the stamp is the session's date, as
    yfinance writes it, and stands for 00:00 UTC of that date.

    Parameters
    ----------
    column : pyarrow array
        Timestamps, dates, epochs or text.
    sessions : bool or None
        Whether the market closes; None to tell by the weekends.
    label : str
        Name of the file, for messages.

    Returns
    -------
    stamps : int64 array of shape (n,)
        Nanoseconds since 1970; numpy's NaT where a time is missing or not understood.
    defects : list of Defect
        Cells that are no times, and epochs in another unit than the first.
    """
    import pyarrow.types as types

    kind = column.type
    if types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if types.is_timestamp(kind) or types.is_date(kind):
        return _from_typed(column, sessions, label), []
    if types.is_integer(kind) or types.is_null(kind):
        return _from_epochs(integer_array(column), present_rows(column))
    if types.is_floating(kind):
        return _from_floats(column)
    if types.is_string(kind) or types.is_large_string(kind):
        return _from_text(column, sessions)
    raise DataError(f"{label}: its time column is of type {kind}; it must hold times, dates or epochs")


def _from_typed(column: Any, sessions: bool | None, label: str) -> Stamps:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        zone = getattr(column.type, "tz", None)
        instants = _nanoseconds(column)
        if zone is None or zone.upper() in ("UTC", "+00:00", "ETC/UTC", "Z"):
            return instants
        return _session_dates(_nanoseconds(pc.local_timestamp(column)), sessions, instants)
    except pa.ArrowInvalid:
        raise DataError(f"{label}: its times do not all lie between 1678 and 2262; drop the others") from None


def _nanoseconds(column: Any) -> Stamps:
    import pyarrow as pa

    values = integer_array(column.cast(pa.timestamp("ns", getattr(column.type, "tz", None))))
    return np.where(present_rows(column), values, MISSING)


def _session_dates(local: Stamps, sessions: bool | None, instants: Stamps) -> Stamps:
    known = local[local != MISSING]
    closes = never_at_weekends(known) if sessions is None else sessions
    return local if closes and not (known % DAY_NS).any() else instants


def _from_epochs(values: Stamps, present: NDArray[np.bool_]) -> tuple[Stamps, list[Defect]]:
    interval = np.searchsorted(UNIT_BOUNDS, values, side="right")
    valid = (interval % 2 == 1) & present
    unit = interval // 2
    first = unit[np.argmax(valid)] if valid.any() else 0
    alien = valid & (unit != first)
    good = valid & ~alien
    stamps = np.full(len(values), MISSING)
    stamps[good] = values[good] * UNIT_SCALE[first]
    defects = [_defect(present & ~valid, values, NOT_A_TIME)]
    for i in np.unique(unit[alien]):
        rule = f"counts {UNITS[i]} and the rows above it {UNITS[first]}; split the file or write one unit throughout"
        defects.append(_defect(alien & (unit == i), values, rule))
    return stamps, defects


def _from_floats(column: Any) -> tuple[Stamps, list[Defect]]:
    values = float_array(column)
    missing = np.isnan(values)
    whole = np.isfinite(values) & (np.abs(values) < 2.0**62) & (values == np.floor(values))
    stamps, defects = _from_epochs(np.where(whole, values, 0.0).astype(np.int64), whole)
    return stamps, [_defect(~whole & ~missing, values, NOT_A_TIME), *defects]


def _from_text(column: Any, sessions: bool | None) -> tuple[Stamps, list[Defect]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        first = str(column[0].as_py() or "").strip()
        if OFFSET.search(first) and ":" in first:
            local = _nanoseconds(pc.utf8_slice_codeunits(column, 0, 19).cast(pa.timestamp("ns")))
            return _session_dates(local, sessions, _nanoseconds(column.cast(pa.timestamp("ns", "UTC")))), []
        if first.isdigit():
            return _from_epochs(integer_array(column), present_rows(column))
        return _nanoseconds(column.cast(pa.timestamp("ns"))), []
    except pa.ArrowInvalid:
        return _cell_by_cell([(cell or "").strip() for cell in column.to_pylist()])


def _cell_by_cell(cells: list[str]) -> tuple[Stamps, list[Defect]]:
    texts = np.array(cells, dtype=object)
    empty = np.array([cell.lower() in ("", "nat", "nan", "null") for cell in cells])
    if next((cell for cell in cells if cell), "").isdigit():
        digits = np.array([cell.isdigit() and len(cell) < 19 for cell in cells])
        stamps, defects = _from_epochs(
            np.array([int(c) if d else 0 for c, d in zip(cells, digits, strict=True)]), digits
        )
        return stamps, [_defect(~digits & ~empty, texts, NOT_A_TIME), *defects]
    stamps = np.array([_instant(cell) for cell in cells], dtype=np.int64)
    return stamps, [_defect((stamps == MISSING) & ~empty, texts, NOT_A_TIME)]


def _instant(cell: str) -> int:
    try:
        time = datetime.fromisoformat(cell)
    except ValueError:
        return int(MISSING)
    since = (time if time.tzinfo else time.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    nanoseconds = (since.days * 86400 + since.seconds) * 10**9 + since.microseconds * 1000
    return nanoseconds if abs(nanoseconds) < 2**63 else int(MISSING)


def _defect(bad: NDArray[np.bool_], values: NDArray[Any], rule: str) -> Defect:
    rows = np.flatnonzero(bad)
    return Defect("unparsable", "timestamp", rows, values[rows], rule)
