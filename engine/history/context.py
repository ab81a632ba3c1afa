"""What is known beside a market, for the features that read it: stored series joined as they were known.

Each column is worked out on its own series first (a return over sessions, not over bars that repeat the last one),
then joined to the bars by the moment it became known, never before. So it is one number per bar that no later row
can move, and features read it as it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.bars import UNIT_NS, Bars, Floats, Times
from engine.errors import UsageError, unknown
from engine.history.external import TOLERANCE_NS, External, Session, as_of
from engine.history.series import BARS
from engine.history.store import Store, plain_name

HOUR_NS = UNIT_NS["h"]
NEW_YORK = "America/New_York"
QUARTER_NS = HOUR_NS // 4
SESSIONS = {  # whose daily bars carry the date of their session
    "VIX": Session("16:15", NEW_YORK),  # options on it are settled until then
    "QQQ": Session("16:00", NEW_YORK, QUARTER_NS, "09:30"),
    "GLD": Session("16:00", NEW_YORK, QUARTER_NS),
    "DXY": Session("17:00", NEW_YORK, QUARTER_NS),  # the end of the currencies' day
}


@dataclass(frozen=True, slots=True)
class Column:
    """How something known beside a market is made of a stored series.

    Parameters
    ----------
    series : tuple of str
        Names in the store, the first that is there counts; ``{symbol}`` (of a perpetual, its pair's; without ``/``) and
        ``{timeframe}`` are the bars'.
    value : tuple of str
        What the series' column may be called; the only column of a series may be called anything.
    make : callable
        From values and the moments they were known to values, both of shape (n,), row by row from the past.
    remedy : str
        How the series comes into the store.
    tolerance_ns : int
        Beyond this age nothing is known; 0 for the length of a bar: what was known before it does not count.
    """

    series: tuple[str, ...]
    value: tuple[str, ...]
    make: Callable[[Floats, Times], Floats]
    remedy: str
    tolerance_ns: int = TOLERANCE_NS


def _level(values: Floats, known_at: Times) -> Floats:
    return np.log(values)


def _as_it_is(values: Floats, known_at: Times) -> Floats:
    return values


def _change(rows: int, longest_ns: int) -> Callable[[Floats, Times], Floats]:
    """Log change over some rows; NaN where they span longer than they may."""

    def change(values: Floats, known_at: Times) -> Floats:
        out = np.full(len(values), np.nan)
        out[rows:] = np.log(values[rows:] / values[:-rows])
        return np.where(_span(known_at, rows) <= longest_ns, out, np.nan)

    return change


def _mean(rows: int, longest_ns: int) -> Callable[[Floats, Times], Floats]:
    """Mean of some rows; NaN where they span longer than they may."""

    def mean(values: Floats, known_at: Times) -> Floats:
        out = np.full(len(values), np.nan)
        if len(values) >= rows:
            out[rows - 1 :] = np.lib.stride_tricks.sliding_window_view(values, rows).mean(axis=1)
        return np.where(_span(known_at, rows - 1) <= longest_ns, out, np.nan)

    return mean


def _span(known_at: Times, rows: int) -> Floats:
    """Nanoseconds from the row some rows before to each; endless where there is none."""
    stamps = known_at.view(np.int64).astype(np.float64)
    return np.r_[np.full(min(rows, len(stamps)), np.inf), stamps[rows:] - stamps[: max(len(stamps) - rows, 0)]]


def _macro(symbol: str, make: Callable[[Floats, Times], Floats]) -> Column:
    remedy = f"`tradsys data import FILE --symbol {symbol}` (daily bars) or `data import-series FILE --name {symbol}`"
    return Column((symbol, f"{symbol}-1d"), ("close",), make, remedy)


def _book(value: str) -> Column:
    remedy = "`tradsys book FILE --timeframe {timeframe}` makes it of a recorded book"
    return Column(("{symbol}-book-{timeframe}",), (value,), _as_it_is, remedy, 0)


_WEEK = _change(5, 12 * 24 * HOUR_NS)  # five sessions, also around the end of a year
_DVOL = ("BTC-DVOL", "BTC-DVOL-1h"), ("close",)
_DVOL_FILE = "`tradsys data import FILE --symbol BTC-DVOL` (hourly bars)"
_FUNDING = ("{symbol}-funding",), ("rate", "funding_rate", "fundingRate")
_FUNDING_FILE = "`tradsys data fetch MARKET --funding` or `data import-series FILE --name {series}`"
COLUMNS = {
    "vix_level": _macro("VIX", _level),
    "vix_change_5": _macro("VIX", _WEEK),
    "vix_age": _macro("VIX", _as_it_is),
    "dxy_ret_5": _macro("DXY", _WEEK),
    "qqq_ret_5": _macro("QQQ", _WEEK),
    "qqq_open": _macro("QQQ", _as_it_is),
    "gld_ret_5": _macro("GLD", _WEEK),
    "dvol_level": Column(*_DVOL, _level, _DVOL_FILE, 3 * HOUR_NS),
    "dvol_change_24": Column(*_DVOL, _change(24, 25 * HOUR_NS), _DVOL_FILE, 3 * HOUR_NS),
    "funding_8h": Column(*_FUNDING, _as_it_is, _FUNDING_FILE, 9 * HOUR_NS),
    "funding_mean_3d": Column(*_FUNDING, _mean(9, 65 * HOUR_NS), _FUNDING_FILE, 9 * HOUR_NS),
    "book_imbalance": _book("book_imbalance"),
    "imbalance_deep": _book("imbalance_deep"),
    "ofi": _book("ofi"),
    "ofi_deep": _book("ofi_deep"),
    "spread_bp": _book("spread_bp"),
    "microprice_dev": _book("microprice_dev"),
}


def with_context(bars: Bars, names: Iterable[str], data_root: Path) -> Bars:
    """Return bars with what was known beside them at each close, from the stored series.

    Parameters
    ----------
    bars : Bars
        Any; what they carry already stays.
    names : iterable of str
        Columns, as `engine.features.feature_needs` lists them.
    data_root : Path
        Folder of the stored series.

    Raises
    ------
    UsageError
        When a series is not stored, with the way to store it.

    Examples
    --------
    >>> from engine.synthetic import random_bars
    >>> dict(with_context(random_bars(3), [], Path("data")).context)
    {}
    """
    wanted = [name for name in dict.fromkeys(names) if name not in bars.context]
    found: dict[str, External] = {}
    context = dict(bars.context)
    for name in wanted:
        if name not in COLUMNS:
            raise unknown("column beside bars", name, COLUMNS)
        series = series_of(name, bars, Store(data_root))
        found[series] = found.get(series) or _stored(series, Store(data_root))
        context[name] = joined(bars, name, found[series])
    return bars.beside(context) if wanted else bars


def joined(bars: Bars, name: str, series: External) -> Floats:
    """Return one column of what was known at each close, from its series, float64 of shape (n,); NaN where nothing.

    Examples
    --------
    >>> from engine.synthetic import random_bars
    >>> rates = External("X-funding", np.array(["2020-01-01T01"], "M8[ns]"), {"rate": np.array([0.0001])})
    >>> joined(random_bars(3), "funding_8h", rates)
    array([0.0001, 0.0001, 0.0001])
    """
    how = COLUMNS[name]
    values = how.make(values_of(series, name), series.known_at)
    tolerance = how.tolerance_ns or bars.timeframe_ns - 1
    told = as_of(bars, External(series.name, series.known_at, {name: values}), tolerance)
    if name.endswith("_age"):
        return told[f"{series.name}.age_hours"] / 24.0
    known = told[f"{series.name}.{name}"]
    return np.where(np.isnan(known), np.nan, SESSIONS["QQQ"].is_open(bars.close_time)) if name == "qqq_open" else known


def series_of(name: str, bars: Bars, store: Store) -> str:
    """Return the stored series that a column beside some bars is made of.

    Raises
    ------
    UsageError
        When none is stored, with the way to store one.
    """
    there = found_series(name, bars, store)
    if there is None:
        how, asked = COLUMNS[name], _asked(name, bars)
        remedy = how.remedy.format(series=asked[0], timeframe=bars.timeframe)
        raise UsageError(f"{name} beside {bars.symbol} needs {' or '.join(asked)}, which is not stored here; {remedy}")
    return there


def found_series(name: str, bars: Bars, store: Store) -> str | None:
    """Return the stored series that a column beside some bars is made of; None where none is stored."""
    stored = {series.casefold(): series for series in store.names()}
    return next((stored[one.casefold()] for one in _asked(name, bars) if one.casefold() in stored), None)


def _asked(name: str, bars: Bars) -> list[str]:
    """The names under which a column's series may be stored."""
    symbol = plain_name(bars.symbol.split(":")[0].replace("/", "")).removesuffix(".P")
    return [series.format(symbol=symbol, timeframe=bars.timeframe) for series in COLUMNS[name].series]


def known_bars(bars: Bars) -> External:
    """Return the closes of other bars with the moment each was known: their close, or their session's by its clock."""
    days = SESSIONS.get(bars.symbol) if bars.timeframe == "1d" else None
    known_at = bars.close_time if days is None else days.known_at(bars.open_time.astype("datetime64[D]"))
    return External(f"{bars.symbol}-{bars.timeframe}", known_at, {"close": bars.close}, days)


def _stored(series: str, store: Store) -> External:
    return known_bars(store.load(series)) if store.series(series).kind == BARS else store.load_values(series)


def values_of(series: External, name: str) -> Floats:
    """Return the column of a series that a column beside bars is made of."""
    there, called = list(series.columns), COLUMNS[name].value
    column = next((one for one in (*called, *(there if len(there) == 1 else ())) if one in there), None)
    if column is None:
        raise UsageError(f"{name} is made of {' or '.join(called)}; the series {series.name} has {', '.join(there)}")
    return series.columns[column]
