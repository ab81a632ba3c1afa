"""Features of many bars: ours against the pandas way, on the same bars, equal before timed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from benchmarks.measure import Job, Row, timed
from engine.bars import Bars
from engine.features import default_features, feature_matrix
from tests.oracles.slow_features import frame_of, slow_features

MINUTE_NS = 60 * 10**9
SEVEN = ("ret_1", "vol_48", "atr_pct_14", "rsi_14", "macd_line", "macd_signal", "macd_hist")  # what everybody computes


def many_bars(n: int) -> Bars:
    """Return minute bars of a random walk, made fast."""
    rng = np.random.default_rng(1)
    close = 100.0 * np.exp(np.cumsum(0.001 * rng.standard_normal(n)))
    opened = np.r_[100.0, close[:-1]]
    high = np.maximum(opened, close) * np.exp(0.0005 * rng.random(n))
    low = np.minimum(opened, close) * np.exp(-0.0005 * rng.random(n))
    times = np.datetime64("2020-01-01", "ns") + np.arange(n) * np.timedelta64(MINUTE_NS, "ns")
    return Bars(times, opened, high, low, close, np.exp(rng.standard_normal(n)), MINUTE_NS)


def against_pandas(bars: Bars, names: Sequence[str], rounds: int) -> Row:
    frame = frame_of(bars)
    ours, theirs = feature_matrix(bars, names), slow_features(frame, names).to_numpy()
    np.testing.assert_allclose(ours[1000:], theirs[1000:], rtol=1e-6, atol=1e-6)
    times = timed(
        {
            "ours": partial(feature_matrix, bars, names),
            "pandas": lambda: np.ascontiguousarray(slow_features(frame, names).to_numpy()),
        },
        rounds,
    )
    return Row(f"{len(names)} features", f"{len(bars):,} bars", times["ours"], "pandas", times["pandas"], 5.0)


def run(quick: bool) -> list[Row]:
    sizes = (10_000,) if quick else (10_000, 100_000, 1_000_000)
    every = default_features(MINUTE_NS, sessions=False)
    return [
        against_pandas(bars, names, 2 if len(bars) > 100_000 else 4)
        for bars in map(many_bars, sizes)
        for names in (SEVEN, every)
    ]


def jobs() -> dict[str, Job]:
    names = default_features(MINUTE_NS, sessions=False)
    return {"features, 100k bars": partial(feature_matrix, many_bars(100_000), names)}
