"""Series and their defects as a terminal shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from engine.jsons import dumps
from engine.report.fitting import listed, show
from engine.report.terminal import console

if TYPE_CHECKING:
    from engine.history import Check, Series

SHOWN = 40  # findings a terminal lists before it counts the rest


def print_check(check: Check, as_json: bool) -> None:
    """Print what a check found, by time."""
    screen = console()
    if as_json:
        screen.out(dumps(check.to_dict()), highlight=False)
        return
    screen.print(check.summary, soft_wrap=True)
    if check.findings:
        rows = [(f.time or "-", f"{f.row or '-'}", f.kind, f.detail) for f in check.findings[:SHOWN]]
        show(screen, listed(("time (UTC)", "row", "kind", "detail"), rows, ("row",), screen))
    if len(check.findings) > SHOWN:
        screen.print(f"and {len(check.findings) - SHOWN} more; --json lists them all")


def print_series(series: Sequence[Series], as_json: bool) -> None:
    """Print the series at hand."""
    screen = console()
    if as_json:
        screen.out(dumps([asdict(s) for s in series]), highlight=False)
        return
    rows = [
        (s.name, s.symbol, s.timeframe or s.kind, f"{s.rows}", s.first, s.last, s.damage or s.source) for s in series
    ]
    heads = ("series", "symbol", "bars of", "rows", "first", "last", "source")
    show(screen, listed(heads, rows, ("rows",), screen))


def print_kept(kept: Sequence[Any], names: Mapping[str, str], freed: int | None, as_json: bool) -> None:
    """Print what is kept of each predictor (``models.cache.Kept``), or how much deleting it freed."""
    screen = console()
    if as_json:
        rows = [{"bundle": names.get(k.predictor), **asdict(k)} for k in kept]
        screen.out(dumps({"freed": freed, "kept": rows}), highlight=False)
    elif freed is not None:
        screen.print(f"deleted {freed / 1e6:.1f} MB of predictions; they are worked out again when asked for")
    elif kept:
        heads = ("predictor of", "predictions", "MB", "last used (UTC)")
        lines = [
            (names.get(k.predictor, k.predictor[:12]), f"{k.bars}", f"{k.bytes / 1e6:.1f}", k.last_used) for k in kept
        ]
        show(screen, listed(heads, lines, ("predictions", "MB"), screen))
    else:
        screen.print("no predictions are kept yet; compare keeps them")
