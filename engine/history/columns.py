"""Which column of a file is what, in the layouts that exchanges and tools write."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.bars import COLUMNS
from engine.errors import DataError

TIME = "timestamp"
TIME_NAMES = ("open_time", "timestamp", "datetime", "date", "time", "unix", "ms", "t")
NAMELESS = ("", "index", "__index_level_0__", "unnamed:_0")  # how a table's unnamed index is written
SHORT_NAMES = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume", "vol": "volume"}
CCXT_COLUMNS = 6  # [ms, open, high, low, close, volume]
BINANCE_COLUMNS = 12  # the same six first, then close_time, quote volume, trades, ...


def pick_columns(names: Sequence[str], label: str) -> dict[str, int]:
    """Return where the open time and the five market columns stand in a file.

    Understood by name, in any case and order: ours, ccxt's, Binance's, freqtrade's (``date``) and
    the capitals of yfinance and backtesting.py; other columns, such as ``Adj Close``, are ignored.
    Understood by position where the columns are only numbered: ccxt's 6 and Binance's 12.

    Parameters
    ----------
    names : sequence of str
        Column names; ``"0", "1", ...`` where the file has none.
    label : str
        Name of the file, for messages.

    Returns
    -------
    dict of str to int
        Position of ``timestamp``, ``open``, ``high``, ``low``, ``close`` and ``volume``.

    Raises
    ------
    DataError
        Naming what is missing and what the file has instead.

    Examples
    --------
    >>> pick_columns(["Date", "Open", "High", "Low", "Close", "Adj Close", "Volume"], "SPY.csv")["volume"]
    6
    """
    if list(names) == [str(i) for i in range(len(names))]:
        return _by_position(len(names), label)
    plain = [re.sub(r"[\s]+", "_", name.strip().lower()) for name in names]
    plain = [SHORT_NAMES.get(name, name) for name in plain]
    time = next((name for name in (*TIME_NAMES, *NAMELESS) if name in plain), None)
    missing = [name for name in COLUMNS if name not in plain]
    if time is None:
        missing.insert(0, "timestamp")
    if missing:
        raise DataError(
            f"{label} has no column {', '.join(missing)} (it has {_shown(names)});"
            " a file of bars needs timestamp, open, high, low, close, volume"
        )
    wanted = {TIME: time or "", **{name: name for name in COLUMNS}}
    for name in wanted.values():
        if plain.count(name) > 1:
            raise DataError(f"{label} has {plain.count(name)} columns named {name!r}; keep one market per file")
    return {role: plain.index(name) for role, name in wanted.items()}


def _by_position(width: int, label: str) -> dict[str, int]:
    if width not in (CCXT_COLUMNS, BINANCE_COLUMNS):
        raise DataError(
            f"{label} has {width} columns and no header; without one, 6 columns (ccxt) and 12 (Binance klines) are"
            " understood: add a header with timestamp, open, high, low, close, volume"
        )
    return {role: i for i, role in enumerate((TIME, *COLUMNS))}


def _shown(names: Sequence[str]) -> str:
    shown = ", ".join(name or "an unnamed one" for name in names[:8])
    return f"{shown}, ..." if len(names) > 8 else shown or "none"
