"""Comparisons and lists as a terminal shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.compare import CONTROL, GRID, PROFILE, Comparison, Row, funding_said
from engine.funding import known_share
from engine.inference.winrate import FEW_TRADES
from engine.report.fitting import Layout, Line, fitting, listed, say, show, without
from engine.wording import fitted_on

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from engine.card.judge import Judged

UNKNOWN = "-"
LAST_BAR = "Last-bar logistic"  # the control of a bundle
UNATTACHED = 160  # columns where no terminal is attached


def console() -> Console:
    """Return the terminal; wide enough for a table even where no terminal is attached."""
    from rich.console import Console

    return Console(width=None if Console().is_terminal else UNATTACHED, highlight=False, soft_wrap=False)


def number(value: float | None, style: str = ".2f", unit: str = "") -> str:
    """Return a figure as tables print it; what is not known is a dash, never NaN.

    Examples
    --------
    >>> number(0.1234, ".1%"), number(None), number(-3.0, "+.1f", " bp")
    ('12.3%', '-', '-3.0 bp')
    """
    return UNKNOWN if value is None else f"{value:{style}}{unit}"


def columns(judged: Judged, row: Row) -> list[str]:
    """Return the cells of one row of the comparison table."""
    score, sharpe, win = row.score, judged.sharpes[row.name], judged.wins[row.name]
    return [
        row.name + (" *" if row.in_sample > 0 else ""),
        f"{score.trades}",
        number(score.total_return, "+.1%"),
        number(score.sharpe, "+.2f"),
        between(sharpe.low, sharpe.high, "+.1f"),
        number(score.max_drawdown, ".1%"),
        number(score.win_rate, ".0%"),
        between(win.low, win.high, ".0%"),
        number(win.break_even, ".0%"),
        number(score.expectancy_bp, "+.1f"),
        number(score.exposure, ".0%"),
        f"{score.fees_paid / row.result.rules.cash:.1%}",
        f"{score.funding_paid / row.result.rules.cash:+.1%}",
    ]


def between(low: float | None, high: float | None, style: str) -> str:
    """Return an interval as a cell."""
    return UNKNOWN if low is None or high is None else f"{low:{style}} .. {high:{style}}"


HEADS = (
    "strategy",
    "trades",
    "return",
    "Sharpe",
    "95% CI",
    "max DD",
    "win",
    "95% CI",
    "b/e",
    "bp/trade",
    "in mkt",
    "fees",
    "funding",
)
ROOMY = Layout([[i] for i in range(len(HEADS))])
LAYOUTS = (  # a narrow terminal shows the same figures in more lines: none goes without its luck and its costs
    ROOMY,
    Layout([[0], [1, 10], [2, 5], [3, 4], [6, 7], [9, 8], [11, 12]]),
    Layout([[0], [1, 10], [2, 5], [3, 4], [6, 7], [9, 8], [11, 12]], 18),
    Layout([[0], [1, 10], [2, 5], [3, 4], [6, 7], [9, 8], [11, 12]], 12),
    Layout([[0], [1, 10], [2, 5], [3, 4], [6, 7, 8], [9, 11, 12]], 14),
)


def fitting_table(judged: Judged, screen: Console) -> Table:
    """Return the table of a comparison as wide as the terminal: profiles, the gate grid between them, controls."""
    lines = []
    for kind in (PROFILE, GRID, CONTROL):
        rows = [row for row in judged.comparison.rows if row.kind == kind]
        for row in rows:
            few = row.kind != CONTROL and row.score.trades < FEW_TRADES
            lines.append(Line(columns(judged, row), "dim" if few else None, row is rows[-1]))
    paying = bool(known_share(judged.comparison.bars))
    return fitting(HEADS, lines, LAYOUTS if paying else [without(layout, len(HEADS) - 1) for layout in LAYOUTS], screen)


def print_judged(judged: Judged, cards: bool = False) -> None:
    """Print a comparison: what was run, at which costs, the table, and what may be believed of it."""
    screen = console()
    say(screen, headlines(judged.comparison))
    show(screen, fitting_table(judged, screen))
    say(screen, believed(judged))
    if cards:
        from engine.card.text import card_lines

        for one in judged.profiles:
            say(screen, ["", *card_lines(judged, one.row.name)])


def print_card(judged: Judged, name: str) -> None:
    """Print the report card of one profile."""
    from engine.card.text import card_lines

    screen = console()
    say(screen, (*headlines(judged.comparison), "", *card_lines(judged, name)))


def headlines(comparison: Comparison) -> list[str]:
    """Return the lines above the table."""
    bars, rules, record = comparison.bars, comparison.rules, comparison.about
    shown: dict[str, Any] = comparison.as_dict()["zone"]
    bundle = record.get("bundle", {})
    return [
        f"{bundle.get('name', 'strategies')} ({bundle.get('predictor', '?')}) on {bars.symbol} {bars.timeframe},"
        f" zone {comparison.zone}: {shown['first']} .. {shown['last']}, {len(bars)} bars",
        f"costs per side: fee {rules.fee:.2%} (maker {rules.maker_fee:.2%}), slippage {rules.slippage:.2%};"
        f" barriers +{rules.k_up:g}/-{rules.k_down:g} ATR, {rules.hold} bars; exposure {rules.exposure:.0%};"
        f" confidence by {record.get('confidence', '?')}",
    ]


def believed(judged: Judged) -> list[str]:
    """Return what a reader must know before believing the table."""
    rows = judged.comparison.rows
    lines = [*undecided(rows), *(f"{one.row.name}: {one.verdict.sentence}" for one in judged.profiles)]
    if judged.ranking:
        lines.append(f"ranked by the lower bound of the difference to holding: {', '.join(judged.ranking)}")
    if judged.fresh:
        lines.append("the trial ledger begins here: what was tried on this market before is not counted")
    if told := same_as_control(judged.comparison):
        lines.append(told)
    if told := funding_said(judged.comparison):
        signs = " (in the table + was paid, - was received)" if known_share(judged.comparison.bars) else ""
        lines.append(f"{told}{signs}")
    if any(row.in_sample > 0 for row in rows):
        trained = judged.comparison.about.get("bundle", {}).get("markets", ())
        told = fitted_on(judged.comparison.bars.symbol, trained)
        lines.append(f"* IN-SAMPLE: {told}; the figures prove nothing.")
    ambiguous = [row.score.ambiguous_share for row in rows if row.kind == PROFILE and row.score.ambiguous_share]
    if ambiguous:
        lines.append(f"up to {max(ambiguous):.1%} of trades touched stop and target in one bar: taken as stopped")
    return lines


def same_as_control(comparison: Comparison) -> str:
    """Return which strategy a control repeats because the bundle's predictor is that control; empty where none does."""
    if not comparison.about.get("bundle", {}).get("is_control"):
        return ""
    rows = [row for row in comparison.rows if row.kind != CONTROL and not (row.terms["regime"] or row.terms["auditor"])]
    twins = [row.name for row in rows for one in comparison.rows if one.name == LAST_BAR and one.score == row.score]
    return (
        f"{twins[0]} and {LAST_BAR} are one: this bundle's predictor is that control, so neither can beat it"
        if twins
        else ""
    )


