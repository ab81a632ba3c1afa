"""Whether anything became slower since a commit: ``python -m benchmarks.check [--only=BENCH,BENCH] [commit]``.

The commit's files are laid out in a temporary folder and both trees run this tree's jobs, each in one process that
stays: a call here, a call there, so that the machine's noise falls on both. What is named as slower was slower twice.
Exit code 1 if anything is.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from statistics import median

from benchmarks.__main__ import benches, spoken
from benchmarks.measure import BURST, ROOT, Job, once

SLOWER = 1.25
ROUNDS, MORE_ROUNDS = 7, 21
CODE = ("engine", "models", "strategies", "live")  # what a commit brings; jobs, tests and this file stay


def find_jobs(only: Sequence[str]) -> dict[str, Job]:
    """Return the own work of some benches, or of all if none is named, by name."""
    found: dict[str, Job] = {}
    for name in only or benches():
        found |= getattr(importlib.import_module(f"benchmarks.bench_{name}"), "jobs", dict)()
    return found


def serve(only: Sequence[str]) -> None:
    """Answer each name on standard input with the least seconds of a few calls of that job."""
    jobs = find_jobs(only)
    for job in jobs.values():
        job()  # compiles
    print(json.dumps(list(jobs)), flush=True)
    for line in sys.stdin:
        job = jobs[line.strip()]
        job()
        print(min(once(job) for _ in range(BURST)), flush=True)


class Tree:
    """A source tree and the process that runs its jobs."""

    def __init__(self, home: Path, only: Sequence[str] = ()) -> None:
        environment = {**os.environ, "PYTHONPATH": str(home)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.check", "--serve", *only],
            cwd=home, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.jobs: list[str] = []

    def ready(self) -> bool:
        """Wait until everything is compiled; False if the jobs do not run in this tree."""
        told = self.process.stdout.readline()
        self.jobs = json.loads(told) if told else []
        return bool(told)

    def seconds(self, job: str) -> float:
        self.process.stdin.write(f"{job}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def lay_out(commit: str, home: Path) -> None:
    """Write the code of a commit and the benches of this tree into a folder."""
    archive = subprocess.run(["git", "archive", commit, *CODE], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as file:
        file.extractall(home, filter="data")
    for name in ("benchmarks", "tests"):
        shutil.copytree(ROOT / name, home / name, ignore=shutil.ignore_patterns("__pycache__"))


def compared(now: Tree, then: Tree, job: str, rounds: int) -> tuple[float, float]:
    """Return the median seconds of a job now and then, taken in turn; who begins changes."""
    spent: tuple[list[float], list[float]] = ([], [])
    for i in range(rounds):
        for place, tree in ((0, now), (1, then)) if i % 2 else ((1, then), (0, now)):
            spent[place].append(tree.seconds(job))
    return median(spent[0]), median(spent[1])


def slower(now: Tree, then: Tree, jobs: Sequence[str]) -> list[str]:
    """Print each job's seconds now and then; return the jobs that became slower."""
    found = []
    for job in jobs:
        mine, old = compared(now, then, job, ROUNDS)
        if mine > SLOWER * old:
            mine, old = compared(now, then, job, MORE_ROUNDS)
        if mine > SLOWER * old:
            found.append(job)
        print(f"{job:34}{spoken(old):>12} then{spoken(mine):>12} now{mine / old:8.2f}x", flush=True)
    return found


def main() -> None:
    named = [word.removeprefix("--only=").split(",") for word in sys.argv[1:] if word.startswith("--only=")]
    only = [name for names in named for name in names if name]
    commit = next((word for word in sys.argv[1:] if not word.startswith("--")), "HEAD")
    with tempfile.TemporaryDirectory() as folder:
        lay_out(commit, Path(folder))
        now, then = Tree(ROOT, only), Tree(Path(folder), only)
        try:
            if not (now.ready() and then.ready()):
                sys.exit(f"the jobs of this tree do not run with the code of {commit}; nothing was compared")
            found = slower(now, then, now.jobs)
        finally:
            now.close()
            then.close()
    if found:
        sys.exit(f"slower than at {commit} by more than {SLOWER}x: {', '.join(found)}")
    print(f"nothing is slower than at {commit} by more than {SLOWER}x")


if __name__ == "__main__":
    serve(sys.argv[2:]) if sys.argv[1:2] == ["--serve"] else main()
