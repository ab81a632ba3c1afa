"""How time and memory grow with bars, with combos and with symbols: straight lines on logarithmic scales.

Each point is a process of its own, so that its peak memory is its own; processor seconds of one thread. The slope of a
line is the power by which the work grows: 1 is in proportion, less is better. Printed, and drawn into docs/growth.png
by a whole run (``python -m benchmarks growth``).
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import process_time

import numpy as np

from benchmarks.measure import ROOT, Job, Row

PICTURE = ROOT / "docs" / "growth.png"
STEEPEST = 1.15  # a power above this is no proportion any more
AXES = {
    "bars": ((10_000, 100_000, 1_000_000), (10_000, 100_000, 1_000_000, 10_000_000)),
    "combos": ((10, 100, 1_000), (10, 100, 1_000, 10_000, 100_000)),
    "symbols": ((1, 3, 10), (1, 3, 10, 30, 100)),
}
BARS_OF = {"combos": 20_000, "symbols": 100_000}
LEFT_OUT = {"combos": 1_000}  # below, what all combos share is most of the work
COMBOS = 100


def bars_and_wishes(n, seed=1):
    """Return minute bars of a random walk made fast, their ranges as ATR, and dice as confidence."""
    from benchmarks.bench_features import many_bars

    bars = many_bars(n)
    return bars, np.convolve(bars.high - bars.low, np.full(14, 1 / 14))[:n], np.random.default_rng(seed).random(n)


def one_run(bars, atr, sure):
    """Features, decision, simulation and figures: what one backtest does with its bars."""
    from engine.features import default_features, feature_matrix
    from engine.rules import Rules
    from engine.score import score
    from engine.signals import Signals
    from engine.simulate import simulate

    feature_matrix(bars, default_features(bars.timeframe_ns, sessions=False)[:7])
    return score(simulate(bars, Signals((sure > 0.98).astype(np.int8), atr), Rules(hold=60)))


def one_sweep(bars, atr, sure, combos):
    from engine.rules import Rules
    from engine.sweep import Grid, sweep

    wide = {10: (5, 2, 1, 1), 100: (10, 5, 2, 1), 1_000: (10, 10, 5, 2), 10_000: (10, 10, 10, 10)}
    t, u, d, h = wide.get(combos, (10, 20, 20, 25))
    grid = Grid(np.linspace(0.9, 0.99, t), np.linspace(1, 5, u), np.linspace(1, 4, d), np.arange(1, h + 1) * 12)
    return sweep(bars, sure, atr, Rules(fee=5e-5, maker_fee=5e-5, slippage=2e-5), grid)


def measure(axis, size):
    """Print the processor seconds and the memory in bytes that one point of a line takes above an empty start."""
    n = BARS_OF.get(axis, size)
    begin = bars_and_wishes(1_000)
    one_run(*begin)
    one_sweep(*begin, 10)  # compiled
    low, begun = peak(), process_time()
    if axis == "symbols":
        for seed in range(size):
            one_sweep(*bars_and_wishes(n, seed), COMBOS)
    else:
        ready = bars_and_wishes(n)
        begun = process_time()
        one_run(*ready) if axis == "bars" else one_sweep(*ready, size)
    sys.stdout.write(json.dumps([process_time() - begun, peak() - low]))


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def point(axis, size, rounds):
    """Return the least seconds and the memory of some processes."""
    command = [sys.executable, "-m", "benchmarks.bench_growth", axis, str(size)]
    done = [
        json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout) for _ in range(rounds)
    ]
    return min(seconds for seconds, _ in done), max(memory for _, memory in done)


def power(sizes, values):
    """Return the slope of a straight line through points on logarithmic scales."""
    return float(np.polyfit(np.log(sizes), np.log(np.maximum(values, 1e-9)), 1)[0])


def run(quick):
    rows, lines = [], {}
    for axis, choices in AXES.items():
        sizes = choices[not quick]
        points = [point(axis, size, 1 if quick or size >= 1_000_000 else 3) for size in sizes]
        lines[axis] = (sizes, *zip(*points, strict=True))
        far = [i for i, size in enumerate(sizes) if size >= LEFT_OUT.get(axis, 0)]
        steep = power([sizes[i] for i in far], [points[i][0] for i in far]) if len(far) > 1 else float("nan")
        for size, (seconds, memory) in zip(sizes, points, strict=True):
            note = f"{memory / 2**20:,.0f} MiB above the start"
            if size == sizes[-1]:
                note += f"; time grows by the power {steep:.2f}{' TOO STEEP' if steep > STEEPEST else ''}"
            rows.append(Row(f"growth with {axis}", f"{size:,} {axis}", seconds, note=note))
    if not quick:
        draw(lines)
    return rows


def draw(lines):
    """Draw time and memory of every line into docs/growth.png."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, grid = plt.subplots(2, len(lines), figsize=(11, 6), layout="constrained")
    for column, (axis, (sizes, seconds, memory)) in enumerate(lines.items()):
        for row, (values, unit) in enumerate(((seconds, "seconds"), (np.array(memory) / 2**20, "MiB above the start"))):
            box = grid[row][column]
            box.loglog(sizes, np.maximum(values, 0.1) if row else values, "o-", color="#1f77b4")
            box.loglog(sizes, values[-1] * np.array(sizes) / sizes[-1], ":", color="0.6", label="in proportion")
            box.set(xlabel=axis, ylabel=unit)
            box.grid(alpha=0.3)
    grid[0][0].legend(frameon=False)
    with tempfile.TemporaryDirectory() as folder:
        figure.savefig(Path(folder, "growth.png"), dpi=110)
        PICTURE.write_bytes(Path(folder, "growth.png").read_bytes())


def jobs() -> dict[str, Job]:
    return {}


if __name__ == "__main__":
    measure(sys.argv[1], int(sys.argv[2]))
