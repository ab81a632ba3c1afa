"""What a run earned, at what risk and cost. Every figure is None where it is undefined, never NaN.

Statistics use daily net returns: the equity at the last close of each UTC day over that of the day
before, minus 1. In markets that never close every calendar day counts, and days without a bar
return 0; in markets with sessions every day with a bar counts. Flat days are included. A year has
``bars.days_per_year`` such days (365, or 252 with sessions); the risk-free rate is 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.bars import DAY_NS, Floats, Times
from engine.simulate import Result
from engine.tally import tally
from engine.terms import TRADE, readonly

NOISE = 1e-14  # a deviation below this is rounding error of equity ratios


@dataclass(frozen=True, slots=True)
class Score:
    """The figures of one run.

    Parameters
    ----------
    total_return : float or None
        Final equity over the equity at the start, minus 1.
    cagr : float or None
        ``(1 + total_return) ** (days_per_year / days) - 1``; -1 if nothing is left. From 2 days on.
    volatility : float or None
        Standard deviation (ddof 1) of daily returns times ``sqrt(days_per_year)``. From 2 days on.
    sharpe : float or None
        Mean over standard deviation (ddof 1) of daily returns times ``sqrt(days_per_year)``.
        None below 2 days or without variance.
    sortino : float or None
        Mean over the root mean square of the negative daily returns (0 for the others), annualised alike.
    calmar : float or None
        ``cagr / -max_drawdown``; None without a drawdown.
    max_drawdown : float or None
        Deepest fall of the equity at bar closes from its highest before, as a negative fraction; 0 if none.
    max_drawdown_days : float or None
        Days from the top before the deepest fall until it was reached again, or until the last close.
    win_rate : float or None
        Share of trades with a positive ``pnl``; None without trades, as all figures per trade.
    profit_factor : float or None
        Gains of the winners over losses of the losers; None without losers.
    expectancy_bp : float or None
        Mean return per trade after all costs, in basis points of the entry's notional.
    exposure : float or None
        Share of bars at whose close a position was held.
    turnover : float or None
        Notional of all fills over mean equity, per year.
    trades : int
        Number of finished trades.
    average_hold_bars : float or None
        Mean number of bars that a trade lived.
    fees_paid, funding_paid : float
        Money paid, an open trade's included.
    ambiguous_share : float or None
        Share of trades that ended in a bar where stop and target were both touched.
    final_equity : float
        Cash and the position's worth at the last close.
    days : int
        Number of daily returns.

    Notes
    -----
    Sharpe (1994), *The Sharpe Ratio*; Sortino and Price (1994); Young (1991), *Calmar Ratio*.
    """

    total_return: float | None
    cagr: float | None
    volatility: float | None
    sharpe: float | None
    sortino: float | None
    calmar: float | None
    max_drawdown: float | None
    max_drawdown_days: float | None
    win_rate: float | None
    profit_factor: float | None
    expectancy_bp: float | None
    exposure: float | None
    turnover: float | None
    trades: int
    average_hold_bars: float | None
    fees_paid: float
    funding_paid: float
    ambiguous_share: float | None
    final_equity: float
    days: int


@njit(cache=True, nogil=True)
def _scan(  # noqa: PLR0913
    equity: Floats,
    time: NDArray[np.int64],
    bar_ns: int,
    begin: float,
    every_day: bool,
    day: NDArray[np.int64],
    ret: Floats,
) -> tuple[int, float, int]:
    """Fill ``day`` and ``ret`` (zeros); return how many days, the deepest drawdown and its nanoseconds."""
    n, days, last, before = len(equity), 0, np.uint64(0), begin
    midnight = time[0] - DAY_NS  # no bar ends before it: the first begins a day
    top, top_time, floor, worst, since, until, sunk = begin, time[0], begin, 0.0, time[0], time[0], False
    for i in range(n + 1):
        row = np.uint64(i)
        now = time[row] + bar_ns if i < n else midnight + 1
        if now > midnight:  # a day is over: midnight belongs to the day before
            if days > 0:
                ret[last] = equity[row - np.uint64(1)] / before - 1.0 if before > 0.0 else 0.0
                before = equity[row - np.uint64(1)]
            if i == n:
                break
            today = (now - 1) // DAY_NS
            midnight = (today + 1) * DAY_NS
            days = today - day[0] + 1 if every_day and i > 0 else days + 1
            last = np.uint64(days - 1)
            day[last] = today
        worth = equity[row]
        if worth >= top:
            if sunk:
                until, sunk = now, False
            top, top_time, floor = worth, now, worth * (1.0 + worst)
        elif worth < floor:
            worst, floor, since, sunk = worth / top - 1.0, worth, top_time, True
    return days, worst, (time[np.uint64(len(time) - 1)] + bar_ns if sunk else until) - since


def _scanned(result: Result) -> tuple[Times, Floats, float | None, float | None]:
    """Return days, daily returns, and depth and days of the deepest drawdown."""
    bars, time = result.bars, result.bars.open_time.view(np.int64)
    if len(bars) == 0:
        return np.empty(0, "M8[D]"), np.empty(0), None, None
    first, last = ((t + bars.timeframe_ns - 1) // DAY_NS for t in (int(time[0]), int(time[-1])))
    most = last - first + 1
    day = np.arange(first, last + 1) if not bars.sessions else np.empty(min(most, len(bars)), np.int64)
    ret = np.zeros(len(day))
    begin = float(result.start.equity)
    n, depth, length = _scan(
        readonly(result.equity), readonly(time), int(bars.timeframe_ns), begin, not bars.sessions, day, ret
    )
    return day[:n].astype("M8[D]"), ret[:n], float(depth), length / DAY_NS


def daily_returns(result: Result) -> tuple[Times, Floats]:
    """Return UTC days and the net return of each, flat days included.

    Parameters
    ----------
    result : Result
        A run.

    Returns
    -------
    days : datetime64[D] array of shape (d,)
        Every calendar day from the first bar to the last in markets that never close; with sessions, the
        days in which a bar ends. A bar belongs to the day in which it ends, one that ends at midnight to
        the day before.
    returns : float64 array of shape (d,)
        Equity at the day's last close over that of the day before (at first: the start), minus 1; 0 on
        days without a bar and once nothing is left.

    Examples
    --------
    >>> from engine.rules import Rules
    >>> from engine.signals import Signals
    >>> from engine.simulate import simulate
    >>> from engine.synthetic import random_bars
    >>> bars = random_bars(50, seed=1)
    >>> days, returns = daily_returns(simulate(bars, Signals(np.zeros(50, np.int8), np.ones(50)), Rules()))
    >>> days.astype(str).tolist(), returns.tolist()
    (['2020-01-01', '2020-01-02', '2020-01-03'], [0.0, 0.0, 0.0])
    """
    days, returns, _, _ = _scanned(result)
    return days, returns


def score(result: Result) -> Score:
    """Return the figures of a run.

    Parameters
    ----------
    result : Result
        A run; one that goes on from an account is measured from that account's equity.

    Examples
    --------
    >>> from engine.rules import Rules
    >>> from engine.signals import Signals
    >>> from engine.simulate import simulate
    >>> from engine.synthetic import random_bars
    >>> bars = random_bars(50, seed=1)
    >>> flat = score(simulate(bars, Signals(np.zeros(50, np.int8), np.ones(50)), Rules()))
    >>> flat.total_return, flat.sharpe, flat.trades
    (0.0, None, 0)
    """
    _, returns, depth, length = _scanned(result)
    year = result.bars.days_per_year
    final, begin, trades = float(result.account.equity), float(result.start.equity), result.trades
    growth = _over(final, begin)
    cagr = _yearly(growth, len(returns), year)
    return Score(
        total_return=None if growth is None else growth - 1.0,
        cagr=cagr,
        **_risk(returns, year),
        calmar=None if cagr is None or depth is None else _over(cagr, -depth),
        max_drawdown=depth,
        max_drawdown_days=length,
        **_trading(result, len(returns)),
        exposure=_over(float(np.count_nonzero(result.position)), len(result)),
        trades=len(trades),
        final_equity=final,
        days=len(returns),
    )


def _over(above: float, below: float) -> float | None:
    """Return a ratio, or None where it is undefined or beyond any number."""
    if not below > 0.0:
        return None
    ratio = above / below
    return ratio if math.isfinite(ratio) else None


def _yearly(growth: float | None, days: int, year: int) -> float | None:
    """Return growth per year, minus 1."""
    if growth is None or days < 2:
        return None
    if growth <= 0.0:
        return -1.0
    power = math.log(growth) * year / days
    return math.expm1(power) if power < 700.0 else None


def _risk(returns: Floats, year: int) -> dict[str, Any]:
    """Return volatility, Sharpe and Sortino ratios, annualised."""
    if len(returns) < 2:
        return {"volatility": None, "sharpe": None, "sortino": None}
    mean, deviation, root = float(returns.mean()), float(returns.std(ddof=1)), math.sqrt(year)
    downside = math.sqrt(float(np.square(np.minimum(returns, 0.0)).mean()))
    return {
        "volatility": deviation * root,
        "sharpe": mean / deviation * root if deviation > NOISE else None,
        "sortino": mean / downside * root if downside > NOISE else None,
    }


def _trading(result: Result, days: int) -> dict[str, Any]:
    """Return the figures that are sums or means over trades."""
    done, still = (tally(trades.view(TRADE)) for trades in (result.trades, result.open_trade))
    n, mean = len(result.trades), float(result.equity.mean()) if len(result) else 0.0
    return {
        "win_rate": _over(float(done.won), n),
        "profit_factor": _over(done.gained, done.lost),
        "expectancy_bp": _over(done.ret * 1e4, n),
        "average_hold_bars": _over(float(done.bars), n),
        "ambiguous_share": _over(float(done.ambiguous), n),
        "turnover": _over(done.notional + still.notional, mean * days / result.bars.days_per_year)
        if days >= 2
        else None,
        "fees_paid": done.fees + still.fees,
        "funding_paid": done.funding + still.funding - result.start.holding.funding,
    }
