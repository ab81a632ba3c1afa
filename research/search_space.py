"""What a tuner may vary of each kind of model, and how a trial's values become a training configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.errors import UsageError
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


NETWORK: dict[str, Range | tuple[Any, ...]] = {
    "width": (16, 32, 64),
    "layers": Range(1, 3),
    "dropout": Range(0.0, 0.5),
    "rate": Range(1e-4, 3e-3, log=True),
    "decay": Range(1e-3, 0.3, log=True),
}
SPACE: dict[str, dict[str, Range | tuple[Any, ...]]] = {
    "logistic": {"penalties": Range(1e-5, 10.0, log=True)},
    "trees": {
        "depth": Range(2, 6),
        "rate": Range(0.01, 0.2, log=True),
        "least_weight": Range(5.0, 200.0, log=True),
        "ridge": Range(1.0, 100.0, log=True),
        "rows": Range(0.4, 1.0),
        "columns": Range(0.2, 1.0),
    },
    "streaming": NETWORK,
    "transformer": NETWORK,
}


def suggest(trial: Trial, kinds: tuple[str, ...], near: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Let a trial choose a kind of model and its values.

    Parameters
    ----------
    trial : optuna.Trial
        Who chooses.
    kinds : tuple of str
        Keys of `SPACE`.
    near : mapping, optional
        Values of an earlier trial: only its kind, and values close to its own.
    """
    kind = near[KIND] if near else trial.suggest_categorical(KIND, kinds)
    chosen = {KIND: kind}
    for key, allowed in SPACE[kind].items():
        name = f"{kind}.{key}"
        if not isinstance(allowed, Range):
            chosen[name] = near[name] if near else trial.suggest_categorical(name, allowed)
            continue
        within = allowed.around(near[name]) if near else allowed
        ask = trial.suggest_int if within.whole else trial.suggest_float
        chosen[name] = ask(name, within.low, within.high, log=within.log)  # type: ignore[arg-type]
    return chosen


def defaults(config: TrainConfig, kind: str) -> dict[str, Any]:
    """Return the values that a configuration already has, as a trial would have chosen them."""
    section = getattr(config, kind)
    chosen: dict[str, Any] = {KIND: kind}
    for key, allowed in SPACE[kind].items():
        value = getattr(section, key)
        value = value[len(value) // 2] if isinstance(value, tuple) else value
        if isinstance(allowed, Range):
            value = min(max(value, allowed.low), allowed.high)
        else:
            value = value if value in allowed else allowed[0]
        chosen[f"{kind}.{key}"] = value
    return chosen


def configured(config: TrainConfig, chosen: Mapping[str, Any]) -> TrainConfig:
    """Return the configuration that trains what a trial chose, and nothing else.

    Examples
    --------
    >>> configured(TrainConfig(), {"kind": "logistic", "logistic.penalties": 0.5}).logistic.penalties
    (0.5,)
    """
    kind = chosen[KIND]
    section = getattr(config, kind)
    values = {key.split(".")[1]: value for key, value in chosen.items() if key != KIND}
    if "penalties" in values:
        values["penalties"] = (values["penalties"],)
    return dataclasses.replace(config, candidates=(kind,), force="", **{kind: dataclasses.replace(section, **values)})


def searched(config: TrainConfig, kinds: str | None) -> tuple[str, ...]:
    """Return the kinds to search: those named, or the configuration's candidates.

    Raises
    ------
    UsageError
        For a kind without a search space.
    """
    wanted = tuple(kinds.split(",")) if kinds else config.candidates
    for kind in wanted:
        if kind not in SPACE:
            raise UsageError(f"--kind {kind} has nothing to tune; tunable: {', '.join(SPACE)}")
    return wanted
