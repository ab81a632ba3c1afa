"""A run in vectorbt's own records, for those who know its stats and plots; the only file that imports it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import UsageError
from engine.simulate import Result

BUY, SELL = 0, 1
ORDER_DTYPE = np.dtype(  # vectorbt.portfolio.enums.order_dt, known here so that orders need no import of 3 s
    [("id", "i8"), ("col", "i8"), ("idx", "i8"), ("size", "f8"), ("price", "f8"), ("fees", "f8"), ("side", "i8")],
    align=True,
)


def order_records(result: Result) -> NDArray[Any]:
    """Return every fill of a run as vectorbt's order records, entry and exit in turn.

    Funding, which vectorbt does not know, is added to the fees of the order that closed the trade.

    Raises
    ------
    UsageError
        If the run went on from an open position: its entry is not among these bars.
    """
    if result.start.side != 0:
        raise UsageError("orders need a run that starts flat; this one goes on from an open position")
    trades = np.concatenate([result.trades, result.open_trade])
    entry, left = np.zeros(len(trades), ORDER_DTYPE), np.zeros(len(trades), ORDER_DTYPE)
    for order, bar, price in ((entry, "entry_bar", "entry_price"), (left, "exit_bar", "exit_price")):
        order["idx"], order["price"], order["size"] = trades[bar], trades[price], trades["units"]
    long = trades["side"] > 0
    entry["side"], left["side"] = np.where(long, BUY, SELL), np.where(long, SELL, BUY)
    entry["fees"], left["fees"] = trades["entry_fee"], trades["exit_fee"] + trades["funding"]
    orders = np.stack([entry, left], axis=1).reshape(-1)
    orders = orders[: len(orders) - len(result.open_trade)]
    orders["id"] = np.arange(len(orders))
    return orders


def portfolio(result: Result) -> Any:
    """Return the run as a ``vectorbt.Portfolio`` built from the same orders.

    Parameters
    ----------
    result : Result
        A run that started flat.

    Returns
    -------
    vectorbt.Portfolio
        Its index is naive UTC: vectorbt is 16 to 47 times slower on an index with a time zone.

    Raises
    ------
    UsageError
        If the run went on from an open position.
    """
    import pandas as pd
    import vectorbt as vbt
    from vectorbt.portfolio.enums import log_dt

    bars = result.bars
    index = pd.DatetimeIndex(bars.open_time, name="open_time")
    frequency = pd.Timedelta(bars.timeframe_ns, "ns")
    wrapper = vbt.ArrayWrapper(index=index, columns=[bars.symbol], ndim=1, freq=frequency)
    return vbt.Portfolio(
        wrapper,
        pd.Series(bars.close, index=index, name=bars.symbol),
        order_records(result).astype(vbt.portfolio.enums.order_dt),
        np.empty(0, log_dt),
        np.array([result.start.cash]),
        False,
    )


def trade_columns(result: Result) -> dict[str, Any]:
    """Return trades as columns with vectorbt's names, the open one last; shape (k,) each.

    Columns beyond vectorbt's: ``Wish Timestamp``, ``Target``, ``Stop``, ``Funding``, ``Bars``, ``Reason``,
    ``Ambiguous``. ``PnL`` and ``Return`` are after all costs.
    """
    from engine.barriers import REASONS

    trades = np.concatenate([result.trades, result.open_trade])
    return {
        "Exit Trade Id": np.arange(len(trades)),
        "Column": np.full(len(trades), result.bars.symbol),
        "Size": trades["units"],
        "Entry Timestamp": trades["entry_time"],
        "Avg Entry Price": trades["entry_price"],
        "Entry Fees": trades["entry_fee"],
        "Exit Timestamp": trades["exit_time"],
        "Avg Exit Price": trades["exit_price"],
        "Exit Fees": trades["exit_fee"],
        "PnL": trades["pnl"],
        "Return": trades["ret"],
        "Direction": np.where(trades["side"] > 0, "Long", "Short"),
        "Status": np.where(trades["open"], "Open", "Closed"),
        "Position Id": np.arange(len(trades)),
        "Wish Timestamp": trades["wish_time"],
        "Target": trades["target"],
        "Stop": trades["stop"],
        "Funding": trades["funding"],
        "Bars": trades["bars"],
        "Reason": np.array(REASONS)[trades["reason"]],
        "Ambiguous": trades["ambiguous"],
    }


def trades_frame(result: Result) -> Any:
    """Return `trade_columns` as a pandas frame."""
    import pandas as pd

    return pd.DataFrame(trade_columns(result))
