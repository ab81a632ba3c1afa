"""What a tuner may vary of each kind of model, and how a trial's values become a training configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.errors import UsageError
from models.network import GROUP
from research.agent_settings import MEMBERS
from research.config import TrainConfig

if TYPE_CHECKING:
    from optuna import Trial

KIND = "kind"
CLOSER = 0.25  # a zoom searches this share of each range


class Range(NamedTuple):
    """One number that may vary.

    Parameters
    ----------
    low, high : float
        Both included; whole numbers if both are of type int.
    log : bool
        Searched by ratios.
    """

    low: float
    high: float
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def around(self, value: float) -> Range:
        """Return a quarter of the range around a value, not beyond its ends.

        Examples
        --------
        >>> Range(0.0, 0.4).around(0.1), Range(1, 3).around(2)
        (Range(low=0.05, high=0.15000000000000002, log=False), Range(low=1, high=3, log=False))
        """
        if self.log:
            reach = (self.high / self.low) ** (CLOSER / 2)
            low, high = max(self.low, value / reach), min(self.high, value * reach)
        else:
            half = (self.high - self.low) * CLOSER / 2
            low, high = max(self.low, value - half), min(self.high, value + half)
        if self.whole:
            return Range(max(int(self.low), round(value) - 1), min(int(self.high), round(value) + 1), self.log)
        return Range(low, high, self.log)


Allowed = Range | tuple[Any, ...]
RATE, DECAY, DROPOUT = Range(1e-4, 3e-3, log=True), Range(1e-3, 0.3, log=True), Range(0.0, 0.5)
NETWORK: dict[str, Allowed] = {"width": (16, 32, 64), "layers": Range(1, 3), "dropout": DROPOUT}
STEPS: dict[str, Allowed] = {"rate": RATE, "decay": DECAY}
ENCODER = {f"transformer.{key}": allowed for key, allowed in NETWORK.items()} | {"transformer.patch": (0, 4, 8, 16)}
SPACE: dict[str, dict[str, Allowed]] = {  # a label is no model's to choose: barriers and moves worth fading stay
    "logistic": {"logistic.penalties": Range(1e-5, 10.0, log=True)},
    "trees": {
        "trees.depth": Range(2, 6),
        "trees.rate": Range(0.01, 0.2, log=True),
        "trees.least_weight": Range(5.0, 200.0, log=True),
        "trees.ridge": Range(1.0, 100.0, log=True),
        "trees.rows": Range(0.4, 1.0),
        "trees.columns": Range(0.2, 1.0),
    },
    "streaming": {
        **{f"streaming.{key}": allowed for key, allowed in (NETWORK | STEPS).items()},
        "streaming.band": (16, 32, 64, 128),
    },
    "resnet": {
        "resnet.filters": (8, 16, 32),
        "resnet.dropout": DROPOUT,
        **{f"resnet.{key}": allowed for key, allowed in STEPS.items()},
    },
    "transformer": {**ENCODER, **{f"transformer.{key}": allowed for key, allowed in STEPS.items()}},
    "supcon": {  # its encoder is the Transformer's
        **ENCODER,
        "supcon.temperature": Range(0.05, 0.5, log=True),
        **{f"supcon.{key}": allowed for key, allowed in STEPS.items()},
    },
    "ensemble": {
        "ensemble.members": (),
        "ensemble.weighing": ("pooled", "stacked"),
        "ensemble.ridge": Range(10.0, 1000.0, log=True),
    },
}


def space_of(config: TrainConfig, kind: str) -> dict[str, Allowed]:
    """Return what may vary of a kind: values that the rest of a configuration does not allow are left out.

    Examples
    --------
    >>> space_of(TrainConfig(window=8), "transformer")["transformer.patch"]
    (0, 4, 8)
    >>> space_of(TrainConfig(), "ensemble")["ensemble.members"]
    ('logistic+trees', 'logistic+transformer', 'trees+transformer', 'logistic+trees+transformer')
    """
    heads = {"transformer.width": config.transformer.heads, "streaming.width": GROUP * config.streaming.heads}
    out = {}
    for key, allowed in SPACE[kind].items():
        if key in heads and isinstance(allowed, tuple):
            allowed = tuple(width for width in allowed if width % heads[key] == 0) or (_own(config, key),)
        if key == "transformer.patch" and isinstance(allowed, tuple):
            allowed = tuple(patch for patch in allowed if patch <= config.window)
        if key == "streaming.band" and isinstance(allowed, tuple):  # a longer one would take rows away from everybody
            own = config.streaming.band
            allowed = (*(band for band in allowed if band < own), own)
        out[key] = _teams(config) if key == "ensemble.members" else allowed
    return out


def _teams(config: TrainConfig) -> tuple[str, ...]:
    """Every two or more of an ensemble's members and of the candidates that may join one."""
    names = [kind for kind in MEMBERS if kind in (*config.ensemble.members, *config.candidates)]
    return tuple("+".join(team) for size in range(2, len(names) + 1) for team in combinations(names, size))


