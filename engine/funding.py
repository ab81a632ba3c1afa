"""Funding: what the holder of a perpetual pays for holding it, as bars carry it and as a reader is told of it.

An exchange names a moment and a rate; whoever is long then pays that fraction of the notional to whoever is short
(and receives it where the rate is negative). Bars carry the sum that came due since the open before: `Bars.funding`.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from engine.bars import UNIT_NS, Bars, Floats, Times
from engine.signals import Sides
from engine.terms import Labels

MINUTE_NS = UNIT_NS["m"]
LONGEST_NS = 8 * UNIT_NS["h"]  # no exchange lets more time pass between two payments
NOT_CHARGED = "funding is not charged"


def is_perpetual(bars: Bars) -> bool:
    """Return whether a market's name says that it is a perpetual: ours (BTCUSDT.P) or ccxt's (BTC/USDT:USDT)."""
    return bars.symbol.endswith(".P") or ":" in bars.symbol


def due_at_opens(bars: Bars, moments: Times, rates: Floats) -> Floats:
    """Return what a long pays at each bar's open: the rates due after the open of the bar before, up to this one.

    Parameters
    ----------
    bars : Bars
        The market. What came due while a bar was missing is paid at the open after the gap.
    moments : datetime64[ns] array of shape (k,)
        When each payment was due, in UTC, never going back. Exchanges stamp them some milliseconds late, so the minute
        counts; of two in one minute the last one does.
    rates : float64 array of shape (k,)
        Fraction of notional that a long pays; NaN where it is not known.

    Returns
    -------
    float64 array of shape (n,)
        Fractions of the notional at the open. NaN where nothing is known: no payment came due since the bar before, and
        the last one known is 8 hours old or more. A bar depends on no later payment.

    Examples
    --------
    >>> from engine.synthetic import random_bars
    >>> bars = random_bars(10)
    >>> moments = np.array(["2019-12-31T16:00", "2020-01-01T00:00:00.008"], "M8[ns]")
    >>> due_at_opens(bars, moments, np.array([0.0002, 0.0001])).tolist()
    [0.0001, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, nan, nan]
    """
    opens, known = bars.open_time.view(np.int64), ~np.isnan(rates)
    minute, rate = moments.view(np.int64)[known] // MINUTE_NS * MINUTE_NS, rates[known]
    last = np.append(np.diff(minute) > 0, True)[: len(minute)]
    minute, rate = minute[last], rate[last]
    paid = summed(bars, minute, rate)
    if not len(minute):
        return paid
    before = np.searchsorted(minute, opens, side="right") - 1
    fresh = (before >= 0) & (opens - minute[np.maximum(before, 0)] < LONGEST_NS)
    return np.where(fresh & np.isnan(paid), 0.0, paid)


def summed(bars: Bars, moments: NDArray[np.int64], rates: Floats) -> Floats:
    """Return the sum of what is known of the payments due since the open of the bar before; NaN where of none."""
    opens, n = bars.open_time.view(np.int64), len(bars)
    row = np.searchsorted(opens, moments)
    here = (row < n) & (moments > (opens[0] - bars.timeframe_ns if n else 0)) & ~np.isnan(rates)
    told = np.bincount(row[here], minlength=n)
    return np.where(told > 0, np.bincount(row[here], rates[here], n), np.nan)


def charged(bars: Bars) -> Floats | None:
    """Return what a long pays at each open, 0 where it is not known; None where nothing is known of any bar."""
    known = known_share(bars)
    return None if bars.funding is None or not known else np.nan_to_num(bars.funding, nan=0.0)


def known_share(bars: Bars) -> float:
    """Return the share of bars whose funding is known, in [0, 1]."""
    if bars.funding is None or not len(bars):
        return 0.0
    return float(np.count_nonzero(~np.isnan(bars.funding)) / len(bars))


def paid_per_unit(bars: Bars) -> Floats:
    """Return what one unit held long has paid in money up to each open, that open included, float64 of shape (n,)."""
    due = charged(bars)
    return np.zeros(len(bars)) if due is None else np.cumsum(due * bars.open)


def returns_of(bars: Bars, labels: Labels, side: int | Sides, slippage: float) -> Floats:
    """Return what labelled trades earn once funding is paid, float64 of shape (n,); NaN where there is no label.

    A trade pays at every open from the one after its entry to that of the bar it ends in, as `simulate` charges it.

    Parameters
    ----------
    bars : Bars
        The market.
    labels : Labels
        Of these bars.
    side : int or array of shape (n,)
        Of the trades labelled.
    slippage : float
        At the entry.
    """
    if charged(bars) is None:
        return labels.ret
    paid, opened = paid_per_unit(bars), np.append(bars.open[1:], np.nan)
    since = np.append(paid[1:], np.nan)
    return np.asarray(labels.ret - side * (paid[labels.end] - since) / (opened * (1.0 + side * slippage)))


def funding_told(bars: Bars, owed: bool) -> str:
    """Return in a few words whether funding is charged and how much of it is known; empty where nobody owes any.

    Parameters
    ----------
    bars : Bars
        The stretch traded.
    owed : bool
        Whether these trades pay funding where they are made: on a perpetual, and wherever one can be short.
    """
    known = known_share(bars)
    if known == 1.0:
        return "funding is charged"
    if known > 0.0:
        return f"funding is charged where it is known: {share_told(known)} of the bars"
    if not owed:
        return ""
    if not is_perpetual(bars):
        return f"{NOT_CHARGED}: a perpetual's holder pays or receives it, every 8 hours on most exchanges"
    return f"{NOT_CHARGED}: none is stored for these bars; `tradsys data fetch MARKET --funding` stores it"


def share_told(known: float) -> str:
    """Return a share as a reader sees it; less than all is never shown as all.

    Examples
    --------
    >>> share_told(0.634), share_told(0.9999)
    ('63 %', '99 %')
    """
    return f"{min(max(round(100 * known), 1), 99)} %"


def funding_mark(bars: Bars) -> str:
    """Return a short hash of the funding charged, by which returns of equal costs are known; empty where none is.

    Examples
    --------
    >>> from engine.synthetic import random_bars
    >>> funding_mark(random_bars(3)), len(funding_mark(random_bars(3).paying(np.full(3, 1e-4))))
    ('', 12)
    """
    due = charged(bars)
    return "" if due is None else hashlib.sha256(due.tobytes()).hexdigest()[:12]
