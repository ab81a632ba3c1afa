"""What every bench shares: a row of the table, fair timing, equality first."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
BURST = 3
Job = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One line: what was done, by us and by a peer, in seconds; what was aimed at.

    ``least`` is how many times faster than the peer we mean to be, ``most`` how many seconds we may take.
    ``note`` says why a number is missing or how a peer was measured.
    """

    what: str
    size: str
    ours: float
    peer: str = ""
    theirs: float | None = None
    least: float | None = None
    most: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return None if self.theirs is None else self.theirs / self.ours

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none or nothing to compare with."""
        if self.most is not None:
            return self.ours <= self.most
        return None if self.least is None or self.ratio is None else self.ratio >= self.least

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio, "met": self.met}


def missing(package: str) -> str:
    """Return why a peer cannot be measured here; empty if it can."""
    return "" if find_spec(package) else f"{package} is not installed"


def timed(jobs: Mapping[str, Job], rounds: int) -> dict[str, float]:
    """Return the median processor seconds of each job, taken in turn by threes so that noise falls on all alike."""
    spent: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            job()  # the job before has emptied the caches
            for _ in range(BURST):
                spent[name].append(once(job))
    return {name: median(times) for name, times in spent.items()}


def once(job: Job) -> float:
    """Return the processor seconds of one call."""
    begun = process_time()
    job()
    return process_time() - begun


def equal(*columns: Any) -> None:
    """Refuse to time engines that did not do the same: theirs, ours, theirs, ours, ..."""
    for theirs, ours in zip(columns[::2], columns[1::2], strict=True):
        np.testing.assert_allclose(np.asarray(theirs), ours, rtol=1e-9)


def command_seconds(arguments: list[str], home: Path, cold: bool = False) -> float:
    """Return the processor seconds of a Python process, run in ``home``; ``cold`` without any compiled kernel."""
    before = os.times()
    with tempfile.TemporaryDirectory() as kernels:
        env = {**os.environ, "PYTHONPATH": str(ROOT)} | ({"NUMBA_CACHE_DIR": kernels} if cold else {})
        subprocess.run([sys.executable, *arguments], cwd=home, env=env, capture_output=True, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


@cache
def machine() -> dict[str, Any]:
    """Return what the figures depend on besides the code."""
    import numba

    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else "unknown",
        "cores": os.cpu_count(),
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "numba": numba.__version__,
    }
