"""Orders, and the names they go by: functions of the bot, the market, the bar and the leg, never of chance."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from engine.barriers import REASONS
from engine.simulate import Result

ENTRY = "entry"
ID_LETTERS = 32  # the shortest limit among exchanges; letters and digits alone are allowed everywhere


class Fill(NamedTuple):
    """One order that was filled.

    Parameters
    ----------
    order_id : str
        Client order id: see `client_order_id`.
    time : int
        Open time of the bar in which it was filled, in nanoseconds since 1970.
    leg : str
        ``entry``, or why the trade ended: ``target``, ``stop``, ``time``, ``liquidated``.
    side : int
        1 bought, -1 sold.
    units, price, fee : float
        Size, price with slippage, fee in money.
    """

    order_id: str
    time: int
    leg: str
    side: int
    units: float
    price: float
    fee: float


def client_order_id(bot: str, symbol: str, wish_time: int, leg: str) -> str:
    """Return the name of an order: sent again after a crash, it is the same order, so it cannot stand twice.

    Parameters
    ----------
    bot : str
        Identity of the bot.
    symbol : str
        Market.
    wish_time : int
        Open time of the bar that wished for the trade, in nanoseconds since 1970.
    leg : str
        Which order of the trade.

    Returns
    -------
    str
        32 lower-case letters and digits.

    Examples
    --------
    >>> client_order_id("a", "BTCUSDT", 0, "entry") == client_order_id("a", "BTCUSDT", 0, "entry")
    True
    >>> client_order_id("a", "BTCUSDT", 0, "entry") == client_order_id("a", "BTCUSDT", 0, "stop")
    False
    """
    words = "|".join((bot, symbol, str(int(wish_time)), leg))
    return "t" + hashlib.sha256(words.encode()).hexdigest()[: ID_LETTERS - 1]


def fills_of(result: Result, bot: str) -> list[Fill]:
    """Return the orders filled in the last bar of a result, oldest first."""
    symbol, now = result.bars.symbol, int(result.bars.open_time[-1].astype("int64"))
    fills = []
    for trade in result.trades:
        wish, entered = (int(trade[name].astype("int64")) for name in ("wish_time", "entry_time"))
        side, units = int(trade["side"]), float(trade["units"])
        if entered == now:
            paid = (float(trade["entry_price"]), float(trade["entry_fee"]))
            fills.append(Fill(client_order_id(bot, symbol, wish, ENTRY), now, ENTRY, side, units, *paid))
        leg = REASONS[int(trade["reason"])]
        got = (float(trade["exit_price"]), float(trade["exit_fee"]))
        fills.append(Fill(client_order_id(bot, symbol, wish, leg), now, leg, -side, units, *got))
    held = result.account.holding
    if held.side and held.entry_time == now:
        order = client_order_id(bot, symbol, held.wish_time, ENTRY)
        fills.append(Fill(order, now, ENTRY, held.side, held.units, held.entry_price, held.entry_fee))
    return fills
