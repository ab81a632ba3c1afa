"""The one page that describes a bundle: what it needs, what it was fitted on, and what its files hash to."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.bars import Bars, parse_timeframe
from engine.errors import ModelMismatch, UsageError
from engine.jsons import dumps
from engine.zones import ZONES, Zones
from models.shape import misfit

SCHEMA = 1
MANIFEST = "manifest.json"
LEVELS = 1001  # quantiles of the confidence table: one per thousandth, both ends included

_FENCE = {"train_start": str, "train_end": str, "label_horizon_end": str, "data": str}
_SHAPE: dict[str, Any] = {
    "schema": int,
    "name": str,
    "code": {"version": str, "commit": str},
    "market": {"symbol": str, "timeframe": str, "sessions": bool, "sides": [str], "pool": [str]},
    "features": [{"name": str, "lookback": int, "memory": int}],
    "window": int,
    "clear_bars": int,
    "memory": int,
    "barriers": {"k_up": float, "k_down": float, "hold": int, "atr": str, "vertical": str},
    "costs": {"fee": float, "maker_fee": float, "slippage": float},
    "zones": {"development": [str], "validation": [str], "test": [str], "embargo_bars": int},
    "fences": {"predictor": _FENCE, "calibration": _FENCE, "confidence": _FENCE, "regime": _FENCE, "auditor": _FENCE},
    "predictor": {"kind": str},
    "calibration": {"method": str, "a": float, "b": float},
    "confidence": {"levels": [float]},
    "thresholds": {"sniper": float, "audited": float, "reckless": float, "max_turbulent": float, "auditor": float},
    "regime": {"roles": [str]},
    "auditor": {"features": [str]},
    "metrics": {},
    "trials": int,
    "data": {"fingerprint": str, "bars": int, "first": str, "last": str},
    "seeds": [int],
    "released": bool,
    "files": {},
}
_TIME = r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?)?Z?"


@dataclass(frozen=True, slots=True)
class Market:
    """What a bundle was trained to trade: symbol, timeframe, whether it closes, its sides, and all that taught it."""

    symbol: str
    timeframe: str
    sessions: bool
    sides: tuple[str, ...]
    pool: tuple[str, ...] = ()

    @property
    def taught(self) -> list[str]:
        """The markets that taught the bundle, its own first."""
        return list(dict.fromkeys((self.symbol, *self.pool)))


@dataclass(frozen=True, slots=True)
class FeatureNeed:
    """A column of the predictor's window, and the lookback and memory it had when the model was trained."""

    name: str
    lookback: int
    memory: int


@dataclass(frozen=True, slots=True)
class Fence:
    """What one fitted part has seen: its first and last bar, the last bar a label of it reached, and whose bars."""

    train_start: np.datetime64
    train_end: np.datetime64
    label_horizon_end: np.datetime64
    data: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything a bundle says about itself; each field mirrors one key of ``manifest.json``.

    Parameters
    ----------
    name : str
        Name of the bundle: lower-case letters, digits, dot, dash.
    market : Market
        Sides are ``("long",)`` or ``("long", "short")``.
    features : tuple of FeatureNeed
        Columns of the predictor's window, in order.
    window, clear_bars, memory : int
        Bars of a prediction's window; gap-free bars a decision needs; bars that decide (see ``engine.signals``).
    barriers, costs : dict
        The terms of every label: k_up, k_down, hold, atr, vertical; fee, maker_fee, slippage.
    zones : Zones
        Development, validation and test.
    fences : dict of str to Fence
        Of predictor, calibration, confidence, regime and auditor.
    predictor, calibration, confidence, regime, auditor, metrics, data, code : dict
        See ``_SHAPE``; further keys are kept.
    thresholds : dict
        sniper, audited, reckless (confidence), max_turbulent (belief), auditor (its probability).
    trials : int
        How many variants were scored before this one was chosen.
    seeds : list of int
        Seeds of the fit.
    released : bool
        False while the bundle is a draft.
    files : dict of str to str
        sha256 of every file beside the manifest; filled in by ``write_bundle``.

    Raises
    ------
    ModelMismatch
        Naming the bundle, the key and what is allowed.
    """

    name: str
    market: Market
    features: tuple[FeatureNeed, ...]
    window: int
    clear_bars: int
    memory: int
    barriers: dict[str, Any]
    costs: dict[str, Any]
    zones: Zones
    fences: dict[str, Fence]
    predictor: dict[str, Any]
    calibration: dict[str, Any]
    confidence: dict[str, Any]
    thresholds: dict[str, Any]
    regime: dict[str, Any]
    auditor: dict[str, Any]
    metrics: dict[str, Any]
    trials: int
    data: dict[str, Any]
    seeds: list[int]
    code: dict[str, Any]
    released: bool = False
    files: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        """Refuse a page that contradicts itself."""
        for key, good, allowed in _claims(self):
            if not good():
                raise ModelMismatch(f"manifest of {self.name!r}: {key} must be {allowed}; retrain or restore the file")

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Columns of the predictor's window, in order."""
        return tuple(need.name for need in self.features)

    @property
    def fence(self) -> np.datetime64:
        """The last open time any fitted part has seen, labels included: bars up to it are in-sample."""
        return np.max(np.array([fence.label_horizon_end for fence in self.fences.values()], "datetime64[ns]"))

    def in_sample(self, bars: Bars) -> NDArray[np.bool_]:
        """Return which bars lie at or before the fence, shape (n,)."""
        return np.asarray(bars.open_time <= self.fence)

    def sealed(self, bars: Bars) -> NDArray[np.bool_]:
        """Return which bars nobody may see a result on yet, shape (n,): a draft's test zone and all after it."""
        return np.asarray(bars.open_time >= self.zones.test[0]) & (not self.released)

    def to_json(self) -> bytes:
        """Return the bytes of ``manifest.json``; times and numbers of any library are accepted."""
        page = asdict(self)
        if not self.market.pool:
            del page["market"]["pool"]
        return (dumps({key: page[key] for key in _SHAPE}) + "\n").encode()

    @staticmethod
    def from_json(raw: bytes, where: str = MANIFEST) -> Manifest:
        """Return the manifest of some bytes, or say where the file is wrong.

        Raises
        ------
        ModelMismatch
            For broken JSON, a newer schema, and missing, unknown or misshapen keys.
        """
        page = parse_json(raw, where)
        schema = page.get("schema")
        if isinstance(schema, int) and schema > SCHEMA:
            raise ModelMismatch(f"{where} has schema {schema}, this code reads up to {SCHEMA}; update the code")
        if isinstance(page.get("market"), dict):
            page["market"].setdefault("pool", [])  # written where several markets taught it
        strange = sorted(set(page) - set(_SHAPE))
        fault = f"unknown key {strange[0]!r}" if strange else misfit(page, _SHAPE, "")
        if fault or schema != SCHEMA:
            raise ModelMismatch(f"{where}: {fault or f'schema must be {SCHEMA}'}; retrain or restore the file")
        zones = page["zones"]
        told = {key: page["market"][key] for key in _SHAPE["market"]}
        page["market"] = Market(**told | {key: tuple(told[key]) for key in ("sides", "pool")})
        page["features"] = tuple(FeatureNeed(n["name"], n["lookback"], n["memory"]) for n in page["features"])
        page["zones"] = Zones(**{name: _span(zones[name], name) for name in ZONES}, embargo_bars=zones["embargo_bars"])
        page["fences"] = {name: _fence(fence) for name, fence in page["fences"].items()}
        return Manifest(**page)


