"""What ccxt answers, as the plain records of `live.broker`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from live.broker import (
    CANCELLED,
    FILLED,
    LIMIT,
    MARKET,
    OPEN,
    REJECTED,
    STOP,
    Balance,
    Candle,
    ExchangeFill,
    Order,
    Position,
    Quote,
    Refused,
)

MS = 10**6
STATUS = {"open": OPEN, "closed": FILLED, "canceled": CANCELLED, "expired": CANCELLED, "rejected": REJECTED}


def order_of(row: Mapping[str, Any], symbol: str) -> Order:
    """Return an order as ccxt tells of it."""
    told = row["info"]
    status = STATUS[row["status"] or OPEN]
    order_id = str(row["id"] or "")
    if "algoId" in told:  # a waiting stop: its fills carry the name of the order it becomes
        order_id = str(told.get("actualOrderId") or "")
    trigger = row.get("triggerPrice")
    kind = STOP if trigger else LIMIT if row["type"] == "limit" else MARKET
    return Order(
        str(row["clientOrderId"] or ""),
        order_id,
        symbol,
        1 if row["side"] == "buy" else -1,
        kind,
        float(row["amount"] or 0.0),
        float(trigger or row["price"] or 0.0),
        float(row["filled"] or 0.0),
        float(row["average"] or 0.0),
        status,
        int(row["timestamp"] or 0) * MS,
        bool(row.get("reduceOnly")),
    )


def fill_of(row: Mapping[str, Any], symbol: str) -> ExchangeFill:
    """Return a fill as ccxt tells of it."""
    fee = row["fee"] or {}
    return ExchangeFill(
        str(row["id"]),
        str(row["order"]),
        symbol,
        1 if row["side"] == "buy" else -1,
        float(row["amount"]),
        float(row["price"]),
        float(fee.get("cost") or 0.0),
        str(fee.get("currency") or ""),
        int(row["timestamp"]) * MS,
    )


def candle_of(row: Sequence[Any], length: int, clock: int) -> Candle:
    """Return a candle, final if its time is over by the exchange's clock (ns)."""
    opened, high, low, close, volume = (float(value) for value in row[1:6])
    return Candle(int(row[0]) * MS, opened, high, low, close, volume, int(row[0]) * MS + length <= clock)


def quote_of(row: Mapping[str, Any]) -> Quote:
    """Return the best prices of a book ticker."""
    return Quote(float(row["bidPrice"]), float(row["askPrice"]))


def balance_of(row: Mapping[str, Any]) -> Balance:
    """Return what there is of a currency."""
    free = float(row.get("free") or 0.0)
    return Balance(free, float(row.get("total") or 0.0) - free)


def position_of(rows: Sequence[Mapping[str, Any]], market: str) -> Position:
    """Return the position of a market; hedge mode is refused."""
    held = [row for row in rows if row["symbol"] == market and float(row["positionAmt"])]
    if any(row.get("positionSide", "BOTH") != "BOTH" for row in held):
        raise Refused("the account is in hedge mode; switch it to one-way mode")
    row = held[0] if held else {}
    return Position(*(float(row.get(name, 0.0)) for name in ("positionAmt", "entryPrice", "unRealizedProfit")))
