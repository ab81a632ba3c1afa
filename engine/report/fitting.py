"""Tables that never cut a number: where the terminal is narrow, the figures of a row stand in several lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

LEAST_PROSE = 10  # letters of a line of prose at least
DEEPEST = 6  # lines of a row
ANY = 10_000  # columns: what no terminal has


class Line(NamedTuple):
    """A row of a table: its cells, how it is drawn, and whether a gap follows it."""

    cells: Sequence[str]
    style: str | None = None
    last: bool = False


class Layout(NamedTuple):
    """Which figures stand above each other, and after how many letters the first column goes on below."""

    columns: Sequence[Sequence[int]]
    fold: int = ANY


def fitting(heads: Sequence[str], lines: Sequence[Line], layouts: Sequence[Layout], screen: Console) -> Table:
    """Return the table in the first layout that the terminal shows whole; in the last one if none does.

    Parameters
    ----------
    heads : sequence of str
        Name of each figure; the first column is words, the others are numbers.
    lines : sequence of Line
        The rows, one cell for each head.
    layouts : sequence of Layout
        The widest first; every one holds every figure.
    screen : Console
        The terminal.
    """
    for layout in layouts:
        for gap in (1, 0):
            table = stacked(heads, lines, layout, gap)
            if width_of(table, screen) <= screen.width:
                return table
    return table


def width_of(table: Table, screen: Console) -> int:
    """Return how many columns a table takes where nothing limits it."""
    return screen.measure(table, options=screen.options.update(max_width=ANY)).maximum


def stacked(heads: Sequence[str], lines: Sequence[Line], layout: Layout, gap: int = 1) -> Table:
    """Return a table whose columns hold several figures, one below the other."""
    from rich.box import SIMPLE
    from rich.table import Table

    deep = max(len(column) for column in layout.columns)
    heads = [head if deep == 1 else head.replace("\n", " ") for head in heads]
    rows = []
    for line in lines:
        cells = [cell.replace(" .. ", "..") if deep > 1 else cell for cell in line.cells]
        cells[0] = "\n".join(wrap(cells[0], layout.fold))
        rows.append(["\n".join(cells[i] for i in column) for column in layout.columns])
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, gap, 0, 0))
    for k, column in enumerate(layout.columns):
        head = "\n".join(heads[i] for i in column) + "\n" * (deep - len(column))
        widest = max(len(part) for text in (head, *(row[k] for row in rows)) for part in text.split("\n"))
        table.add_column(head, justify="left" if 0 in column else "right", no_wrap=True, min_width=widest)
    for line, row in zip(lines, rows, strict=True):
        table.add_row(*row, style=line.style)
        if line.last:
            table.add_section()
    return table


def in_lines(count: int, depth: int) -> Layout:
    """Return a layout of so many figures in so many lines a row, the first column alone, read from left to right.

    Examples
    --------
    >>> in_lines(6, 2).columns
    [[0], [1, 4], [2, 5], [3]]
    """
    each = -(-(count - 1) // depth)
    return Layout([[0], *(list(range(first, count, each)) for first in range(1, min(each, count - 1) + 1))])


def figures(heads: Sequence[str], rows: Sequence[Sequence[str]], screen: Console) -> Table:
    """Return a table of any figures, the first column their name, in as few lines a row as the terminal lets it."""
    if len(heads) == 2:  # a name and what is said of it
        return listed(heads, rows, (), screen)
    lines = [Line(row) for row in rows]
    layouts = [in_lines(len(heads), depth)._replace(fold=80 // depth) for depth in range(1, DEEPEST + 1)]
    return fitting(narrow_heads(heads, lines), lines, layouts, screen)


def narrow_heads(heads: Sequence[str], lines: Sequence[Line]) -> list[str]:
    """Return heads in several lines where they are wider than what stands under them."""
    widths = [max((len(line.cells[i]) for line in lines), default=0) for i in range(len(heads))]
    return [
        "\n".join(wrap(head, max(width, 8), break_long_words=False)) for head, width in zip(heads, widths, strict=True)
    ]


def without(layout: Layout, figure: int) -> Layout:
    """Return a layout that leaves a figure out."""
    kept = [[i for i in column if i != figure] for column in layout.columns]
    return layout._replace(columns=[column for column in kept if column])


def show(screen: Console, table: Table) -> None:
    """Print a table; one that is wider than the terminal goes on in the next line rather than lose a figure."""
    there = screen.width
    screen.width = max(there, screen.measure(table, options=screen.options.update(max_width=ANY)).minimum)
    screen.print(table)
    screen.width = there


def listed(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    numeric: Sequence[str],
    screen: Console,
    prose: Sequence[str] = (),
) -> Table:
    """Return a list; the columns of prose, the last one always, go on below where the terminal is too narrow."""
    from rich.box import SIMPLE
    from rich.table import Table

    for gap in (2, 0):
        table = Table(box=SIMPLE, pad_edge=False, padding=(0, gap, 0, 0))
        for i, head in enumerate(heads):
            folds = head in prose or i == len(heads) - 1
            widest = max((len(row[i]) for row in rows), default=0)
            least, side = (
                max(len(head), min(widest, LEAST_PROSE) if folds else widest),
                "right" if head in numeric else "left",
            )
            table.add_column(head, justify=side, no_wrap=not folds, min_width=least, overflow="fold")  # type: ignore[arg-type]
        for row in rows:
            table.add_row(*row)
        if width_of(table, screen) <= screen.width:
            break
    return table


def say(screen: Console, lines: Iterable[str]) -> None:
    """Print lines of prose; a terminal's long ones go on below their text, everywhere else a line stays one line."""
    for line in lines:
        for part in hung(line, screen.width) if screen.is_terminal else [line]:
            screen.print(part, soft_wrap=True, markup=False)


def hung(line: str, width: int) -> list[str]:
    """Return a line in parts that fit, the later ones under the text behind the label of the first.

    Examples
    --------
    >>> hung("  price     close 6,967.53, ATR 89.4", 28)
    ['  price     close 6,967.53,', '            ATR 89.4']
    """
    found = re.match(r"\s*(?:\S+ ?\S*\s{2,})?", line)
    indent = min(found.end() if found else 0, width // 2) or 2
    parts = wrap(line, max(width, 20), subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
    return parts or [line]
