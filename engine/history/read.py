"""A market file becomes bars, or one line says which row is wrong."""

from __future__ import annotations

from pathlib import Path

from engine.bars import Bars
from engine.history.infer import infer_sessions, infer_symbol, stated_or_inferred
from engine.history.raw import read_raw


def read_bars(
    path: Path, symbol: str | None = None, timeframe: str | None = None, sessions: bool | None = None
) -> Bars:
    """Return the closed bars of one market from a file that an exchange or a tool wrote.

    Read are Parquet, feather and CSV (plain, ``.csv.gz``, or one CSV in a ``.zip``), with the columns
    of this project, ccxt (6, with or without header), Binance's kline archives (12, with or without
    header; epochs in ms, or us since 2025), freqtrade (``date``), yfinance and backtesting.py
    (``Open High Low Close Volume``; ``Adj Close`` is ignored). Nothing is repaired, sorted or filled:
    gaps stay gaps, anything else that is wrong is refused.

    Whether the last row was finished when the file was written cannot be told from the file: an
    exchange's API returns the running bar as its last one, and Binance's ``close_time`` is the
    scheduled close. It is kept, as every row is; cut it off before if the file was fetched before
    that bar's close. The daily and monthly archives hold finished bars only.

    Parameters
    ----------
    path : Path
        ``.parquet .pq .feather .arrow .csv .txt .tsv .csv.gz .zip``.
    symbol : str, optional
        Name of the market; by default what stands before the timeframe in the file's name.
    timeframe : str, optional
        Such as ``1h``; by default the most common step between rows.
    sessions : bool, optional
        Whether the market closes overnight and on holidays; by default True for daily or finer bars
        of more than three weeks without a Saturday or Sunday.

    Returns
    -------
    Bars
        All rows, in UTC. Prices stored as float32 are the same numbers as float64.

    Raises
    ------
    UsageError
        When there is no such file, or the timeframe is no timeframe.
    DataError
        In one line: the file, the row (the line, counted from 1, of a CSV), the rule and the remedy.
    """
    raw = read_raw(path, sessions)
    raw.refuse(raw.row_defects())
    timeframe_ns = stated_or_inferred(raw.stamps, timeframe, raw.label)
    raw.refuse(raw.bar_defects(timeframe_ns))
    return Bars(
        open_time=raw.stamps.view("datetime64[ns]"),
        **raw.prices,
        context={},
        timeframe_ns=timeframe_ns,
        symbol=symbol or infer_symbol(path.name),
        sessions=infer_sessions(raw.stamps, timeframe_ns) if sessions is None else sessions,
    )
