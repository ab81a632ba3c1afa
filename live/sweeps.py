"""``tradsys sweep``: its options, and what becomes of the answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from live.options import (
    DATA,
    AsJson,
    BackendName,
    BundleName,
    ClusterAddress,
    ConfidenceMode,
    DataFolder,
    Exposure,
    Fee,
    LedgerFile,
    MakerFee,
    Slippage,
    WorkerCount,
)

if TYPE_CHECKING:
    from engine.sweep.record import Swept

SCHEMA = "tradsys.sweeps/1"
EXAMPLE = "Example: tradsys sweep nasdaq-1d --threshold 0.5:0.95:10 --k-up 1:3:5 --k-down 1:3:5 --hold 5,10,20"
WRITTEN = "a value, a list, or FROM:TO:COUNT"
BarsNames = Annotated[
    str | None, typer.Option("--bars", help="Embedded or stored series, or files of bars; several by commas.")
]
ZoneName = Annotated[str, typer.Option("--zone", help="validation, oos or development; test only once released.")]
GateNames = Annotated[str, typer.Option("--gates", help="none, regime, auditor or all.")]
Threshold = Annotated[str | None, typer.Option(help=f"Confidence thresholds: {WRITTEN}.")]
Target = Annotated[str | None, typer.Option(help=f"Take profits in ATRs: {WRITTEN}.")]
Stop = Annotated[str | None, typer.Option(help=f"Stops in ATRs: {WRITTEN}.")]
Hold = Annotated[str | None, typer.Option(help=f"Bars until the time exit: {WRITTEN}.")]
Threads = Annotated[int, typer.Option(min=0, max=256, help="Threads; 0 takes every core.")]
Top = Annotated[int, typer.Option(min=1, help="How many of the best combos are listed.")]
Page = Annotated[Path, typer.Option(help="HTML report to write.")]


def sweep(  # noqa: PLR0913 - an option is an argument
    bundle: BundleName = "nasdaq-1d",
    bars: BarsNames = None,
    zone: ZoneName = "validation",
    gates: GateNames = "none",
    threshold: Threshold = None,
    k_up: Target = None,
    k_down: Stop = None,
    hold: Hold = None,
    confidence: ConfidenceMode = "rank",
    fee: Fee = None,
    maker_fee: MakerFee = None,
    slippage: Slippage = None,
    exposure: Exposure = None,
    threads: Threads = 0,
    backend: BackendName = None,
    address: ClusterAddress = None,
    workers: WorkerCount = 0,
    top: Top = 10,
    out: Page = Path("reports/sweep.html"),
    as_json: AsJson = False,
    ledger: LedgerFile = None,
    data: DataFolder = DATA,
) -> None:
    """Score every combo of thresholds, barriers and holding times, and say what choosing the best is worth."""
    from engine.errors import UsageError
    from engine.report.paths import writable
    from live.clock import stamp
    from live.workers import hired
    from strategies.sweeping import Question, sweep_bundle
    from strategies.workbench import named_terms

    if threads and (backend or workers):
        raise UsageError("--threads share a sweep within this process, --workers and --backend among others: state one")
    book = writable(data / "trials.db" if ledger is None else ledger)
    if not as_json:
        writable(out)
    costs = named_terms(fee, maker_fee, slippage, exposure)
    asked = Question(bundle, bars, zone, gates, confidence, threshold, k_up, k_down, hold, costs, threads)
    with hired(backend, address, workers) as shared:
        swepts = sweep_bundle(asked, data, book, stamp(), shared)
    if as_json:
        from engine.jsons import dumps

        typer.echo(dumps(_as_dict(swepts, top)))
        return
    from engine.sweep.page import write_sweep_page
    from engine.sweep.text import print_across, print_swept

    for swept in swepts:
        print_swept(swept, top)
    if len(swepts) > 1:
        print_across(swepts, top)
    for swept, page in zip(swepts, _pages(out, swepts), strict=True):
        typer.echo(f"report: {write_sweep_page(swept, page)}")


def _as_dict(swepts: list[Swept], top: int) -> dict[str, Any]:
    """Return the record of one sweep, or of several with what they say together."""
    from engine.sweep.across import across

    if len(swepts) == 1:
        return swepts[0].as_dict(top)
    together = [
        {**swepts[0].found.combo(one.place)._asdict(), "median": one.median, "sharpes": list(one.sharpes)}
        for one in across([swept.found for swept in swepts], top)
    ]
    return {"schema": SCHEMA, "sweeps": [swept.as_dict(top) for swept in swepts], "across": together}


def _pages(out: Path, swepts: list[Swept]) -> list[Path]:
    """Return where each market's page goes: ``sweep.html``, or ``sweep-BTCUSDT.html`` and so on of several."""
    if len(swepts) == 1:
        return [out]
    return [out.with_name(f"{out.stem}-{swept.found.bars.symbol}{out.suffix}") for swept in swepts]
