"""A3: windows cut when they are needed, and the memory they hold.

Every window of 32 bars made beforehand copies each bar 32 times; cut when needed, only the batch exists. Peaks are
counted by the allocator, so they are the same on every machine; whether two million rows pass under a limit of
address space is tried in a process of its own; the throughput is what this machine did.
"""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from research.experiments.finding import CONFIRMED, REFUTED, UNDECIDED, Column, Finding
from research.experiments.lab import Lab

CLAIM = "running out of memory is fixed by lazy windows, one thread each, batches of 1024, eight workers"
ROWS = (2_500, 5_000, 10_000, 20_000, 40_000)
BATCH, WINDOW, FEATURES = 1024, 128, 12  # the notes': 2M x 128 x 12
MANY = 2_000_000  # rows of the notes' minute bars: 12.3 GB of windows
LIMIT_GB = 1.5  # address space of the child: enough for Python, numpy, the bars and a batch
CONSTANT = 1.10  # peak at the most rows over that at the fewest, for O(1)
COLUMNS = (Column("rows", "d"), Column("all windows, MB", ".1f"), Column("lazy, MB", ".1f"))
CHILD = """
import resource, sys
import numpy as np
rows, window, features, batch, eager = (int(x) for x in sys.argv[1:])
resource.setrlimit(resource.RLIMIT_AS, (int({limit} * 2**30),) * 2)
bars = np.zeros((rows + window, features), np.float32)
view = np.lib.stride_tricks.sliding_window_view(bars, window, axis=0)[:rows]
try:
    if eager:
        view.copy()
    else:
        for first in range(0, rows, batch * 64):
            view[first : first + batch].copy()
except MemoryError:
    sys.exit(3)
"""


def verdict(eager: Sequence[float], lazy: Sequence[float], lazy_passes: bool, eager_passes: bool) -> str:
    """Return the verdict from peaks at rising rows, and from what passed under the limit.

    Confirmed when the lazy peak does not grow, the other does, and the limit stops the other alone.
    """
    constant = lazy[-1] <= CONSTANT * lazy[0]
    if not constant or not lazy_passes:
        return REFUTED
    return CONFIRMED if eager[-1] > 2.0 * eager[0] and not eager_passes else UNDECIDED


def peak_of(work: Callable[[], Any]) -> float:
    """Return the most megabytes that some work held at once beyond what was there."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def passes(rows: int, eager: bool) -> bool:
    """Return whether a process of limited address space can walk over so many rows."""
    told = [str(x) for x in (rows, WINDOW, FEATURES, BATCH, int(eager))]
    done = subprocess.run([sys.executable, "-c", CHILD.format(limit=LIMIT_GB), *told], capture_output=True, check=False)
    return done.returncode == 0


def run(lab: Lab) -> Finding:
    """Count what both ways hold, and try both under a limit."""
    bars = np.random.default_rng(lab.seed).standard_normal((max(ROWS) + WINDOW, FEATURES)).astype(np.float32)
    at = np.arange(1 - WINDOW, 1)

    def cut(rows: np.ndarray) -> np.ndarray:
        return bars[rows[:, None] + at]

    def lazily(count: int) -> None:
        for first in range(0, count, BATCH):
            cut(WINDOW + np.arange(first, min(first + BATCH, count)))

    table, counts = [], lab.pick(ROWS, ROWS[:3])
    for i, count in enumerate(counts):
        eager = peak_of(lambda count=count: cut(WINDOW + np.arange(count)))
        table.append((count, eager, peak_of(lambda count=count: lazily(count))))
        lab.tell(f"{count} rows", 0.6 * (i + 1) / len(counts))
    lazy_passes, eager_passes = passes(MANY, False), passes(MANY, True)
    begin = perf_counter()
    lazily(ROWS[-1])
    rate = ROWS[-1] / (perf_counter() - begin)
    word = verdict([row[1] for row in table], [row[2] for row in table], lazy_passes, eager_passes)
    last = table[-1]
    return Finding(
        verdict=word,
        sentence=(
            f"at {last[0]} rows all windows hold {last[1]:.0f} MB and lazy ones {last[2]:.1f} MB at any number of rows;"
            f" under {LIMIT_GB:g} GB of address space two million rows"
            f" {'pass' if lazy_passes else 'fail'} lazily and {'pass' if eager_passes else 'fail'} otherwise; one"
            " gather a batch needs no worker processes"
        ),
        columns=COLUMNS,
        rows=tuple(table),
        numbers={"lazy_passes": lazy_passes, "eager_passes": eager_passes, "eager_gb_at_2m": MANY * 6144 / 1e9},
        n=last[0],
        seeds=(lab.seed,),
        measured={"rows_per_second": rate},
    )
