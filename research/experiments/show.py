"""Findings as a terminal and as Markdown show them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

UNKNOWN = "-"


def cell(value: Any, style: str) -> str:
    """Return a cell of a table; what is not known is a dash.

    Examples
    --------
    >>> cell(0.1234, ".1%"), cell(None, ".1%"), cell("calm", "")
    ('12.3%', '-', 'calm')
    """
    if value is None:
        return UNKNOWN
    return value if isinstance(value, str) else f"{value:{style}}"


def print_page(page: dict[str, Any], screen: Console) -> None:
    """Print a page: the claim, its table, one sentence with the verdict, and what it rests on."""
    from engine.report.fitting import figures, say, show

    columns = page["columns"]
    rows = [[cell(v, style) for v, (_, style) in zip(row, columns, strict=True)] for row in page["rows"]]
    screen.print(f"{page['id']}  {page['claim']}", style="bold", soft_wrap=True)
    screen.print(f"    {ground(page)}", style="dim", soft_wrap=True)
    show(screen, figures([head for head, _ in columns], rows, screen))
    say(screen, [f"{page['verdict'].upper()}: {page['sentence']}", ""])


def ground(page: dict[str, Any]) -> str:
    """Return what a finding rests on, in a line."""
    n_eff = "" if page["n_eff"] is None else f", n_eff {page['n_eff']:,.0f}"
    seeds = ", ".join(str(seed) for seed in page["seeds"])
    return (
        f"{page['market']} {page['first']} .. {page['last']}{', quick form' if page['quick'] else ''};"
        f" n {page['n']:,}{n_eff}; seeds {seeds or 'none'}; data {page['fingerprint'][:12]};"
        f" {page['measured']['seconds']:.0f} s"
    )


def pages_in(folder: Path) -> list[dict[str, Any]]:
    """Return every page of a folder and those below it, in the order of their numbers.

    Raises
    ------
    UsageError
        If there is none.
    """
    pages = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("[A-Z]*.json"))]
    if not pages:
        raise UsageError(f"{folder} holds no findings; make some with: tradsys experiment --all --out {folder}")
    return sorted(pages, key=lambda page: (page["id"][0], int(page["id"][1:]), page["market"]))


def write_leaderboard(results: Path, out: Path) -> Path:
    """Write the leaderboard of a folder of findings and return where it lies."""
    from engine.report.paths import writable, written_whole

    text = leaderboard(pages_in(results))
    with written_whole(writable(out)) as part:
        part.write_bytes(text.encode())
    return out


def leaderboard(pages: Sequence[dict[str, Any]]) -> str:
    """Return the leaderboard of some findings as Markdown: verdicts, forecasts, strategies, and how many were tried."""
    forecasts, strategies = _standings(pages, "loss"), _standings(pages, "trades")
    lines = [
        "# Leaderboard",
        "",
        "Made from `research/results` by `tradsys leaderboard`; edit nothing here. Every line was judged on bars it",
        "was not fitted on, net of costs; no test zone was looked at. Ranked by the lower end of each interval.",
        "",
        "## Claims",
        "",
        "| id | market | claim | verdict | why | n | n_eff |",
        "|---|---|---|---|---|---|---|",
    ]
    for page in pages:
        worth = UNKNOWN if page["n_eff"] is None else f"{page['n_eff']:,.0f}"
        told = (page["id"], page["market"], page["claim"], f"**{page['verdict']}**", page["sentence"])
        lines.append(f"| {' | '.join(told)} | {page['n']:,} | {worth} |")
    lines += ["", f"## Forecasts: {len(forecasts)} configurations judged", ""]
    lines += _table(FORECASTS, sorted(forecasts, key=lambda s: -(s["skill"] - 1.96 * (s["skill_se"] or 0.0))))
    lines += ["", f"## Strategies: {len(strategies)} configurations traded", ""]
    floor = float("-inf")
    lines += _table(STRATEGIES, sorted(strategies, key=lambda s: -(floor if s["net_low"] is None else s["net_low"])))
    return "\n".join(lines) + "\n"


FORECASTS = (
    ("model", "name", ""), ("target", "target", ""), ("market", "market", ""), ("zone", "zone", ""), ("n", "n", ",.0f"),
    ("n_eff", "n_eff", ",.0f"), ("base rate", "base_rate", ".3f"), ("no skill", "no_skill", ".5f"),
    ("loss", "loss", ".5f"), ("skill", "skill", "+.2%"), ("±", "skill_se", ".2%"), ("AUC", "auc", ".3f"),
    ("low", "auc_low", ".3f"), ("high", "auc_high", ".3f"), ("in", "id", ""),
)  # fmt: skip
STRATEGIES = (
    ("strategy", "name", ""), ("market", "market", ""), ("zone", "zone", ""), ("trades", "trades", ",.0f"),
    ("net bp/trade", "net_bp", "+.1f"), ("low", "net_low", "+.1f"), ("high", "net_high", "+.1f"),
    ("Sharpe", "sharpe", "+.2f"), ("low", "sharpe_low", "+.2f"), ("high", "sharpe_high", "+.2f"), ("in", "id", ""),
)  # fmt: skip


def _standings(pages: Sequence[dict[str, Any]], needs: str) -> list[dict[str, Any]]:
    """Return the standings that have a figure; the same configuration judged in several experiments once."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for page in pages:
        for standing in page["standings"]:
            if standing.get(needs) is None:
                continue
            key = (standing["name"], standing["target"], page["market"], standing["zone"], standing[needs])
            if key in found:
                found[key]["id"] += f", {page['id']}" * (page["id"] not in found[key]["id"].split(", "))
            else:
                found[key] = standing | {"market": page["market"], "id": page["id"]}
    return list(found.values())


def _table(columns: Sequence[tuple[str, str, str]], rows: Sequence[dict[str, Any]]) -> list[str]:
    heads = [f"| {' | '.join(head for head, _, _ in columns)} |", "|---" * len(columns) + "|"]
    return heads + [f"| {' | '.join(cell(row.get(name), style) for _, name, style in columns)} |" for row in rows]
