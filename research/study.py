"""One market, or several that teach one predictor: everything the steps of a training share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.bars import Bars, Floats
from engine.features import clear_run, default_features, feature_lookback, feature_matrix
from engine.indicators import atr
from engine.zones import Zones, make_zones
from research.config import TrainConfig
from research.events import Examples, Split, label_examples
from research.fades import with_fades
from research.pool import check_members, joined, places
from research.splits import Fold, inner_split, tile_edges, walk_forward_folds
from research.weights import Rows, uniqueness

OWN_INPUTS = ("p_up", "rank")


@dataclass(frozen=True, eq=False)
class Study:
    """Bars, features, labels and zones; nothing here is fitted.

    Parameters
    ----------
    bars : Bars
        The whole history of the home market; rows from ``stop`` on are never read by a fit or a choice.
    others : tuple of Bars
        Further markets whose rows teach and judge the predictor too, in the home market's zones of time.
    config : TrainConfig
        What may vary.
    names : tuple of str
        The predictor's features.
    examples : Examples
        Windows and labels of the home market, whose rows are its bars, and after them those of the others.
    place : int64 array
        Of every row among the home market's bars: the first one that is not earlier.
    features : float64 array of shape (n, F)
        Of the home market, as what follows; in full precision, for the auditor.
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
    others: tuple[Bars, ...]
    config: TrainConfig
    names: tuple[str, ...]
    examples: Examples
    place: Rows
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
        """Bars whose labels may overlap: the block of every bootstrap over one market."""
        return self.config.barriers.hold

    @property
    def judged_block(self) -> int:
        """Rows of ``judged_rows`` that hang together: all markets' over the bars that labels may overlap."""
        return self.block * (1 + len(self.others))

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

    def pooled(self, rows: Rows) -> Rows:
        """Return rows of the home market, and those of the others that begin and end within the same time."""
        last, there = self.examples.end[rows].max(), self.examples.rows
        there = there[there >= len(self.bars)]
        inside = (self.place[there] >= rows[0]) & (self.place[self.examples.end[there]] <= last)
        return np.r_[rows, there[inside]]

    def split(self, fold: Fold) -> Split:
        """Return what all markets teach in a fold, weighted market by market."""
        return self.examples.split(self.pooled(fold.train), self.pooled(fold.inner))

    def uniqueness(self, rows: Rows) -> Floats:
        """Return the uniqueness of labels over time, as if all markets were one: the sum is the least n_eff."""
        end = self.place[self.examples.end[rows]]
        return uniqueness(np.minimum(self.place[rows] + 1, end), end)

    def predictable(self, test: slice) -> Rows:
        """Return the bars of a slice that can be predicted, labelled or not."""
        return test.start + np.flatnonzero(self.examples.decidable[test])

    def judged(self, rows: Rows) -> NDArray[np.bool_]:
        """Say which bars have a label that ends before the sealed zone."""
        end = self.examples.end[rows]
        return np.isfinite(self.examples.y[rows]) & (end >= 0) & (end < self.stop)


def make_study(config: TrainConfig, bars: Bars, others: Sequence[Bars] = ()) -> Study:
    """Return features, labels and zones of some bars, once it is known that every fold can be fitted.

    Parameters
    ----------
    config : TrainConfig
        What may vary.
    bars : Bars
        The home market: its zones, calendar, regimes and trades are the bundle's.
    others : sequence of Bars
        Further markets of the same timeframe that teach the predictor.

    Raises
    ------
    DataError
        If the bars are too few for the zones or a fold, or labels are all alike.
    UsageError
        For a feature nobody registered, and for markets that cannot be pooled.
    """
    check_members(bars, others)
    names = config.features or default_features(bars.timeframe_ns, bars.sessions)
    zones = make_zones(bars, config.reach, config.barriers.hold)
    features, unit = feature_matrix(bars, names), atr(bars)
    regime = feature_matrix(bars, config.regime.features)
    regime[clear_run(bars) < feature_lookback(config.regime.features)] = np.nan
    home = _examples(config, bars, names, features)
    study = Study(
        bars=bars,
        others=tuple(others),
        config=config,
        names=tuple(names),
        examples=joined([home, *(_examples(config, one, names, feature_matrix(one, names)) for one in others)]),
        place=places(bars, others),
        features=features,
        regime_features=regime,
        atr=unit,
        zones=zones,
        development=zones.rows(bars, "development"),
        validation=zones.rows(bars, "validation"),
    )
    for fold in (study.final_fold(), *study.folds()):
        study.split(fold)
    study.examples.split(*(study.examples.between(study.validation.start, study.stop),) * 2)
    return study


def _examples(config: TrainConfig, bars: Bars, names: Sequence[str], features: Floats) -> Examples:
    """Return windows and labels of one market, from its own past alone."""
    run, unit = clear_run(bars), atr(bars)
    clear = max(config.reach + feature_lookback(names), feature_lookback(config.regime.features))
    known = np.asarray(np.isfinite(features).all(axis=1))
    decidable = (_streak(known) >= config.reach) & (run >= clear) & (unit > 0.0)
    examples = label_examples(bars, config, features, decidable, unit)
    return with_fades(examples, bars, config, names, unit) if "resnet" in config.wanted else examples


def _streak(flags: NDArray[np.bool_]) -> Rows:
    place = np.arange(len(flags))
    return place - np.maximum.accumulate(np.where(flags, -1, place))
