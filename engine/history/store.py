"""The folder of imported series: each kept whole, verified when read, never half-written."""

from __future__ import annotations

import contextlib
import hashlib
import re
from dataclasses import replace as altered
from pathlib import Path

from engine.bars import COLUMNS, Bars, parse_timeframe
from engine.errors import DataError, UsageError, unknown
from engine.history.arrays import arrow_column, arrow_reader, float_array, integer_array
from engine.history.atomic import alone, write_whole
from engine.history.embedded import EMBEDDED
from engine.history.read import read_bars
from engine.history.series import RECORD, Series, describe_series, read_record, read_verified

Rows = list[Series]  # inside Store, the name list is its method


class Store:
    """Imported series under one root folder, each in a folder of its own.

    ``BTCUSDT-1h/series.json`` says what the series is and names the file of its bars,
    ``bars-<hash>.parquet``. The replacement of ``series.json`` is the only moment at which anything
    changes: a reader sees the old series or the new one, and whoever is killed on the way has
    changed nothing. A folder without ``series.json`` is no series.

    Parameters
    ----------
    root : Path
        Folder of all series; made at the first import.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def import_file(
        self,
        path: Path,
        symbol: str | None = None,
        timeframe: str | None = None,
        sessions: bool | None = None,
        replace: bool = False,
    ) -> Path:
        """Read a market file and keep its bars; return the series' folder.

        The arguments are those of ``read_bars``, and ``replace`` that of ``keep``.

        Raises
        ------
        DataError
            When the file is refused.
        UsageError
            When a series of this name holds other data.
        """
        return self.keep(read_bars(Path(path), symbol, timeframe, sessions), Path(path).name, replace)

    def keep(self, bars: Bars, source: str, replace: bool = False) -> Path:
        """Keep bars as the series of their symbol and timeframe; return its folder.

        Parameters
        ----------
        bars : Bars
            At least one.
        source : str
            Where they came from, for the list.
        replace : bool
            Whether other data under the same name may go.

        Raises
        ------
        UsageError
            When a series of this name holds other data and ``replace`` is not set, when the name
            belongs to embedded data, or when the folder cannot be written.
        """
        if len(bars) == 0:
            raise DataError(f"{source} has no bars to keep")
        name = series_name(bars)
        folder = self.root / (self._stored_name(name) or name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with alone(folder):
                _put(folder, bars, describe_series(folder.name, bars, source), replace)
        except OSError as error:
            raise UsageError(f"series {name} cannot be written to {folder}: {error.strerror or error}") from None
        return folder

    def load(self, name: str) -> Bars:
        """Return the bars of a series, verified against its hash.

        Raises
        ------
        UsageError
            When there is no series of this name, in any case of letters.
        DataError
            When the series is damaged, with the remedy.
        """
        stored = self._stored_name(name)
        if stored is None:
            raise unknown("series", name, self.names())
        series, content = read_verified(self.root / stored)
        if series.damage:
            raise DataError(f"series {stored} is damaged: {series.damage}")
        return _from_parquet(content, series)

    def names(self) -> tuple[str, ...]:
        """Return the names of all series, sorted."""
        return tuple(sorted(path.parent.name for path in self.root.glob(f"*/{RECORD}")))

    def list(self) -> Rows:
        """Return all series, sorted by name, each verified against its hash."""
        return [read_verified(self.root / name)[0] for name in self.names()]

    def _stored_name(self, name: str) -> str | None:
        names = self.names()
        return name if name in names else next((n for n in names if n.casefold() == name.casefold()), None)


def series_name(bars: Bars) -> str:
    """Return the name under which bars are kept: symbol and timeframe, fit for a folder.

    Examples
    --------
    >>> from engine.synthetic import random_bars
    >>> series_name(random_bars(3, seed=7))
    'RANDOM-7-1h'
    """
    plain = re.sub(r"[^A-Za-z0-9.=^+-]+", "_", bars.symbol).lstrip(".")
    name = f"{plain}-{bars.timeframe}"
    if not plain:
        raise UsageError(f"symbol {bars.symbol!r} makes no folder name; state one of letters and digits")
    if name.lower() in EMBEDDED:
        raise UsageError(f"series {name} is embedded and cannot be replaced; import it under another symbol")
    return name


def _put(folder: Path, bars: Bars, new: Series, replace: bool) -> None:
    old = read_record(folder) if (folder / RECORD).is_file() else None
    if old and old.holds(new) and not read_verified(folder)[0].damage:
        _drop_all_but(folder, old.file)
        return
    if old and not old.holds(new) and not replace:
        raise UsageError(_refusal(old, new))
    content = _to_parquet(bars)
    digest = hashlib.sha256(content).hexdigest()
    file = f"bars-{digest[:12]}.parquet"
    write_whole(folder / file, content)
    write_whole(folder / RECORD, altered(new, file=file, sha256=digest).to_json())
    _drop_all_but(folder, file)


def _refusal(old: Series, new: Series) -> str:
    held = f"is damaged: {old.damage};" if old.damage else f"holds {old.extent}, and"
    return f"series {old.name} {held} {new.source} has {new.extent}; replace it (--replace) or state another symbol"


def _drop_all_but(folder: Path, file: str) -> None:
    """Remove replaced files and what killed writers left; who cannot do it leaves it to the next."""
    for path in folder.iterdir():
        if path.name not in (file, RECORD, ".lock") and path.name.startswith(("bars-", ".bars-", f".{RECORD}")):
            with contextlib.suppress(OSError):
                path.unlink()


def _to_parquet(bars: Bars) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = [arrow_column(bars.open_time, pa.timestamp("ns", "UTC"))]
    columns += [arrow_column(getattr(bars, name), pa.float64()) for name in COLUMNS]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays(columns, names=["timestamp", *COLUMNS]), sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


def _from_parquet(content: bytes, series: Series) -> Bars:
    import pyarrow.parquet as pq

    with pq.ParquetFile(arrow_reader(content)) as file:
        table = file.read()
    return Bars(
        open_time=integer_array(table["timestamp"]).view("datetime64[ns]"),
        **{name: float_array(table[name]) for name in COLUMNS},
        timeframe_ns=parse_timeframe(series.timeframe),
        symbol=series.symbol,
        sessions=series.sessions,
    )
