"""The folder of stored series: each kept whole, verified when read, never half-written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace as altered
from pathlib import Path
from typing import Any

import numpy as np

from engine.bars import Bars, parse_timeframe
from engine.errors import DataError, UsageError, unknown
from engine.history.atomic import alone, write_whole
from engine.history.embedded import EMBEDDED
from engine.history.external import External, Session
from engine.history.growth import Added, drop_all_but, grow, publish
from engine.history.read import read_bars
from engine.history.rows import Rows, as_times, by_calendar, from_parquet, one_after_another, rows_of
from engine.history.series import (
    BARS,
    RECORD,
    VALUES,
    Series,
    describe_series,
    describe_values,
    print_of_values,
    read_record,
    read_verified,
)

Listed = list[Series]  # inside Store, the name list is its method


class Store:
    """Stored series under one root folder, each in a folder of its own.

    ``BTCUSDT-1h/series.json`` says what the series is and names its files, one a year (a month for
    bars under an hour), each ``bars-<year>-<hash>.parquet`` with its hash. The replacement of
    ``series.json`` is the only moment at which anything changes: a reader sees the old series or
    the new one, and whoever is killed on the way has changed nothing. A folder without
    ``series.json`` is no series.

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
        return self._keep(describe_series(series_name(bars), bars, source), rows_of(bars), replace)

    def keep_values(self, external: External, source: str, replace: bool = False) -> Path:
        """Keep values from outside a market under their name; return the series' folder.

        Raises
        ------
        UsageError, DataError
            As `keep`.
        """
        if len(external) == 0:
            raise DataError(f"{source} has no rows to keep")
        name = external.name
        if not name or plain_name(name) != name or name.lower() in EMBEDDED:
            raise UsageError(f"{name!r} is no name for a series; use letters, digits and . = ^ + - _")
        rows = Rows(external.known_at.view(np.int64), external.columns)
        return self._keep(describe_values(external, source), rows, replace)

    def add(self, about: Series, rows: Rows, replace: bool = False, at: str = "") -> Added:
        """Put rows into a series, each time once; what is stored already must come again bit for bit.

        Everything or nothing is written. A series that does not exist begins with these rows.

        Parameters
        ----------
        about : Series
            Name, symbol, timeframe, source, exchange and market of the rows.
        rows : Rows
            Oldest first, each time once.
        replace : bool
            Whether rows that differ replace the stored ones, which are kept as receipts; otherwise
            nothing is written as soon as one differs.
        at : str
            Time stamp of the receipts.

        Raises
        ------
        UsageError
            When the series holds something else, or when the folder cannot be written.
        DataError
            When the series is damaged.
        """
        with self._writing(about.name) as folder:
            return grow(folder, altered(about, name=folder.name), rows, replace, at)

    def amend(self, name: str, **changes: object) -> Series:
        """Change what a series says about itself, and return it."""
        with self._writing(name) as folder:
            series = altered(self.series(name), **changes)  # type: ignore[arg-type]
            write_whole(folder / RECORD, series.to_json())
        return series

    def seal(self, name: str) -> Series:
        """Write the fingerprint of a series to which rows were added, and return it."""
        with self._writing(name) as folder:
            if not (series := self.series(name)).fingerprint:
                whole = self.load_values(name) if series.kind == VALUES else self.load(name)
                told = print_of_values(whole) if isinstance(whole, External) else whole.fingerprint()
                series = altered(series, fingerprint=told)
                write_whole(folder / RECORD, series.to_json())
        return series

    def series(self, name: str) -> Series:
        """Return what is known about a series, without reading its rows.

        Raises
        ------
        UsageError
            When there is no series of this name, in any case of letters.
        DataError
            When its record is damaged.
        """
        stored = self._stored_name(name)
        if stored is None:
            raise unknown("series", name, self.names())
        series = read_record(self.root / stored)
        if series.damage:
            raise DataError(f"series {stored} is damaged: {series.damage}")
        return series

    def load(self, name: str) -> Bars:
        """Return the bars of a series, verified against its hashes.

        Raises
        ------
        UsageError
            When there is no series of this name, in any case of letters, or when it holds no bars.
        DataError
            When the series is damaged, with the remedy.
        """
        series, rows = self._verified(name, BARS)
        columns: dict[str, Any] = dict(rows.columns)
        return Bars(
            as_times(rows.times),
            **columns,
            timeframe_ns=parse_timeframe(series.timeframe),
            symbol=series.symbol,
            sessions=series.sessions,
        )

    def load_values(self, name: str) -> External:
        """Return the values of a series with the moments they were known, verified against its hashes.

        Raises
        ------
        UsageError, DataError
            As `load`.
        """
        series, rows = self._verified(name, VALUES)
        session = Session(**series.session) if series.session else None
        return External(series.symbol, as_times(rows.times), rows.columns, session)

    def names(self) -> tuple[str, ...]:
        """Return the names of all series, sorted."""
        return tuple(sorted(path.parent.name for path in self.root.glob(f"*/{RECORD}")))

    def names_of_bars(self) -> tuple[str, ...]:
        """Return the names of the series that hold bars, sorted; a damaged one may."""
        return tuple(name for name in self.names() if read_record(self.root / name).kind != VALUES)

    def list(self) -> Listed:
        """Return all series, sorted by name, each verified against its hashes."""
        return [read_verified(self.root / name)[0] for name in self.names()]

    def _verified(self, name: str, kind: str) -> tuple[Series, Rows]:
        if (stored := self._stored_name(name)) is None:
            raise unknown("series", name, self.names())
        series, content = read_verified(self.root / stored)
        if series.damage:
            raise DataError(f"series {stored} is damaged: {series.damage}")
        if series.kind != kind:
            raise UsageError(
                f"series {stored} holds {series.kind}, not {kind}; `tradsys data list` shows which hold which"
            )
        return series, one_after_another([from_parquet(content[part.file]) for part in series.parts])

    def _keep(self, new: Series, rows: Rows, replace: bool) -> Path:
        with self._writing(new.name) as folder:
            new = altered(new, name=folder.name)
            old = read_record(folder) if (folder / RECORD).is_file() else None
            if old and old.holds(new) and not read_verified(folder)[0].damage:
                drop_all_but(folder, old)
            elif old and not old.holds(new) and not replace:
                raise UsageError(_refusal(old, new))
            else:
                steps = parse_timeframe(new.timeframe) if new.timeframe else 0
                publish(folder, new, [], by_calendar(rows, steps))
        return folder

    @contextmanager
    def _writing(self, name: str) -> Iterator[Path]:
        """The folder of a series, while nobody else writes into it."""
        folder = self.root / (self._stored_name(name) or name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with alone(folder):
                yield folder
        except OSError as error:
            raise UsageError(f"series {name} cannot be written to {folder}: {error.strerror or error}") from None

    def _stored_name(self, name: str) -> str | None:
        names = self.names()
        return name if name in names else next((n for n in names if n.casefold() == name.casefold()), None)


def plain_name(symbol: str) -> str:
    """Return a symbol as a folder can be named."""
    return re.sub(r"[^A-Za-z0-9.=^+-]+", "_", symbol).lstrip(".")


def series_name(bars: Bars) -> str:
    """Return the name under which bars are kept: symbol and timeframe, fit for a folder.

    Examples
    --------
    >>> from engine.synthetic import random_bars
    >>> series_name(random_bars(3, seed=7))
    'RANDOM-7-1h'
    """
    plain = plain_name(bars.symbol)
    name = f"{plain}-{bars.timeframe}"
    if not plain:
        raise UsageError(f"symbol {bars.symbol!r} makes no folder name; state one of letters and digits")
    if name.lower() in EMBEDDED:
        raise UsageError(f"series {name} is embedded and cannot be replaced; import it under another symbol")
    return name


def _refusal(old: Series, new: Series) -> str:
    held = f"is damaged: {old.damage};" if old.damage else f"holds {old.extent}, and"
    return f"series {old.name} {held} {new.source} has {new.extent}; replace it (--replace) or state another symbol"
