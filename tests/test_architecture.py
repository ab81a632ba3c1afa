"""The house rules, executable."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("engine", "models", "strategies", "research", "live")
SOURCES = [*sorted(p for f in FOLDERS for p in (ROOT / f).rglob("*.py")), ROOT / "tradsys.py"]
EVERY_SOURCE = pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))

LONGEST_FILE, LONGEST_FUNCTION, LONGEST_KERNEL = 300, 40, 60
LINE_BUDGET = 42_000  # raised only by a commit that says why


def _functions(path: Path) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]


def _decorators(node: ast.FunctionDef) -> list[str]:
    return [ast.unparse(d) for d in node.decorator_list]


def _code_lines(node: ast.FunctionDef, source: list[str]) -> int:
    body = node.body[1:] if ast.get_docstring(node) else node.body
    if not body:
        return 0
    lines = source[body[0].lineno - 1 : node.end_lineno]
    return sum(1 for line in lines if line.strip() and not line.strip().startswith("#"))


@EVERY_SOURCE
def test_a_file_fits_on_a_few_screens(path):
    assert len(path.read_text().splitlines()) <= LONGEST_FILE


@EVERY_SOURCE
def test_a_function_fits_on_a_screen(path):
    source = path.read_text().splitlines()
    for node in _functions(path):
        limit = LONGEST_KERNEL if any("njit" in d for d in _decorators(node)) else LONGEST_FUNCTION
        assert _code_lines(node, source) <= limit, f"{path.name}:{node.lineno} {node.name}"


@EVERY_SOURCE
def test_every_kernel_is_cached(path):
    for node in _functions(path):
        jits = [d for d in _decorators(node) if "jit" in d]
        for jit in jits:
            assert "cache=True" in jit, f"{path.name}:{node.lineno} {node.name} must be @njit(cache=True)"


def test_the_source_stays_within_its_budget():
    assert sum(len(p.read_text().splitlines()) for p in SOURCES) <= LINE_BUDGET


HOMES = {
    r"\bos\.environ|\bgetenv\(|dotenv": ("live/settings.py",),
    r"\bdatetime\.now\(|\btime\.time\(|\butcnow\(": ("live/", "research/"),
    r"^\s*(import|from) vectorbt": ("engine/portfolio.py",),
    r"\bpickle\b|\bjoblib\.load\b|\btorch\.load\(|allow_pickle=True": (),
    r"\bnp\.random\.seed\(": (),
    r"^\s*print\(": (),
}


@pytest.mark.parametrize("pattern", HOMES)
def test_every_side_effect_has_one_home(pattern):
    homes = HOMES[pattern]
    for path in SOURCES:
        name = str(path.relative_to(ROOT))
        if re.search(pattern, _code(path), re.MULTILINE):
            assert name.startswith(homes) if homes else False, f"{name} uses {pattern}"


@cache
def _code(path: Path) -> str:
    """A source without comments and docstrings."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and ast.get_docstring(node):
            node.body[0] = ast.Pass()  # type: ignore[assignment]
    return ast.unparse(tree)


def test_help_imports_nothing_heavy():
    heavy = ("numpy", "pandas", "torch", "vectorbt", "xgboost")
    code = f"import sys, tradsys; print([m for m in sys.modules if m in {heavy}])"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_comparing_needs_no_learning_library():
    heavy = ("torch", "sklearn", "hmmlearn", "optuna", "vectorbt", "plotly", "xgboost")
    code = (
        f"import sys, strategies.workbench, live.replay, models.bundle\nprint([m for m in sys.modules if m in {heavy}])"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_locks_and_sources_name_no_download_address():
    for name in ("requirements.lock", "requirements-dev.lock", "pyproject.toml", "Makefile"):
        assert "://" not in (ROOT / name).read_text(), name


def test_the_lock_pins_every_package_exactly():
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        assert re.match(r"^[A-Za-z0-9_.-]+==[^ ]+", line), line
