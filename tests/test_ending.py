"""How a verb ends when its reader has gone, its output has no room, or what it needs is not installed."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from live.ending import EXTRAS

ROOT = Path(__file__).resolve().parents[1]
IMPORTED = {"scikit-learn": "sklearn"}
ABSENT = """
from importlib.machinery import PathFinder
found = PathFinder.find_spec
gone = {gone!r}
PathFinder.find_spec = lambda name, path=None, target=None: (
    None if name.split(".")[0] in gone else found(name, path, target)
)
"""
VERBS = pytest.mark.parametrize(
    "verb", ["--help", "compare --help", "data list", "explain --at 2018-02-05", "backtest audited", "compare --json"]
)


def tradsys(folder, *args, out=subprocess.PIPE, path=()):
    told = [sys.executable, "-m", "tradsys", *args]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (*path, ROOT)))}
    done = subprocess.run(told, cwd=folder, env=env, stdout=out, stderr=subprocess.PIPE, text=True, timeout=300)
    return done.returncode, done.stderr


@VERBS
def test_a_reader_who_has_seen_enough_is_no_failure(tmp_path, verb):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert tradsys(tmp_path, *verb.split(), out=writer) == (0, "")
    finally:
        os.close(writer)


def test_a_check_that_failed_says_so_in_its_code_though_nobody_reads_it(tmp_path):
    (tmp_path / "bad-1h.csv").write_text("timestamp,open,high,low,close,volume\n2024-01-01,1,1,1,1,1\n")
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert tradsys(tmp_path, "data", "check", "bad-1h.csv", out=writer) == (1, "")
    finally:
        os.close(writer)


def test_what_nobody_reads_is_written_all_the_same(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert tradsys(tmp_path, "compare", out=writer)[0] == 0
    finally:
        os.close(writer)
    assert (tmp_path / "reports" / "compare.html").is_file()


@VERBS
def test_an_output_without_room_is_one_line(tmp_path, verb):
    with open("/dev/full", "w") as full:
        code, err = tradsys(tmp_path, *verb.split(), out=full)
    said = "UsageError: standard output cannot be written: No space left on device; send it to another place\n"
    assert (code, err) == (2, said)


@pytest.mark.parametrize(
    "verb",
    [
        "train mine --bars nasdaq-1d --out mine",
        "tune mine --bars nasdaq-1d",
        "volatility nasdaq-1d",
        "experiment A2 --quick --bars nasdaq-1d",
        "difference nasdaq-1d",
        "data fetch BTC/USDT 1h --since 2024-01-01",
    ],
)
def test_a_verb_whose_packages_are_not_installed_says_what_to_install(tmp_path, verb):
    gone = [name for names in EXTRAS.values() for name in names]
    (tmp_path / "sitecustomize.py").write_text(ABSENT.format(gone=gone))
    code, err = tradsys(tmp_path, *verb.split(), path=(tmp_path,))
    assert (code, err.count("\n"), "Traceback" in err) == (2, 1, False), err
    assert "install" in err
    if verb.split()[0] != "data":
        assert "`make everything`" in err
        assert "pip install -e '.[research]'" in err


def test_a_module_that_no_extra_brings_is_a_fault_of_ours_and_no_advice(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(ABSENT.format(gone=["scipy"]))
    code, err = tradsys(tmp_path, "compare", path=(tmp_path,))
    assert (code, "No module named 'scipy'" in err) == (1, True)


def test_the_extras_are_those_of_the_package():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra, modules in EXTRAS.items():
        names = [need.replace("=", ">").split(">")[0] for need in extras[extra]]
        assert tuple(IMPORTED.get(name, name) for name in names) == modules


def test_the_target_that_the_advice_names_exists():
    assert "\neverything: .venv/everything" in (ROOT / "Makefile").read_text()
