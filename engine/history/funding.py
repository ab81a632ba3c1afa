"""The funding of a perpetual beside its bars, from the stored series of its rates."""

from __future__ import annotations

from pathlib import Path

from engine.bars import Bars
from engine.funding import due_at_opens
from engine.history.context import found_series, values_of
from engine.history.store import Store

COLUMN = "funding_8h"  # the feature that is made of the same series


def with_funding(bars: Bars, data_root: Path) -> Bars:
    """Return bars with what a long pays at each open, where the rates are stored; else the bars as they are.

    Parameters
    ----------
    bars : Bars
        Of a perpetual, or of the market that a perpetual is traded by.
    data_root : Path
        Folder of the stored series: BTCUSDT-funding is that of BTCUSDT and BTCUSDT.P.

    Examples
    --------
    >>> from engine.synthetic import random_bars
    >>> with_funding(random_bars(3), Path("nowhere")).funding is None
    True
    """
    store = Store(data_root)
    name = found_series(COLUMN, bars, store)
    if name is None:
        return bars
    series = store.load_values(name)
    return bars.paying(due_at_opens(bars, series.known_at, values_of(series, COLUMN)))
