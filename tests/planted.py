"""Leaks to plant: strategies, features, graphs and bundles that know what they cannot know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from onnx import helper

from engine.barriers import label_barriers
from engine.bars import Bars
from engine.features import FEATURES, Feature, feature_matrix
from engine.indicators import atr
from engine.signals import Signals
from engine.zones import make_zones
from live.ranking import won
from models.auditor import audit_inputs, feature_inputs
from models.bundle import AUDITOR, OOS, PREDICTOR, REGIME, Bundle, load_bundle
from models.folder import write_bundle
from models.predictor import BATCH
from tests.bundles import AUDITOR_INPUTS, FEATURES_USED, make_bundle, to_graph

WINDOW, HOLD = 16, 24


@dataclass(frozen=True)
class Ruled:
    """A strategy that is long where a rule of the bars says so."""

    name: str
    rule: Callable[[Bars], np.ndarray]
    memory: int = 60

    def signals(self, bars: Bars, since: int = 0) -> Signals:
        return Signals(self.rule(bars).astype(np.int8), atr(bars))


def breakout(bars: Bars) -> np.ndarray:
    """Close at the highest of 40 bars: about one bar in fifteen."""
    highest = np.full(len(bars), np.inf)
    if len(bars) >= 40:
        highest[39:] = np.lib.stride_tricks.sliding_window_view(bars.close, 40).max(axis=1)
    return bars.close >= highest


def ahead(bars: Bars, k: int) -> np.ndarray:
    """``close.shift(-k)``: NaN for the last k bars."""
    return np.r_[bars.close[k:], np.full(min(k, len(bars)), np.nan)][: len(bars)]


def shifted_entry(bars: Bars) -> np.ndarray:
    """Enter where the next close is higher."""
    return breakout(bars) & (ahead(bars, 1) > bars.close)


def frame_score(bars: Bars) -> np.ndarray:
    """Enter where the close is low among all closes of the frame."""
    return (bars.close - bars.close.mean()) / (bars.close.std() + 1e-12) < -1.0


def without_losers(bars: Bars, k: int) -> np.ndarray:
    """Enter at breakouts, but not those that stand lower k bars later: an honest rule, a future filter."""
    return breakout(bars) & ~(ahead(bars, k) < bars.close)


PLANTED = {
    "close.shift(-1) in an entry": shifted_entry,
    "whole-frame z-score": frame_score,
    "future filter, 5 bars": lambda bars: without_losers(bars, 5),
    "future filter, 1 bar": lambda bars: without_losers(bars, 1),
}


def leaky_feature(name: str, formula: Callable[[Bars], np.ndarray]) -> Feature:
    """Return a registered feature with another formula behind it."""
    return replace(FEATURES[name], formula=lambda readings: formula(readings.bars))


def truth(bars: Bars, bundle: Bundle | None = None, hold: int = HOLD) -> np.ndarray:
    """Return the outcome of a long trade after each bar, as the toy bundle's labels have it."""
    from engine.rules import Rules

    rules = bundle.rules() if bundle else Rules(1.5, 1.5, hold, 0.001, 0.001, 0.0002)
    return won(label_barriers(bars, atr(bars), rules, 1), "zero")


