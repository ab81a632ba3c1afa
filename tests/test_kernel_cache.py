"""A kernel never answers with the code of yesterday."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from engine.kernel_cache import forget_stale_kernels, uncompiled

CALLEE = "from numba import njit\n@njit(cache=True)\ndef twice(x):\n    return {factor} * x\n"
CALLER = (
    "from numba import njit\nfrom engine.callee import twice\n@njit(cache=True)\ndef run(x):\n    return twice(x) + 1\n"
)


def test_a_change_in_a_called_file_reaches_the_caller(tmp_path):
    house = tmp_path / "engine"
    (tmp_path / "models").mkdir()
    house.mkdir()
    source = Path(__file__).resolve().parents[1] / "engine"
    for name in ("__init__.py", "kernel_cache.py"):
        (house / name).write_text((source / name).read_text())
    (house / "caller.py").write_text(CALLER)
    answers = []
    for factor in (2, 3):
        (house / "callee.py").write_text(CALLEE.format(factor=factor))
        code = "from engine.caller import run; print(run(10))"
        answers.append(
            subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True).stdout
        )
    assert answers == ["21\n", "31\n"]


def test_unchanged_sources_keep_their_kernels(tmp_path):
    for folder in ("engine", "models"):
        (tmp_path / folder / "__pycache__").mkdir(parents=True)
    (tmp_path / "engine" / "a.py").write_text("x = 1\n")
    forget_stale_kernels(tmp_path)
    kept = tmp_path / "engine" / "__pycache__" / "a.f-1.py311.nbi"
    kept.write_text("compiled")
    assert not forget_stale_kernels(tmp_path)
    assert kept.exists()
    (tmp_path / "engine" / "a.py").write_text("x = 2\n")
    assert forget_stale_kernels(tmp_path)
    assert not kept.exists()


def test_whoever_waits_for_the_first_compilation_can_be_told(tmp_path):
    assert uncompiled(tmp_path)
    (tmp_path / "engine" / "x" / "__pycache__").mkdir(parents=True)
    (tmp_path / "engine" / "x" / "__pycache__" / "walk.py311.nbi").write_text("")
    assert not uncompiled(tmp_path)
