"""Planted bugs must turn tests red: a bug that no test notices is a missing test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT, SHARED
from tests.mutants.planted import PLANTED, Planted

PATIENCE_S = 300
HARNESS = ("PYTEST_", "PYTHONDONTWRITEBYTECODE", "NUMBA_")  # of the run we are in, not of the one we start


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """A copy of everything git knows or would take, beside the market data as the original is."""
    house = tmp_path_factory.mktemp("mutants")
    asked = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs git and a clone: what belongs to the tree is asked of it")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (house / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, house / "tree" / name)
    if SHARED.is_dir():
        (house / "shared").symlink_to(SHARED.parent)
    return house / "tree"


@contextmanager
def plant(tree: Path, bug: Planted) -> Iterator[None]:
    """Write a bug into the copy for as long as it is looked at."""
    path = tree / bug.file
    good = path.read_text()
    times = good.count(bug.old)
    assert times == 1, (
        f"planted bug {bug.name!r} is out of date: {bug.file} holds its lines {times} times and must hold them once;"
        " write them in tests/mutants/planted.py as they stand now"
    )
    try:
        _write(path, good.replace(bug.old, bug.new))
        yield
    finally:
        _write(path, good)


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
        compiled.unlink()  # Python goes by size and second: a bug of the same length would not be seen


def ask(tree: Path, *nodes: str) -> subprocess.CompletedProcess[str]:
    """Run some tests in the copy, kernels as plain Python: nothing waits for a compiler."""
    world = {name: value for name, value in os.environ.items() if not name.startswith(HARNESS)}
    wraps = "ignore:overflow encountered in scalar:RuntimeWarning"  # as unsigned hashes do in kernels unsaid
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=line", "-W", wraps]
    command += nodes
    return subprocess.run(
        command,
        cwd=tree,
        env={**world, "NUMBA_DISABLE_JIT": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def test_as_it_stands_the_tree_passes_every_test_a_bug_must_fail(tree):
    done = ask(tree, *dict.fromkeys(node for bug in PLANTED for node in bug.tests))
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.parametrize("bug", PLANTED, ids=lambda bug: bug.name)
def test_a_planted_bug_is_noticed(tree, bug):
    with plant(tree, bug):
        done = ask(tree, *bug.tests)
    red = [line.split(" ", 1)[1] for line in done.stdout.splitlines() if line.startswith("FAILED ")]
    for node in bug.tests:
        assert any(line.startswith(node) for line in red), (
            f"nothing noticed that {bug.name}: {node} stayed green\n{done.stdout[-4000:]}{done.stderr[-2000:]}"
        )


def test_a_bug_whose_lines_were_rewritten_is_said_to_be_out_of_date(tree):
    gone = Planted("gone", "engine/rules.py", "no such line", "", ())
    with pytest.raises(AssertionError, match=r"planted bug 'gone' is out of date: engine/rules.py holds its lines 0"):
        plant(tree, gone).__enter__()


def test_every_bug_has_a_name_and_a_test_of_its_own():
    assert len({bug.name for bug in PLANTED}) == len(PLANTED) >= 16
    assert all(bug.tests and bug.old != bug.new for bug in PLANTED)
