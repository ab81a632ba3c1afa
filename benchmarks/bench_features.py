"""Features of many bars: ours against the pandas way, on the same bars, equal before timed.

Run with ``python -m benchmarks.bench_features [bars ...]``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from os import environ
from statistics import median
from time import process_time

import numpy as np

from engine.bars import Bars
from engine.features import default_features, feature_matrix
from tests.oracles.slow_features import frame_of, slow_features

MINUTE_NS = 60 * 10**9
FIRST = """
from time import process_time
import numpy as np
import numba
from engine.synthetic import random_bars
from engine.features import FEATURES, feature_matrix, interleave
bars, begun = random_bars(300, seed=1), process_time()
interleave(np.zeros((1, 1)), np.zeros((1, 1)))
awake = process_time()
feature_matrix(bars, tuple(FEATURES))
print(awake - begun, process_time() - awake)
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
    """Return the processor seconds of one call: both sides run on one core."""
    begun = process_time()
    call()
    return process_time() - begun


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


def first_calls() -> None:
    """Print what the first call of a process costs: without the compiled kernels on disk, and with them."""
    with tempfile.TemporaryDirectory() as cache:
        for how in ("compiled", "from the cache"):
            command = [sys.executable, "-c", FIRST]
            run = subprocess.run(command, env=environ | {"NUMBA_CACHE_DIR": cache}, capture_output=True, check=True)
            awake, rest = (float(text) for text in run.stdout.split())
            print(f"first call, {how:14}: {awake:.2f} s for numba and its first kernel, {rest:.2f} s for the others")


def main() -> None:
    """Print the table."""
    first_calls()
    print(f"{'bars':>10} {'ours':>10} {'pandas':>10} {'ratio':>7}")
    for n in [int(text) for text in sys.argv[1:]] or [10_000, 100_000, 1_000_000]:
        ours, theirs = side_by_side(n)
        print(f"{n:>10,} {1e3 * ours:>7.1f} ms {1e3 * theirs:>7.1f} ms {theirs / ours:>6.1f}x")


if __name__ == "__main__":
    main()
