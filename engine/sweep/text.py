"""A sweep as a terminal shows it: the best combos, the ground they stand on, a heat map, and what it all means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from engine.bars import Floats, format_time
from engine.inference.winrate import FEW_TRADES
from engine.report.fitting import Layout, Line, fitting, say, show
from engine.report.terminal import console, number
from engine.sweep.across import across
from engine.sweep.record import Swept, row_of
from engine.sweep.result import Place, SweepResult
from engine.wording import fitted_on

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

AXES = ("threshold", "k_up", "k_down", "hold")
NAMES = {"threshold": "confidence", "k_up": "target (ATR)", "k_down": "stop (ATR)", "hold": "hold (bars)"}
MOST_ROWS, MOST_COLUMNS = 20, 12  # of a heat map in a terminal
CELL = 9  # columns that a cell of it takes
HEADS = (
    "confidence", "target", "stop", "hold", "trades", "return", "Sharpe", "max DD", "win", "bp/trade", "near: median",
    "worst",
)  # fmt: skip
LAYOUTS = (
    Layout([[i] for i in range(len(HEADS))]),
    Layout([[0], [1], [2], [3], [4, 8], [5, 7], [6, 10], [9, 11]]),
    Layout([[0, 3], [1, 2], [4, 8], [5, 7], [6, 10], [9, 11]]),
)


def print_swept(swept: Swept, top: int = 10) -> None:
    """Print a sweep: what was asked, the best combos, a heat map around the best, and what choosing it is worth."""
    screen, found = console(), swept.found
    say(screen, headlines(swept))
    if swept.selection is None:
        screen.print("no combo made a trade: lower the thresholds or take fewer gates")
        return
    show(screen, top_table(swept, top, screen))
    heat = heat_map(found, swept.selection.best, screen.width)
    if heat is not None:
        screen.print(heat)
    say(screen, (*swept.selection.sentences, *swept.notes))
    if swept.in_sample > 0.0:
        told = f"IN-SAMPLE: {seen_in_training(swept)}: good for choosing, proof of nothing."
        say(screen, [f"{told} What is chosen has yet to be judged on bars that nobody chose on."])


def seen_in_training(swept: Swept) -> str:
    """Return what parts of the bundle were fitted on, seen from these bars."""
    trained = swept.about["bundle"].get("markets", ())
    return fitted_on(swept.found.bars.symbol, trained, f"{swept.in_sample:.0%} of these bars")


def print_across(swepts: Sequence[Swept], top: int = 10) -> None:
    """Print the combos that were best on several markets at once, by the median of their Sharpe ratios."""
    screen, names = console(), [one.found.bars.symbol for one in swepts]
    best = across([one.found for one in swepts], top)
    if not best:
        screen.print(f"no combo of one grid made {FEW_TRADES} trades on each of {', '.join(names)}")
        return
    heads, lines = (*HEADS[:4], "median", *names), []
    for one in best:
        combo = [f"{value:g}" for value in swepts[0].found.combo(one.place)]
        lines.append(Line((*combo, *(f"{value:+.2f}" for value in (one.median, *one.sharpes)))))
    screen.print("the same combo on every market: Sharpe")
    show(screen, fitting(heads, lines, (Layout([[i] for i in range(len(heads))]),), screen))


def headlines(swept: Swept) -> list[str]:
    """Return the lines above the table."""
    found, bundle = swept.found, swept.about["bundle"]
    bars, rules, grid = found.bars, found.rules, found.grid
    spans = (f"{len(getattr(grid, axis))} x {NAMES[axis]} {_span(getattr(grid, axis))}" for axis in AXES)
    return [
        f"{bundle['name']} ({bundle['predictor']}) on {bars.symbol} {bars.timeframe}, zone {swept.zone}:"
        f" {format_time(bars.open_time[0])} .. {format_time(bars.open_time[-1])}, {len(bars)} bars",
        f"{len(found):,} combos: {', '.join(spans)}; gates: {swept.gates}",
        f"costs per side: fee {rules.fee:.2%} (maker {rules.maker_fee:.2%}), slippage {rules.slippage:.2%};"
        f" exposure {rules.exposure:.0%}; confidence by {swept.about['confidence']}",
    ]


def top_table(swept: Swept, count: int, screen: Console) -> Table:
    """Return the table of the best combos, each with its neighbours; those with too few trades are dimmed."""
    lines = []
    for place in swept.top(count):
        row = row_of(swept.found, place)
        cells = (
            *(f"{row[axis]:g}" for axis in AXES),
            f"{row['trades']}",
            number(row["total_return"], "+.1%"),
            number(row["sharpe"], "+.2f"),
            number(row["max_drawdown"], ".1%"),
            number(row["win_rate"], ".0%"),
            number(row["expectancy_bp"], "+.1f"),
            number(row["neighbours"]["median"], "+.2f"),
            number(row["neighbours"]["worst"], "+.2f"),
        )
        lines.append(Line(cells, "dim" if row["trades"] < FEW_TRADES else None))
    return fitting(HEADS, lines, LAYOUTS, screen)


def heat_map(found: SweepResult, best: Place, width: int) -> Table | None:
    """Return the Sharpe ratios by threshold and the longest other axis through the best combo, best in brackets."""
    from rich.table import Table

    rest = sorted((1, 3, 2), key=lambda axis: -found.grid.shape[axis])
    first, second = (0, rest[0]) if found.grid.shape[0] > 1 else (rest[0], rest[1])
    if found.grid.shape[first] == 1:
        return None
    held = [f"{NAMES[AXES[i]]} {found.combo(best)[i]:g}" for i in range(4) if i not in (first, second)]
    table = Table(box=None, padding=(0, 0), title=f"Sharpe ratio at {', '.join(held)}", title_justify="left")
    room = max(1, min(MOST_COLUMNS, (width - len(NAMES[AXES[first]]) - 1) // CELL))
    rows, columns = _thinned(found, first, best, MOST_ROWS), _thinned(found, second, best, room)
    table.add_column(f"{NAMES[AXES[first]]} ", justify="right", no_wrap=True)
    for j in columns:
        table.add_column(f" {getattr(found.grid, AXES[second])[j]:g} ", justify="right", no_wrap=True)
    scale = float(np.nanmax(np.abs(found.sharpe), initial=1e-9, where=np.isfinite(found.sharpe)))
    for i in rows:
        cells = []
        for j in columns:
            place = list(best)
            place[first], place[second] = i, j
            cells.append(_cell(found.sharpe, tuple(place), best, scale))
        table.add_row(f"{getattr(found.grid, AXES[first])[i]:g} ", *cells)
    table.caption = f"columns: {NAMES[AXES[second]]}"
    table.caption_justify = "left"
    return table


def _thinned(found: SweepResult, axis: int, best: Place, most: int) -> list[int]:
    """Return at most so many places of an axis, evenly, the best one's among them."""
    size = found.grid.shape[axis]
    if size <= most:
        return list(range(size))
    step = -(-size // most)
    return list(range(best[axis] % step, size, step))


def _cell(sharpe: Floats, place: Place, best: Place, scale: float) -> Text:
    """Return a cell in green where a combo earned, in red where it lost."""
    from rich.text import Text

    value = float(sharpe[place])
    if not np.isfinite(value):
        return Text("    -   ", style="dim")
    text = f"[{value:+.2f}]" if place == best else f" {value:+.2f} "
    strength = int(30 + 110 * min(1.0, abs(value) / scale))
    return Text(f" {text}", style=f"white on rgb({'0' if value >= 0 else strength},{strength if value >= 0 else 0},0)")


def _span(values: tuple[float, ...]) -> str:
    return f"{values[0]:g}" if len(values) == 1 else f"{values[0]:g}..{values[-1]:g}"
