"""Market data that comes with the installed packages: a first run needs no download."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from engine.bars import DAY_NS, Bars
from engine.errors import DataError, unknown

NASDAQ_FILE = Path("data") / "nasdaq" / "nasdaq.csv.gz"  # Date,Open,High,Low,Close,Adj Close,Volume


def nasdaq_1d() -> Bars:
    """Return the NASDAQ Composite, daily, 1999 to 2018, as it comes with the ``arch`` package.

    The 5,031 sessions are taken as they are: no row breaks a rule of ``Bars``, two have no volume.
    The adjusted close, which of an index is the close, is left out. The file is read without
    importing ``arch``, which takes two seconds. Its dates are written month/day/year; a bar stands
    for 00:00 UTC of its date.

    Raises
    ------
    DataError
        When ``arch`` is not installed.
    """
    spec = find_spec("arch")
    places = list(spec.submodule_search_locations or []) if spec else []
    found = [Path(place) / NASDAQ_FILE for place in places if (Path(place) / NASDAQ_FILE).is_file()]
    if not found:
        raise DataError("embedded data nasdaq-1d comes with the package 'arch', which is not here; install arch>=8.0")
    rows = [line.split(",") for line in gzip.decompress(found[0].read_bytes()).decode().splitlines()[1:]]
    dates, opens, highs, lows, closes, _, volumes = zip(*rows, strict=True)
    return Bars(
        open_time=np.array([_iso(date) for date in dates], dtype="datetime64[ns]"),
        open=np.array(opens, dtype=np.float64),
        high=np.array(highs, dtype=np.float64),
        low=np.array(lows, dtype=np.float64),
        close=np.array(closes, dtype=np.float64),
        volume=np.array(volumes, dtype=np.float64),
        timeframe_ns=DAY_NS,
        symbol="NASDAQ",
        sessions=True,
    )


EMBEDDED: dict[str, Callable[[], Bars]] = {"nasdaq-1d": nasdaq_1d}


def embedded_bars(name: str) -> Bars:
    """Return the bars of an embedded series.

    Raises
    ------
    UsageError
        When there is none of this name.

    Examples
    --------
    >>> len(embedded_bars("nasdaq-1d"))
    5031
    """
    if name.lower() not in EMBEDDED:
        raise unknown("embedded series", name, EMBEDDED)
    return EMBEDDED[name.lower()]()


def _iso(date: str) -> str:
    month, day, year = date.split("/")
    return f"{year}-{month:0>2}-{day:0>2}"
