"""Market data by name or path: embedded, stored, or a file."""

from __future__ import annotations

from pathlib import Path

from engine.bars import Bars
from engine.errors import UsageError, unknown
from engine.history.check import Check, check_bars, check_file
from engine.history.embedded import EMBEDDED, embedded_bars
from engine.history.raw import is_market_file_name
from engine.history.read import read_bars
from engine.history.series import Series, describe_series
from engine.history.store import Store


def find_bars(what: str, data_root: Path) -> Bars:
    """Return bars by the name of an embedded series, of a stored series, or by a file's path.

    Names are looked up first, in any case of letters.

    Raises
    ------
    UsageError
        When there is nothing of this name, with the nearest names.
    DataError
        When the file is refused or the series is damaged.

    Examples
    --------
    >>> find_bars("NASDAQ-1d", Path("data")).symbol
    'NASDAQ'
    """
    if what.lower() in EMBEDDED:
        return embedded_bars(what)
    if _is_stored(what, data_root):
        return Store(data_root).load(what)
    return read_bars(_file(what, data_root))


def check_named(
    what: str,
    data_root: Path,
    symbol: str | None = None,
    timeframe: str | None = None,
    sessions: bool | None = None,
) -> Check:
    """Return the check of an embedded series, a stored series, or a file, also a refused one.

    The last three arguments are those of ``check_file`` and count for files only.

    Raises
    ------
    UsageError
        When there is nothing of this name, with the nearest names.
    DataError
        When a stored series is damaged.
    """
    if what.lower() in EMBEDDED or _is_stored(what, data_root):
        return check_bars(find_bars(what, data_root), what)
    return check_file(_file(what, data_root), symbol, timeframe, sessions)


def list_series(data_root: Path) -> list[Series]:
    """Return all series that have a name: the embedded ones, then the stored ones."""
    return [_embedded_series(name) for name in sorted(EMBEDDED)] + Store(data_root).list()


def _is_stored(what: str, data_root: Path) -> bool:
    return what.casefold() in (name.casefold() for name in Store(data_root).names())


def _file(what: str, data_root: Path) -> Path:
    path = Path(what).expanduser()
    if path.exists() or is_market_file_name(what):
        return path
    if len(path.parts) > 1:
        raise UsageError(f"{what} does not exist; name a file that does, or a series (tradsys data list)")
    raise UsageError(
        f"{unknown('market data', what, (*EMBEDDED, *Store(data_root).names_of_bars()))}; bring others with"
        " `tradsys data import FILE` or `tradsys data fetch`"
    )


def _embedded_series(name: str) -> Series:
    return describe_series(name, embedded_bars(name), "embedded")
