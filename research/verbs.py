"""The research lab's verbs: each becomes a verb of the front door."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from research.experiments import all_names

DATA = Path("data")
BarsName = Annotated[str | None, typer.Option("--bars", help="Embedded or stored series, or a file of bars.")]
research_app = typer.Typer()


@research_app.command(epilog="Example: tradsys tune my-coin --bars SOLUSDT-1h --kind trees,logistic --trials 40")
def tune(  # noqa: PLR0913 - an option is an argument
    name: Annotated[str, typer.Argument(help="Configuration to start from: research/configs/NAME.toml, or any name.")],
    bars: BarsName = None,
    config: Annotated[str | None, typer.Option(help="Another configuration: its name or a TOML file.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="Kinds of models, by commas; the configuration's by default.")
    ] = None,
    trials: Annotated[int, typer.Option(min=2, help="Trials in all; the same command goes on after a stop.")] = 40,
    random: Annotated[int | None, typer.Option(min=0, help="Trials of blind dice beside; as many by default.")] = None,
    folds: Annotated[int, typer.Option(min=3, max=50, help="Purged folds of the development zone.")] = 8,
    zoom: Annotated[int | None, typer.Option(help="Search around this trial of the same search.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes on this machine.")] = 1,
    storage: Annotated[str | None, typer.Option(help="Optuna storage that several machines share.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable JSON and nothing else.")] = False,
    ledger: Annotated[Path | None, typer.Option(help="Trial ledger; trials.db in the data folder by default.")] = None,
    data: Annotated[Path, typer.Option(help="Folder of the stored series.")] = DATA,
) -> None:
    """Search a model's settings on purged folds, count every trial, and pick the simplest within one error."""
    from research.tuning_road import Wish, tune_named

    tune_named(Wish(name, bars, config, kind, trials, random, folds, zoom, workers, storage), as_json, ledger, data)


@research_app.command(epilog="Example: tradsys experiment A2 A7 --bars BTCUSDT-1h")
def experiment(  # noqa: PLR0913 - an option is an argument
    names: Annotated[list[str] | None, typer.Argument(help=f"{all_names()}.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them; finished ones are kept.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="A small form: fewer bars, seeds and draws.")] = False,
    bars: Annotated[str, typer.Option(help="Hourly bars: a stored series or a file.")] = "BTCUSDT-1h",
    extra: Annotated[Path | None, typer.Option(help="Folder of further series: macro/ for A12.")] = None,
    again: Annotated[bool, typer.Option("--again", help="With --all: run finished ones, too.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of findings; runs/experiments by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable JSON and nothing else.")] = False,
    ledger: Annotated[Path | None, typer.Option(help="Trial ledger; trials.db in the data folder by default.")] = None,
    data: Annotated[Path, typer.Option(help="Folder of the stored series.")] = DATA,
) -> None:
    """Test a claim: one table, one sentence: confirmed, refuted, or not decidable at n."""
    from research.experiments.conduct import Asked, run_named

    run_named(names or [], Asked(bars, extra, quick, again, out, ledger, data), everything, as_json)


@research_app.command(epilog="Example: tradsys leaderboard --results runs/experiments/full --out runs/LEADERBOARD.md")
def leaderboard(
    results: Annotated[Path, typer.Option(help="Folder of findings.")] = Path("research/results"),
    out: Annotated[Path, typer.Option(help="Markdown file to write.")] = Path("research/LEADERBOARD.md"),
) -> None:
    """Write the leaderboard of all findings: claims, forecasts, strategies, and how many were tried."""
    from research.experiments.show import write_leaderboard

    typer.echo(f"leaderboard: {write_leaderboard(results, out)}")


@research_app.command(epilog="Example: tradsys volatility BTCUSDT-1h --out runs/volatility.onnx")
def volatility(
    bars: Annotated[str, typer.Argument(help="Embedded or stored series, or a file of bars.")],
    ahead: Annotated[int | None, typer.Option(min=2, max=2000, help="Bars foreseen; a day by default.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the agent's graph here, fitted on development.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the finished folds of the same race.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable JSON and nothing else.")] = False,
    data: Annotated[Path, typer.Option(help="Folder of the stored series.")] = DATA,
) -> None:
    """Race the volatility agent against HAR and EWMA on a walk-forward, by QLIKE."""
    from research.volatility_road import show_volatility

    show_volatility(bars, ahead, out, as_json, data, resume)


@research_app.command(epilog="Example: tradsys book BTCUSDT_spot_L2top20.parquet --timeframe 1m")
def book(
    file: Annotated[Path, typer.Argument(help="Parquet of snapshots: bid_px_1, bid_sz_1, ..., ask_sz_N, timestamp.")],
    timeframe: Annotated[str, typer.Option(help="Bars it is told about: 1s, 10s, 1m ...")] = "1m",
    symbol: Annotated[str | None, typer.Option(help="Its market; what stands first in the file's name.")] = None,
    latency_ms: Annotated[float, typer.Option(min=0, help="Until a snapshot is here, if its receipt is unknown.")] = 0,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a stored series that differs.")] = False,
    data: Annotated[Path, typer.Option(help="Folder of the stored series.")] = DATA,
) -> None:
    """Store what a recorded order book says about bars, for the features that read it beside them."""
    from engine.history.store import Store
    from engine.wording import counted
    from research.orderbook_road import store_book

    kept, part = store_book(file, timeframe, Store(data), symbol, round(latency_ms * 1e6), replace)
    if part:
        typer.echo(f"recorded in part only: {counted(part, 'bar')} at the ends of the recording", err=True)
    typer.echo(f"stored {kept.name}: the features of {timeframe} bars that read a book will find it")


@research_app.command(epilog="Example: tradsys difference BTCUSDT-1h")
def difference(
    bars: Annotated[str, typer.Argument(help="Embedded or stored series, or a file of bars.")],
    width: Annotated[int, typer.Option(min=2, max=5000, help="Bars of the window.")] = 256,
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable JSON and nothing else.")] = False,
    data: Annotated[Path, typer.Option(help="Folder of the stored series.")] = DATA,
) -> None:
    """Find how often a log price is differenced until its unit root is rejected, on the development zone alone."""
    from research.choose_d import show_choice

    show_choice(bars, width, as_json, data)
