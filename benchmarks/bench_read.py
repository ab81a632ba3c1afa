"""How long market files take to read: ``python -m benchmarks.bench_read``."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from engine.history import read_bars
from engine.synthetic import random_bars

ROWS = 500_000
RUNS = 5


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "RANDOM-1m.csv"
        bars = random_bars(2_000, timeframe="1m")
        columns = zip(bars.open, bars.high, bars.low, bars.close, bars.volume, strict=True)
        rows = [",".join(f"{value:.6f}" for value in row) for row in columns]
        begin = int(bars.open_time[0].astype("datetime64[ms]").astype("int64"))
        path.write_text("\n".join(f"{begin + 60_000 * i},{rows[i % len(rows)]}" for i in range(ROWS)) + "\n")
        taken = []
        for _ in range(RUNS):
            start = time.perf_counter()
            read_bars(path)
            taken.append(time.perf_counter() - start)
        print(f"CSV of {ROWS:,} rows: first {taken[0]:.3f} s, best of {RUNS} {min(taken):.3f} s")


if __name__ == "__main__":
    main()
