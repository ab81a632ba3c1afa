"""How long a market file takes to read, against the CSV reader of pandas; equal prices first."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from benchmarks.measure import Job, Row, equal, timed
from engine.history import read_bars
from engine.synthetic import random_bars


def write_csv(path: Path, rows: int) -> Path:
    """Write a file of minute bars, the same 2,000 over and over."""
    bars = random_bars(2_000, timeframe="1m")
    columns = zip(bars.open, bars.high, bars.low, bars.close, bars.volume, strict=True)
    lines = [",".join(f"{value:.6f}" for value in row) for row in columns]
    begin = int(bars.open_time[0].astype("datetime64[ms]").astype("int64"))
    path.write_text("\n".join(f"{begin + 60_000 * i},{lines[i % len(lines)]}" for i in range(rows)) + "\n")
    return path


def run(quick: bool) -> list[Row]:
    import pandas as pd

    n = 20_000 if quick else 500_000
    with tempfile.TemporaryDirectory() as folder:
        path = write_csv(Path(folder) / "RANDOM-1m.csv", n)
        theirs = partial(pd.read_csv, path, header=None)
        equal(theirs()[4], read_bars(path).close)
        times = timed({"ours": partial(read_bars, path), "pandas": theirs}, 1 if n > 100_000 else 3)
    return [Row("read and check a CSV", f"{n:,} rows", times["ours"], "pandas.read_csv", times["pandas"])]


def jobs() -> dict[str, Job]:
    return {}
