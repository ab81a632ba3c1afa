"""What every verb of the front door may be asked, and what becomes of a verb that is stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

DATA = Path("data")
RESUMED = "finished parts are kept: run the same command with --resume"
KEPT = {  # what a stopped verb leaves, and how it goes on
    "train": RESUMED,
    "volatility": RESUMED,
    "tune": "finished trials are kept: the same command goes on",
    "experiment": "finished experiments are kept: with --all the same command goes on",
}


class Verbs(TyperGroup):
    """The verbs; whoever stops one is told what was kept."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        """Run a verb; Ctrl-C ends it with a line and exit code 130."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo(f"stopped; {KEPT.get(ctx.invoked_subcommand or '', 'nothing half-written')}", err=True)
            raise typer.Exit(130) from None


def _is_folder(path: Path) -> Path:
    from engine.errors import UsageError

    if path.exists() and not path.is_dir():
        raise UsageError(f"--data {path} is a file; name the folder of the stored series")
    return path


def _is_there(path: Path) -> Path:
    from engine.errors import UsageError

    if path != DATA and not path.exists():
        raise UsageError(f"--data {path} does not exist; `tradsys data import FILE --data {path}` makes it")
    return _is_folder(path)


def _is_symbol(symbol: str | None) -> str | None:
    if symbol is None:
        return None
    from engine.history.infer import check_symbol

    return check_symbol(symbol)


DataFolder = Annotated[Path, typer.Option("--data", help="Folder of the stored series.", callback=_is_there)]
NewFolder = Annotated[Path, typer.Option("--data", help="Folder of the stored series.", callback=_is_folder)]
BundleName = Annotated[str, typer.Argument(help="Name of a shipped bundle, or the folder of your own.")]
BarsName = Annotated[str | None, typer.Option("--bars", help="Embedded or stored series, or a file of bars.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON and nothing else.")]
LedgerFile = Annotated[
    Path | None, typer.Option("--ledger", help="Trial ledger; trials.db in the data folder by default.")
]
SymbolName = Annotated[
    str | None,
    typer.Option("--symbol", help="Name of the market; from the file name by default.", callback=_is_symbol),
]
FetchSymbol = Annotated[
    str | None, typer.Option("--symbol", help="Name of the market here; BTCUSDT by default.", callback=_is_symbol)
]
TimeframeName = Annotated[str | None, typer.Option("--timeframe", help="Such as 15m, 1h, 1d; inferred by default.")]
ZoneName = Annotated[str, typer.Option("--zone", help="test, oos, validation, development or all.")]
ConfidenceMode = Annotated[str, typer.Option("--confidence", help="rank or probability.")]
Fee = Annotated[
    float | None, typer.Option(help="Taker fee per side, as a fraction; named alone it caps the maker fee too.")
]
MakerFee = Annotated[float | None, typer.Option(help="Maker fee per side, as a fraction: what a resting target pays.")]
Slippage = Annotated[float | None, typer.Option(help="Slippage per side, as a fraction.")]
Exposure = Annotated[float | None, typer.Option(help="Share of equity per trade.")]
Unseal = Annotated[str | None, typer.Option(help="Why the sealed zone of a draft is looked at.")]
BackendName = Annotated[
    str | None,
    typer.Option("--backend", help="Share the work: loky (this machine's processes), ray or dask (a cluster's)."),
]
ClusterAddress = Annotated[
    str | None, typer.Option("--address", help="Of the Ray head or Dask scheduler, such as tcp://10.0.0.5:8786.")
]
WorkerCount = Annotated[
    int, typer.Option("--workers", min=0, help="Processes of this machine, up to 256; 0 with --backend: one a core.")
]
Sessions = Annotated[
    bool | None,
    typer.Option("--sessions/--no-sessions", help="Whether the market closes at times; inferred by default."),
]
