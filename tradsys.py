"""The front door: one verb per job, each importing what it needs when it is called."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from live import options as ask
from live import sweeps
from live.data_verbs import data_app
from live.ending import ended
from live.verbs import live_app
from research.verbs import research_app

app = typer.Typer(
    cls=ask.Verbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train strategies, compare them honestly, and trade them live exactly as they tested.",
    epilog="Start with: tradsys compare",
)
app.add_typer(data_app, name="data")
app.add_typer(live_app, name="live")
app.add_typer(research_app)


def main() -> None:
    """Run one verb; a mistake of the user's is one line and exit code 2, never a traceback."""
    sys.exit(ended(app))


@app.command(epilog="Example: tradsys compare btcusdt-1h --bars BTCUSDT-1h --zone oos --fee 0.0005")
def compare(
    bundle: ask.BundleName = "nasdaq-1d",
    bars: ask.BarsName = None,
    zone: ask.ZoneName = "test",
    confidence: ask.ConfidenceMode = "rank",
    fee: ask.Fee = None,
    maker_fee: ask.MakerFee = None,
    slippage: ask.Slippage = None,
    exposure: ask.Exposure = None,
    unseal: ask.Unseal = None,
    cards: Annotated[bool, typer.Option("--cards", help="Print the report card of every profile too.")] = False,
    out: Annotated[Path, typer.Option(help="HTML report to write.")] = Path("reports/compare.html"),
    backend: ask.BackendName = None,
    address: ask.ClusterAddress = None,
    workers: ask.WorkerCount = 0,
    as_json: ask.AsJson = False,
    ledger: ask.LedgerFile = None,
    data: ask.DataFolder = ask.DATA,
) -> None:
    """Set Sniper, Audited and Reckless side by side on the same bars at equal costs."""
    from engine.report.paths import writable

    if not as_json:
        writable(out)
    costs = (fee, maker_fee, slippage, exposure)
    crew = (backend, address, workers)
    judged, curves = _judged(bundle, bars, zone, confidence, costs, unseal, ledger, data, crew=crew)
    if as_json:
        from engine.card.record import as_dict
        from engine.jsons import dumps

        typer.echo(dumps(as_dict(judged)))
        return
    from engine.report.compose import compose
    from engine.report.page import write_page
    from engine.report.terminal import print_judged

    print_judged(judged, cards)
    typer.echo(f"report: {write_page(compose(judged, curves()), out)}")


