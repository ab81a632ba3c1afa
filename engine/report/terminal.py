"""Comparisons and lists as a terminal shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.compare import CONTROL, GRID, PROFILE, Comparison, Row

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

FEW_TRADES = 30
UNKNOWN = "-"


def console() -> Console:
    """Return the terminal; wide enough for a table even where no terminal is attached."""
    from rich.console import Console

    return Console(width=None if Console().is_terminal else 118, highlight=False, soft_wrap=False)


def number(value: float | None, style: str = ".2f", unit: str = "") -> str:
    """Return a figure as tables print it; what is not known is a dash, never NaN.

    Examples
    --------
    >>> number(0.1234, ".1%"), number(None), number(-3.0, "+.1f", " bp")
    ('12.3%', '-', '-3.0 bp')
    """
    return UNKNOWN if value is None else f"{value:{style}}{unit}"


def columns(row: Row) -> list[str]:
    """Return the cells of one row of the comparison table."""
    score = row.score
    return [
        row.name + (" *" if row.in_sample > 0 else ""),
        f"{score.trades}",
        number(score.total_return, "+.1%"),
        number(score.sharpe, "+.2f"),
        number(score.max_drawdown, ".1%"),
        number(score.win_rate, ".0%"),
        number(score.profit_factor, ".2f"),
        number(score.expectancy_bp, "+.1f"),
        number(score.average_hold_bars, ".1f"),
        number(score.exposure, ".0%"),
        number(score.fees_paid, ",.0f"),
    ]


HEADS = ("strategy", "trades", "return", "Sharpe", "max DD", "win", "PF", "bp/trade", "hold", "in market", "fees")


def comparison_table(comparison: Comparison) -> Table:
    """Return the table of a comparison: profiles, the gate grid between them, controls."""
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(box=SIMPLE, pad_edge=False)
    for i, head in enumerate(HEADS):
        table.add_column(head, justify="left" if i == 0 else "right", no_wrap=True)
    for kind in (PROFILE, GRID, CONTROL):
        for row in (r for r in comparison.rows if r.kind == kind):
            few = row.kind != CONTROL and row.score.trades < FEW_TRADES
            table.add_row(*columns(row), style="dim" if few else None)
        table.add_section()
    return table


def print_comparison(comparison: Comparison) -> None:
    """Print a comparison: what was run, on what, at which costs, the table, and what to doubt."""
    screen = console()
    for line in headlines(comparison):
        screen.print(line)
    screen.print(comparison_table(comparison))
    for line in doubts(comparison):
        screen.print(line)


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


def doubts(comparison: Comparison) -> list[str]:
    """Return what a reader must know before believing the table."""
    lines = []
    if any(row.in_sample > 0 for row in comparison.rows):
        lines.append("* IN-SAMPLE: parts of this bundle were fitted on these bars; the figures prove nothing.")
    few = [r.name for r in comparison.rows if r.kind == PROFILE and r.score.trades < FEW_TRADES]
    if few:
        lines.append(f"Under {FEW_TRADES} trades nothing can be told from luck: {', '.join(few)}.")
    ambiguous = [r.score.ambiguous_share for r in comparison.rows if r.kind == PROFILE and r.score.ambiguous_share]
    if ambiguous:
        lines.append(
            f"Stop and target touched within one bar in up to {max(ambiguous):.1%} of trades: taken as stopped."
        )
    return lines
