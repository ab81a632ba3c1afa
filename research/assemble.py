"""From fitted parts to a bundle: served graph, tables, fences, and the walk-forward's record."""

from __future__ import annotations

import io
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import numpy as np

from engine.bars import Bars, format_time
from engine.errors import ModelMismatch
from engine.features import FEATURES
from models.bundle import AUDITOR, REGIME, Bundle, needed_clear_bars, needed_memory
from models.calibration import ConfidenceTable
from models.evidence import OOS
from models.manifest import FeatureNeed, Fence, Manifest, Market
from models.predictor import Door, open_predictor, predictor_file
from models.regime import RegimeModel
from research.calibrate import Line
from research.checkpoints import ROOT
from research.fit_auditor import AuditEvents, FittedAuditor
from research.study import Study
from research.walk_forward import Audit, Forecast
from research.watching import watch_files, watched_page, watches


class Parts(NamedTuple):
    """Everything fitted that goes into a bundle.

    Parameters
    ----------
    kind : str
        Of the predictor.
    graph : bytes
        As served, scaler and calibration inside.
    line : Line
        Fitted on the validation zone.
    table : ConfidenceTable
        Of the validation zone's predictions, as served.
    regime : RegimeModel
        Fitted on development.
    auditor : FittedAuditor
        Fitted on the walk-forward's trades.
    tau : float
        Least probability the auditor's gate lets pass after the walk-forward, whose rows keep their own.
    events : AuditEvents
        What the auditor learned from.
    """

    kind: str
    graph: bytes
    line: Line
    table: ConfidenceTable
    regime: RegimeModel
    auditor: FittedAuditor
    tau: float
    events: AuditEvents


def served(study: Study, graph: bytes, kind: str, window: int | None = None) -> Door:
    """Return the predictor that serves some bytes, over the bars its kind looks back on unless told otherwise."""
    return open_predictor(kind, graph, window or study.config.reach_of(kind), len(study.names))


def served_table(study: Study, graph: bytes, kind: str = "logistic", window: int | None = None) -> ConfidenceTable:
    """Return the confidence table of the validation zone, asked through the door that serves."""
    rows = study.predictable(study.validation)
    told = served(study, graph, kind, window).probabilities(study.examples.matrix, rows)
    return ConfidenceTable.from_predictions(told)


def bundle_files(study: Study, parts: Parts, forecasts: list[Forecast], audits: list[Audit]) -> dict[str, bytes]:
    """Return the files beside the manifest."""
    return {
        predictor_file(parts.kind): parts.graph,
        REGIME: parts.regime.to_json(),
        AUDITOR: parts.auditor.raw,
        OOS: recorded_rows(study, forecasts, audits),
    } | watch_files(study)


