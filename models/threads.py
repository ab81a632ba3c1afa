"""Work on rows, divided over the machine's cores in whole steps: which core does a step changes no bit of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

MOST_THREADS = 8
FEWEST_STEPS = 8  # per thread; for less, starting a thread costs more than it brings


def in_threads(work: Callable[[int, int], None], n: int, step: int) -> None:
    """Call ``work(first, end)`` over rows 0 to n, cut at multiples of ``step``; it must release the lock to gain."""
    steps = -(-n // step)
    threads = min(MOST_THREADS, steps // FEWEST_STEPS)
    if threads > 1:  # asking for the number of cores takes longer than a row
        threads = min(os.cpu_count() or 1, threads)
    if threads <= 1:
        work(0, n)
        return
    edges = [steps * i // threads * step for i in range(threads)] + [n]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, edges[:-1], edges[1:]))
