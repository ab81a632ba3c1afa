"""A small but real bundle for tests: logistic ONNX, HMM, XGBoost auditor and recorded rows, made in a second.

    from tests.bundles import make_bundle
    bundle = load_bundle(make_bundle(tmp_path, random_bars(1500, seed=1)))

It was fitted to noise; its numbers are lively, not good.
"""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from engine.bars import Bars, format_time
from engine.features import FEATURES, clear_run, feature_lookback, feature_matrix
from engine.indicators import atr
from engine.zones import make_zones
from models.auditor import audit_inputs, feature_inputs
from models.bundle import AUDITOR, OOS, REGIME, load_bundle, needed_clear_bars, needed_memory
from models.calibration import ConfidenceTable, lean_of
from models.evidence import streak
from models.folder import write_bundle
from models.manifest import FeatureNeed, Fence, Manifest, Market
from models.predictor import BATCH, open_predictor, predictor_file
from models.regime import RegimeModel

FEATURES_USED = ("ret_1", "ret_6", "vol_24", "rsi_14", "boll_20")
REGIME_FEATURES = ("log_range", "ret_1")
AUDITOR_INPUTS = ("p_up", "rank", "lean", "belief_0", "belief_1", "belief_2", "vol_24", "macd_hist")


def make_bundle(
    folder: Path,
    bars: Bars,
    name: str = "toy",
    seed: int = 0,
    window: int = 16,
    sides: tuple[str, ...] = ("long",),
    block: int = 128,
    hold: int = 24,
    features: tuple[str, ...] = FEATURES_USED,
    graph: bytes | None = None,
    regime_model: RegimeModel | None = None,
    kind: str = "logistic",
) -> Path:
    """Write a bundle of these bars (400 or more) to folder/name and return its path."""
    matrix = feature_matrix(bars, features)
    rows = np.flatnonzero((streak(np.isfinite(matrix).all(axis=1)) >= window) & (clear_run(bars) >= window + 50))
    graph = graph or logistic_graph(matrix[rows], window, seed)
    zones = make_zones(bars, window, hold)
    regime = regime_model or three_states(bars.upto(bars.since(zones.validation[0]) + 1), block)
    clear = needed_clear_bars(features, window, regime, AUDITOR_INPUTS)
    rows = np.flatnonzero((streak(np.isfinite(matrix).all(axis=1)) >= window) & (clear_run(bars) >= clear))
    p = np.full(len(bars), np.nan)
    p[rows] = open_predictor(kind, graph, window, len(features)).probabilities(matrix.astype(np.float32), rows)
    table = ConfidenceTable.from_predictions(p[zones.rows(bars, "validation")])
    auditor, audits = fitted_auditor(bars, p, table, regime, sides, seed)
    fence = Fence(bars.open_time[0], zones.validation[0], zones.validation[1], bars.fingerprint())
    costs = {"fee": 0.001, "maker_fee": 0.001, "slippage": 0.0002}
    manifest = Manifest(
        name=name,
        market=Market(bars.symbol, bars.timeframe, bars.sessions, sides),
        features=tuple(FeatureNeed(n, FEATURES[n].lookback, FEATURES[n].memory) for n in features),
        window=window,
        clear_bars=clear,
        memory=needed_memory(features, window, regime, AUDITOR_INPUTS),
        barriers={"k_up": 1.5, "k_down": 1.5, "hold": hold, "atr": "atr_14", "vertical": "sign"},
        costs=costs,
        zones=zones,
        fences=dict.fromkeys(("predictor", "calibration", "confidence", "regime", "auditor"), fence),
        predictor={"kind": kind, "chosen_by": "nobody", "candidates": []},
        calibration={"method": "platt", "a": 1.0, "b": 0.0},
        confidence={"levels": table.levels.tolist()},
        thresholds={"sniper": 0.95, "audited": 0.75, "reckless": 0.75, "max_turbulent": 0.5, "auditor": audits},
        regime={"roles": list(regime.roles)},
        auditor={"features": list(AUDITOR_INPUTS)},
        metrics={},
        trials=1,
        data={
            "fingerprint": bars.fingerprint(),
            "bars": len(bars),
            "first": format_time(bars.open_time[0]),
            "last": format_time(bars.open_time[-1]),
        },
        seeds=[seed],
        code={"version": "0.1.0", "commit": "3f2c1ab"},
        released=True,
    )
    files = {predictor_file(kind): graph, REGIME: regime.to_json(), AUDITOR: auditor}
    path = write_bundle(folder / name, manifest, files)
    files[OOS] = recorded_rows(load_bundle(path), bars)
    return write_bundle(path, manifest, files)


