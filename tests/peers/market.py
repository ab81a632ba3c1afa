"""A market for every peer: prices in cents, jumps between bars, bars that touch both barriers, missing bars.

Wicks reach at least a cent beyond open and close: Nautilus loses a bar's close when it equals the low.
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

N, UP, DOWN, HOLD = 1000, 1.5, 1.0, 5
COLUMNS = ("entry_bar", "exit_bar", "entry_price", "exit_price", "side")


class Peculiar(NamedTuple):
    """A market for a peer: what its own rules allow to be compared.

    ``jump`` is how far bars open from the last close, in standard deviations of a bar; ``unit`` is the barriers' unit
    as a share of the price, in whole cents where ``in_cents``; ``wishes`` is the share of bars with one.
    """

    jump: float = 1 / 3
    missing: float = 0.0
    in_cents: bool = True
    n: int = N
    volatility: float = 0.012
    unit: float = 0.01
    wishes: float = 0.3
    hold: int = HOLD

    @property
    def bars(self) -> Bars:
        calm = random_bars(self.n, seed=8, timeframe="1m", volatility=self.volatility, gaps=self.missing)
        jumps = self.volatility * self.jump * np.random.default_rng(8).standard_normal(self.n)
        opened = np.round(calm.open * np.exp(jumps) if self.jump else np.r_[calm.open[0], calm.close[:-1]], 2)
        close = np.round(calm.close, 2)
        high = np.maximum(np.round(calm.high, 2), np.round(np.maximum(opened, close) + 0.01, 2))
        low = np.minimum(np.round(calm.low, 2), np.round(np.minimum(opened, close) - 0.01, 2))
        return Bars(calm.open_time, opened, high, low, close, calm.volume, calm.timeframe_ns)

    def signals(self, bars: Bars) -> Signals:
        rng, shares = np.random.default_rng(5), (self.wishes / 2, 1 - self.wishes, self.wishes / 2)
        side = rng.choice(np.array([-1, 0, 1], np.int8), len(bars), p=shares)
        opens = np.r_[bars.open[1:], bars.close[-1]]  # of the bar entered: a market for tests may look ahead
        unit = self.unit * opens
        side[np.abs(opens - bars.close) >= 0.9 * unit] = 0  # backtesting.py refuses a stop on the close's other side
        return Signals(side, 0.02 * np.round(50 * unit) if self.in_cents else unit)


MARKETS = {
    "pybroker": Peculiar(missing=0.03),
    "nautilus-bar": Peculiar(jump=0.0),  # its market orders fill at the close: only without jumps the next open
    "freqtrade": Peculiar(in_cents=False),  # its barriers are percentages
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
