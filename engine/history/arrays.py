"""Arrow columns as numpy arrays and back, without Arrow's own conversions, which import pandas (0.3 s)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def float_array(column: Any) -> NDArray[np.float64]:
    """Return a numeric Arrow column as float64, NaN where it is null."""
    import pyarrow as pa

    values: NDArray[np.float64] = _values(column.cast(pa.float64()), "float64")
    return np.where(present_rows(column), values, np.nan) if column.null_count else values


def integer_array(column: Any) -> NDArray[np.int64]:
    """Return an integer or timestamp Arrow column as int64, 0 where it is null."""
    import pyarrow as pa

    values: NDArray[np.int64] = _values(column.cast(pa.int64()), "int64")
    return np.where(present_rows(column), values, 0) if column.null_count else values


def present_rows(column: Any) -> NDArray[np.bool_]:
    """Return where an Arrow column is not null."""
    import pyarrow as pa

    return np.asarray(_values(column.is_valid().cast(pa.int8()), "int8"), dtype=np.bool_)


def arrow_column(values: NDArray[Any], kind: Any) -> Any:
    """Return a numpy array as an Arrow column of a type of the same width, without a copy."""
    import pyarrow as pa

    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values).view(np.uint8))])


def arrow_reader(content: bytes | memoryview) -> Any:
    """Return bytes as a file that Arrow reads, copied into Arrow's own memory.

    Arrow's threads may be the last to let go of what they read; were it Python's memory, freeing it
    while the interpreter exits would abort the process.
    """
    import pyarrow as pa

    buffer = pa.allocate_buffer(len(content))
    np.frombuffer(buffer, np.uint8)[:] = np.frombuffer(content, np.uint8)
    return pa.BufferReader(buffer)


def _values(column: Any, dtype: str) -> NDArray[Any]:
    import pyarrow as pa

    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(whole, pa.ChunkedArray):  # a column of no rows keeps its wrapping
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], whole.type)
    values = np.frombuffer(whole.buffers()[1] or b"", dtype=dtype)
    return values[whole.offset : whole.offset + len(whole)]
