"""What needs no model: cash, holding, entering at every event, a breakout. Same bars, same costs.

A strategy that does not beat these has shown nothing, whatever its own figures say.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from engine.bars import Bars, Floats
from engine.indicators.events import EVENT_ATRS
from engine.indicators.events import cusum as cusum
from engine.rules import Rules
from engine.score import daily_returns
from engine.signals import BELOW_THRESHOLD, WISH, Sides, Signals
from engine.simulate import Result, simulate

BREAKOUT_BARS = 55  # the slow Donchian channel of the turtle traders
MATCHING_STEPS = 8
FOREVER = 1e12  # barriers no price reaches


def wishing(side: Sides, atr: Floats) -> Signals:
    """Return wishes that no model stands behind."""
    reason = np.where(side != 0, WISH, BELOW_THRESHOLD).astype(np.uint8)
    return Signals(side=side, atr=atr, proposed=side, reason=reason)


def cash(bars: Bars, rules: Rules) -> Result:
    """Return the result of doing nothing."""
    return simulate(bars, wishing(np.zeros(len(bars), np.int8), np.ones(len(bars))), rules)


def hold(bars: Bars, rules: Rules) -> Result:
    """Return the result of buying at the second open and selling at the last, at the same costs and exposure."""
    n = len(bars)
    fills = rules.fills._replace(wish_lapses_at_gap=False)
    forever = replace(rules, k_up=FOREVER, k_down=FOREVER, hold=max(n - 2, 1), fills=fills)
    side = np.zeros(n, np.int8)
    side[:1] = 1
    return simulate(bars, wishing(side, np.ones(n)), forever)


def matched_hold(bars: Bars, rules: Rules, volatility: float | None) -> Result | None:
    """Return holding with the exposure at which its daily volatility equals a strategy's; None where it is unknown.

    Parameters
    ----------
    bars : Bars
        The stretch compared.
    rules : Rules
        Costs.
    volatility : float or None
        Standard deviation of the strategy's daily returns, not annualised.
    """
    if volatility is None or volatility <= 0.0:
        return None
    exposure, held = rules.exposure, hold(bars, rules)
    for _ in range(MATCHING_STEPS):  # the share in the market drifts with the price, so no formula gives it
        risk = daily_volatility(held)
        if risk <= 0.0:
            return None
        exposure = min(exposure * volatility / risk, rules.exposure)
        held = hold(bars, replace(rules, exposure=exposure))
    return held


def daily_volatility(result: Result) -> float:
    """Return the standard deviation of daily returns, not annualised; 0 below two days."""
    returns = daily_returns(result)[1]
    return float(returns.std(ddof=1)) if len(returns) > 1 else 0.0


def cusum_events(bars: Bars, atr: Floats, atrs: float = EVENT_ATRS) -> NDArray[np.int8]:
    """Return the bars where price moved a number of ATRs since the last such bar: 1 up, -1 down, 0 none.

    Parameters
    ----------
    bars : Bars
        The market.
    atr : float64 array of shape (n,)
        Average true range at each close, in price units.
    atrs : float
        The threshold, in ATRs.

    Notes
    -----
    Symmetric CUSUM filter: Lopez de Prado (2018), *Advances in Financial Machine Learning*, 2.5.2,
    with the threshold of the bar itself and a reset of the side that fired alone.
    """
    moves = np.full(len(bars), np.nan)
    moves[1:] = np.diff(np.log(bars.close))
    return cusum(moves, atrs * atr / bars.close)


def no_model(bars: Bars, atr: Floats, rules: Rules) -> Result:
    """Return the result of entering long at every event, with the same barriers: the labels without the model."""
    return simulate(bars, wishing((cusum_events(bars, atr) != 0).astype(np.int8), atr), rules)


def breakout(bars: Bars, atr: Floats, rules: Rules, lookback: int = BREAKOUT_BARS) -> Result:
    """Return the result of entering long where the close exceeds the highs of the last bars (Donchian)."""
    side = np.zeros(len(bars), np.int8)
    if len(bars) > lookback:
        highs = np.lib.stride_tricks.sliding_window_view(bars.high[:-1], lookback).max(axis=1)
        side[lookback:] = bars.close[lookback:] > highs
    return simulate(bars, wishing(side, atr), rules)
