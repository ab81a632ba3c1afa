"""Markets for tests: bars by hand, and small lively ones on a price grid so coarse that ties are common."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from engine.bars import Bars
from engine.rules import FillRules, Rules
from engine.signals import Signals
from engine.synthetic import random_bars

HOUR_NS = 3600 * 10**9


def bars_of(rows, missing=(), timeframe_ns=HOUR_NS, sessions=False):
    """Return bars from (open, high, low, close) rows; after each row in ``missing`` one bar is left out."""
    prices = np.array(rows, np.float64).reshape(-1, 4)
    slots = np.arange(len(prices)) + np.searchsorted(np.asarray(missing), np.arange(len(prices)))
    start = np.datetime64("2020-01-01", "ns").astype(np.int64)
    time = (start + slots * timeframe_ns).astype("M8[ns]")
    return Bars(time, *prices.T.copy(), np.ones(len(prices)), timeframe_ns, "HAND", sessions)


def steps(path):
    """Return bars that each make one step of a path of prices, without gaps between them."""
    path = np.asarray(path, np.float64)
    a, b = path[:-1], path[1:]
    return bars_of(np.stack([a, np.maximum(a, b), np.minimum(a, b), b], axis=1))


def wish_at(n, *rows, side=1, atr=1.0):
    """Return n bars' signals that wish on some rows only."""
    sides = np.zeros(n, np.int8)
    sides[list(rows)] = side
    return Signals(sides, np.full(n, atr))


def momentum_bars(n: int, seed: int = 0, strength: float = 0.5) -> Bars:
    """Return a market whose returns repeat: what any honest learner must find."""
    rng = np.random.default_rng(seed)
    returns = np.zeros(n)
    for i in range(1, n):
        returns[i] = strength * returns[i - 1] + 0.01 * rng.standard_normal()
    close = 100 * np.exp(returns.cumsum())
    opened = np.r_[100.0, close[:-1]]
    reach = np.exp(0.002 * np.abs(rng.standard_normal((2, n))))
    high, low = np.maximum(opened, close) * reach[0], np.minimum(opened, close) / reach[1]
    start = random_bars(n).open_time
    return Bars(start, opened, high, low, close, np.full(n, 10.0), 3600 * 10**9, "MOMENTUM")


def lively_bars(n, seed, sessions=False):
    rng = np.random.default_rng(seed)
    close, rows = 20.0, []
    for jump, move, up, down in rng.integers([-2, -3, 0, 0], [3, 4, 3, 3], (n, 4)) * 0.5:
        opened = max(close + jump * (rng.random() < 0.5), 2.0)
        close = max(opened + move, 2.0)
        rows.append((opened, max(opened, close) + up, max(min(opened, close) - down, 0.5), close))
    return bars_of(rows, np.flatnonzero(rng.random(n) < 0.08), sessions=sessions)


def lively_signals(n, seed):
    rng = np.random.default_rng(seed + 1)
    side = rng.choice(np.array([-1, 0, 1], np.int8), n, p=(0.25, 0.4, 0.35))
    return Signals(
        side, rng.choice([0.5, 1.0, 1.5, 2.0, np.nan, 0.0, np.inf], n, p=(0.25, 0.3, 0.2, 0.1, 0.05, 0.05, 0.05))
    )


markets = st.builds(lively_bars, st.integers(1, 60), st.integers(0, 10**6), st.booleans())
fill_rules = st.one_of(st.just(FillRules()), st.builds(FillRules, *[st.booleans()] * len(FillRules._fields)))
rules = st.builds(
    Rules,
    k_up=st.sampled_from((0.5, 1.0, 1.5, 3.0, 1e9)),
    k_down=st.sampled_from((0.5, 1.0, 1.5, 3.0, 1e9)),
    hold=st.sampled_from((1, 2, 3, 7, 10**9)),
    fee=st.sampled_from((0.0, 0.001, 0.05)),
    maker_fee=st.sampled_from((0.0, 0.0005, -0.0001)),
    slippage=st.sampled_from((0.0, 0.0005, 0.02)),
    exposure=st.sampled_from((0.1, 0.5, 0.93)),
    fills=fill_rules,
)