def recorded_rows(study: Study, forecasts: list[Forecast], audits: list[Audit]) -> bytes:
    """Return what the walk-forward said about bars it had not seen, as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def join(columns: list[Any]) -> Any:
        return np.concatenate(columns)

    rows = join([forecast.rows for forecast in forecasts])
    belief = join([forecast.belief for forecast in forecasts])
    columns: dict[str, Any] = {
        "open_time": study.bars.open_time[rows],
        "fold": join([np.full(len(f.rows), f.number, np.int16) for f in forecasts]),
        "p_up": join([f.p_up for f in forecasts]).astype(np.float32),
        "rank": join([f.rank for f in forecasts]).astype(np.float32),
        "lean": join([f.lean for f in forecasts]).astype(np.int8),
    }
    columns |= {f"belief_{i}": belief[:, i].astype(np.float32) for i in range(belief.shape[1])}
    columns |= {
        "audit": join([audit.chance for audit in audits]).astype(np.float32),
        "tau": join([audit.taus for audit in audits]).astype(np.float32),
        "atr": study.atr[rows].astype(np.float32),
    }
    sink = io.BytesIO()
    split = ["p_up", "rank", "audit", "tau", "atr", *(f"belief_{i}" for i in range(belief.shape[1]))]
    table = pa.table(columns)
    pq.write_table(
        table, sink, compression="zstd", compression_level=19, use_dictionary=False, use_byte_stream_split=split
    )
    return sink.getvalue()


def describe(study: Study, parts: Parts, chosen: dict[str, Any], metrics: dict[str, Any]) -> Manifest:
    """Return the manifest of a bundle.

    Parameters
    ----------
    study : Study
        What was trained on.
    parts : Parts
        What was fitted.
    chosen : dict
        Why this predictor, and every candidate's numbers.
    metrics : dict
        Losses with their baselines and their luck.
    """
    bars, config, fingerprint = study.bars, study.config, study.bars.fingerprint()
    needs = (study.names, config.reach, parts.regime, study.auditor_inputs)
    b, t = config.barriers, config.thresholds
    return Manifest(
        name=config.name,
        market=Market(bars.symbol, bars.timeframe, bars.sessions, config.sides, symbols_of(study)),
        features=tuple(FeatureNeed(name, FEATURES[name].lookback, FEATURES[name].memory) for name in study.names),
        window=config.reach_of(parts.kind),
        clear_bars=needed_clear_bars(*needs),
        memory=max(needed_memory(*needs), *(watch.memory for watch in watches(config)), 0),
        barriers={"k_up": b.k_up, "k_down": b.k_down, "hold": b.hold, "atr": "atr_14", "vertical": b.vertical},
        costs={"fee": config.costs.fee, "maker_fee": config.costs.maker_fee, "slippage": config.costs.slippage},
        zones=study.zones,
        fences=fences(study, parts.events, fingerprint),
        predictor={"kind": parts.kind, **chosen},
        calibration=parts.line._asdict(),
        confidence={"levels": parts.table.levels.tolist()},
        thresholds={
            "sniper": t.sniper,
            "audited": t.audited,
            "reckless": t.reckless,
            "max_turbulent": t.max_turbulent,
            "auditor": parts.tau,
        },
        regime={"roles": list(parts.regime.roles)} | watched_page(config),
        auditor={"features": list(study.auditor_inputs), **parts.auditor.notes},
        metrics=metrics,
        trials=len(config.candidates) + config.tried,
        data=span_of(bars)
        | ({"pool": [{"symbol": b.symbol} | span_of(b) for b in study.others]} if study.others else {}),
        seeds=[config.seed],
        code=code_identity(),
        released=False,
    )


def symbols_of(study: Study) -> tuple[str, ...]:
    """Return the markets that taught the predictor, the home market first; nothing where it stood alone."""
    return tuple(bars.symbol for bars in (study.bars, *study.others)) if study.others else ()


def span_of(bars: Bars) -> dict[str, Any]:
    """Return what tells these bars from others."""
    first, last = (format_time(bars.open_time[i]) for i in (0, -1))
    return {"fingerprint": bars.fingerprint(), "bars": len(bars), "first": first, "last": last}


def fences(study: Study, events: AuditEvents, fingerprint: str) -> dict[str, Fence]:
    """Return what each fitted part has seen of the market."""
    time, fold = study.bars.open_time, study.final_fold()
    judged = study.examples.between(study.validation.start, study.validation.stop)
    last = study.validation.stop - 1
    development = Fence(time[study.development.start], time[int(fold.inner[-1])], time[fold.fence], fingerprint)
    horizon = int(study.examples.end[judged].max())
    validation = Fence(time[study.validation.start], time[int(judged[-1])], time[horizon], fingerprint)
    seen = Fence(time[study.validation.start], time[last], time[last], fingerprint)
    regime = Fence(time[0], time[study.development.stop - 1], time[study.development.stop - 1], fingerprint)
    audited = seen
    if len(events.row):
        audited = Fence(time[events.row[0]], time[events.row[-1]], time[int(events.end.max())], fingerprint)
    return {
        "predictor": development,
        "calibration": validation,
        "confidence": seen,
        "regime": regime,
        "auditor": audited,
    }


def check_bundle(study: Study, bundle: Bundle, parts: Parts) -> None:
    """Refuse a bundle whose opened parts do not say what the fitted ones say on the validation zone.

    Raises
    ------
    ModelMismatch
        Naming the part that differs.
    """
    found = bundle.evidence(study.bars.upto(study.stop), study.validation.start)
    rows = study.predictable(study.validation)
    p = served(study, parts.graph, parts.kind).probabilities(study.examples.matrix, rows)
    known = np.flatnonzero(np.isfinite(found.p_up[: study.stop]))
    belief = parts.regime.belief(study.bars.upto(study.stop), study.regime_features[: study.stop])
    for part, same in (
        ("rows", np.array_equal(known, rows)),
        ("probability", np.array_equal(found.p_up[rows], p)),
        ("belief", np.array_equal(found.belief[rows], belief[rows])),
    ):
        if not same:
            raise ModelMismatch(f"the opened bundle's {part} differ from the fitted one's; nothing was shipped")


def code_identity() -> dict[str, str]:
    """Return version and commit of the code, ``unknown`` where it was installed without its history."""
    try:
        number = version("tradsys")
    except PackageNotFoundError:
        number = "0.1.0"
    asked = ["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        told = "unknown"
    return {"version": number, "commit": told}
