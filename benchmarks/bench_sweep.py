"""Sweeps: ours against vectorbt's best way, equal figures first; then, run by itself, both our roads.

``python -m benchmarks.bench_sweep [--bars 100000]`` shows the roads by combos and threads. vectorbt runs in a process
of its own, ten columns at a time, which is its fastest; its compilation is not counted. Its rust engine lives in the
environment that ``make peers`` makes. Processor time of one thread.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

CHUNK = 10  # columns: vectorbt's fastest (measured; a hundred at once are 2.4 times slower)
FIGURES = ("total_return", "max_drawdown", "trades", "win_rate", "sharpe")
NEVER = 10**9  # vectorbt knows no time exit
FEE = 5e-5
YEAR = np.sqrt(365.0)
WIDTHS = (14, 7, 9, 9, 10, 9, 10, 11)


def market(n):
    """Minute bars, an AR(1) score's rank as confidence, and an ATR: 2 trades per 100 bars on average."""
    from engine.synthetic import random_bars

    bars, rng = random_bars(n, seed=1, timeframe="1m", volatility=0.0005), np.random.default_rng(2)
    score = np.zeros(n)
    for i, shock in enumerate(rng.standard_normal(n - 1), 1):
        score[i] = 0.95 * score[i - 1] + shock
    return bars, np.argsort(np.argsort(score)) / n, np.convolve(bars.high - bars.low, np.full(14, 1 / 14))[:n]


