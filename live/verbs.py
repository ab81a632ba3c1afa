"""``tradsys live``: the bot, and what one may ask or tell it while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from live import options as ask

EnvFile = Annotated[Path | None, typer.Option("--env", help="Settings file; .env by default, if there is one.")]
Symbol = Annotated[str | None, typer.Argument(help="One symbol; all of the bot's by default.")]
OneSymbol = Annotated[str | None, typer.Option("--symbol", help="Which, where the bot trades several.")]
Reason = Annotated[str, typer.Option(help="Why, for the ledger.")]
live_app = typer.Typer(
    help="Run the bot that STRATEGY_PROFILE and the rest of .env describe; ask it and tell it things."
)


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


@live_app.command(epilog="Example: tradsys live status --json")
def status(env: EnvFile = None, as_json: ask.AsJson = False) -> None:
    """Show each symbol's state, position, orders and last event; the bot may run meanwhile."""
    from live.control import status as found
    from live.settings import read_settings
    from live.told import status_lines

    told = found(read_settings(env))
    _print(told, as_json, status_lines(told))


@live_app.command(epilog="Example: tradsys live trades --last 50")
def trades(
    symbol: OneSymbol = None,
    last: Annotated[int, typer.Option(min=1, help="How many, the latest last.")] = 20,
    env: EnvFile = None,
    as_json: ask.AsJson = False,
) -> None:
    """List finished trades: the simulation's prices beside those of the real fills."""
    from live.control import trades as found
    from live.settings import read_settings
    from live.told import trade_lines

    told = found(read_settings(env), symbol, last)
    _print(told, as_json, trade_lines(told))


@live_app.command(epilog="Example: tradsys live explain --at 2026-11-20T08:00")
def explain(
    at: Annotated[str | None, typer.Option(help="Open time of a bar, UTC; the last decision by default.")] = None,
    symbol: OneSymbol = None,
    env: EnvFile = None,
    as_json: ask.AsJson = False,
) -> None:
    """Show a decision with its evidence, and every order, fill and event that came of it."""
    from live.control import explain as found
    from live.settings import read_settings
    from live.told import explain_lines

    told = found(read_settings(env), symbol, at)
    _print(told, as_json, explain_lines(told))


@live_app.command(epilog="Example: tradsys live dashboard --port 8765")
def dashboard(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any that is free.")] = 8765, env: EnvFile = None
) -> None:
    """Show the bot on a page that renews itself, on this machine only, and serve its measures; it changes nothing."""
    from contextlib import closing

    from live.dashboard import Dashboard
    from live.settings import read_settings

    with closing(Dashboard(read_settings(env), port)) as shown:
        typer.echo(f"open {shown.link}")
        typer.echo(f"Prometheus: {shown.address}metrics, bearer token in {shown.token_file}; Ctrl-C ends it")
        shown.serve()


@live_app.command(epilog="Example: tradsys live drift --days 30")
def drift(
    days: Annotated[int | None, typer.Option(min=1, help="Only the last days of the ledger.")] = None,
    slippage_bp: Annotated[float, typer.Option(min=0.1, help="Fills may cost so much beyond the simulation.")] = 10.0,
    late_s: Annotated[float, typer.Option(min=1.0, help="Entries may come so long after the close.")] = 30.0,
    missed: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of trades that may have no fill.")] = 0.1,
    notify: Annotated[bool, typer.Option("--notify", help="Send alarms to BOT_NOTIFY too.")] = False,
    env: EnvFile = None,
    as_json: ask.AsJson = False,
    data: ask.DataFolder = ask.DATA,
) -> None:
    """Hold the account against the simulation, the model against its training; exit 1 beyond a band. Run it nightly."""
    from live.drift import Bands, drift_lines, drift_report
    from live.notify import notify_alarms
    from live.settings import read_settings

    settings = read_settings(env)
    found = drift_report(settings, data, Bands(slippage_bp, late_s, missed), days)
    _print([each.to_dict() for each in found], as_json, drift_lines(found))
    if notify:
        notify_alarms(settings.notify, [(each.symbol, alarm) for each in found for alarm in each.alarms])
    if any(each.alarms for each in found):
        raise typer.Exit(1)


@live_app.command(epilog="Example: tradsys live halt BTCUSDT --reason maintenance")
def halt(symbol: Symbol = None, reason: Reason = "", env: EnvFile = None, as_json: ask.AsJson = False) -> None:
    """Enter and leave nothing any more; what is held stays protected, decisions go on on paper."""
    _tell("halt", symbol, reason, env, as_json)


@live_app.command(epilog="Example: tradsys live resume")
def resume(symbol: Symbol = None, reason: Reason = "", env: EnvFile = None, as_json: ask.AsJson = False) -> None:
    """Trade again after a halt or a limit; a position that the simulation holds without us stays untaken."""
    _tell("resume", symbol, reason, env, as_json)


@live_app.command(epilog="Example: tradsys live flatten BTCUSDT")
def flatten(symbol: Symbol = None, reason: Reason = "", env: EnvFile = None, as_json: ask.AsJson = False) -> None:
    """Cancel all orders and close at market, unexplained holdings too, then halt."""
    _tell("flatten", symbol, reason, env, as_json)


@live_app.command(epilog="Example: tradsys live adopt BTCUSDT")
def adopt(symbol: Symbol = None, reason: Reason = "", env: EnvFile = None, as_json: ask.AsJson = False) -> None:
    """Leave alone what stands at the exchange and is not the bot's, from now on, and trade beside it."""
    _tell("adopt", symbol, reason, env, as_json)


def _tell(command: str, symbol: str | None, reason: str, env: Path | None, as_json: bool) -> None:
    from live.control import tell
    from live.settings import read_settings

    said = tell(read_settings(env), command, symbol, reason)
    _print({"command": command, "symbol": symbol, "answer": said}, as_json, [said])


def _print(told: object, as_json: bool, lines) -> None:  # type: ignore[no-untyped-def]
    """Print as JSON, or as lines."""
    if as_json:
        from engine.jsons import dumps

        typer.echo(dumps(told))
        return
    for line in lines:
        typer.echo(line)
