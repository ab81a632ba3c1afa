"""One market for every peer: prices in cents, jumps between bars, bars that touch both barriers, missing bars.

Wicks reach at least a cent beyond open and close: Nautilus loses a bar's close when it equals the low.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.bars import Bars
from engine.rules import FillRules, Rules
from engine.signals import Signals
from engine.simulate import simulate
from engine.synthetic import random_bars

N, UP, DOWN, HOLD = 1000, 1.5, 1.0, 5
COLUMNS = ("entry_bar", "exit_bar", "entry_price", "exit_price", "side")


def bars_for(jump: float = 0.004, missing: float = 0.0) -> Bars:
    """Return bars that open some way from the last close, or exactly at it without a jump."""
    calm, rng = random_bars(N, seed=8, timeframe="1m", volatility=0.012, gaps=missing), np.random.default_rng(8)
    jumping = calm.open * np.exp(jump * rng.standard_normal(N))
    opened = np.round(jumping if jump else np.r_[calm.open[0], calm.close[:-1]], 2)
    close = np.round(calm.close, 2)
    high = np.maximum(np.round(calm.high, 2), np.round(np.maximum(opened, close) + 0.01, 2))
    low = np.minimum(np.round(calm.low, 2), np.round(np.minimum(opened, close) - 0.01, 2))
    return Bars(calm.open_time, opened, high, low, close, calm.volume, calm.timeframe_ns)


def wishes_for(bars: Bars, in_cents: bool = True) -> Signals:
    """Return wishes whose barriers are about 1 % of the price apart: in whole cents, or exactly."""
    side = np.random.default_rng(5).choice(np.array([-1, 0, 1], np.int8), len(bars), p=(0.15, 0.7, 0.15))
    opens = np.r_[bars.open[1:], bars.close[-1]]  # of the bar entered: a market for tests may look ahead
    unit = 0.01 * opens
    side[np.abs(opens - bars.close) >= 0.9 * unit] = 0  # backtesting.py refuses barriers on one side of the last close
    return Signals(side, 0.02 * np.round(50 * unit) if in_cents else unit)


MARKETS = {
    "pybroker": (bars_for(missing=0.03), True),
    "nautilus-bar": (bars_for(jump=0.0), True),  # its market orders fill at the close: only without jumps the next open
    "freqtrade": (bars_for(), False),  # its barriers are percentages
    "vectorbt": (bars_for(missing=0.03), True),
    "backtesting.py": (bars_for(missing=0.03), True),
}


def market_of(peer: str) -> tuple[Bars, Signals]:
    bars, in_cents = MARKETS[peer]
    return bars, wishes_for(bars, in_cents)


def write_market(peer: str, path: Path) -> None:
    """Write the market where a peer's own interpreter finds it."""
    bars, signals = market_of(peer)
    columns = {name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}
    terms = {"up": UP, "down": DOWN, "hold": HOLD}
    np.savez(path, time=bars.open_time.astype(np.int64), side=signals.side, unit=signals.atr, **columns, **terms)


def our_trades(peer: str, fills: FillRules, hold: int = HOLD) -> np.ndarray:
    """Return our finished trades on a peer's market, one row of `COLUMNS` each."""
    bars, signals = market_of(peer)
    rules = Rules(k_up=UP, k_down=DOWN, hold=hold, fee=0.0, maker_fee=0.0, slippage=0.0, exposure=0.5, fills=fills)
    one_by_one = peer == "freqtrade"  # with both sides at once it turns around within a bar
    wishes = [Signals(signals.side * (signals.side == s), signals.atr) for s in (1, -1)] if one_by_one else [signals]
    runs = [simulate(bars, wish, rules).trades for wish in wishes]
    return np.concatenate([np.stack([run[name].astype(float) for name in COLUMNS], axis=1) for run in runs])
