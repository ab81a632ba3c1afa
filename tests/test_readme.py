"""README tells what happens: every command and example is run, in order, in a reader's empty folder."""

from __future__ import annotations

import re

import pytest

from engine.synthetic import random_bars
from tests.readme import PAGES, README, blocks, matches, run_command, run_python

EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)


@pytest.fixture
def folder(tmp_path):
    """A reader's folder: nothing in it but a file of hourly bars in the form of a Binance archive."""
    write_archive(tmp_path / "SOLUSDT-1h.csv")
    return tmp_path


def write_archive(path):
    bars = random_bars(6000, seed=21)
    stamps = bars.open_time.astype("datetime64[ms]").astype("int64")
    rows = [
        f"{t},{bars.open[i]:.6f},{bars.high[i]:.6f},{bars.low[i]:.6f},{bars.close[i]:.6f},{bars.volume[i]:.3f},"
        f"{t + 3_599_999},0,0,0,0,0"
        for i, t in enumerate(stamps)
    ]
    path.write_text("\n".join(rows) + "\n")


def test_every_page_runs_something():
    assert all({block.kind for block in blocks(page.read_text())} & {"console", "python"} for page in PAGES)


@EVERY_PAGE
def test_every_command_prints_what_the_page_shows(page, folder):
    shown = [pair for block in blocks(page.read_text()) if block.kind == "console" for pair in block.commands]
    for command, expected in shown:
        printed = run_command(command, folder)
        assert matches(expected, printed), f"$ {command}\n--- the page shows\n{expected}\n--- it printed\n{printed}"


@EVERY_PAGE
def test_every_python_example_prints_what_the_page_shows(page, folder):
    found = blocks(page.read_text())
    for i, block in enumerate(found):
        if block.kind == "python":
            shown = found[i + 1].body if [b.kind for b in found[i + 1 : i + 2]] == ["text"] else ""
            assert run_python(block.body, folder) == shown


@EVERY_PAGE
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_losses_of_the_shipped_bundles_are_those_of_their_manifests():
    from models.bundle import BUNDLES, load_bundle

    text = README.read_text()
    shipped = sorted(path.parent.name for path in BUNDLES.glob("*/manifest.json"))
    assert len(shipped) >= 3
    for name in shipped:
        told = load_bundle(name).manifest.predictor
        row = next(c for c in told["candidates"] if c["chosen"])
        kind = row["kind"] + (" (forced)" if told["forced"] else "")
        skill = f"{row['skill'] * 100:+.2f} % ± {row['skill_se'] * 100:.2f} %"
        ranks = f"{row['auc']:.3f} [{row['auc_low']:.3f}, {row['auc_high']:.3f}]"
        assert f"| {name} | {kind} | {row['loss']:.5f} | {row['no_skill']:.5f} | {skill} | {ranks} |" in text
