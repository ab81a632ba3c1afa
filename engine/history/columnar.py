"""Parquet and feather files as tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import DataError


@dataclass(frozen=True, slots=True)
class ColumnarSheet:
    """A Parquet or feather file: its column names; columns are read on demand."""

    label: str
    names: list[str]
    path: Path
    unit: str = "row"

    def take(self, picked: dict[str, int]) -> dict[str, Any]:
        """Return the picked columns as Arrow arrays of the types they were stored in."""
        import pyarrow as pa

        wanted = {role: self.names[i] for role, i in picked.items()}
        try:
            table = _read(self.path, list(wanted.values()))
        except (pa.ArrowException, OSError):
            raise DataError(_damaged(self.path)) from None
        if table.num_rows == 0:
            raise DataError(f"{self.label} has columns and no rows; export or download it again")
        return {role: table[name] for role, name in wanted.items()}

    def line_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the 1-based number of each row."""
        return rows + 1


def open_columnar(path: Path) -> ColumnarSheet:
    """Return a Parquet or feather file as a table whose columns are not yet read.

    Raises
    ------
    DataError
        When the file is empty or damaged.
    """
    import pyarrow as pa

    if path.stat().st_size == 0:
        raise DataError(f"{path.name} is empty; export or download it again")
    try:
        names = _names(path)
    except (pa.ArrowException, OSError):
        raise DataError(_damaged(path)) from None
    return ColumnarSheet(path.name, names, path)


def is_parquet(path: Path) -> bool:
    """Return whether a file begins as Parquet files do."""
    return _magic(path) == b"PAR1"


def is_feather(path: Path) -> bool:
    """Return whether a file begins as feather files do."""
    return _magic(path) in (b"ARRO", b"FEA1")


def _magic(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


def _names(path: Path) -> list[str]:
    if is_parquet(path):
        import pyarrow.parquet as pq

        return list(pq.read_schema(path).names)
    import pyarrow.feather as feather

    return list(feather.read_table(path).column_names)


def _read(path: Path, names: list[str]) -> Any:
    if is_parquet(path):
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            return file.read(columns=names)
    import pyarrow.feather as feather

    return feather.read_table(path, columns=names)


def _damaged(path: Path) -> str:
    kind = "feather" if path.suffix.lower() in (".feather", ".arrow") else "Parquet"
    return f"{path.name} is not a readable {kind} file; export or download it again"
