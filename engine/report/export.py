"""Trades, decisions and equity of a strategy as files other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from engine.compare import Row
from engine.errors import UsageError
from engine.portfolio import trade_columns
from engine.report.paths import written_whole

FORMATS = ("csv", "parquet")


def trades_with_evidence(row: Row) -> dict[str, Any]:
    """Return the trades of a row by the column names that vectorbt users know, then the evidence of each.

    Parameters
    ----------
    row : Row
        A row of a comparison.
    """
    columns = trade_columns(row.result)
    if row.signals is not None and row.signals.evidence is not None:
        columns |= _evidence(row, np.searchsorted(row.result.bars.open_time, columns["Wish Timestamp"]))
    return columns


def decision_columns(row: Row) -> dict[str, Any]:
    """Return every decision of a row with its evidence, one per bar."""
    signals, bars = row.signals, row.result.bars
    if signals is None:
        raise UsageError(f"{row.name} decides nothing: it has no signals to export")
    columns: dict[str, Any] = {
        "Open Time": bars.open_time,
        "Side": signals.side,
        "Proposed": signals.proposed,
        "Why": [signals.why(i) for i in range(len(signals))],
        "ATR": signals.atr,
    }
    return columns | _evidence(row, np.arange(len(bars)))


def equity_columns(row: Row) -> dict[str, Any]:
    """Return equity and position of a row at each close."""
    bars = row.result.bars
    return {"Close Time": bars.close_time, "Equity": row.result.equity, "Position": row.result.position}


def _evidence(row: Row, rows: Any) -> dict[str, Any]:
    signals = row.signals
    assert signals is not None
    columns: dict[str, Any] = {f"Gate {gate}": verdict[rows] for gate, verdict in signals.gates.items()}
    if len(signals.confidence):
        columns["Confidence"] = signals.confidence[rows]
    if signals.evidence is not None:
        columns |= {"P": signals.evidence.probability[rows], "Audit": signals.evidence.audit[rows]}
        belief = signals.evidence.belief[rows]
        columns |= {f"Belief {k}": belief[:, k] for k in range(belief.shape[1])}
    return columns


def write_columns(columns: dict[str, Any], path: Path) -> Path:
    """Write columns as CSV or Parquet, by the file's ending, whole or not at all.

    Raises
    ------
    UsageError
        For another ending.
    """
    import pyarrow as pa

    kind = path.suffix.lstrip(".")
    if kind not in FORMATS:
        raise UsageError(f"{path.name} must end in .csv or .parquet")
    shown = {name: _to_seconds(values) for name, values in columns.items()} if kind == "csv" else columns
    table = pa.table({name: pa.array(values) for name, values in shown.items()})
    with written_whole(path) as unfinished:
        if kind == "csv":
            from pyarrow import csv

            csv.write_csv(table, unfinished)
        else:
            from pyarrow import parquet

            parquet.write_table(table, unfinished)
    return path


def _to_seconds(values: Any) -> Any:
    """Return times as ISO text to the second, empty where there is none; anything else as it is."""
    if not (isinstance(values, np.ndarray) and values.dtype.kind == "M"):
        return values
    return np.where(np.isnat(values), "", np.datetime_as_string(values, unit="s"))


def export_row(row: Row, folder: Path, kind: str) -> list[Path]:
    """Write trades, decisions and equity of a row into a folder and return the paths."""
    stem = row.name.lower().replace(" ", "-")
    parts = {"trades": trades_with_evidence(row), "decisions": decision_columns(row), "equity": equity_columns(row)}
    return [write_columns(columns, folder / f"{stem}-{name}.{kind}") for name, columns in parts.items()]
