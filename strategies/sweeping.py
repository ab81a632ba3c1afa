"""``tradsys sweep``: from names and ranges to a sweep of a bundle, every combo of it written to the trial ledger."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.bars import Bars, Floats
from engine.compare import terms_of
from engine.errors import UsageError, unknown
from engine.funding import funding_told, is_perpetual
from engine.signals import Evidence
from engine.sweep import Grid, SweepResult, parse_axis, sweep
from engine.sweep.record import Swept
from engine.sweep.selection import Kept, Tried, keep, select
from engine.trials import NAN, OK, Trial, market_key
from engine.workers import Workers
from models.bundle import Bundle, load_bundle
from models.cache import cache_in
from strategies.base import MODES, ThresholdStrategy
from strategies.ledgered import append_fresh, configuration, costs_of, other_trials, sound_ledger, untold
from strategies.workbench import Stretch, about, find_market, find_stretch, is_sealed, is_two_sided

SWEEP = "sweep"
GATES = {"none": (False, False), "regime": (True, False), "auditor": (False, True), "all": (True, True)}
MOST_COMBOS = 50_000  # each is a row of the ledger: 50,000 take some seconds and 30 MB
THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
ATRS = "1:3:5"
NO_DAYS: tuple[NDArray[np.int64], Floats] = (np.empty(0, np.int64), np.empty(0))


@dataclass(frozen=True, slots=True)
class Question:
    """What is swept: names, and the axes of the grid as their options are written.

    Parameters
    ----------
    bundle : str or Path
        A bundle's name or folder.
    bars : str or None
        As for ``compare``; several series by commas.
    zone : str
        Stretch to choose on; never the sealed test zone of a draft.
    gates : str
        none, regime, auditor or all: which stand before every combo.
    confidence : str
        rank or probability.
    threshold, k_up, k_down, hold : str or None
        A value, a list or ``FROM:TO:COUNT``; by default 10 thresholds, 1 to 3 ATRs, and half, once and twice the
        bundle's own holding time.
    costs : mapping of str to float
        Fields of Rules that replace the bundle's.
    threads : int
        0 takes every core.
    """

    bundle: str | Path
    bars: str | None = None
    zone: str = "validation"
    gates: str = "none"
    confidence: str = "rank"
    threshold: str | None = None
    k_up: str | None = None
    k_down: str | None = None
    hold: str | None = None
    costs: Mapping[str, float] = field(default_factory=dict)
    threads: int = 0


def sweep_bundle(
    asked: Question, data: Path, ledger: Path | None, at: str, workers: Workers | None = None
) -> list[Swept]:
    """Score every combo of a grid on a stretch of each market asked for, and judge its best by all that was tried.

    Parameters
    ----------
    asked : Question
        Bundle, bars, zone, gates and grid.
    data : Path
        Folder of the stored series.
    ledger : Path or None
        The trial ledger; None writes nowhere, and then only the sweep itself is counted.
    at : str
        The time, UTC; the caller has the clock.
    workers : Workers, optional
        Processes that share the combos of one market, or the markets, predictions and all.

    Returns
    -------
    list of Swept
        One for each market, in the order asked.

    Raises
    ------
    UsageError
        For names nobody knows, ranges that cannot be read, a sealed zone, or more combos than a ledger should hold.
    """
    names = market_names(asked.bars)
    bundle = load_bundle(asked.bundle, cache_in(data) if workers is None or len(names) == 1 else None)
    for kind, name, known in (("gates", asked.gates, GATES), ("confidence mode", asked.confidence, MODES)):
        if name not in known:
            raise unknown(kind, name, known)
    if is_sealed(bundle, asked.zone):
        raise UsageError(
            f"zone {asked.zone} of {bundle.manifest.name} is sealed: what is chosen on the test zone cannot be judged"
            " on it. Sweep --zone validation or oos, release the bundle, and let the test zone judge the one you chose"
        )
    markets = [find_market(bundle, name, data) for name in names]
    for bars in markets:
        bundle.check_market(bars)
    _once_each([market_key(bars) for bars in markets])
    stretches = [find_stretch(bundle, bars, asked.zone) for bars in markets]
    tasks = list(zip(markets, stretches, strict=True))
    if workers is None or len(names) == 1:
        scored = [score_market(task, (bundle, asked, workers)) for task in tasks]
    else:
        alone = replace(asked, threads=1)
        scored = workers.map(score_market, tasks, (bundle, alone, None), f"sweep of {len(names)} markets")
    return [judged(bundle, asked, task, one, (ledger, at)) for task, one in zip(tasks, scored, strict=True)]


def market_names(bars: str | None) -> list[str | None]:
    """Return the markets an option names, by commas; a file keeps the commas of its name.

    Examples
    --------
    >>> market_names("BTCUSDT-1h,ETHUSDT-1h"), market_names(None)
    (['BTCUSDT-1h', 'ETHUSDT-1h'], [None])
    """
    if bars is None or Path(bars).exists():
        return [bars]
    return [name.strip() for name in bars.split(",")]


def _once_each(markets: list[str]) -> None:
    """Refuse to sweep a market twice in one go: it would stand for two where one rule is asked of several."""
    if twice := next((market for market in markets if markets.count(market) > 1), None):
        raise UsageError(f"--bars names {twice} twice; name each market once")


class Scored(NamedTuple):
    """What one market's sweep found, on its stretch's bars, which do not travel; and the combos kept with returns."""

    found: SweepResult
    kept: Kept
    terms: Mapping[str, Any]


def score_market(task: tuple[Bars, Stretch], shared: tuple[Bundle, Question, Workers | None]) -> Scored:
    """Predict and sweep one market; depends on its arguments alone, so any process may do it."""
    (bars, stretch), (bundle, asked, workers) = task, shared
    rows = stretch.rows
    evidence = (bundle.evidence(bars) if stretch.evidence is None else stretch.evidence)[rows]
    grid = grid_of(asked, bundle, evidence)
    strategy = ThresholdStrategy(bundle, SWEEP, grid.threshold[0], *GATES[asked.gates], asked.confidence)
    wishes, rules = strategy.signals_from(evidence), bundle.rules(**asked.costs)
    threads = asked.threads or os.cpu_count() or 1
    found = sweep(bars[rows], wishes, wishes.atr, rules, grid, threads=threads, workers=workers)
    return Scored(replace(found, bars=bars[:0]), keep(found, wishes, wishes.atr), terms_of(strategy))


def judged(
    bundle: Bundle, asked: Question, task: tuple[Bars, Stretch], scored: Scored, book: tuple[Path | None, str]
) -> Swept:
    """Write a market's sweep to the ledger, and say what its best combo is worth."""
    (bars, stretch), (ledger, at) = task, book
    found, kept = replace(scored.found, bars=bars[stretch.rows]), scored.kept
    told = about(bundle, bars, asked.confidence)
    tried = record(found, kept, (asked.zone, scored.terms, told["bundle"]), ledger, at)
    fitted = float(stretch.in_sample[stretch.rows].mean())
    notes = tuple(notes_of(bundle, found, asked.zone, ledger))
    return Swept(found, select(found, kept, tried), asked.zone, asked.gates, fitted, told, notes)


