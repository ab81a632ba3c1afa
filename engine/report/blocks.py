"""The long blocks of a report, made from what the engine already has: bars, equity and trade records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.barriers import REASONS
from engine.bars import Bars, Floats, Times
from engine.report.evidence import Months
from engine.report.series import Coded, Curve, Equity, Kind, Price, Trades
from engine.signals import Signals

MOST_BARS = 60_000  # 1.6 MB of page; more are merged
MOST_TRADES = 4_000  # of one strategy, 0.3 MB; of more, the newest
MOST_POINTS = 4_000  # of an equity curve: more than a screen has columns


def price_block(bars: Bars, belief: Floats | None = None, regimes: Sequence[str] = ()) -> Price:
    """Return the bars of the price chart, merged where there are more than a page can carry.

    Parameters
    ----------
    bars : Bars
        The bars scored.
    belief : float64 array of shape (n, k), optional
        Regime probabilities by ascending volatility; NaN where not known.
    regimes : sequence of str
        The k regimes' names.

    Examples
    --------
    >>> from engine.synthetic import random_bars
    >>> len(price_block(random_bars(100))["time"])
    100
    """
    first = np.arange(0, len(bars), -(-len(bars) // MOST_BARS) or 1)
    last = np.r_[first[1:], len(bars)] - 1
    block: Price = {
        "time": bars.open_time[first],
        "open": bars.open[first],
        "high": np.maximum.reduceat(bars.high, first),
        "low": np.minimum.reduceat(bars.low, first),
        "close": bars.close[last],
    }
    if belief is not None:
        block["regime"] = _likeliest(belief[last], regimes)
    if len(first) < len(bars):
        block["note"] = f"Each bar drawn is {first[1]} bars of {bars.timeframe}: the file would be too large otherwise."
    return block


def _likeliest(belief: Floats, regimes: Sequence[str]) -> Coded:
    likeliest = np.nan_to_num(belief).argmax(axis=1)
    return {"words": list(regimes), "code": np.where(np.isfinite(belief).all(axis=1), likeliest, 255)}


def equity_block(bars: Bars, equity: Mapping[str, Floats], kinds: Mapping[str, Kind]) -> Equity:
    """Return equity curves over the same bars, thinned without losing the deepest drawdown.

    Parameters
    ----------
    bars : Bars
        The bars scored.
    equity : dict of str to float64 array of shape (n,)
        Equity at each close.
    kinds : dict of str to {"profile", "grid", "control"}
        What each curve is.

    Examples
    --------
    >>> from engine.synthetic import random_bars
    >>> bars = random_bars(10_000)
    >>> block = equity_block(bars, {"hold": bars.close}, {"hold": "control"})
    >>> worst = (bars.close / np.maximum.accumulate(bars.close)).min() - 1
    >>> len(block["time"]) <= 4000, bool(min(block["curves"][0]["drawdown"]) == worst)
    (True, True)
    """
    first = np.arange(0, len(bars), -(-len(bars) // MOST_POINTS) or 1)
    last = np.r_[first[1:], len(bars)] - 1
    curves = [_curve(name, kinds[name], values, first, last) for name, values in equity.items()]
    return {"time": bars.close_time[last], "curves": curves}


def _curve(name: str, kind: Kind, values: Floats, first: NDArray[np.int64], last: NDArray[np.int64]) -> Curve:
    drawdown = values / np.maximum.accumulate(values) - 1.0
    return {"name": name, "kind": kind, "equity": values[last], "drawdown": np.minimum.reduceat(drawdown, first)}


def trades_block(name: str, trades: NDArray[Any], bars: Bars, signals: Signals | None = None) -> Trades:
    """Return the closed trades of a result, the newest 4,000, with the evidence each was decided on.

    Parameters
    ----------
    name : str
        The strategy.
    trades : structured array
        The result's trade records.
    bars : Bars
        The bars the signals were decided on.
    signals : Signals, optional
        The decisions; absent for controls that need no model.
    """
    kept = trades[-MOST_TRADES:]
    note = (
        f"Of {name} the newest {MOST_TRADES:,} of {len(trades):,} trades are listed." if len(kept) < len(trades) else ""
    )
    trades = kept
    block: Trades = {
        "name": name,
        "note": note,
        "wish_time": trades["wish_time"],
        "entry_time": trades["entry_time"],
        "exit_time": trades["exit_time"],
        "side": trades["side"],
        "entry_price": trades["entry_price"],
        "exit_price": trades["exit_price"],
        "target": trades["target"],
        "stop": trades["stop"],
        "ret": trades["ret"],
        "outcome": {"words": REASONS, "code": trades["reason"]},
        "bars": trades["bars"],
        "ambiguous": trades["ambiguous"],
    }
    if signals is not None:
        _add_evidence(block, signals, bars.open_time.searchsorted(trades["wish_time"]))
    return block


def _add_evidence(block: Trades, signals: Signals, rows: NDArray[np.int64]) -> None:
    if len(signals.confidence):
        block["confidence"] = signals.confidence[rows]
    if signals.evidence is not None:
        block["p"] = signals.evidence.probability[rows]
        block["belief"] = signals.evidence.belief[rows, -1]
        block["audit"] = signals.evidence.audit[rows]
    words = ", ".join(signals.gates) if signals.gates else "no gate"
    block["reason"] = {"words": [words], "code": np.zeros(len(rows), np.uint8)}


def months_block(name: str, days: Times, returns: Floats) -> Months:
    """Return calendar-month returns, compounded from the daily net returns of a result.

    Examples
    --------
    >>> days = np.array(["2020-01-30", "2020-01-31", "2020-03-01"], "datetime64[D]")
    >>> months_block("sniper", days, np.array([0.1, 0.1, 0.5]))["returns"]
    [0.21, None, 0.5]
    """
    month = days.astype("datetime64[M]").astype(np.int64)
    compounded: list[float | None] = []
    for one in range(month[0], month[-1] + 1):
        inside = month == one
        compounded.append(round(float(np.prod(1.0 + returns[inside]) - 1.0), 8) if inside.any() else None)
    return {"name": name, "first": str(days[0].astype("datetime64[M]")), "returns": compounded}
