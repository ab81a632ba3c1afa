"""The same work by one process and by one and two workers of every backend: seconds on the wall, the second call.

Run with ``python -m benchmarks.workers [--quick]`` on a quiet machine; equal results are asserted first. Clusters are
real ones on this machine: two workers of Dask, two nodes of Ray. What is not installed is named.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from time import perf_counter

import numpy as np

from benchmarks.bench_kernel import market
from engine.random_entries import random_entries
from engine.rules import Rules
from engine.simulate import simulate
from engine.sweep import Grid, sweep
from engine.workers import DASK, LOKY, RAY, Workers

Job = Callable[[Workers | None], object]


def jobs(quick: bool) -> dict[str, Job]:
    """Return the works and what they give, by name."""
    n, far = (10_000, 2) if quick else (100_000, 10)
    bars, signals = market(n)
    rules, confidence = Rules(hold=60), np.random.default_rng(4).random(n)
    levels = np.linspace(1, 5, far)
    grid = Grid(np.linspace(0.80, 0.98, 10), levels, levels, np.arange(12, 12 + 12 * far * 4, 12))
    trades = simulate(bars, signals, rules).trades
    combos, draws = int(np.prod(grid.shape)), 400 if quick else 10_000

    def swept(workers: Workers | None) -> object:
        return sweep(bars, confidence, signals.atr, rules, grid, workers=workers).total_return

    def drawn(workers: Workers | None) -> object:
        found = random_entries(bars, signals.atr, rules, trades, draws=draws, workers=workers)
        return None if found is None else found.total_return

    return {f"{combos:,} combos x {n:,} bars": swept, f"{draws:,} random entries x {n:,} bars": drawn}


@contextmanager
def loky(count: int) -> Iterator[Workers]:
    with Workers(LOKY, count=count) as workers:
        yield workers


@contextmanager
def dask(count: int) -> Iterator[Workers]:
    from distributed import LocalCluster

    quiet = {"threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 50}
    with LocalCluster(n_workers=count, **quiet) as cluster, Workers(DASK, cluster.scheduler_address) as workers:
        yield workers


@contextmanager
def ray(count: int) -> Iterator[Workers]:
    from ray.cluster_utils import Cluster

    size = {"num_cpus": 1, "object_store_memory": 120 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
    try:
        for _ in range(count - 1):
            cluster.add_node(**size)
        with Workers(RAY, cluster.address) as workers:
            yield workers
    finally:
        cluster.shutdown()


def wall(job: Callable[[], object]) -> tuple[float, object]:
    """Return seconds on the wall and what a job gives."""
    begun = perf_counter()
    given = job()
    return perf_counter() - begun, given


def main() -> None:
    quick = "--quick" in sys.argv
    works = jobs(quick)
    alone = {}
    for name, job in works.items():
        job(None)
        alone[name] = wall(partial(job, None))
        print(f"{name:<40} {'this process':<14} {alone[name][0]:7.2f} s")
    for made, package in ((loky, "joblib"), (dask, "distributed"), (ray, "ray")):
        if not find_spec(package):
            print(f"{made.__name__}: {package} is not installed")
            continue
        for count in (1, 2):
            with made(count) as workers:
                for name, job in works.items():
                    job(workers)
                    spent, given = wall(partial(job, workers))
                    np.testing.assert_array_equal(given, alone[name][1])
                    faster = alone[name][0] / spent
                    print(f"{name:<40} {made.__name__:<6} {count} {'':<5} {spent:7.2f} s   {faster:.2f}x", flush=True)


if __name__ == "__main__":
    main()
