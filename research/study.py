"""One market under one configuration: everything the steps of a training share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.bars import Bars, Floats
from engine.features import clear_run, default_features, feature_lookback, feature_matrix
from engine.indicators import atr
from engine.zones import Zones, make_zones
from research.config import TrainConfig
from research.events import Examples, label_examples
from research.splits import Fold, inner_split, tile_edges, walk_forward_folds
from research.weights import Rows

OWN_INPUTS = ("p_up", "rank")


@dataclass(frozen=True, eq=False)
class Study:
    """Bars, features, labels and zones; nothing here is fitted.

    Parameters
    ----------
    bars : Bars
        The whole history; rows from ``stop`` on are never read by a fit or a choice.
    config : TrainConfig
        What may vary.
    names : tuple of str
        The predictor's features.
    examples : Examples
        Windows and labels.
    features : float64 array of shape (n, F)
        In full precision, for the auditor.
    regime_features : float64 array of shape (n, d)
        NaN where they look back across a gap.
    atr : float64 array of shape (n,)
        In price units.
    zones : Zones
        Fixed before anything is learned.
    development, validation : slice
        Their rows.
    """

    bars: Bars
    config: TrainConfig
    names: tuple[str, ...]
    examples: Examples
    features: Floats
    regime_features: Floats
    atr: Floats
    zones: Zones
    development: slice
    validation: slice

    @property
    def stop(self) -> int:
        """First row after the validation zone: what lies beyond is sealed."""
        return int(self.validation.stop)

    @property
    def auditor_inputs(self) -> tuple[str, ...]:
        """What the auditor sees, in order."""
        lean = ("lean",) if "short" in self.config.sides else ()
        beliefs = tuple(f"belief_{i}" for i in range(self.config.regime.states))
        return (*OWN_INPUTS, *lean, *beliefs, *self.names)

    @property
    def block(self) -> int:
        """Rows whose labels may overlap: the block of every bootstrap."""
        return self.config.barriers.hold

    def final_fold(self) -> Fold:
        """Return what the served model learns from: development; its last part stops and calibrates it."""
        rows = self.examples.between(self.development.start, self.development.stop)
        train, inner = inner_split(rows, self.examples.end, self.config.folds.inner, self.config.embargo)
        fence = int(max(self.examples.end[train].max(), self.examples.end[inner].max()))
        return Fold(-1, train, inner, fence, self.validation)

    def folds(self) -> list[Fold]:
        """Return the walk-forward over the last part of development and all of validation."""
        length = self.development.stop - self.development.start
        first = self.development.start + int(length * self.config.folds.first)
        rows = self.examples.between(self.development.start, self.stop)
        edges = tile_edges(first, self.stop, self.config.folds.count)
        return walk_forward_folds(rows, self.examples.end, edges, self.config.folds.inner, self.config.embargo)

    def predictable(self, test: slice) -> Rows:
        """Return the bars of a slice that can be predicted, labelled or not."""
        return test.start + np.flatnonzero(self.examples.decidable[test])

    def judged(self, rows: Rows) -> NDArray[np.bool_]:
        """Say which bars have a label that ends before the sealed zone."""
        end = self.examples.end[rows]
        return np.isfinite(self.examples.y[rows]) & (end >= 0) & (end < self.stop)


def make_study(config: TrainConfig, bars: Bars) -> Study:
    """Return features, labels and zones of some bars, once it is known that every fold can be fitted.

    Raises
    ------
    DataError
        If the bars are too few for the zones or a fold, or labels are all alike.
    UsageError
        For a feature nobody registered.
    """
    names = config.features or default_features(bars.timeframe_ns, bars.sessions)
    zones = make_zones(bars, config.reach, config.barriers.hold)
    features, run, unit = feature_matrix(bars, names), clear_run(bars), atr(bars)
    regime = feature_matrix(bars, config.regime.features)
    regime[run < feature_lookback(config.regime.features)] = np.nan
    clear = max(config.reach + feature_lookback(names), feature_lookback(config.regime.features))
    known = np.asarray(np.isfinite(features).all(axis=1))
    decidable = (_streak(known) >= config.reach) & (run >= clear) & (unit > 0.0)
    study = Study(
        bars=bars,
        config=config,
        names=tuple(names),
        examples=label_examples(bars, config, features, decidable, unit),
        features=features,
        regime_features=regime,
        atr=unit,
        zones=zones,
        development=zones.rows(bars, "development"),
        validation=zones.rows(bars, "validation"),
    )
    for fold in (study.final_fold(), *study.folds()):
        study.examples.split(fold.train, fold.inner)
    study.examples.split(*(study.examples.between(study.validation.start, study.stop),) * 2)
    return study


def _streak(flags: NDArray[np.bool_]) -> Rows:
    place = np.arange(len(flags))
    return place - np.maximum.accumulate(np.where(flags, -1, place))
