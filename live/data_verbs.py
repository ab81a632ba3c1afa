"""``tradsys data``: fetch, import, check and list market data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from live import options as ask

data_app = typer.Typer(no_args_is_help=True, help="Fetch, import, check and list market data.")

ReplaceBars = Annotated[
    bool, typer.Option("--replace", help="Take the exchange's version of a stored bar that changed.")
]


@data_app.command("fetch", epilog="Example: tradsys data fetch BTC/USDT 1h --exchange binance --since 2019-01-01")
def data_fetch(
    market: Annotated[str, typer.Argument(help="As ccxt writes it: BTC/USDT; a perpetual: BTC/USDT:USDT.")] = "",
    timeframe: Annotated[str, typer.Argument(help="Such as 15m, 1h, 1d.")] = "",
    exchange: Annotated[str, typer.Option(help="Any that ccxt knows.")] = "binance",
    since: Annotated[
        str | None, typer.Option(help="Where the series begins, UTC; a stored one goes on by itself.")
    ] = None,
    symbol: ask.FetchSymbol = None,
    funding: Annotated[bool, typer.Option("--funding", help="Funding rates of a perpetual instead of bars.")] = False,
    update: Annotated[bool, typer.Option("--update", help="Go on with every stored series that was fetched.")] = False,
    replace: ReplaceBars = False,
    as_json: ask.AsJson = False,
    data: ask.NewFolder = ask.DATA,
) -> None:
    """Fetch closed candles from an exchange into a stored series, or go on where it ends; stop and repeat at will.

    Exit 1: a bar came with other values than stored (nothing is changed), or the exchange did not answer.
    """
    from engine.errors import UsageError
    from live.fetch_many import fetch_all, fetch_one

    if update == bool(market) or (market and bool(timeframe) == funding):
        raise UsageError(
            "name a market and a timeframe (BTC/USDT 1h), a perpetual and --funding, or nothing and --update"
        )
    if update and not since and not symbol:
        whole = fetch_all(data, replace, as_json)
    elif update:
        raise UsageError("--update goes on with what is stored: it takes no --since and no --symbol")
    else:
        whole = fetch_one(data, (exchange, market, timeframe, symbol or ""), since, replace, as_json)
    if not whole:
        raise typer.Exit(1)


@data_app.command("import", epilog="Example: tradsys data import BTCUSDT-1h-2024-*.zip --append")
def data_import(
    files: Annotated[
        list[Path], typer.Argument(help="Parquet, feather, CSV or Binance archives, of one market or many.")
    ],
    symbol: ask.SymbolName = None,
    timeframe: ask.TimeframeName = None,
    sessions: ask.Sessions = None,
    append: Annotated[bool, typer.Option("--append", help="Add to the stored series, which must agree.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a stored series that differs.")] = False,
    data: ask.NewFolder = ask.DATA,
) -> None:
    """Check files of bars and store them as series; several files of one market become one series."""
    from engine.history import check_named
    from engine.history.join import import_files
    from engine.wording import counted

    for name in import_files(data, files, (symbol, timeframe, sessions), append, replace):
        found = check_named(name, data)
        told = ", ".join((counted(found.rows, "bar"), *found.remarks))
        typer.echo(f"stored {name}: {told}; compare with: tradsys compare BUNDLE --bars {name}")


@data_app.command(
    "import-series",
    epilog="Example: tradsys data import-series VIX.csv --name VIX --session-close 16:00 --zone America/New_York",
)
def data_import_series(
    file: Annotated[Path, typer.Argument(help="CSV, Parquet or feather: a column of dates or times, and values.")],
    name: Annotated[str, typer.Option(help="Name of the series, such as VIX.")],
    session_close: Annotated[str, typer.Option(help="When the day's values are final, local time: 16:00.")] = "",
    session_open: Annotated[str, typer.Option(help="When the market opens, local time: 09:30.")] = "",
    zone: Annotated[str, typer.Option(help="Time zone of these, such as America/New_York.")] = "UTC",
    lag: Annotated[str, typer.Option(help="From then (or from the time in the file) to publication: 0, 15m, 1d.")] = "",
    columns: Annotated[str, typer.Option(help="Columns to keep, with commas between; all numbers by default.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Replace a stored series that differs.")] = False,
    data: ask.NewFolder = ask.DATA,
) -> None:
    """Store values from outside a market (VIX, rates, anything) with the moment at which each was known."""
    from engine.history import Store
    from engine.history.values import Moments, read_values

    moments = Moments(session_close, zone, lag, session_open)
    values = read_values(file, name, moments, tuple(filter(None, columns.split(","))))
    Store(data).keep_values(values, file.name, replace)
    first, last = (str(values.known_at[row].astype("datetime64[m]")) for row in (0, -1))
    typer.echo(f"stored {name}: {len(values)} rows of {', '.join(values.columns)}, known {first} .. {last} (UTC)")


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