def undecided(rows: Sequence[Row]) -> list[str]:
    """Return why profiles without a trade made none, where it was no gate's doing."""
    idle = [(row, row.signals) for row in rows if row.kind == PROFILE and not row.score.trades and row.signals]
    if idle and all(row.wishes()["no_evidence"] == len(signals) for row, signals in idle):
        return ["no decision was possible: these bars have too little gap-free history before them; bring earlier bars"]
    lines = []
    for row, signals in idle:
        known = signals.confidence[np.isfinite(signals.confidence)]
        asked = row.terms.get("threshold")
        if asked is not None and len(known) and known.max() < asked:
            what = "calibrated probability" if row.terms.get("mode") == "probability" else "confidence"
            lines.append(f"{row.name}: no {what} reaches {asked:g} (highest {known.max():.2f})")
    return lines


def print_checks(checks: Sequence[Mapping[str, Any]], as_json: bool, bundle: str, what: str) -> None:
    """Print what was tried and whether it held; each check has name, tried, failure, measured and passed."""
    from engine.jsons import dumps

    screen = console()
    if as_json:
        screen.out(dumps({"bundle": bundle, "bars": what, "checks": list(checks)}), highlight=False)
        return
    screen.print(f"bundle {bundle} on {what}")
    rows = []
    for check in checks:
        word, found = ("pass", check["measured"]) if check["passed"] else ("FAIL", check["failure"])
        rows.append([word, check["name"], f"{check['tried'] or '-'}", found])
    width = 4 if any(row[-1] for row in rows) else 3  # a column of nothing tells nothing
    heads = ("", "law", "tried", "found")[:width]
    show(screen, listed(heads, [row[:width] for row in rows], ("tried",), screen, ("law",)))
    failed = sum(not c["passed"] for c in checks)
    screen.print("all laws hold" if not failed else f"{failed} of {len(checks)} laws are broken")
