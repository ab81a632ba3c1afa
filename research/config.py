"""What a training may choose, with the default of every key; one TOML file is one training."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import tomllib
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from engine.errors import UsageError, unknown
from engine.rules import Rules
from models.network import GROUP, reach
from research.agent_settings import Compute, Ensemble, ResNet, SupCon, Supervisor, Volatility, agent_rules
from research.settings import (
    Auditor,
    Barriers,
    Calibration,
    Costs,
    Folds,
    Logistic,
    Regime,
    Streaming,
    Thresholds,
    Transformer,
    Trees,
)

CONFIGS = Path(__file__).parent / "configs"
CANDIDATES = ("logistic", "trees", "transformer")
KINDS = ("logistic", "trees", "streaming", "resnet", "transformer", "supcon", "ensemble")  # from simple to complex


@dataclass(frozen=True)
class TrainConfig:
    """One training: which market terms, which candidates, how much of everything.

    Every key has a default, so an empty file is a valid configuration for any coin.

    Parameters
    ----------
    name : str
        Name of the bundle; when empty, the file's name.
    sides : tuple of str
        ``("long",)`` or ``("long", "short")``.
    window : int
        Bars a prediction sees.
    pool : tuple of str
        Further stored series or files whose bars teach the predictor too; the home market may be among them.
    features : tuple of str
        Names from ``engine.features.FEATURES``; empty means that engine's default for the timeframe.
    candidates : tuple of str
        Any of ``logistic``, ``trees``, ``transformer``, and if asked for ``streaming``, ``resnet``, ``supcon``,
        ``ensemble``.
    force : str
        Ship this candidate whatever the comparison says; empty lets the validation zone choose.
    tried : int
        Configurations looked at on these bars before this one, by whatever means: the bundle counts them as trials.
    seed : int
        Same seed, same machine: the same bundle, byte for byte.
    threads : int
        Threads of every learner; part of what makes two runs equal.
    barriers, costs, folds, logistic, trees, transformer, streaming, calibration, regime, auditor, thresholds
        Sections, each documented in ``research.settings``.
    resnet, supcon, ensemble, supervisor, volatility, compute
        Sections, each documented in ``research.agent_settings``.

    Examples
    --------
    >>> TrainConfig().barriers.hold
    24
    """

    name: str = ""
    sides: tuple[str, ...] = ("long",)
    window: int = 32
    pool: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    candidates: tuple[str, ...] = CANDIDATES
    force: str = ""
    tried: int = 0
    seed: int = 7
    threads: int = 2
    barriers: Barriers = field(default_factory=Barriers)
    costs: Costs = field(default_factory=Costs)
    folds: Folds = field(default_factory=Folds)
    logistic: Logistic = field(default_factory=Logistic)
    trees: Trees = field(default_factory=Trees)
    transformer: Transformer = field(default_factory=Transformer)
    streaming: Streaming = field(default_factory=Streaming)
    resnet: ResNet = field(default_factory=ResNet)
    supcon: SupCon = field(default_factory=SupCon)
    ensemble: Ensemble = field(default_factory=Ensemble)
    supervisor: Supervisor = field(default_factory=Supervisor)
    volatility: Volatility = field(default_factory=Volatility)
    compute: Compute = field(default_factory=Compute)
    calibration: Calibration = field(default_factory=Calibration)
    regime: Regime = field(default_factory=Regime)
    auditor: Auditor = field(default_factory=Auditor)
    thresholds: Thresholds = field(default_factory=Thresholds)

    def __post_init__(self) -> None:
        """Refuse what no training could do, every mistake at once."""
        wrong = [f"{key} must be {allowed}, was {value!r}" for key, good, allowed, value in _rules_of(self) if not good]
        if wrong:
            raise UsageError("fix these keys of the training configuration: " + "; ".join(wrong))

    @property
    def rules(self) -> Rules:
        """The terms of a trade under this configuration."""
        b, c = self.barriers, self.costs
        return Rules(b.k_up, b.k_down, b.hold, c.fee, c.maker_fee, c.slippage)

    @property
    def embargo(self) -> int:
        """Bars between what is learned from and what is judged: what an answer rests on, and the longest trade."""
        return self.reach + self.barriers.hold

    @property
    def reach(self) -> int:
        """Bars that the answer of the farthest-looking candidate rests on: all are judged on the same rows."""
        return max(self.reach_of(kind) for kind in self.candidates)

    @property
    def wanted(self) -> tuple[str, ...]:
        """Every kind that is fitted: the candidates, and an ensemble's members."""
        return (*self.candidates, *(self.ensemble.members if "ensemble" in self.candidates else ()))

    def reach_of(self, kind: str) -> int:
        """Return how many bars an answer of one kind of model rests on."""
        return reach(self.streaming.layers, self.streaming.band) if kind == "streaming" else self.window

    def digest(self) -> str:
        """Return the sha256 of every key, whatever their order in the file; a section nobody asked for is left out."""
        keys = dataclasses.asdict(self)
        for kind in ("streaming", "resnet", "supcon", "ensemble"):
            if kind not in self.wanted:
                del keys[kind]
        del keys["compute"]["workers"], keys["compute"]["curves"]  # they change no number
        if not self.tried:
            del keys["tried"]
        del keys["pool"]  # its bars are part of a run's name, not what somebody calls them
        return hashlib.sha256(json.dumps(keys, sort_keys=True).encode()).hexdigest()