@app.command(epilog="Example: tradsys backtest audited --bundle nasdaq-1d --csv reports/audited")
def backtest(
    profile: Annotated[
        str, typer.Argument(help="sniper, audited, reckless, or a strategy between them: 0.75 +regime.")
    ],
    bundle: Annotated[str, typer.Option("--bundle", help="Name or folder of a bundle.")] = "nasdaq-1d",
    bars: ask.BarsName = None,
    zone: ask.ZoneName = "test",
    confidence: ask.ConfidenceMode = "rank",
    fee: ask.Fee = None,
    maker_fee: ask.MakerFee = None,
    slippage: ask.Slippage = None,
    exposure: ask.Exposure = None,
    unseal: ask.Unseal = None,
    csv: Annotated[Path | None, typer.Option(help="Folder for trades, decisions and equity as CSV.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="The same as Parquet.")] = None,
    as_json: ask.AsJson = False,
    ledger: ask.LedgerFile = None,
    data: ask.DataFolder = ask.DATA,
) -> None:
    """Print the report card of one profile: what its figures are worth."""
    from engine.compare import CONTROL, GRID, PROFILE
    from engine.errors import unknown
    from engine.report.paths import writable

    for place in filter(None, (csv, parquet)):
        writable(place, folder=True)
    costs = (fee, maker_fee, slippage, exposure)
    judged, _ = _judged(bundle, bars, zone, confidence, costs, unseal, ledger, data, (PROFILE, GRID))
    rows = {row.name.lower(): row for row in judged.comparison.rows if row.kind != CONTROL}
    if profile.lower() not in rows:
        raise unknown("strategy", profile, [row.name for row in rows.values()])
    row = rows[profile.lower()]
    if as_json:
        from engine.card.record import profile_dict
        from engine.jsons import dumps

        typer.echo(dumps(profile_dict(judged, row.name)))
    else:
        from engine.report.terminal import print_card

        print_card(judged, row.name)
    from engine.report.export import export_row

    for folder, kind in ((csv, "csv"), (parquet, "parquet")):
        for path in export_row(row, folder, kind) if folder is not None else ():
            typer.echo(f"wrote {path}", err=as_json)


app.command("sweep", epilog=sweeps.EXAMPLE)(sweeps.sweep)


@app.command(epilog="Example: tradsys explain nasdaq-1d --profile audited --at 2018-02-05")
def explain(
    bundle: ask.BundleName = "nasdaq-1d",
    profile: Annotated[str, typer.Option(help="sniper, audited or reckless.")] = "audited",
    at: Annotated[str | None, typer.Option(help="Explain the decision of the bar open at this time, UTC.")] = None,
    trade: Annotated[int | None, typer.Option(help="Explain the decision behind the N-th trade of the zone.")] = None,
    vetoes: Annotated[bool, typer.Option("--vetoes", help="Sum what each gate's vetoes saved or cost.")] = False,
    bars: ask.BarsName = None,
    zone: ask.ZoneName = "test",
    unseal: ask.Unseal = None,
    as_json: ask.AsJson = False,
    ledger: ask.LedgerFile = None,
    data: ask.DataFolder = ask.DATA,
) -> None:
    """Show the evidence behind a decision, every gate's verdict, and what became of it."""
    from engine.report.explained import print_explained
    from live.clock import stamp
    from strategies.explaining import Look, explain_bundle

    look = Look(unseal, data / "trials.db" if ledger is None else ledger, stamp()) if unseal else None
    print_explained(explain_bundle(bundle, profile, bars, data, zone, look, (at, trade, vetoes)), as_json)


def _judged(bundle, bars, zone, confidence, costs, unseal, ledger, data, kinds=("profile",), crew=(None, None, 0)):  # type: ignore[no-untyped-def]
    """The road that compare and backtest share: from options to a judged comparison, and the blocks of its page."""
    from engine.kernel_cache import uncompiled
    from engine.report.paths import writable
    from live.clock import stamp
    from live.workers import hired
    from models.bundle import load_bundle
    from models.cache import cache_in
    from strategies.ledgered import judge_ledgered, record_look
    from strategies.thresholds import threshold_curves
    from strategies.workbench import compare_bundle, find_market, named_terms

    opened = load_bundle(bundle, cache_in(data))
    market = find_market(opened, bars, data)
    book = writable(data / "trials.db" if ledger is None else ledger)
    if uncompiled():
        typer.echo("compiling kernels once, about 20 s", err=True)
    comparison = compare_bundle(opened, market, zone, confidence, named_terms(*costs), unseal)
    record_look(book, opened, zone, unseal, stamp())
    with hired(*crew) as workers:
        judged = judge_ledgered(comparison, book, stamp(), kinds=kinds, workers=workers)
    return judged, lambda: threshold_curves(opened, market, comparison.rules, confidence)


@app.command(epilog="Example: tradsys train my-coin --bars SOLUSDT-1h --config default --resume")
def train(
    name: Annotated[str, typer.Argument(help="Name of the bundle; research/configs/NAME.toml configures it.")],
    bars: ask.BarsName = None,
    config: Annotated[str | None, typer.Option(help="Another configuration: its name or a TOML file.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the bundle; models/bundles/NAME by default.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the finished folds of this run.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a bundle that was released.")] = False,
    backend: ask.BackendName = None,
    address: ask.ClusterAddress = None,
    workers: ask.WorkerCount = 0,
    ledger: ask.LedgerFile = None,
    data: ask.DataFolder = ask.DATA,
) -> None:
    """Train, calibrate, audit and bundle a model, with every loss beside what no skill would lose."""
    from engine.report.paths import writable
    from live.clock import stamp
    from live.workers import hired
    from models.bundle import load_bundle
    from research.road import train_bundle
    from strategies.ledgered import record_training

    book = writable(data / "trials.db" if ledger is None else ledger)
    with hired(backend, address, workers) as shared:
        folder = train_bundle(name, bars, config, out, (resume, replace), data, shared)
    record_training(book, load_bundle(folder), stamp())


@app.command(epilog="Example: tradsys release models/bundles/my-coin")
def release(bundle: ask.BundleName) -> None:
    """Release a draft: its test zone is sealed no longer. Do it once, after the last look you mean to count."""
    from models.bundle import load_bundle
    from models.bundle import release as release_bundle

    if load_bundle(bundle).manifest.released:
        typer.echo(f"{bundle} was released already; nothing was changed")
        return
    typer.echo(f"released {release_bundle(bundle)}; its test zone is open to everyone from now on")


@app.command(epilog="Example: tradsys verify btcusdt-1h --bars BTCUSDT-1h")
def verify(
    bundle: ask.BundleName = "nasdaq-1d",
    bars: ask.BarsName = None,
    leaks: Annotated[bool, typer.Option("--leaks", help="Look for leaks too: futures, fences, unseen bars.")] = False,
    as_json: ask.AsJson = False,
    data: ask.DataFolder = ask.DATA,
) -> None:
    """Prove that nothing looks ahead and that live decides what the backtest decided; exit 1 if not."""
    from live.verify import verify_bundle

    if not verify_bundle(bundle, bars, data, as_json, leaks):
        raise typer.Exit(1)


@app.command(epilog="Example: tradsys cache --clear")
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Delete every kept prediction.")] = False,
    as_json: ask.AsJson = False,
    data: ask.DataFolder = ask.DATA,
) -> None:
    """List the predictions kept in the data folder, which spare asking a model twice, or delete them."""
    from engine.report.lists import print_kept
    from models.cache import cache_in, named_predictors

    kept = cache_in(data)
    freed = kept.clear() if clear else None
    print_kept(kept.kept(), named_predictors(kept), freed, as_json)


if __name__ == "__main__":
    main()
