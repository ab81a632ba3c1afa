"""CSV text as a table: plain, gzipped, or alone in a zip archive."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import DataError
from engine.history.arrays import arrow_reader
from engine.history.columns import TIME

DELIMITERS = ",;\t"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
OFFSET = re.compile(r"[0-9](Z|[+-][0-9]{2}(:?[0-9]{2})?)$")


@dataclass(frozen=True, slots=True)
class DelimitedSheet:
    """A CSV file: its column names and where its rows begin; cells are parsed on demand."""

    label: str
    names: list[str]
    text: bytes
    begin: int
    delimiter: str
    unit: str = "line"

    def take(self, picked: dict[str, int]) -> dict[str, Any]:
        """Return the picked columns as Arrow arrays: typed when every cell parses, else as text."""
        import pyarrow as pa

        names = [str(i) for i in range(len(self.names))]
        first = next(csv.reader([_line_at(self.text, self.begin)], delimiter=self.delimiter), [])
        types = {str(i): pa.float64() for i in picked.values()}
        if picked[TIME] < len(first):
            types[str(picked[TIME])] = _time_type(first[picked[TIME]].strip())
        try:
            table = self._parse(names, types)
        except pa.ArrowInvalid:
            try:
                table = self._parse(names, {str(i): pa.string() for i in picked.values()})
            except pa.ArrowInvalid:
                raise DataError(self._ragged_line()) from None
        return {role: table[str(i)] for role, i in picked.items()}

    def line_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the 1-based line of each row, blank lines counted."""
        first = self.text.count(b"\n", 0, self.begin) + 1
        filled = np.array([bool(line.rstrip(b"\r")) for line in self.text[self.begin :].split(b"\n")])
        return np.asarray(np.flatnonzero(filled)[rows] + first)

    def _parse(self, names: list[str], types: dict[str, Any]) -> Any:
        import pyarrow.csv as pc

        return pc.read_csv(
            arrow_reader(memoryview(self.text)[self.begin :]),
            read_options=pc.ReadOptions(column_names=names),
            parse_options=pc.ParseOptions(delimiter=self.delimiter),
            convert_options=pc.ConvertOptions(
                column_types=types, include_columns=list(types), strings_can_be_null=True
            ),
        )

    def _ragged_line(self) -> str:
        lines = io.StringIO(self.text[self.begin :].decode("utf-8", "replace"), newline="")
        row = -1
        for cells in csv.reader(lines, delimiter=self.delimiter):
            row += bool(cells)
            if cells and len(cells) != len(self.names):
                line = self.line_of(np.array([row]))[0]
                return (
                    f"{self.label} line {line} has {len(cells)} columns and the first line {len(self.names)};"
                    " repair or drop the line"
                )
        return f"{self.label} is not readable as CSV text; export or download it again"


def open_delimited(path: Path) -> DelimitedSheet:
    """Return a CSV file as a table whose cells are not yet parsed.

    Raises
    ------
    DataError
        When the file is empty, not text, or an archive that does not hold exactly one CSV file.
    """
    text = _unpacked(path).removeprefix(BYTE_ORDER_MARK)
    if _blank(text, 0):
        raise DataError(f"{path.name} is empty; export or download it again")
    if b"\0" in text[:4096]:
        raise DataError(f"{path.name} is not CSV text in UTF-8; export it as CSV in UTF-8")
    top = 0
    while not _line_at(text, top).strip():
        top = _next_line(text, top)
    line, begin = _line_at(text, top), _next_line(text, top)
    delimiter = max(DELIMITERS, key=line.count)
    names = _cells(line, delimiter)
    if len(names) > 1 and all(_is_number(cell) for cell in names[1:6]) and names != _numbered(names):
        return DelimitedSheet(path.name, _numbered(names), text, top, delimiter)
    if names[0].lower() == "price" and _cells(_line_at(text, begin), delimiter)[0].lower() == "ticker":
        begin = _next_line(text, begin)  # yfinance writes three lines of header, the last naming the index
        names[0] = _cells(_line_at(text, begin), delimiter)[0]
        begin = _next_line(text, begin)
    if _blank(text, begin):
        raise DataError(f"{path.name} has a header and no rows; export or download it again")
    return DelimitedSheet(path.name, names, text, begin, delimiter)


def _unpacked(path: Path) -> bytes:
    packed = path.read_bytes()
    try:
        if packed[:2] == b"\x1f\x8b":
            return gzip.decompress(packed)
        if packed[:4] == b"PK\x03\x04":
            return _only_member(packed, path.name)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile):
        raise DataError(f"{path.name} is a damaged archive; download it again") from None
    if path.suffix.lower() in (".gz", ".zip") and packed:
        raise DataError(f"{path.name} is not a {path.suffix} archive; download it again or rename it")
    return packed


def _only_member(packed: bytes, label: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        inside = [name for name in archive.namelist() if not name.endswith("/") and "__MACOSX" not in name]
        if len(inside) != 1 or not inside[0].lower().endswith((".csv", ".txt")):
            raise DataError(f"{label} holds {len(inside)} files ({', '.join(inside[:3])}); it must hold one CSV file")
        return archive.read(inside[0])


def _time_type(cell: str) -> Any:
    import pyarrow as pa

    if re.fullmatch(r"[0-9]+", cell):
        return pa.int64()
    if _is_number(cell):
        return pa.float64()
    offset = OFFSET.search(cell) if ":" in cell else None
    if offset is None:
        return pa.timestamp("ns")
    return pa.timestamp("ns", "UTC") if offset[1] in ("Z", "+00:00", "+0000") else pa.string()


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _cells(line: str, delimiter: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [""])]


def _numbered(names: list[str]) -> list[str]:
    return [str(i) for i in range(len(names))]


def _blank(text: bytes, begin: int) -> bool:
    return not text[begin : begin + 4096].strip() and not text[begin:].strip()


def _next_line(text: bytes, begin: int) -> int:
    end = text.find(b"\n", begin)
    return len(text) if end < 0 else end + 1


def _line_at(text: bytes, begin: int) -> str:
    return text[begin : _next_line(text, begin)].decode("utf-8", "replace").rstrip("\r\n")
