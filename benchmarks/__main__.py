"""Every bench in one table: ``python -m benchmarks [--quick] [name ...]``, or ``make bench``.

What cannot be measured here is a line of the table too, with its reason. The rows are written to
``benchmarks/results.json``, unless only some benches ran.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Row, machine

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
HEADS = ("what", "size", "ours", "peer", "theirs", "ratio", "target", "met")


def benches() -> list[str]:
    return sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))


def spoken(seconds: float) -> str:
    """Return a time in the unit a person would use.

    >>> spoken(0.00012), spoken(0.25), spoken(3.14)
    ('120.0 us', '250.0 ms', '3.14 s')
    """
    if math.isnan(seconds):
        return "-"
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1.0:
            return f"{seconds * scale:.{2 if unit == 's' else 1}f} {unit}"
    return f"{seconds * 1e9:.1f} ns"


def cells(row: Row) -> tuple[str, ...]:
    """Return the cells of a row, in the order of `HEADS`."""
    ratio = "" if row.ratio is None else f"{row.ratio:,.0f}x" if row.ratio >= 100 else f"{row.ratio:.2f}x"
    limit = "" if row.most is None else f"<= {spoken(row.most)}"
    target = limit if row.least is None else f">= {row.least:,.0f}x" if row.least >= 2 else f">= {row.least:.2f}x"
    theirs = "" if row.theirs is None else spoken(row.theirs)
    met = {None: "", True: "yes", False: "NO"}[row.met]
    return row.what, row.size, spoken(row.ours), row.peer, theirs, ratio, target, met


def table(rows: Sequence[Row]) -> str:
    lines = [HEADS, *map(cells, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADS))]
    notes = ["", *(f"({row.note})" if row.note else "" for row in rows)]
    left = {0, 1, 3, 7}
    shown = [
        "  ".join(f"{cell:<{w}}" if i in left else f"{cell:>{w}}" for i, (cell, w) in enumerate(zip(line, widths)))  # noqa: B905
        for line in lines
    ]
    return "\n".join(f"{line}  {note}".rstrip() for line, note in zip(shown, notes, strict=True))


def main() -> None:
    asked = [name for name in sys.argv[1:] if not name.startswith("--")]
    quick, rows = "--quick" in sys.argv, []
    for name in asked or benches():
        print(f"{name} ...", file=sys.stderr, flush=True)
        bench = importlib.import_module(f"benchmarks.bench_{name}")
        if hasattr(bench, "run"):
            rows += bench.run(quick)
        else:
            rows.append(Row(f"bench_{name}", "", math.nan, note="not measured: it has no run(quick)"))
    about = machine()
    print(", ".join(f"{what} {value}" for what, value in about.items()))
    print(table(rows))
    if not asked and not quick:
        RESULTS.write_text(json.dumps({"machine": about, "rows": [row.as_dict() for row in rows]}, indent=1) + "\n")
        print(f"written to {RESULTS.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
