"""Features of many bars: ours against the pandas way, on the same bars, equal before timed.

Run with ``python -m benchmarks.bench_features [bars ...]``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from os import environ
from statistics import median
from time import perf_counter

import numpy as np

from engine.bars import Bars
from engine.features import default_features, feature_matrix
from tests.oracles.slow_features import frame_of, slow_features

MINUTE_NS = 60 * 10**9
COLD = """
from time import perf_counter
import numba
from engine.synthetic import random_bars
from engine.features import FEATURES, feature_matrix
bars = random_bars(300, seed=1)
begun = perf_counter()
feature_matrix(bars, tuple(FEATURES))
print(perf_counter() - begun)
"""


def many_bars(n: int) -> Bars:
    """Return minute bars of a random walk, made fast."""
    rng = np.random.default_rng(1)
    close = 100.0 * np.exp(np.cumsum(0.001 * rng.standard_normal(n)))
    opened = np.r_[100.0, close[:-1]]
    high = np.maximum(opened, close) * np.exp(0.0005 * rng.random(n))
    low = np.minimum(opened, close) * np.exp(-0.0005 * rng.random(n))
    times = np.datetime64("2020-01-01", "ns") + np.arange(n) * np.timedelta64(MINUTE_NS, "ns")
    return Bars(times, opened, high, low, close, np.exp(rng.standard_normal(n)), MINUTE_NS)


def timed(call) -> float:
    """Return the seconds of one call."""
    begun = perf_counter()
    call()
    return perf_counter() - begun


def side_by_side(n: int, repeats: int = 5) -> tuple[float, float]:
    """Return our and pandas' median seconds, taken in turns, after asserting that both say the same."""
    bars, names = many_bars(n), default_features(MINUTE_NS, sessions=False)
    frame = frame_of(bars)
    ours, theirs = feature_matrix(bars, names), slow_features(frame, names).to_numpy()
    np.testing.assert_allclose(ours[1000:], theirs[1000:], rtol=1e-6, atol=1e-6)
    times = [
        (
            timed(lambda: feature_matrix(bars, names)),
            timed(lambda: np.ascontiguousarray(slow_features(frame, names).to_numpy())),
        )
        for _ in range(repeats)
    ]
    return tuple(median(column) for column in zip(*times, strict=True))


def first_call() -> tuple[float, float]:
    """Return the seconds of a process's first call: without the compiled kernels on disk, and with."""
    with tempfile.TemporaryDirectory() as cache:
        runs = [
            subprocess.run([sys.executable, "-c", COLD], env=environ | {"NUMBA_CACHE_DIR": cache}, capture_output=True, check=True)
            for _ in range(2)
        ]
    return tuple(float(run.stdout) for run in runs)


def main() -> None:
    """Print the table."""
    cold, cached = first_call()
    print(f"first call of a process: {cold:.2f} s compiling, {cached:.2f} s from the cache")
    print(f"{'bars':>10} {'ours':>10} {'pandas':>10} {'ratio':>7}")
    for n in [int(text) for text in sys.argv[1:]] or [10_000, 100_000, 1_000_000]:
        ours, theirs = side_by_side(n)
        print(f"{n:>10,} {1e3 * ours:>7.1f} ms {1e3 * theirs:>7.1f} ms {theirs / ours:>6.1f}x")


if __name__ == "__main__":
    main()
