"""A market for every peer: jumps between bars, bars that touch both barriers, missing bars.

Wicks reach a tick beyond open and close: Nautilus loses a bar's close when it equals the low.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from engine.bars import Bars
from engine.rules import FillRules, Rules
from engine.signals import Signals
from engine.simulate import Result, simulate
from engine.synthetic import random_bars

N, UP, DOWN, HOLD, TICK = 1000, 1.5, 1.0, 5, 0.25
COLUMNS = ("entry_bar", "exit_bar", "entry_price", "exit_price", "side")


class Peculiar(NamedTuple):
    """A market for a peer: what its own rules allow to be compared.

    ``jump`` is how far bars open from the last close, in standard deviations of a bar; ``unit`` is the barriers' unit
    as a share of the price, in whole ticks where ``whole``; ``wishes`` is the share of bars with one.
    """

    jump: float = 1 / 3
    missing: float = 0.0
    whole: bool = True
    n: int = N
    volatility: float = 0.012
    unit: float = 0.01
    wishes: float = 0.3
    hold: int = HOLD

    @property
    def bars(self) -> Bars:
        calm = random_bars(self.n, seed=8, timeframe="1m", volatility=self.volatility, gaps=self.missing)
        jumps = self.volatility * self.jump * np.random.default_rng(8).standard_normal(self.n)
        opened = in_ticks(calm.open * np.exp(jumps) if self.jump else np.r_[calm.open[0], calm.close[:-1]])
        close = in_ticks(calm.close)
        high = np.maximum(in_ticks(calm.high), np.maximum(opened, close) + TICK)
        low = np.minimum(in_ticks(calm.low), np.minimum(opened, close) - TICK)
        return Bars(calm.open_time, opened, high, low, close, calm.volume, calm.timeframe_ns)

    def signals(self, bars: Bars) -> Signals:
        rng, shares = np.random.default_rng(5), (self.wishes / 2, 1 - self.wishes, self.wishes / 2)
        side = rng.choice(np.array([-1, 0, 1], np.int8), len(bars), p=shares)
        opens = np.r_[bars.open[1:], bars.close[-1]]  # of the bar entered: a market for tests may look ahead
        unit = self.unit * opens
        side[np.abs(opens - bars.close) >= 0.9 * unit] = 0  # backtesting.py refuses a stop on the close's other side
        return Signals(side, 2 * TICK * np.round(unit / (2 * TICK)) if self.whole else unit)


def in_ticks(price: np.ndarray) -> np.ndarray:
    """Return prices near 10,000 in whole quarters: exact in binary and to the cent, so that a touch is a touch."""
    return TICK * np.round(100.0 * price / TICK)


MARKETS = {
    "pybroker": Peculiar(missing=0.03),
    "nautilus-bar": Peculiar(jump=0.0),  # its market orders fill at the close: only without jumps the next open
    "freqtrade": Peculiar(whole=False),  # its barriers are percentages
    "vectorbt": Peculiar(missing=0.03, hold=10**9),  # it knows no time exit
    "backtesting.py": Peculiar(missing=0.03),
}


def write_market(market: Peculiar, path: Path) -> None:
    """Write a market where a peer's own interpreter finds it."""
    bars = market.bars
    signals = market.signals(bars)
    columns = {name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}
    terms = {"up": UP, "down": DOWN, "hold": market.hold, "share": market.unit}
    np.savez(path, time=bars.open_time.astype(np.int64), side=signals.side, unit=signals.atr, **columns, **terms)


def our_runs(peer: str, market: Peculiar, fills: FillRules) -> list[partial[Result]]:
    """Return what makes our trades on a peer's market: one run, or one for each side."""
    bars = market.bars
    told = market.signals(bars)
    rules = Rules(
        k_up=UP, k_down=DOWN, hold=market.hold, fee=0.0, maker_fee=0.0, slippage=0.0, exposure=0.5, fills=fills
    )
    one_by_one = peer == "freqtrade"  # with both sides at once it turns around within a bar
    wishes = [Signals(told.side * (told.side == s), told.atr) for s in (1, -1)] if one_by_one else [told]
    return [partial(simulate, bars, wish, rules) for wish in wishes]


def our_trades(peer: str, market: Peculiar, fills: FillRules) -> np.ndarray:
    """Return our finished trades on a peer's market, one row of `COLUMNS` each."""
    runs = [run().trades for run in our_runs(peer, market, fills)]
    return np.concatenate([np.stack([run[name].astype(float) for name in COLUMNS], axis=1) for run in runs])