def _own(config: TrainConfig, key: str) -> Any:
    section, name = key.split(".")
    return getattr(getattr(config, section), name)


def _idle(key: str, chosen: Mapping[str, Any]) -> bool:
    """Say whether a setting changes nothing beside those already chosen."""
    return key == "ensemble.ridge" and chosen.get("ensemble.weighing") == "pooled"


def suggest(
    trial: Trial, config: TrainConfig, kinds: tuple[str, ...], near: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Let a trial choose a kind of model and its values.

    Parameters
    ----------
    trial : optuna.Trial
        Who chooses.
    config : TrainConfig
        All that does not vary.
    kinds : tuple of str
        Keys of `SPACE`.
    near : mapping, optional
        Values of an earlier trial: only its kind, and values close to its own.
    """
    kind = near[KIND] if near else trial.suggest_categorical(KIND, kinds)
    chosen = {KIND: kind}
    for name, allowed in space_of(config, kind).items():
        if _idle(name, chosen):
            continue
        if not isinstance(allowed, Range):
            chosen[name] = near[name] if near else trial.suggest_categorical(name, allowed)
            continue
        within = allowed.around(near[name]) if near else allowed
        ask = trial.suggest_int if within.whole else trial.suggest_float
        chosen[name] = ask(name, within.low, within.high, log=within.log)  # type: ignore[arg-type]
    return chosen


def defaults(config: TrainConfig, kind: str) -> dict[str, Any]:
    """Return the values that a configuration already has, as a trial would have chosen them."""
    chosen: dict[str, Any] = {KIND: kind}
    for name, allowed in space_of(config, kind).items():
        if _idle(name, chosen):
            continue
        value = _own(config, name)
        if name == "ensemble.members":
            value = "+".join(kind for kind in MEMBERS if kind in value)
        elif isinstance(value, tuple):
            value = value[len(value) // 2]
        if isinstance(allowed, Range):
            value = min(max(value, allowed.low), allowed.high)
        else:
            value = value if value in allowed else allowed[0]
        chosen[name] = value
    return chosen


def configured(config: TrainConfig, chosen: Mapping[str, Any]) -> TrainConfig:
    """Return the configuration that trains what a trial chose, and nothing else.

    A patch that the configuration did not have begins anew after half its bars.

    Examples
    --------
    >>> configured(TrainConfig(), {"kind": "logistic", "logistic.penalties": 0.5}).logistic.penalties
    (0.5,)
    """
    sections: dict[str, dict[str, Any]] = {}
    for key, value in chosen.items():
        if key != KIND:
            section, name = key.split(".")
            sections.setdefault(section, {})[name] = value
    if "logistic" in sections:
        sections["logistic"]["penalties"] = (sections["logistic"]["penalties"],)
    if "ensemble" in sections:
        sections["ensemble"]["members"] = tuple(sections["ensemble"]["members"].split("+"))
    patch = sections.get("transformer", {}).get("patch", config.transformer.patch)
    if patch != config.transformer.patch and patch:
        sections["transformer"]["patch_step"] = patch // 2
    parts = {name: dataclasses.replace(getattr(config, name), **values) for name, values in sections.items()}
    return dataclasses.replace(config, candidates=(chosen[KIND],), force="", **parts)


def widest(config: TrainConfig, kinds: tuple[str, ...]) -> TrainConfig:
    """Return the configuration whose rows every trial can be judged on: the farthest look back, and all labels."""
    layers = SPACE["streaming"]["streaming.layers"]
    deepest = max(config.streaming.layers, int(layers.high) if isinstance(layers, Range) else 1)
    streaming = dataclasses.replace(config.streaming, layers=deepest) if "streaming" in kinds else config.streaming
    members = tuple(kind for kind in MEMBERS if kind in (*config.ensemble.members, *config.candidates))
    return dataclasses.replace(
        config,
        candidates=kinds,
        force="",
        streaming=streaming,
        ensemble=dataclasses.replace(config.ensemble, members=members),
    )


def searched(config: TrainConfig, kinds: str | None) -> tuple[str, ...]:
    """Return the kinds to search: those named, or the configuration's candidates.

    Raises
    ------
    UsageError
        For a kind that nobody knows, and for an ensemble of a pool.
    """
    wanted = tuple(dict.fromkeys(kinds.split(","))) if kinds else config.candidates
    for kind in wanted:
        if kind not in SPACE:
            raise UsageError(f"--kind {kind} has nothing to tune; tunable: {', '.join(SPACE)}")
    widest(config, wanted)  # refuses what no training could do
    return wanted