def grid_of(asked: Question, bundle: Bundle, evidence: Evidence) -> Grid:
    """Return the grid that options ask for.

    Raises
    ------
    UsageError
        Naming the option and what is allowed.
    """
    own = bundle.rules().hold
    holds = sorted({max(1, own // 2), own, 2 * own})
    axes = {
        "threshold": parse_axis("--threshold", asked.threshold) if asked.threshold else levels(asked, evidence),
        "k_up": parse_axis("--k-up", asked.k_up or ATRS),
        "k_down": parse_axis("--k-down", asked.k_down or ATRS),
        "hold": parse_axis("--hold", asked.hold) if asked.hold else holds,
    }
    combos = int(np.prod([len(values) for values in axes.values()], dtype=np.float64))
    if combos > MOST_COMBOS:
        raise UsageError(
            f"this grid has {combos:,} combos and each is a trial to answer for; ask at most {MOST_COMBOS:,}"
        )
    return Grid(**axes)  # type: ignore[arg-type]


def levels(asked: Question, evidence: Evidence) -> tuple[float, ...]:
    """Return thresholds between the middle and the most confident of what is known here."""
    known = evidence.probability[np.isfinite(evidence.probability)]
    if asked.confidence == "rank" or not len(known):
        return THRESHOLDS
    return tuple(np.unique(np.round(np.quantile(known, THRESHOLDS), 4)).tolist())


def record(
    found: SweepResult,
    kept: Kept,
    where: tuple[str, Mapping[str, Any], Mapping[str, Any]],
    ledger: Path | None,
    at: str,
) -> Tried:
    """Write every combo to the trial ledger, and return what else was tried on this market.

    The best combos and as many random ones keep their daily returns; the others are counted.
    """
    bundle = where[2]
    if ledger is None:
        return Tried(others=bundle["trials"])
    book, market = sound_ledger(ledger), market_key(found.bars)
    own, tried = list(trials_of_combos(found, kept, where, at)), book.trials(market)
    append_fresh(book, own, tried)
    columns, others = other_trials(own, tried)
    mine = {trial.config_hash for trial in own}
    swept = {t.config_hash for t in tried if t.kind == SWEEP and not len(t.days)} - mine
    return Tried(columns, others + untold(bundle, tried), min(len(swept), others))


def trials_of_combos(
    found: SweepResult, kept: Kept, where: tuple[str, Mapping[str, Any], Mapping[str, Any]], at: str
) -> Iterator[Trial]:
    """Return one trial for each combo, those with daily returns first; a combo is what `compare` would call it."""
    zone, terms, bundle = where
    column = {place: i for i, place in enumerate(kept.places)}
    market, fills, sharpe = market_key(found.bars), list(found.rules.fills), found.sharpe
    rest = (place for place in map(found.place, range(len(found))) if place not in column)
    gates = "".join(f" +{gate}" for gate in ("regime", "auditor") if terms[gate])
    for place in (*kept.places, *rest):
        combo, figure = found.combo(place), float(sharpe[place])
        barriers = {"k_up": combo.k_up, "k_down": combo.k_down, "hold": combo.hold, "fills": fills}
        days, returns = (kept.days, kept.returns[:, column[place]]) if place in column else NO_DAYS
        yield Trial(
            kind=SWEEP,
            name=f"{combo.threshold:g}{gates} +{combo.k_up:g}/-{combo.k_down:g} ATR {combo.hold} bars",
            config=configuration(bundle, {**terms, "threshold": combo.threshold}, barriers),
            data=market,
            zone=zone,
            status=OK if np.isfinite(figure) else NAN,
            metric=figure if np.isfinite(figure) else None,
            at=at,
            days=days,
            returns=returns,
            costs=costs_of(found.rules, found.bars),
        )


def notes_of(bundle: Bundle, found: SweepResult, zone: str, ledger: Path | None) -> Iterator[str]:
    """Say what else a reader must know before believing a figure."""
    if zone in ("test", "all"):
        yield "Chosen on the test zone: it can no longer judge what is chosen here. Choose on validation or oos."
    if told := funding_told(found.bars, is_perpetual(found.bars) or is_two_sided(bundle)):
        yield f"{told[0].upper()}{told[1:]}."
    own = bundle.rules()
    yield (
        f"The predictor learned +{own.k_up:g}/-{own.k_down:g} ATR within {own.hold} bars: at other barriers its"
        " confidence still ranks, but is no longer the chance to win."
    )
    if ledger is not None:
        yield (
            f"All {len(found):,} combos stand in the trial ledger: every later comparison on this market is deflated"
            " by them."
        )
