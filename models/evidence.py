"""What a bundle's parts say about bars: computed now, or recorded by the walk-forward when nobody knew the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.bars import Bars, Floats, format_time
from engine.errors import DataError, ModelMismatch
from engine.features import clear_run, feature_lookback, feature_matrix
from engine.indicators import atr
from engine.signals import Evidence
from models.auditor import audit_inputs, feature_inputs
from models.cache import control_of
from models.calibration import at_the_door, lean_of
from models.manifest import parse_time
from models.watch import VOLATILITY, watched, watches_of

if TYPE_CHECKING:
    from models.bundle import Bundle
    from models.predictor import Predictor

Floats32 = NDArray[np.float32]
Runs = NDArray[np.int64]
OOS = "oos.parquet"


class AuditReason(NamedTuple):
    """One input of the auditor's, its value at a bar, and what it adds to the log-odds of a profit there."""

    name: str
    value: float
    added: float


def compute_evidence(bundle: Bundle, bars: Bars, since: int = 0) -> Evidence:
    """Ask every part of a bundle about bars; rows before ``since`` are not predicted.

    A row is predicted where the last ``clear_bars`` bars have no gap, every feature of its window
    is known and the market has moved at all. What is not known is NaN.
    """
    names = bundle.feature_names
    matrix = feature_matrix(bars, names)
    unit, run = atr(bars), clear_run(bars)
    window = np.ascontiguousarray(matrix[:, : len(bundle.manifest.features)], np.float32)  # the first names are its own
    rows = ready_rows(bundle, window, unit, run, since)

    seen = matrix[:, [names.index(name) for name in bundle.regime_model.features]]
    seen[run < feature_lookback(bundle.regime_model.features)] = np.nan  # computed across a gap: not what it says
    belief = bundle.regime_model.belief(bars, seen)
    p_up = np.full(len(bars), np.nan)
    p_up[rows] = bundle.predictor.probabilities(window, rows)
    if bundle.cache is not None:
        bundle.cache.note(bundle.predictor_hash, bundle.manifest.name)
    lean = lean_of(p_up, bundle.manifest.market.sides)
    rank = bundle.confidence.rank_of_lean(p_up, lean)

    asked = [names.index(name) for name in feature_inputs(bundle.auditor.names)]
    opinions = {"p_up": p_up[rows], "rank": rank[rows], "lean": lean[rows]}
    inputs = audit_inputs(bundle.auditor.names, opinions, belief[rows], matrix[rows][:, asked])
    complete = np.isfinite(inputs).all(axis=1)
    audit = np.full(len(bars), np.nan)
    audit[rows[complete]] = bundle.auditor.probability(inputs[complete])
    watch = watched(bundle.manifest, bundle.folder, bars, since)
    return Evidence(p_up=p_up, lean=lean, rank=rank, belief=belief, audit=audit, atr=unit, watch=watch)


def audit_reasons(bundle: Bundle, bars: Bars) -> list[AuditReason]:
    """Return why the auditor says what it says at the last of some bars; nothing where it says nothing.

    The strongest reason comes first. What each adds is in log-odds; besides them stands the same base for every trade.
    """
    found = bundle.evidence(bars, len(bars) - 1)[-1:]
    if not np.isfinite(found.audit).all():
        return []
    features = feature_matrix(bars, feature_inputs(bundle.auditor.names))[-1:]
    opinions: dict[str, NDArray[Any]] = {"p_up": found.p_up, "rank": found.rank, "lean": found.lean}
    rows = audit_inputs(bundle.auditor.names, opinions, found.belief, features)
    added = bundle.auditor.contributions(rows)[0, :-1]
    reasons = [
        AuditReason(name, float(value), float(part))
        for name, value, part in zip(bundle.auditor.names, rows[0], added, strict=True)
    ]
    return sorted(reasons, key=lambda reason: -abs(reason.added))


def ready_rows(bundle: Bundle, window: Floats32, unit: Floats, run: Runs, since: int = 0) -> Runs:
    """Return the rows that can be predicted: no gap, every feature of the window known, a market that moved."""
    known = np.asarray(np.isfinite(window).all(axis=1))
    ready = (streak(known) >= bundle.manifest.window) & (run >= bundle.clear_bars) & (unit > 0.0)
    ready[: max(since, 0)] = False
    return np.flatnonzero(ready)


def predict_rows(bundle: Bundle, predictor: Predictor, bars: Bars) -> Floats:
    """Return what the control over the bundle's own window says at each close; NaN where it cannot."""
    window = feature_matrix(bars, bundle.manifest.feature_names).astype(np.float32)
    rows = ready_rows(bundle, window, atr(bars), clear_run(bars))
    p_up = np.full(len(bars), np.nan)
    p_up[rows] = predictor.probabilities(window, rows)
    if bundle.cache is not None:
        bundle.cache.note(predictor.sha256, control_of(bundle.manifest.name))
    return p_up