def grid_of(combos, wide=False):
    """Ten thresholds and barriers of some ATRs; ``wide`` ones are four times as far and live four times as long."""
    from engine.sweep import Grid

    far = 4 if wide else 1
    if combos == 10_000:
        barriers = np.linspace(1, 5, 10) * far, np.linspace(1, 4, 10) * far, np.arange(12, 132, 12) * far
    else:
        barriers = np.linspace(1, 5, combos // 20), (1, 4), (60,)
    return Grid(np.linspace(0.80, 0.98, 10), *barriers)


# ---- vectorbt, in its own process: this part runs where nothing of ours is installed
def peer(path, engine):
    """Print vectorbt's figures of every combo and the processor seconds they took, as JSON."""
    import pandas as pd
    import vectorbt as vbt

    data = dict(np.load(path))
    frame = {name: pd.Series(data[name]) for name in ("open", "high", "low", "close")}
    seen, unit = np.r_[np.nan, data["confidence"][:-1]], np.r_[np.nan, data["atr"][:-1]] / data["open"]
    ends = np.flatnonzero(np.diff(data["day"], append=data["day"][-1] + 1))

    def run(combos):
        entries = pd.DataFrame(seen[:, None] >= combos[:, 0])
        return vbt.Portfolio.from_signals(
            **frame, entries=entries, exits=False, price=frame["open"], tp_stop=unit[:, None] * combos[:, 1],
            sl_stop=unit[:, None] * combos[:, 2], stop_entry_price="price", fees=FEE, init_cash=10_000.0, size=0.5,
            size_type="percent", direction="longonly", engine=engine, freq="1min",
        )  # fmt: skip

    def figures(book):
        return (
            book.total_return(),
            book.max_drawdown(),
            book.trades.closed.count(),
            book.trades.closed.win_rate(),
            book.sharpe_ratio(),
        )

    figures(run(data["combos"][:CHUNK]))
    found, spent = [], 0.0
    for first in range(0, len(data["combos"]), CHUNK):
        begun = process_time()
        book = run(data["combos"][first : first + CHUNK])
        chunk = np.array(figures(book))
        spent += process_time() - begun
        worth = np.vstack((np.full(chunk.shape[1], 10_000.0), book.value().to_numpy()[ends]))
        daily = worth[1:] / worth[:-1] - 1.0  # vectorbt's own Sharpe ratio is per bar
        chunk[4] = daily.mean(axis=0) / daily.std(axis=0, ddof=1) * YEAR
        found.append(chunk)
    sys.stdout.write(json.dumps({"seconds": spent, "figures": np.hstack(found).tolist()}))


def ask_peer(python, engine, path):
    """Return what vectorbt found and how long it took, or why there is no answer."""
    if not Path(python).exists():
        return "not installed: `make peers` does"
    command = [python, __file__, "--peer", engine, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


# ---- ours
def timed(call, rounds):
    """Return least processor and wall seconds of some calls: noise only ever adds."""
    spent = []
    for _ in range(rounds):
        begun = process_time(), perf_counter()
        call()
        spent.append((process_time() - begun[0], perf_counter() - begun[1]))
    return tuple(min(column) for column in zip(*spent, strict=True))


def against_vectorbt(n, combos, rounds=5):
    """Return a row for each of vectorbt's engines, on the same combos, after asserting that all say the same."""
    from benchmarks.measure import Row
    from engine.rules import VECTORBT, Rules
    from engine.sweep import Grid, sweep

    bars, confidence, atr = market(n)
    grid = Grid(np.linspace(0.80, 0.98, 10), np.linspace(1, 5, combos // 50), (1.0, 1.5, 2.0, 3.0, 4.0), (NEVER,))
    asked = np.array([grid[place][:3] for place in np.ndindex(grid.shape)])
    # vectorbt's half of the cash pays its fee too
    rules = Rules(fee=FEE, maker_fee=FEE, slippage=0.0, exposure=0.5 / (1.0 + FEE), fills=VECTORBT)
    ours = sweep(bars, confidence, atr, rules, grid)
    spent, _ = timed(lambda: sweep(bars, confidence, atr, rules, grid), rounds)
    what, size, rows = f"sweep, {int(ours.trades.sum()):,} trades", f"{combos:,} combos x {n:,}", []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sweep.npz")
        columns = {name: getattr(bars, name) for name in ("open", "high", "low", "close")}
        day = (bars.open_time.view(np.int64) + bars.timeframe_ns - 1) // (86400 * 10**9)
        np.savez(path, **columns, confidence=confidence, atr=atr, day=day, combos=asked)
        for engine, (python, least) in engines().items():
            peer, told = f"vectorbt {engine}, by {CHUNK}", ask_peer(python, engine, path)
            if isinstance(told, str):
                rows.append(Row(what, size, spent, peer, least=least, note=told))
                continue
            for name, theirs in zip(FIGURES, np.array(told["figures"]), strict=True):
                mine = getattr(ours, name).ravel()
                np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-9, err_msg=f"{engine} {name}")
            rows.append(Row(what, size, spent, peer, told["seconds"], least if n >= 100_000 else None))
    return rows


def engines():
    """Return the interpreter of each of vectorbt's engines, and how many times faster we mean to be."""
    from tests.peers.packages import RUST, interpreter

    return {"numba": (sys.executable, None), "rust": (str(interpreter(RUST[0])), 70.0)}


def run(quick):
    from benchmarks.measure import Row
    from engine.rules import Rules
    from engine.sweep import sweep

    n, few, many = (10_000, 50, 1_000) if quick else (100_000, 1_000, 10_000)
    rows = against_vectorbt(n, few)
    bars, confidence, atr = market(n)
    rules, grid = Rules(fee=FEE, maker_fee=FEE, slippage=2e-5, exposure=0.5), grid_of(many)
    seconds, _ = timed(lambda: sweep(bars, confidence, atr, rules, grid), 3)
    note = f"processor seconds of one thread: {n * many / seconds / 1e6:,.0f} M bar-combos/s"
    rows.append(Row("sweep, barriers and hold too", f"{many:,} combos x {n:,}", seconds, note=note))
    return rows


def jobs():
    from engine.rules import Rules
    from engine.sweep import sweep

    bars, confidence, atr = market(20_000)
    rules, grid = Rules(fee=FEE, maker_fee=FEE, slippage=2e-5, exposure=0.5), grid_of(1_000)
    return {
        f"sweep by {road}, 1k combos x 20k": lambda road=road: sweep(bars, confidence, atr, rules, grid, road=road)
        for road in ("scan", "touch")
    }


def both_roads(n):
    """Print speed and memory of walking and of looking up, on one thread and on two."""
    from engine.rules import Rules
    from engine.sweep import sweep

    bars, confidence, atr = market(n)
    rules = Rules(fee=FEE, maker_fee=FEE, slippage=2e-5, exposure=0.5)
    heads = ("combos", "road", "threads", "wall ms", "M/s wall", "M/s cpu", "ns/trade", "MiB above")
    print("\n" + "".join(f"{head:>{width}}" for head, width in zip(heads, WIDTHS, strict=True)))
    for combos, wide in ((1_000, False), (10_000, False), (10_000, True)):
        grid = grid_of(combos, wide)
        for road in ("scan", "touch"):
            for threads in (1, 2):

                def run(road=road, threads=threads, grid=grid):
                    return sweep(bars, confidence, atr, rules, grid, threads=threads, road=road)

                tracemalloc.start()
                found = run()
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
                cpu, wall = timed(run, 5 if combos < 10_000 else 2)
                work = combos * n / 1e6
                row = (f"{combos:,}{' wide' * wide}", road, threads, f"{wall * 1e3:.0f}", f"{work / wall:.0f}",
                       f"{work / cpu:.0f}", f"{cpu / found.trades.sum() * 1e9:.0f}", f"{peak / 2**20:.1f}")  # fmt: skip
                print("".join(f"{cell:>{width}}" for cell, width in zip(row, WIDTHS, strict=True)))
        print(f"{'':>14} {found.figures.nbytes / len(found):.0f} bytes a combo above what all combos share")


def main():
    """Print everything."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--bars", type=int, default=100_000)
    asked.add_argument("--peer", nargs=2, help=argparse.SUPPRESS)
    told = asked.parse_args()
    if told.peer:
        import warnings

        warnings.simplefilter("ignore")
        peer(told.peer[1], told.peer[0])
        return
    both_roads(told.bars)


if __name__ == "__main__":
    main()
