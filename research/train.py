"""The training road: from bars and a configuration to a bundle and the report of how good it is."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.bars import Bars
from engine.errors import UsageError
from engine.workers import Workers
from models.bundle import BASELINE, load_bundle
from models.folder import write_bundle
from models.manifest import MANIFEST
from research.assemble import Parts, bundle_files, check_bundle, describe, served_table
from research.calibrate import fit_line
from research.checkpoints import Checkpoints, run_key
from research.config import TrainConfig
from research.export_onnx import check_parity, to_onnx, to_served
from research.finals import (
    Final,
    candidates_table,
    choose_final,
    fit_finals,
    judged_by_market,
    judged_rows,
    seed_spread,
    seeds_of,
)
from research.fit_auditor import AuditEvents, break_even, fit_auditor
from research.fit_regime import fit_regime
from research.measures import score_forecast
from research.progress import WORK, Progress, Steps
from research.study import Study, make_study
from research.training_report import write_report
from research.walk_forward import Audit, Forecast, audit_forecasts, fit_fold, pack, run_fold, unpack
from research.weights import uniqueness

OTHER_NETWORKS = ("streaming", "resnet", "supcon")  # whose losses from several seeds stand beside the Transformer's


def train(  # noqa: PLR0913 - workers change how fast, not what
    config: TrainConfig,
    bars: Bars | Sequence[Bars],
    out_dir: Path,
    resume: bool = False,
    run_dir: Path = Path("runs"),
    progress: Progress | None = None,
    workers: Workers | None = None,
) -> Path:
    """Train a bundle: the winner on validation, its regimes, its auditor, and its walk-forward record.

    The test zone takes part in no fit, no choice and no number of the report.

    Parameters
    ----------
    config : TrainConfig
        What to train; its name names the bundle.
    bars : Bars or sequence of Bars
        The whole history at hand. Of several markets, all teach, calibrate and choose the predictor; the first one is
        the home market, whose zones, ranks, regimes, auditor and walk-forward are the bundle's.
    out_dir : Path
        Folder of the bundle; replaced in one move when everything has passed.
    resume : bool
        Go on from the finished parts of an earlier run with the same configuration, bars and code.
    run_dir : Path
        Where finished parts and the report are kept.
    progress : callable or None
        Told a text, the work done and the work in all.
    workers : Workers, optional
        Processes that share the folds of the walk-forward.

    Returns
    -------
    Path
        ``out_dir``. The report lies in ``run_dir`` as ``report.md`` and ``report.json``.

    Raises
    ------
    UsageError
        If the folder holds something that is no bundle.
    DataError
        If the bars are too few or a network cannot learn from them.
    ModelMismatch
        If the exported graph differs from the trained one; nothing is written then.
    """
    if out_dir.exists() and any(out_dir.iterdir()) and not (out_dir / MANIFEST).exists():
        raise UsageError(f"{out_dir} holds files but no {MANIFEST}; name a new folder for the bundle")
    markets = [bars] if isinstance(bars, Bars) else list(bars)
    study = make_study(config, markets[0], markets[1:])
    parts = Checkpoints(run_dir, run_key(config, *markets), resume)
    steps = Steps(progress)
    fits = sum(WORK[kind] * seeds_of(config, kind) for kind in config.candidates)
    steps.plan(fits + config.folds.count * max(WORK[kind] for kind in config.candidates) + 0.5)
    finals = fit_finals(study, parts, steps)
    choice = choose_final(study, finals)
    spread, *others = (seed_spread(study, finals, parts, steps, kind) for kind in ("transformer", *OTHER_NETWORKS))
    steps.plan(config.folds.count * (WORK[choice.kind] + 0.15) + 0.5)
    forecasts, fold_notes = walk(study, choice.kind, parts, steps, workers)
    steps.begin("auditor and regimes", 0.5)
    audits, events, audit_notes = audit_forecasts(study, forecasts)
    fitted, regime_notes, parity = fit_served(study, finals[choice.kind], events)
    baseline = fit_baseline(study, finals.get("logistic"), config.reach_of(choice.kind))
    chosen = {"chosen_by": choice.reason, "forced": bool(config.force)}
    chosen |= {"candidates": candidates_table(finals, choice), "seed_losses": spread}
    metrics = measure(study, forecasts, audits, fitted)
    metrics |= {"parity": parity, "regime": regime_notes}
    chosen |= {f"{kind}_seed_losses": losses for kind, losses in zip(OTHER_NETWORKS, others, strict=True) if losses}
    if baseline is not None:
        chosen |= {
            "baseline_levels": served_table(study, baseline, window=config.reach_of(choice.kind)).levels.tolist()
        }
    if study.others:
        metrics["markets"] = judged_by_market(study, finals[choice.kind])
    page = describe(study, fitted, chosen, metrics)
    files = bundle_files(study, fitted, forecasts, audits) | ({} if baseline is None else {BASELINE: baseline})
    ship(study, fitted, page, files, out_dir)
    write_report(run_dir, page, {"folds": fold_notes, "auditors": audit_notes, "resumed": parts.resumed})
    steps.end()
    return out_dir


def walk(
    study: Study, kind: str, parts: Checkpoints, steps: Steps, workers: Workers | None = None
) -> tuple[list[Forecast], list[dict[str, Any]]]:
    """Return the forecasts of every fold, from the finished parts where there are any; workers share the others."""
    folds, weight = study.folds(), WORK[kind] + 0.15
    names = [f"fold-{kind}-{fold.number}" for fold in folds]
    found = {place: part for place, name in enumerate(names) if (part := parts.load(name)) is not None}
    left = [place for place in range(len(folds)) if place not in found]
    steps.begin(f"{len(folds) - len(left)} of {len(folds)} folds are kept: {kind}", weight * (len(folds) - len(left)))
    steps.end()

    def keep(place: int, forecast: Forecast, note: dict[str, Any]) -> None:
        found[place] = pack(forecast), note
        parts.save(names[place], *found[place])
        steps.end()

    for place in left if workers is None else ():
        steps.begin(f"fold {place + 1} of {len(folds)}: {kind}", weight)
        keep(place, *run_fold(study, folds[place], kind, steps.tick))
    if workers is not None and left:
        steps.begin(f"{len(left)} folds by {workers.count} workers: {kind}", weight)
        for which, answer in workers.each(fit_fold, [folds[place] for place in left], (study, kind)):
            keep(left[which], *answer)
    some = [found[place] for place in range(len(folds)) if len(found[place][0]["rows"])]  # an outage may leave none
    return [unpack(arrays) for arrays, _ in some], [note for _, note in some]


def fit_served(study: Study, final: Final, events: AuditEvents) -> tuple[Parts, dict[str, Any], float]:
    """Return what ships: the model calibrated on validation, its graph, its regimes and its auditor."""
    examples, config = study.examples, study.config
    rows = judged_rows(study)
    weights = study.uniqueness(rows)
    line = fit_line(final.model.logits(examples, rows), examples.y[rows], weights, config.calibration.method)
    graph = to_served(final.model, line, config.window, len(study.names))
    parity = check_parity(graph, final.model, examples, study.predictable(study.validation))
    regime, regime_notes = fit_regime(study.bars, study.regime_features, study.development.stop, config)
    auditor = fit_auditor(events, study.auditor_inputs, config)
    table = served_table(study, graph, final.model.kind)
    parts = Parts(final.model.kind, graph, line, table, regime, auditor, break_even(events), events)
    return parts, regime_notes, parity


def fit_baseline(study: Study, final: Final | None, window: int) -> bytes | None:
    """Return the graph of the last-bar logistic, the control that every comparison shows, if it was a candidate."""
    if final is None:
        return None
    rows, config = judged_rows(study), study.config
    weights = study.uniqueness(rows)
    line = fit_line(
        final.model.logits(study.examples, rows), study.examples.y[rows], weights, config.calibration.method
    )
    return to_onnx(final.model, line, window, len(study.names))


def measure(study: Study, forecasts: list[Forecast], audits: list[Audit], fitted: Parts) -> dict[str, Any]:
    """Return the walk-forward's losses by fold and by zone, and the auditor's on the trades it judged."""
    folds = [_score(study, [forecast], slice(0, study.stop)) for forecast in forecasts]
    spans = [[study.bars.open_time[f.rows[0]], study.bars.open_time[f.rows[-1]]] for f in forecasts]
    metrics: dict[str, Any] = {
        "folds": [
            {"rows": span, "fence": study.bars.open_time[f.fence]} | (score or {})
            for span, f, score in zip(spans, forecasts, folds, strict=True)
        ],
        "development_oof": _score(study, forecasts, study.development),
        "validation_oof": _score(study, forecasts, study.validation),
    }
    heard = [f.rows[np.isfinite(audit.chance)] for f, audit in zip(forecasts, audits, strict=True)]
    audited = [int(rows[0]) for rows in heard if len(rows)]
    metrics["oos_audited_from"] = study.bars.open_time[audited[0]] if audited else None
    metrics["auditor"] = auditor_measures(study, forecasts, audits, fitted)
    return metrics


def _score(study: Study, forecasts: list[Forecast], zone: slice) -> dict[str, Any] | None:
    rows = np.concatenate([forecast.rows for forecast in forecasts])
    p = np.concatenate([forecast.p_up for forecast in forecasts])
    keep = study.judged(rows) & (rows >= zone.start) & (rows < zone.stop)
    if keep.sum() < 2:
        return None
    n_eff = float(study.examples.uniqueness(rows[keep]).sum())
    return score_forecast(study.examples.y[rows[keep]], p[keep], n_eff, study.block, study.config.seed)._asdict()


def auditor_measures(study: Study, forecasts: list[Forecast], audits: list[Audit], fitted: Parts) -> dict[str, Any]:
    """Return how well the folds' auditors judged later trades, and what each fold's own gate would have let pass."""
    events, tau = fitted.events, fitted.tau
    told, least = np.full(len(study.bars), np.nan), np.full(len(study.bars), np.nan)
    for forecast, audit in zip(forecasts, audits, strict=True):
        told[forecast.rows], least[forecast.rows] = audit.chance, audit.tau
    q = told[events.row]
    judged = events.some(np.isfinite(q))
    out: dict[str, Any] = {
        "tau": tau,
        "tau_rule": "break-even of the walk-forward's trades after costs",
        "fold_taus": [None if np.isnan(audit.tau) else audit.tau for audit in audits],
        **fitted.auditor.notes,
    }
    out |= {"mean_net": float(events.net.mean()) if len(events.net) else None, "judged": len(judged.row)}
    if len(judged.row) < 2:
        return out | {"taken": None}
    q, z = q[np.isfinite(q)], (judged.net > 0.0).astype(np.float64)
    n_eff = float(uniqueness(judged.row + 1, judged.end).sum())
    passed = q >= least[judged.row]
    out |= {"taken": score_forecast(z, np.clip(q, 1e-6, 1 - 1e-6), n_eff, study.block, study.config.seed)._asdict()}
    out |= {"claimed": float(q.mean()), "realised": float(z.mean()), "share_passed": float(passed.mean())}
    out["mean_net_passed"] = float(judged.net[passed].mean()) if passed.any() else None
    out["mean_net_judged"] = float(judged.net.mean())
    return out


def ship(study: Study, fitted: Parts, page: Any, files: dict[str, bytes], out_dir: Path) -> None:
    """Write the bundle aside, open it, compare it with what was fitted, and only then put it in place."""
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}.", dir=out_dir.parent))
    try:
        check_bundle(study, load_bundle(write_bundle(aside / "draft", page, files)), fitted)
        write_bundle(out_dir, page, files)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