def logistic_graph(known: np.ndarray, window: int, seed: int = 0) -> bytes:
    """Return a logistic regression on standardised windows, scaler and calibration inside."""
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((window * known.shape[1], 1)) / np.sqrt(window * known.shape[1])
    constants = {
        "mean": known.mean(axis=0),
        "std": known.std(axis=0) + 1e-12,
        "weights": weights,
        "bias": np.array([-0.1]),
        "flat": np.array([BATCH, -1]),
        "row": np.array([BATCH]),
    }
    nodes = [
        helper.make_node("Sub", ["window", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "std"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "flat"], ["wide"]),
        helper.make_node("MatMul", ["wide", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["column"]),
        helper.make_node("Reshape", ["column", "row"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["p"]),
    ]
    return to_graph(nodes, constants, window, known.shape[1])


def to_graph(nodes: list, constants: dict[str, np.ndarray], window: int, features: int) -> bytes:
    """Return the bytes of a graph with this project's door."""
    held = [
        numpy_helper.from_array(v if v.dtype == np.int64 else v.astype(np.float32), k) for k, v in constants.items()
    ]
    asked = [helper.make_tensor_value_info("window", TensorProto.FLOAT, [BATCH, window, features])]
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH]) for name in ("logit", "p")]
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(helper.make_graph(nodes, "toy", asked, given, held), opset_imports=opsets, ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def three_states(bars: Bars, block: int = 128) -> RegimeModel:
    """Return a sticky HMM of bar ranges: calm, normal, turbulent."""
    known = feature_matrix(bars, REGIME_FEATURES)
    known[clear_run(bars) < feature_lookback(REGIME_FEATURES)] = np.nan
    known = known[np.isfinite(known).all(axis=1)]
    fitted = SimpleNamespace(
        transmat_=np.array([[0.97, 0.02, 0.01], [0.02, 0.96, 0.02], [0.01, 0.03, 0.96]]),
        means_=np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]]),
        covars_=np.array([[0.6, 2.0], [0.6, 0.3], [0.6, 0.8]]),
    )
    scaler = (known.mean(axis=0), known.std(axis=0))
    model = RegimeModel.ordered(REGIME_FEATURES, scaler, fitted, np.array([2.0, 0.5, 1.0]), block)
    return replace(model, forgetting=model.measure_forgetting(known, probes=4))


def fitted_auditor(
    bars: Bars, p: np.ndarray, table: ConfidenceTable, regime: RegimeModel, sides: tuple[str, ...], seed: int
) -> tuple[bytes, float]:
    """Return an XGBoost auditor fitted to dice, and the median of what it says."""
    import xgboost

    lean = lean_of(p, sides)
    belief = regime.belief(bars, feature_matrix(bars, regime.features))
    opinions = {"p_up": p, "rank": table.rank_of_lean(p, lean), "lean": lean}
    rows = audit_inputs(AUDITOR_INPUTS, opinions, belief, feature_matrix(bars, feature_inputs(AUDITOR_INPUTS)))
    rows = rows[np.isfinite(rows).all(axis=1)]
    won = np.random.default_rng(seed).random(len(rows)) < 0.3 + 0.4 * rows[:, AUDITOR_INPUTS.index("belief_0")]
    told = {"objective": "binary:logistic", "max_depth": 3, "eta": 0.3, "nthread": 1, "seed": seed}
    booster = xgboost.train(told, xgboost.DMatrix(rows, won, feature_names=list(AUDITOR_INPUTS)), 20)
    audits = booster.predict(xgboost.DMatrix(rows, feature_names=list(AUDITOR_INPUTS)))
    return bytes(booster.save_raw("json")), round(float(np.median(audits)), 6)


def recorded_rows(bundle, bars: Bars) -> bytes:
    """Return oos.parquet: the bundle's own evidence on the later half, as if a walk-forward had made it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = bundle.evidence(bars)
    rows = np.flatnonzero(np.isfinite(found.p_up) & (np.arange(len(bars)) >= len(bars) // 2))
    columns = {"open_time": bars.open_time[rows], "fold": np.zeros(len(rows), np.int64)}
    columns |= {"p_up": found.p_up[rows], "rank": found.rank[rows], "lean": found.lean[rows]}
    columns |= {f"belief_{i}": found.belief[rows, i] for i in range(found.belief.shape[1])}
    tau = np.where(np.isnan(found.audit), np.nan, bundle.manifest.thresholds["auditor"])
    columns |= {"audit": found.audit[rows], "tau": tau[rows], "atr": atr(bars)[rows]}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()
