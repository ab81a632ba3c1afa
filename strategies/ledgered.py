"""Every comparison is a trial: written to the ledger before it is judged, and judged by all that is in it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from engine.card.judge import History, Judged, judge
from engine.compare import CONTROL, PROFILE, Comparison
from engine.errors import DataError
from engine.score import daily_returns
from engine.trials import NAN, OK, Trial, TrialLedger
from models.bundle import Bundle
from strategies.workbench import is_sealed

TRAIN = "train"


def judge_ledgered(
    comparison: Comparison, ledger: Path | None, at: str, kind: str = "compare", kinds: tuple[str, ...] = (PROFILE,)
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
    """
    bundle = comparison.about["bundle"]
    if ledger is None:
        return judge(comparison, History(others=bundle["trials"]), tuple(bundle["regimes"]), kinds)
    book = sound_ledger(ledger)
    fingerprint = comparison.about["data"]["fingerprint"]
    trials = trials_of(comparison, kind, at)
    tried = book.trials(fingerprint)
    known = {(t.config_hash, t.zone) for t in tried}
    fresh = [trial for trial in trials if (trial.config_hash, trial.zone) not in known]
    if fresh:
        book.append(*fresh)
    days, returns, _ = book.returns_matrix(fingerprint, trials[0].zone)
    own = trials[0].days
    same = returns if len(days) == len(own) and (days == own).all() else np.empty((0, 0))
    told = 0 if any(t.kind == TRAIN and t.name.startswith(bundle["name"]) for t in tried) else bundle["trials"]
    others = told + max(0, book.count(fingerprint) - (same.shape[1] or len(trials)))
    history = History(returns=same, others=others, looks=book.looks(bundle["predictor_hash"]))
    return judge(comparison, history, tuple(bundle["regimes"]), kinds)


def record_training(ledger: Path, bundle: Bundle, at: str) -> None:
    """Write the candidates of a training to the trial ledger, by the loss each was judged by."""
    manifest = bundle.manifest
    trials = [
        Trial(
            kind=TRAIN,
            name=f"{manifest.name} {candidate['kind']}",
            config={
                "bundle": manifest.name,
                "candidate": candidate["kind"],
                "seeds": manifest.seeds,
                "code": manifest.code,
            },
            data=manifest.data["fingerprint"],
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
        sound_ledger(ledger).look(bundle.predictor_hash, reason, at)


def sound_ledger(path: Path) -> TrialLedger:
    """Return a trial ledger whose every row is as it was written.

    Raises
    ------
    DataError
        If a row was changed or removed: nothing can be deflated by a count that was tampered with.
    """
    book = TrialLedger(path)
    fault = book.broken()
    if fault is not None:
        raise DataError(
            f"the trial ledger {path} was tampered with: {fault}; restore it from a backup, or move it away and start"
            " a new one: the trials it counted are then unknown"
        )
    return book


def trials_of(comparison: Comparison, kind: str, at: str) -> list[Trial]:
    """Return one trial for each strategy of a comparison; controls are no trials."""
    about = comparison.about
    rules = {**asdict(comparison.rules), "fills": list(comparison.rules.fills)}
    span = f"{comparison.bars.open_time[0]}..{comparison.bars.open_time[-1]}"
    found = []
    for row in (r for r in comparison.rows if r.kind != CONTROL):
        days, returns = daily_returns(row.result)
        figure = row.score.sharpe
        found.append(
            Trial(
                kind=kind,
                name=row.name,
                config={"bundle": about["bundle"]["hash"], "terms": dict(row.terms), "rules": rules},
                data=about["data"]["fingerprint"],
                zone=f"{comparison.zone} {span}",
                status=OK if figure is not None else NAN,
                metric=figure,
                days=days.astype("datetime64[D]").astype(np.int64),
                returns=returns,
                at=at,
            )
        )
    return found
