"""A payload in, a page out: one HTML file with its style, its scripts and its data inside."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any, get_type_hints

from engine.errors import UsageError, unknown
from engine.report.columns import to_json
from engine.report.paths import written_whole
from engine.report.payload import Report

HERE = Path(__file__).parent
SCRIPTS = (
    "base.js",
    "axes.js",
    "chart.js",
    "lines.js",
    "candles.js",
    "curves.js",
    "table.js",
    "trades.js",
    "grids.js",
    "report.js",
)


def render(report: Report) -> str:
    """Return the page of a comparison: one file that opens anywhere, without a network.

    Parameters
    ----------
    report : Report
        Any part of the payload; blocks that are absent are left out or say why they cannot be shown.

    Returns
    -------
    str
        A whole HTML document. Its content policy allows the inlined style and script by their hashes and
        nothing else, so text in the payload can neither run nor fetch.

    Raises
    ------
    UsageError
        For a block nobody knows, or columns of one block with different lengths.

    Examples
    --------
    >>> page = render({"title": "A < B"})
    >>> "<title>A &lt; B</title>" in page
    True
    """
    check(report)
    return assemble("template.html", SCRIPTS, report.get("title", "Strategy comparison"), report)


def assemble(template: str, scripts: Sequence[str], title: str, payload: Mapping[str, Any]) -> str:
    """Return a template of this folder with its style, scripts and payload inside."""
    style = (HERE / "report.css").read_text(encoding="utf-8")
    script = "\n".join((HERE / name).read_text(encoding="utf-8") for name in scripts)
    parts = {
        "title": html.escape(title),
        "policy": f"default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src {_hash(style)}; script-src {_hash(script)}",
        "style": style,
        "script": script,
        "payload": to_json(payload),
    }
    page = (HERE / template).read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], page)


def write_page(report: Report, path: Path) -> Path:
    """Write the page of a comparison whole or not at all, and return its path."""
    return write_whole(render(report), path)


def write_whole(page: str, path: Path) -> Path:
    """Write a page whole or not at all, and return its path."""
    with written_whole(path) as unfinished:
        unfinished.write_text(page, encoding="utf-8")
    return path


def check(report: Mapping[str, Any]) -> None:
    """Refuse blocks nobody knows and columns that are not of one length.

    Examples
    --------
    >>> check({"equity": {"time": [1, 2], "curves": [{"name": "a", "kind": "profile", "equity": [1.0]}]}})
    Traceback (most recent call last):
    engine.errors.UsageError: report block equity: curves[0].equity has 1 rows and time 2; they must be the same rows
    """
    known = get_type_hints(Report)
    for name, block in report.items():
        if name not in known:
            raise unknown("report block", name, known)
        parts = block if isinstance(block, list | tuple) else [block]
        for part in parts:
            if isinstance(part, Mapping) and name in COLUMNS:
                _check_columns(name, part, COLUMNS[name])


COLUMNS = {
    "equity": "time",
    "price": "time",
    "trades": "entry_time",
    "calibration": "claimed",
    "thresholds": "threshold",
    "costs": "multiple",
}


def _check_columns(block: str, part: Mapping[str, Any], key: str) -> None:
    rows = len(part[key])
    for name, column in _columns(part):
        if len(column) != rows:
            raise UsageError(
                f"report block {block}: {name} has {len(column)} rows and {key} {rows}; they must be the same rows"
            )


def _columns(part: Mapping[str, Any]) -> Iterable[tuple[str, Sized]]:
    for name, value in part.items():
        if name == "curves":
            for i, curve in enumerate(value):
                yield from ((f"curves[{i}].{inner}", column) for inner, column in _columns(curve))
        elif isinstance(value, Mapping) and "code" in value:
            yield name, value["code"]
        elif name != "marks" and isinstance(value, Sized) and not isinstance(value, str):
            yield name, value


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
