"""``tradsys live``: the bot, and what one may ask or tell it while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from live import options as ask

EnvFile = Annotated[Path | None, typer.Option("--env", help="Settings file; .env by default, if there is one.")]
live_app = typer.Typer(help="Run the bot that STRATEGY_PROFILE and the rest of .env describe.")


@live_app.callback(invoke_without_command=True, epilog="Example: tradsys live --replay BTCUSDT-1h --env .env")
def live(
    context: typer.Context,
    replay: Annotated[str | None, typer.Option(help="Recorded bars to run the real bot over.")] = None,
    env: EnvFile = None,
    data: ask.DataFolder = ask.DATA,
) -> None:
    """Run the bot that STRATEGY_PROFILE and the rest of .env describe."""
    if context.invoked_subcommand is not None:
        return
    from live.door import run

    if code := run(replay, env, data):
        raise typer.Exit(code)