def _span(pair: list[str], zone: str) -> tuple[np.datetime64, np.datetime64]:
    if len(pair) != 2:
        raise ModelMismatch(f"zone {zone} must be a first and a last time, was {pair}; retrain or restore the file")
    return parse_time(pair[0]), parse_time(pair[1])


def _fence(page: dict[str, str]) -> Fence:
    times = {key: parse_time(page[key]) for key in _FENCE if key != "data"}
    return Fence(**times, data=page["data"])


def parse_time(text: str) -> np.datetime64:
    """Return a UTC time written as ISO text, with or without a closing Z.

    Examples
    --------
    >>> str(parse_time("2024-01-01T08:00:00Z"))
    '2024-01-01T08:00:00.000000000'
    """
    try:
        if re.fullmatch(_TIME, text):
            return np.datetime64(text.removesuffix("Z"), "ns")
    except ValueError:  # such as the 31st of February
        pass
    raise ModelMismatch(f"time {text!r} was not understood; write UTC such as 2024-01-01T08:00")


def parse_json(raw: bytes, where: str) -> dict[str, Any]:
    """Return a JSON object; NaN, infinity and anything but an object are refused."""
    try:
        page = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ModelMismatch(f"{where} is not JSON ({error}); restore the file") from None
    if not isinstance(page, dict):
        raise ModelMismatch(f"{where} must hold a JSON object; restore the file")
    return page


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _claims(manifest: Manifest) -> list[tuple[str, Callable[[], bool], str]]:
    levels, thresholds, roles = manifest.confidence["levels"], manifest.thresholds, manifest.regime["roles"]
    names, sides, timeframe = manifest.feature_names, manifest.market.sides, manifest.market.timeframe
    plain = re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,99}", manifest.name) is not None
    bars = (manifest.memory, manifest.clear_bars, manifest.window, 1)
    return [
        ("name", lambda: plain, "lower-case letters, digits, . -"),
        ("market.timeframe", lambda: _reads(parse_timeframe, timeframe), "such as 15m, 1h, 1d"),
        ("market.sides", lambda: sides in (("long",), ("long", "short")), "['long'] or ['long', 'short']"),
        ("barriers of a market with shorts", lambda: _mirrored(manifest), "k_up = k_down, vertical sign or drop"),
        ("features", lambda: 0 < len(names) == len(set(names)), "named once each"),
        ("memory >= clear_bars >= window >= 1", lambda: list(bars) == sorted(bars, reverse=True), "true"),
        (
            "confidence.levels",
            lambda: len(levels) == LEVELS and sorted(levels) == list(levels),
            f"{LEVELS} rising numbers",
        ),
        ("thresholds", lambda: all(0.0 <= float(value) <= 1.0 for value in thresholds.values()), "in [0, 1]"),
        ("trials", lambda: 0 <= manifest.trials <= 10**9, "in 0..1,000,000,000"),
        ("regime.roles", lambda: len(roles) >= 2, "at least 2 names by rising volatility"),
        ("fences", lambda: set(manifest.fences) == set(_SHAPE["fences"]), f"those of {', '.join(_SHAPE['fences'])}"),
        ("files", lambda: all(isinstance(digest, str) for digest in manifest.files.values()), "sha256 by name"),
    ]


def _mirrored(manifest: Manifest) -> bool:
    """Return whether 1 - P(up) is a short's chance: its barriers mirror a long's, or its label was its own."""
    barriers, own = manifest.barriers, manifest.predictor["kind"] == "resnet"
    equal = barriers["k_up"] == barriers["k_down"] and barriers["vertical"] != "zero"
    return "short" not in manifest.market.sides or own or equal


def _reads(reader: Callable[[str], Any], text: str) -> bool:
    try:
        reader(text)
    except UsageError:
        return False
    return True
