"""Comparisons in a notebook: a pandas table and a plotly figure; both libraries are imported here and when called."""

from __future__ import annotations

from typing import Any

from engine.compare import CONTROL, GRID, Comparison


def table(comparison: Comparison) -> Any:
    """Return the rows of a comparison as a pandas frame, one figure per column, indexed by name.

    Parameters
    ----------
    comparison : Comparison
        What was compared.
    """
    import pandas as pd

    rows = [
        {"name": row.name, "kind": row.kind, "in_sample": row.in_sample, **row.terms, **row.as_dict()["score"]}
        for row in comparison.rows
    ]
    return pd.DataFrame(rows).set_index("name")


def plot(comparison: Comparison) -> Any:
    """Return the equity curves of a comparison as a plotly figure: profiles in colour, the rest on demand.

    Parameters
    ----------
    comparison : Comparison
        What was compared.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    for row in comparison.rows:
        figure.add_trace(
            go.Scatter(
                x=comparison.bars.close_time,
                y=row.result.equity / row.result.rules.cash,
                name=row.name,
                line={"color": "grey", "dash": "dot"} if row.kind == CONTROL else {},
                visible="legendonly" if row.kind == GRID else True,
            )
        )
    title = f"{comparison.bars.symbol} {comparison.bars.timeframe}, zone {comparison.zone}: growth of 1, after costs"
    figure.update_layout(title=title, yaxis_type="log")
    return figure
