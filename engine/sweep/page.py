"""A sweep as one HTML file: what the best combo is worth, and heat maps through any combo of the grid."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.bars import format_time
from engine.report.page import assemble, write_whole
from engine.sweep.market import COLUMNS
from engine.sweep.record import Swept, row_of
from engine.sweep.text import seen_in_training

TEMPLATE, SCRIPTS = "sweep.html", ("base.js", "sweep.js")
SHOWN = 25  # combos of the page's table


def write_sweep_page(swept: Swept, path: Path) -> Path:
    """Write the page of a sweep whole or not at all, and return its path."""
    bars = swept.found.bars
    return write_whole(assemble(TEMPLATE, SCRIPTS, f"Sweep of {bars.symbol} {bars.timeframe}", payload(swept)), path)


def payload(swept: Swept) -> dict[str, Any]:
    """Return what the page holds; columns run through the grid, holds fastest, thresholds slowest."""
    found, chosen = swept.found, swept.selection
    bars, rules, bundle = found.bars, found.rules, swept.about["bundle"]
    return {
        "header": {
            "bundle": f"{bundle['name']} ({bundle['predictor']})",
            "market": f"{bars.symbol} {bars.timeframe}",
            "zone": swept.zone,
            "first": format_time(bars.open_time[0]),
            "last": format_time(bars.open_time[-1]),
            "bars": len(bars),
            "gates": swept.gates,
            "mode": swept.about["confidence"],
            "in_sample": swept.in_sample,
            "seen": seen_in_training(swept),
            **{name: getattr(rules, name) for name in ("fee", "maker_fee", "slippage", "exposure")},
        },
        "sentences": () if chosen is None else chosen.sentences,
        "notes": swept.notes,
        "grid": asdict(found.grid),
        "figures": {name: found.figures[COLUMNS.index(name)] for name in COLUMNS},
        "best": None if chosen is None else chosen.best,
        "top": [row_of(found, place) for place in swept.top(SHOWN)],
    }
