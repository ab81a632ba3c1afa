"""What a model sees of a market: named, scale-free features of closed bars.

Every feature is a formula over a stretch of bars, registered in `FEATURES` with the bars it needs. Prices
times a thousand or volume times a thousand change none of them. A value at bar t is a function of the
`memory` bars up to t alone, bit for bit, which is also what lets `feature_matrix` work stretch by stretch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.bars import DAY_NS, Bars, Floats
from engine.catalogue import BESIDE as BESIDE
from engine.catalogue import Feature as Feature
from engine.catalogue import basic_features, further_features
from engine.errors import unknown
from engine.indicators import interleave
from engine.readings import Readings, missing_context

STRETCH = 16384  # bars worked on at once: their columns stay in the cache, and calls cost little per bar

FEATURES: dict[str, Feature] = {feature.name: feature for feature in (*basic_features(), *further_features())}
BASIC = frozenset(feature.name for feature in basic_features())

# Left out by default, as nearly a mix of others: vol_12, macd_signal, ma_dist_20, high_dist_20, low_dist_20.
SPARE = frozenset(("vol_12", "macd_signal", "ma_dist_20", "high_dist_20", "low_dist_20"))


def named(names: Sequence[str]) -> list[Feature]:
    """Return registered features by name.

    Raises
    ------
    UsageError
        For a name nobody registered, with the nearest that is.
    """
    for name in names:
        if name not in FEATURES:
            raise unknown("feature", name, FEATURES)
    return [FEATURES[name] for name in names]


def feature_matrix(bars: Bars, names: Sequence[str]) -> Floats:
    """Return what a model sees at the close of each bar.

    Parameters
    ----------
    bars : Bars
        n bars.
    names : sequence of str
        Names in `FEATURES`; columns come in this order.

    Returns
    -------
    float64 array of shape (n, len(names))
        C-contiguous; NaN before each feature's warm-up. Gaps are not looked at: see `clear_run`.

    Raises
    ------
    UsageError
        For an unknown name, or a feature of what is known beside bars on bars without it.

    Examples
    --------
    >>> from engine.synthetic import random_bars
    >>> feature_matrix(random_bars(60, seed=1), ["rsi_14", "ret_1"])[59].round(2).tolist()
    [33.34, -0.02]
    """
    features = named(names)
    if absent := [name for name in feature_needs(names) if name not in bars.context]:
        raise missing_context(absent, bars.symbol)
    reach = max((feature.lookback for feature in features), default=1) - 1
    out: Floats = np.empty((len(bars), len(features)))
    columns = np.empty((len(features), STRETCH))
    whole = Readings(bars)
    for row in range(0, len(bars), STRETCH):
        first, last = max(0, row - reach), min(row + STRETCH, len(bars))
        stretch = whole.part(first, last)
        for column, feature in zip(columns, features, strict=True):
            column[: last - row] = feature.formula(stretch)[row - first :]
        interleave(columns, out[row:last])
    return out


def feature_memory(names: Sequence[str]) -> int:
    """Return how many bars up to t decide the features at t, bit for bit."""
    return max((feature.memory for feature in named(names)), default=1)


def feature_lookback(names: Sequence[str]) -> int:
    """Return how many bars up to t must be free of gaps for the features at t to mean what they say."""
    return max((feature.lookback for feature in named(names)), default=1)


def feature_needs(names: Sequence[str]) -> tuple[str, ...]:
    """Return what must be known beside the bars to compute some features, once each.

    Examples
    --------
    >>> feature_needs(["rsi_14", "vix_level", "funding_8h"])
    ('vix_level', 'funding_8h')
    """
    return tuple(dict.fromkeys(need for feature in named(names) for need in feature.needs))


def default_features(timeframe_ns: int, sessions: bool) -> tuple[str, ...]:
    """Return the features to begin with: a varied two dozen, and the time of the week below one day.

    Parameters
    ----------
    timeframe_ns : int
        Length of a bar in nanoseconds.
    sessions : bool
        Whether the market closes overnight; the same features serve both.

    Examples
    --------
    >>> len(default_features(DAY_NS, sessions=True)), len(default_features(DAY_NS // 24, sessions=False))
    (24, 28)
    """
    daily = timeframe_ns >= DAY_NS
    return tuple(f.name for f in FEATURES.values() if f.name in BASIC - SPARE and not (daily and f.intraday))


def clear_run(bars: Bars) -> NDArray[np.int64]:
    """Return how many bars without a gap end at each bar, int64 of shape (n,); 1 just after a gap.

    Examples
    --------
    >>> from engine.synthetic import random_bars
    >>> clear_run(random_bars(4, seed=1))
    array([1, 2, 3, 4])
    """
    row = np.arange(len(bars))
    return row - np.maximum.accumulate(np.where(bars.follows, 0, row)) + 1


def describe() -> list[tuple[str, int, int, str]]:
    """Return name, lookback, memory and meaning of every registered feature, for tables."""
    return [(f.name, f.lookback, f.memory, f.meaning) for f in FEATURES.values()]