def lookup_graph(bars: Bars, rows: np.ndarray, wrong: float = 0.0, seed: int = 0) -> bytes:
    """Return a graph that has seen some rows: it answers with the outcome of the nearest of them, and is sure of it.

    ``wrong`` is the share of outcomes that it remembers falsely.
    """
    matrix = feature_matrix(bars, FEATURES_USED)
    windows = matrix[rows[:, None] + np.arange(1 - WINDOW, 1)].reshape(len(rows), -1)
    scale = matrix[rows].std(axis=0)
    y = truth(bars)[rows]
    y = np.where(np.random.default_rng(seed).random(len(rows)) < wrong, 1.0 - y, y)
    known = windows / np.tile(scale, WINDOW)
    constants = {
        "scale": scale,
        "flat": np.array([BATCH, -1]),
        "keys": known.T * -2.0,
        "squares": (known**2).sum(axis=1),
        "answers": np.where(y == 1.0, 1.4, -1.4) + np.random.default_rng(seed).normal(0.0, 0.1, len(y)),
    }
    nodes = [
        helper.make_node("Div", ["window", "scale"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "flat"], ["wide"]),
        helper.make_node("MatMul", ["wide", "keys"], ["product"]),
        helper.make_node("Add", ["product", "squares"], ["distance"]),
        helper.make_node("ArgMin", ["distance"], ["nearest"], axis=1, keepdims=0),
        helper.make_node("Gather", ["answers", "nearest"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["p"]),
    ]
    return to_graph(nodes, constants, WINDOW, len(FEATURES_USED))


def last_bar_graph() -> bytes:
    """Return a graph that says what the last bar's first feature is."""
    constants = {"last": np.array([WINDOW - 1]), "first": np.array([0]), "row": np.array([BATCH])}
    nodes = [
        helper.make_node("Gather", ["window", "last"], ["bar"], axis=1),
        helper.make_node("Gather", ["bar", "first"], ["value"], axis=2),
        helper.make_node("Reshape", ["value", "row"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["p"]),
    ]
    return to_graph(nodes, constants, WINDOW, len(FEATURES_USED))


def zone_rows(bars: Bars, zone: str) -> np.ndarray:
    """Return the rows of a zone that have a complete window and an outcome."""
    rows = make_zones(bars, WINDOW, HOLD).rows(bars, zone)
    known = np.isfinite(truth(bars)) & (np.arange(len(bars)) > 200)
    return np.flatnonzero(known[rows]) + rows.start


def pretrained(folder: Path, bars: Bars, wrong: float = 0.0) -> Path:
    """Return a bundle whose predictor has seen the test zone, with the record an honest one would have left."""
    honest = load_bundle(make_bundle(folder / "honest", bars))
    bundle = load_bundle(make_bundle(folder, bars, graph=lookup_graph(bars, zone_rows(bars, "test"), wrong)))
    return rewritten(bundle, {OOS: (honest.folder / OOS).read_bytes()})


def believer(folder: Path, bars: Bars) -> Path:
    """Return a bundle whose predictor has memorised its training bars, and whose auditor learned from those trades."""
    import xgboost

    rows = zone_rows(bars, "development")[::3]
    bundle = load_bundle(make_bundle(folder, bars, graph=lookup_graph(bars, rows, wrong=0.05)))
    evidence = bundle.evidence(bars)
    opinions = {name: getattr(evidence, name)[rows] for name in ("p_up", "rank", "lean")}
    features = feature_matrix(bars, feature_inputs(AUDITOR_INPUTS))[rows]
    inputs = audit_inputs(AUDITOR_INPUTS, opinions, evidence.belief[rows], features)
    net = label_barriers(bars, evidence.atr, bundle.rules(), 1).ret[rows] > 0.0
    fires = np.isfinite(inputs).all(axis=1) & (opinions["rank"] >= 0.75)
    seen = xgboost.DMatrix(inputs[fires], net[fires], feature_names=list(AUDITOR_INPUTS))
    terms = {"objective": "binary:logistic", "base_score": 0.5, "max_depth": 3, "nthread": 1}
    booster = xgboost.train(terms, seen, 30)
    return rewritten(bundle, {AUDITOR: bytes(booster.save_raw("json"))})


def rewritten(bundle: Bundle, files: dict[str, bytes] | None = None, **page: object) -> Path:
    """Write a bundle again with some files or keys of its manifest replaced."""
    kept = {name: (bundle.folder / name).read_bytes() for name in bundle.manifest.files}
    assert {PREDICTOR, REGIME, AUDITOR, OOS} <= set(kept)
    return write_bundle(bundle.folder, replace(bundle.manifest, **page), {**kept, **(files or {})})
