"""Every comparison is a trial: written to the ledger before it is judged, and judged by all that is in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engine.bars import Bars, Floats
from engine.card.judge import History, Judged, judge
from engine.compare import CONTROL, PROFILE, Comparison
from engine.errors import DataError
from engine.funding import funding_mark
from engine.report.paths import writable
from engine.rules import Rules
from engine.score import daily_returns
from engine.trials import NAN, OK, Trial, TrialLedger, market_key
from engine.workers import Workers
from models.bundle import Bundle
from strategies.workbench import SEALED_FROM, is_sealed, seal_key

TRAIN = "train"


def judge_ledgered(
    comparison: Comparison,
    ledger: Path | None,
    at: str,
    kind: str = "compare",
    kinds: tuple[str, ...] = (PROFILE,),
    workers: Workers | None = None,
) -> Judged:
    """Write a comparison's strategies to the trial ledger and judge them by everything ever tried on these bars.

    Parameters
    ----------
    comparison : Comparison
        From ``strategies.workbench.compare_bundle``.
    ledger : Path or None
        The ledger's file; None judges without one, and then only this comparison's own rows count.
    at : str
        The time, UTC; the caller has the clock.
    kind : str
        Who tried it.
    kinds : tuple of str
        Kinds of rows that get a card.
    workers : Workers, optional
        Processes that share the random entries.
    """
    bundle = comparison.about["bundle"]
    if ledger is None:
        return judge(comparison, History(others=bundle["trials"]), tuple(bundle["regimes"]), kinds, workers)
    book, market = sound_ledger(ledger), market_key(comparison.bars)
    own, tried, begins = trials_of(comparison, kind, at), book.trials(market), len(book) == 0
    append_fresh(book, own, tried)
    columns, others = other_trials(own, tried)
    history = History(columns, others + untold(bundle, tried), looks_at(book, bundle["seal"]), begins)
    return judge(comparison, history, tuple(bundle["regimes"]), kinds, workers)


def append_fresh(book: TrialLedger, own: Iterable[Trial], tried: Iterable[Trial]) -> None:
    """Write the trials that the ledger does not hold yet: no configuration twice on the same zone at the same costs."""
    known = {(t.config_hash, t.zone, t.costs) for t in tried}
    fresh = [trial for trial in own if (trial.config_hash, trial.zone, trial.costs) not in known]
    if fresh:
        book.append(*fresh)


def costs_of(rules: Rules, bars: Bars) -> str:
    """Return the terms that move daily returns without making another configuration, as the ledger keeps them.

    Funding is named by the hash of what was charged on these bars: with it and without it, or with more of it known,
    the same trades earn something else.
    """
    paid = funding_mark(bars)
    told = f"fee {rules.fee!r} maker {rules.maker_fee!r} slippage {rules.slippage!r} exposure {rules.exposure!r}"
    return f"{told} funding {paid}" if paid else told


def other_trials(own: list[Trial], tried: list[Trial]) -> tuple[Floats, int]:
    """Return the daily returns of every other configuration on the days judged, and how many left none there.

    A configuration counts once, however often and on however many zones it was scored. Returns at other costs, or at
    costs nobody wrote down, are none here: a rule that beats cash for free says nothing at a price.
    """
    days, mine = own[0].days, {t.config_hash for t in own}
    here: dict[str, Floats] = {}
    asked = (own[0].zone, own[0].costs)
    for trial in (t for t in tried if (t.zone, t.costs) == asked and t.config_hash not in mine and len(t.days)):
        if np.isin(days, trial.days).all():
            here[trial.config_hash] = trial.returns[np.searchsorted(trial.days, days)]
    others = {t.config_hash for t in tried} - mine - set(here)
    return np.stack(list(here.values()), axis=1) if here else np.empty((len(days), 0)), len(others)


def untold(bundle: Mapping[str, Any], tried: Iterable[Trial]) -> int:
    """Return how many of the configurations a bundle says were scored in its training the ledger does not hold.

    Those of another training under the same name are no part of this one's, and a repeated training is none more.
    """
    own = (bundle["name"], bundle["predictor_hash"])
    told = {
        t.config_hash for t in tried if t.kind == TRAIN and (t.config.get("bundle"), t.config.get("predictor")) == own
    }
    return max(0, int(bundle["trials"]) - len(told))


def configuration(
    bundle: Mapping[str, Any], terms: Mapping[str, Any], barriers: Mapping[str, Any]
) -> dict[str, Mapping[str, Any]]:
    """Return what makes a strategy of a bundle a configuration: predictor, terms, barriers, and the gates that stand.

    A gate is named by what it learned and where it says no, so that training it again is another try.

    Parameters
    ----------
    bundle : mapping
        As a comparison's record describes it.
    terms : mapping
        Threshold, confidence mode and which gates stand.
    barriers : mapping
        Targets, stops, holding time and fills.
    """
    gates = {gate: made for gate, made in bundle["gates"].items() if terms.get(gate)}
    found = {"predictor": bundle["predictor_hash"], "terms": dict(terms), "barriers": barriers}
    return found | ({"gates": gates} if gates else {})


def record_training(ledger: Path, bundle: Bundle, at: str) -> None:
    """Write the candidates of a training to the trial ledger, by the loss each was judged by."""
    manifest = bundle.manifest
    trials = [
        Trial(
            kind=TRAIN,
            name=f"{manifest.name} {candidate['kind']}",
            config={
                "bundle": manifest.name,
                "predictor": bundle.predictor_hash,
                "candidate": candidate["kind"],
                "window": manifest.window,
                "features": manifest.feature_names,
                "barriers": manifest.barriers,
            },
            data=f"{manifest.market.symbol} {manifest.market.timeframe}",
            zone="validation",
            metric=candidate["loss"],
            seed=manifest.seeds[0],
            at=at,
        )
        for candidate in manifest.predictor["candidates"]
    ]
    sound_ledger(ledger).append(*trials)


def record_look(ledger: Path, bundle: Bundle, zone: str, reason: str | None, at: str) -> None:
    """Count a look at the sealed zone of a draft; looks at anything else are free."""
    if reason and is_sealed(bundle, zone):
        sound_ledger(ledger).look(seal_key(bundle), reason, at)


def looks_at(book: TrialLedger, seal: str) -> int:
    """Return how often anybody looked at bars of a sealed zone, whichever draft unsealed them.

    Another window, holding time or history moves a test zone's first bar; a look at one of a market's test zones after
    another of them began has shown that one's bars too.
    """
    market, until, first = seal.partition(SEALED_FROM)
    return book.looks_since(market + until, first)


def sound_ledger(path: Path) -> TrialLedger:
    """Return a trial ledger whose every row is as it was written.

    Raises
    ------
    UsageError
        If it cannot be a file that is written.
    DataError
        If a row was changed or removed: nothing can be deflated by a count that was tampered with.
    """
    book = TrialLedger(writable(path))
    fault = book.broken()
    if fault is not None:
        raise DataError(
            f"the trial ledger {path} was tampered with: {fault}; restore it from a backup, or move it away and start"
            " a new one: the trials it counted are then unknown"
        )
    return book


def trials_of(comparison: Comparison, kind: str, at: str) -> list[Trial]:
    """Return one trial for each strategy of a comparison; controls are no trials.

    What makes a configuration is what somebody chose to look better: models, threshold, gates, barriers. Costs,
    exposure and cash are the world's; the same wishes at other costs are a stress test, not another trial.
    """
    about, rules = comparison.about, comparison.rules
    barriers = {"k_up": rules.k_up, "k_down": rules.k_down, "hold": rules.hold, "fills": list(rules.fills)}
    found = []
    for row in (r for r in comparison.rows if r.kind != CONTROL):
        days, returns = daily_returns(row.result)
        figure = row.score.sharpe
        found.append(
            Trial(
                kind=kind,
                name=row.name,
                config=configuration(about["bundle"], row.terms, barriers),
                data=market_key(comparison.bars),
                zone=comparison.zone,
                status=OK if figure is not None else NAN,
                metric=figure,
                days=days.astype("datetime64[D]").astype(np.int64),
                returns=returns,
                at=at,
                costs=costs_of(rules, comparison.bars),
            )
        )
    return found