def read_stored(bundle: Bundle, raw: bytes, bars: Bars) -> Evidence:
    """Return the walk-forward's out-of-sample evidence laid beside bars, NaN where there is none."""
    _check_data(bundle, bars)
    beliefs = (f"belief_{i}" for i in range(len(bundle.regime_model.roles)))
    table = read_columns(raw, ("p_up", "rank", "lean", *beliefs, "audit", "tau", "atr"), bundle.manifest.name)
    time = table.pop("open_time").view("datetime64[ns]")
    rows = np.searchsorted(bars.open_time, time)
    if not np.array_equal(bars.open_time[np.minimum(rows, len(bars) - 1)], time):
        raise ModelMismatch(f"bundle {bundle.manifest.name}: {OOS} records bars its own data does not have; retrain")
    laid = {name: np.full(len(bars), np.nan) for name in table}
    for name, column in table.items():
        laid[name][rows] = column
    exact = ("p_up", "rank", "audit", "tau")
    p_up, rank, audit, tau = (at_the_door(laid[name]) for name in exact)  # exact again from float32
    lean = np.where(np.isnan(laid["lean"]), 1.0, laid["lean"]).astype(np.int8)
    belief = np.stack([laid[f"belief_{i}"] for i in range(len(bundle.regime_model.roles))], axis=1)
    unit = np.where(np.isnan(laid["atr"]), np.nan, atr(bars))
    if not np.allclose(unit, laid["atr"], rtol=1e-5, atol=0.0, equal_nan=True):
        raise ModelMismatch(
            f"bundle {bundle.manifest.name}: {OOS} recorded another ATR than this code computes; retrain"
        )
    return Evidence(p_up, lean, rank, belief, audit, unit, tau, _unseen(bundle, bars))


def _unseen(bundle: Bundle, bars: Bars) -> Floats | None:
    """Return what the watches say; nothing where a fitted one had seen the bars."""
    watch = watched(bundle.manifest, bundle.folder, bars)
    for i, one in enumerate(watches_of(bundle.manifest)):
        if watch is not None and one.gate == VOLATILITY:
            watch[bars.open_time <= bundle.manifest.fences["regime"].label_horizon_end, i] = np.nan
    return watch


def _check_data(bundle: Bundle, bars: Bars) -> None:
    """Refuse bars other than those trained on; later bars may follow them."""
    trained = bundle.manifest.data
    first, last = parse_time(trained["first"]), parse_time(trained["last"])
    same = bars[bars.since(first) : bars.since(last + np.timedelta64(1, "ns"))]
    if same.fingerprint() != trained["fingerprint"]:
        raise DataError(
            f"bundle {bundle.manifest.name} recorded its out-of-sample rows on {trained['bars']} bars of"
            f" {bundle.manifest.market.symbol} from {format_time(first)} to {format_time(last)}; these bars"
            f" ({len(same)} of {bars.symbol} in that span) differ from them: bring the same data,"
            " or compare on zone test"
        )


def read_columns(raw: bytes, wanted: Sequence[str], name: str) -> dict[str, NDArray[Any]]:
    """Return columns of a recorded walk-forward as float64, and ``open_time`` in nanoseconds.

    Raises
    ------
    ModelMismatch
        If the bytes are no such record; ``name`` is the bundle's.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(pa.BufferReader(raw)).read(columns=["open_time", *wanted])
        time = table.column("open_time").cast(pa.timestamp("ns")).cast(pa.int64())
        columns = {column: table.column(column).cast(pa.float64()) for column in wanted}
    except (pa.ArrowException, KeyError, OSError) as error:
        raise ModelMismatch(f"bundle {name}: {OOS} cannot be read ({str(error).splitlines()[0]}); retrain") from None
    return {
        "open_time": _values(time, np.int64),
        **{key: _values(column, np.float64) for key, column in columns.items()},
    }


def _values(column: Any, dtype: type) -> NDArray[Any]:
    """Return a column's own memory; pyarrow's to_numpy would import pandas, a quarter of a second."""
    if column.null_count:
        column = column.fill_null(float("nan"))
    array = column.combine_chunks()
    if len(array) == 0:
        return np.empty(0, dtype)
    return np.frombuffer(array.buffers()[1], dtype)[array.offset : array.offset + len(array)]


def streak(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return how many of the flags up to each have been true without a break.

    Examples
    --------
    >>> streak(np.array([True, True, False, True])).tolist()
    [1, 2, 0, 1]
    """
    place = np.arange(len(flags))
    return place - np.maximum.accumulate(np.where(flags, -1, place))
