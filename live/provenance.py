"""Where everything was learned: a bundle's fences, its folds, and whether its tables are those of the bars it names."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from engine.bars import Bars, Floats, Times, format_time
from engine.features import clear_run, feature_lookback, feature_matrix
from live.check import Check
from models.bundle import Bundle
from models.calibration import ConfidenceTable
from models.evidence import OOS, read_columns
from models.folder import read_file
from models.manifest import Manifest, parse_time

CLOSE = 2e-5  # probabilities have 6 decimals, and machines differ in the last one


def fence_order(bundle: Bundle, bars: Bars) -> Check:
    """Demand that every part was fitted before the test zone, on one set of bars, and that what it saw is marked."""
    name, page, tried = "every fence lies before the test zone", bundle.manifest, 0
    spans = [getattr(page.zones, zone) for zone in ("development", "validation", "test")]
    for (_, end), (start, _) in pairwise(spans):
        tried += 1
        if start <= end:
            return Check(name, tried, f"a zone begins at {format_time(start)}, before the last ended")
    if page.zones.embargo_bars < page.window + page.barriers["hold"]:
        told = f"embargo of {page.zones.embargo_bars} bars is shorter than a window and the longest trade"
        return Check(name, tried, told)
    marked = bundle.in_sample(bars)
    for part, fence in page.fences.items():
        tried += 1
        last = max(fence.train_end, fence.label_horizon_end)
        if fence.train_start > last or last >= page.zones.test[0]:
            told = f"{part} has seen bars to {format_time(last)}"
            return Check(name, tried, f"{told}; the test zone begins at {format_time(page.zones.test[0])}")
        if not marked[bars.open_time <= fence.label_horizon_end].all():
            return Check(name, tried, f"bars that {part} has seen are not marked as in-sample")
        if fence.data != page.data["fingerprint"]:
            return Check(name, tried, f"{part} was fitted on other bars than the manifest names")
    return Check(name, tried, measured=f"in-sample to {format_time(page.fence)}")


def fold_order(bundle: Bundle) -> Check:
    """Demand that every recorded row comes from a model fitted before it, and the auditor's trades from such rows."""
    name, page = "recorded rows come from models fitted before them", bundle.manifest
    if OOS not in page.files or not page.metrics.get("folds"):
        return Check(name, 0, measured="no walk-forward was recorded")
    told = read_columns(read_file(bundle.folder, page, OOS), ("fold", "audit"), page.name)
    time, fold = told["open_time"].view("datetime64[ns]"), told["fold"]
    numbers = np.unique(fold)
    if len(numbers) != len(page.metrics["folds"]) or (np.diff(time) <= np.timedelta64(0)).any():
        return Check(
            name, 1, f"{OOS} has {len(numbers)} folds, the manifest {len(page.metrics['folds'])}, in time order"
        )
    for number, noted in zip(numbers, page.metrics["folds"], strict=True):
        rows, fence = time[fold == number], parse_time(noted["fence"])
        span = [parse_time(end) for end in noted["rows"]]
        if rows[0] <= fence:
            broken = f"fold {number:g} predicts {format_time(rows[0])}, its model had seen {format_time(fence)}"
            return Check(name, int(number) + 1, broken)
        if [rows[0], rows[-1]] != span:
            return Check(name, int(number) + 1, f"fold {number:g} holds other rows than the manifest says")
    broken = _late_rows(page, time) or _early_audits(page, time, fold, told["audit"])
    return Check(name, len(time), broken, f"{len(numbers)} folds from {format_time(time[0])}")


def _late_rows(page: Manifest, time: Times) -> str:
    if time[-1] >= page.zones.test[0]:
        return (
            f"{OOS} holds rows of the sealed test zone, the first at {format_time(time[time >= page.zones.test[0]][0])}"
        )
    return ""


def _early_audits(page: Manifest, time: Times, fold: Floats, audit: Floats) -> str:
    """Return where an auditor learned from, or judged, what no earlier fold had foreseen."""
    fence = page.fences["auditor"]
    if fence.train_start < time[0]:
        told = f"the auditor learned from trades since {format_time(fence.train_start)}"
        return f"{told}; the walk-forward foresaw none before {format_time(time[0])}: they were in-sample"
    if np.isfinite(audit[fold == fold[0]]).any():
        return "rows of the first fold are audited, though no trade had been foreseen before them"
    return ""


def fitted_where_claimed(bundle: Bundle, bars: Bars) -> Check:
    """Compute again what can be: the regime's scaler on the bars of its fence, and the confidence table on validation.

    A scaler or table of other bars, such as all of them, differs.
    """
    name, page = "scaler and ranks are those of the bars they name", bundle.manifest
    trained = bars[bars.since(parse_time(page.data["first"])) : _after(bars, parse_time(page.data["last"]))]
    if trained.fingerprint() != page.data["fingerprint"]:
        return Check(name, 0, measured="these are not the bars it was trained on")
    broken = _scaler(bundle, trained) or _table(bundle, trained)
    return Check(name, 2, broken)


def _scaler(bundle: Bundle, bars: Bars) -> str:
    model, fence = bundle.regime_model, bundle.manifest.fences["regime"]
    seen = feature_matrix(bars, model.features)
    seen[clear_run(bars) < feature_lookback(model.features)] = np.nan
    rows = seen[bars.since(fence.train_start) : _after(bars, fence.train_end)]
    rows = rows[np.isfinite(rows).all(axis=1)]
    for told, found, what in ((model.mean, rows.mean(axis=0), "mean"), (model.std, rows.std(axis=0), "deviation")):
        if not np.allclose(told, found, rtol=1e-6, atol=1e-6 * model.std):
            which = model.features[int(np.argmax(np.abs(told - found) / model.std))]
            span = f"{format_time(fence.train_start)} .. {format_time(fence.train_end)}"
            return f"the regime's {what} of {which} is not that of its training bars {span}"
    return ""


def _table(bundle: Bundle, bars: Bars) -> str:
    zone = bundle.manifest.zones.rows(bars, "validation")
    p_up = bundle.evidence(bars.upto(zone.stop), zone.start).p_up
    off = np.abs(ConfidenceTable.from_predictions(p_up).levels - bundle.confidence.levels).max()
    return f"the confidence table is not that of the validation zone, by {off:.2g}" if off > CLOSE else ""


def _after(bars: Bars, time: Any) -> int:
    return bars.since(time + np.timedelta64(1, "ns"))
