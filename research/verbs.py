"""The research lab's verbs: each becomes a verb of the front door."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
