"""``tradsys data``: import, check and list market data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from live import options as ask

data_app = typer.Typer(no_args_is_help=True, help="Import, check and list market data.")


@data_app.command("import", epilog="Example: tradsys data import BTCUSDT-1h-2024-06.zip --symbol BTCUSDT")
def data_import(
    file: Annotated[Path, typer.Argument(help="Parquet, feather, CSV or Binance archive.")],
    symbol: ask.SymbolName = None,
    timeframe: ask.TimeframeName = None,
    sessions: ask.Sessions = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a stored series that differs.")] = False,
    data: ask.NewFolder = ask.DATA,
) -> None:
    """Check a file of bars and store it as a series."""
    from engine.history import Store, check_named
    from engine.wording import counted

    name = Store(data).import_file(file, symbol, timeframe, sessions, replace).name
    found = check_named(name, data)
    told = ", ".join((counted(found.rows, "bar"), *found.remarks))
    typer.echo(f"stored {name}: {told}; compare with: tradsys compare BUNDLE --bars {name}")


@data_app.command("check", epilog="Example: tradsys data check BTCUSDT_1h.parquet --json")
def data_check(
    what: Annotated[str, typer.Argument(help="A file, or the name of a stored or embedded series.")],
    symbol: ask.SymbolName = None,
    timeframe: ask.TimeframeName = None,
    sessions: ask.Sessions = None,
    as_json: ask.AsJson = False,
    data: ask.DataFolder = ask.DATA,
) -> None:
    """List gaps, duplicates, impossible prices, off-grid stamps, empty bars; exit 1 if the file must be refused."""
    from engine.history import check_named
    from engine.report.lists import print_check

    found = check_named(what, data, symbol, timeframe, sessions)
    print_check(found, as_json)
    if found.defects:
        raise typer.Exit(1)


@data_app.command("list", epilog="Example: tradsys data list")
def data_list(as_json: ask.AsJson = False, data: ask.DataFolder = ask.DATA) -> None:
    """List the series at hand: embedded ones first."""
    from engine.history import list_series
    from engine.report.lists import print_series

    print_series(list_series(data), as_json)