MIRRORED = "k_up = k_down and vertical sign or drop (a short is judged by 1 - P(up)), unless the resnet stands alone"


def _rules_of(config: TrainConfig) -> list[tuple[str, bool, str, Any]]:
    c, b, f, s = config, config.barriers, config.folds, config.streaming
    named = {*KINDS}
    return [
        (
            "name",
            re.fullmatch(r"([a-z0-9][a-z0-9.-]{0,99})?", c.name) is not None,
            "lower-case letters, digits, . -",
            c.name,
        ),
        ("sides", c.sides in (("long",), ("long", "short")), '["long"] or ["long", "short"]', c.sides),
        ("tried", c.tried >= 0, "0 or more", c.tried),
        ("window", 2 <= c.window <= 512, "in 2..512", c.window),
        ("candidates", bool(c.candidates) and {*c.candidates} <= named, f"some of {KINDS}", c.candidates),
        ("force", not c.force or c.force in c.candidates, "empty or one of the candidates", c.force),
        ("threads", 1 <= c.threads <= 256, "in 1..256", c.threads),
        ("barriers.vertical", b.vertical in ("sign", "zero", "drop"), "sign, zero or drop", b.vertical),
        ("barriers of a market with shorts", _mirrored(c), MIRRORED, (b.k_up, b.k_down, b.vertical)),
        ("folds.count", 2 <= f.count <= 100, "in 2..100", f.count),
        ("folds.first", 0.1 <= f.first <= 0.9, "in [0.1, 0.9]", f.first),
        ("folds.inner", 0.05 <= f.inner <= 0.4, "in [0.05, 0.4]", f.inner),
        ("trees.lags", all(0 <= lag < c.window for lag in c.trees.lags), "within the window", c.trees.lags),
        ("transformer.loss", c.transformer.loss in ("bce", "focal"), "bce or focal", c.transformer.loss),
        (
            "transformer.heads",
            c.transformer.width % c.transformer.heads == 0,
            "a divisor of width",
            c.transformer.heads,
        ),
        ("streaming.width", s.width % (GROUP * s.heads) == 0, f"a multiple of {GROUP} times heads", s.width),
        ("streaming.feedforward", s.feedforward % GROUP == 0, f"a multiple of {GROUP}", s.feedforward),
        ("streaming.band", 4 <= s.band <= 512 and s.band % GROUP == 0, f"in 4..512, a multiple of {GROUP}", s.band),
        ("calibration.method", c.calibration.method in ("platt", "temperature"), "platt or temperature", "other"),
        ("regime.starts", c.regime.starts >= 1, "at least 1", c.regime.starts),
        ("regime.states", 2 <= c.regime.states <= 6, "in 2..6", c.regime.states),
        ("regime.longest_block", c.regime.longest_block in (64, 128, 256, 512, 1024), "64, 128 .. 1024", "other"),
        *agent_rules(c),
    ]


def _mirrored(c: TrainConfig) -> bool:
    """Return whether what is foreseen for a long says as much of a short; the ResNet learns each side's own label."""
    b = c.barriers
    return "short" not in c.sides or {*c.wanted} == {"resnet"} or (b.k_up == b.k_down and b.vertical != "zero")


def load_config(name: str | Path) -> TrainConfig:
    """Return a shipped configuration by name, or your own by the path of its TOML file.

    Raises
    ------
    UsageError
        If there is no such file, it is no TOML, or a key or value is not understood.

    Examples
    --------
    >>> load_config("btcusdt-1h").barriers.hold
    24
    """
    path = Path(name) if str(name).endswith(".toml") else CONFIGS / f"{name}.toml"
    if not path.is_file():
        raise unknown("training configuration", str(name), [p.stem for p in CONFIGS.glob("*.toml")])
    try:
        keys = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as mistake:
        raise UsageError(f"{path.name} is not TOML: {mistake}") from None
    config = parse_config(keys)
    return config if config.name else dataclasses.replace(config, name=path.stem)


def parse_config(keys: Mapping[str, Any]) -> TrainConfig:
    """Return the configuration that a table of keys describes; what it leaves out has its default.

    Raises
    ------
    UsageError
        Naming the first key or value that is not understood.

    Examples
    --------
    >>> parse_config({"window": 16, "barriers": {"hold": 10}}).embargo
    26
    """
    config: TrainConfig = _section(TrainConfig, keys, "")
    return config


def _section(kind: Any, keys: Mapping[str, Any], prefix: str) -> Any:
    types_of = get_type_hints(kind)
    values = {}
    for key, value in keys.items():
        if key not in types_of:
            raise unknown("training setting", f"{prefix}{key}", [f"{prefix}{known}" for known in types_of])
        values[key] = _value(types_of[key], value, f"{prefix}{key}")
    return kind(**values)


def _value(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise UsageError(f"training setting {where} is a section, write [{where}] and its keys below")
        return _section(kind, value, f"{where}.")
    if get_origin(kind) is tuple:
        item = kind.__args__[0]
        good = isinstance(value, list) and all(_fits(item, one) for one in value)
        return tuple(item(one) for one in value) if good else _refuse(where, f"a list of {item.__name__}", value)
    return kind(value) if _fits(kind, value) else _refuse(where, kind.__name__, value)


def _fits(kind: type, value: Any) -> bool:
    if isinstance(value, bool) or isinstance(kind, types.GenericAlias):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _refuse(where: str, allowed: str, value: Any) -> Any:
    raise UsageError(f"training setting {where} must be {allowed}, was {value!r}")
