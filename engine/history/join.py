"""Several files, such as an exchange's monthly archives, become one series."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace as altered
from pathlib import Path
from typing import Any

from engine.bars import Bars
from engine.errors import DataError
from engine.history.read import read_bars
from engine.history.rows import Rows, as_times, merged, rows_of
from engine.history.series import describe_series
from engine.history.store import Store, series_name

Terms = tuple[str | None, str | None, bool | None]


def import_files(root: Path, files: Sequence[Path], terms: Terms, append: bool, replace: bool) -> Iterable[str]:
    """Read files, put those of one market and timeframe together, store them, and return the series' names.

    Parameters
    ----------
    root : Path
        Folder of the stored series.
    files : sequence of Path
        In any order; where they overlap they must agree bit for bit.
    terms : (symbol, timeframe, sessions)
        As in ``read_bars``, for all files; None to infer.
    append : bool
        Add to the stored series, which must agree, instead of being the whole of it.
    replace : bool
        Whether other data under the same name may go.

    Raises
    ------
    DataError
        When a file is refused, or two of them, or one and the stored series, disagree.
    UsageError
        When a series of this name holds other data.
    """
    markets: dict[str, tuple[Bars, str]] = {}
    for path in files:
        bars = read_bars(Path(path), *terms)
        name = series_name(bars)
        if name in markets:
            bars = joined(*markets[name], bars, path.name)
        markets[name] = bars, path.name if name not in markets else f"{len(files)} files, such as {path.name}"
    store = Store(root)
    for name, (bars, source) in markets.items():
        if append and name.casefold() in (known.casefold() for known in store.names()):
            _append(store, name, bars, source, replace)
        else:
            store.keep(bars, source, replace)
    return tuple(markets)


def joined(first: Bars, first_name: str, second: Bars, second_name: str) -> Bars:
    """Return the bars of two files in order of time.

    Raises
    ------
    DataError
        When both have a bar and differ in it.
    """
    both = merged(rows_of(first), rows_of(second))
    if both.changed.any():
        time = str(second.open_time[both.changed][0].astype("datetime64[m]"))
        raise DataError(f"{first_name} and {second_name} differ in the bar of {time}; import the right one alone")
    columns: dict[str, Any] = dict(both.rows.columns)
    return altered(first, open_time=as_times(both.rows.times), **columns)


def _append(store: Store, name: str, bars: Bars, source: str, replace: bool) -> None:
    stored = store.series(name)
    about = altered(describe_series(name, bars, source), exchange=stored.exchange, market=stored.market)
    rows: Rows = rows_of(bars)
    added = store.add(about, rows, replace)
    if added.changes and not replace:
        raise DataError(
            f"{source} differs from series {name} in {len(added.changes)} bars, the first {added.changes[0]};"
            " nothing was changed; --replace takes the file's version"
        )
    store.seal(name)
