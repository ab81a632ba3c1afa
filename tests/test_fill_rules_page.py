"""docs/fill-rules.md says of every engine what its preset does; `test_readme` runs its programs."""

from __future__ import annotations

import re
from pathlib import Path

from engine.rules import PRESETS, FillRules

PAGE = Path(__file__).resolve().parents[1] / "docs" / "fill-rules.md"
UNASKED = {("nautilus-bar", "stop_first")}  # high_first has answered


def test_the_table_is_the_presets():
    lines = [re.split(r"\s*\|\s*", line.strip("| ")) for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    heads = next(cells for cells in lines if cells[0] == "flag")
    names = [head.removesuffix(" (ours)") for head in heads[1:]]
    told = {
        (name, flag[1]): cell.strip("*")
        for cells in lines
        if (flag := re.match(r"`(\w+)`:", cells[0]))
        for name, cell in zip(names, cells[1:], strict=True)
    }
    real = {
        (name, flag): ("no", "yes")[getattr(fills, flag)] for name, fills in PRESETS.items() for flag in fills._fields
    }
    assert told == real | dict.fromkeys(UNASKED, "-")
    assert f"{ {8: 'eight'}[len(FillRules._fields)] } booleans" in PAGE.read_text()
