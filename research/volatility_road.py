"""``tradsys volatility``: whether a market's volatility is foreseen better than by its own past averages."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np

from engine.bars import Bars
from engine.history.find import find_bars
from engine.history.store import plain_name
from engine.jsons import dumps
from engine.report.paths import writable, written_whole
from engine.zones import make_zones
from models.volatility import volatility_inputs, volatility_memory
from research.checkpoints import Checkpoints, code_digest
from research.export_volatility import volatility_graph
from research.progress import progress_bar
from research.volatility import (
    EVERYTHING,
    Race,
    VolatilityModel,
    bars_of_a_day,
    fit_volatility,
    race,
    realised_ahead,
)

RUNS = Path("runs/volatility")
HEAD = ("forecast", "QLIKE", "R2 of log", "gain on HAR", "DM t", "p")


def show_volatility(
    name: str, ahead: int | None, out: Path | None, as_json: bool, data_root: Path, resume: bool = False
) -> None:
    """Race the volatility agent against HAR and EWMA outside the sealed zone, and write its graph if asked to.

    Parameters
    ----------
    name : str
        Embedded or stored series, or a file of bars.
    ahead : int or None
        Bars foreseen; a day by default.
    out : Path or None
        Where to write the graph, fitted on the development zone.
    as_json : bool
        Print JSON and nothing else.
    data_root : Path
        Folder of the stored series.
    resume : bool
        Go on from the finished folds of an earlier race on the same bars, by the same code.
    """
    if out is not None:
        writable(out)
    bars = find_bars(name, data_root)
    ahead = ahead or bars_of_a_day(bars)
    zones = make_zones(bars, volatility_memory(ahead), ahead)
    seen = bars.upto(zones.rows(bars, "validation").stop)
    parts = Checkpoints(RUNS / plain_name(f"{bars.symbol}-{bars.timeframe}"), race_key(seen, ahead), resume)
    with progress_bar() as tell:
        races, notes = race(seen, ahead, tell=tell, parts=parts)
    if out is not None:
        graph = volatility_graph(fit_development(bars.upto(zones.rows(bars, "development").stop), ahead))
        with written_whole(out) as part:
            part.write_bytes(graph)
        notes["graph"] = str(out)
    if as_json:
        sys.stdout.write(dumps({"races": [one._asdict() for one in races], **notes}) + "\n")
        return
    _print(f"{bars.symbol} {bars.timeframe}", races, notes)


def race_key(bars: Bars, ahead: int) -> str:
    """Return the sha256 of everything a race depends on: bars, horizon and code."""
    told = f"volatility|{bars.symbol}|{bars.sessions}|{bars.fingerprint()}|{ahead}|{code_digest()}"
    return hashlib.sha256(told.encode()).hexdigest()


def fit_development(bars: Bars, ahead: int) -> VolatilityModel:
    """Return the agent fitted on every bar whose future lies inside these."""
    inputs, realised = volatility_inputs(bars, ahead), realised_ahead(bars, ahead)
    known = np.isfinite(inputs).all(axis=1) & (realised > 0)
    return fit_volatility(inputs[known], realised[known], EVERYTHING)


def _print(market: str, races: list[Race], notes: dict[str, object]) -> None:
    from engine.report.fitting import figures, show
    from engine.report.terminal import console

    title = (
        f"{market}: variance of the next {notes['ahead']} bars, {notes['rows']} rows, {notes['from']} .. {notes['to']}"
    )
    rows = []
    for one in races:
        gain = (f"{one.gain:+.4f}", f"{one.t:+.2f}", f"{one.p:.1g}") if one.name != "HAR" else ("-",) * 3
        rows.append((one.name, f"{one.qlike:.4f}", f"{one.r2:.3f}", *gain))
    screen = console()
    screen.print(title, style="italic", soft_wrap=True)
    show(screen, figures(HEAD, rows, screen))
    if "graph" in notes:
        screen.print(f"graph: {notes['graph']}", soft_wrap=True)
