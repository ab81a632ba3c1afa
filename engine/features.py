"""What a model sees of a market: named, scale-free features of closed bars.

Every feature is a formula over a stretch of bars, registered in `FEATURES` with the bars it needs. Prices
times a thousand or volume times a thousand change none of them. A value at bar t is a function of the
`memory` bars up to t alone, bit for bit, which is also what lets `feature_matrix` work stretch by stretch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from engine import readings as of
from engine.bars import DAY_NS, Bars, Floats
from engine.errors import unknown
from engine.indicators import BLOCK, interleave
from engine.readings import AVERAGE_WINDOWS, EXTREME_WINDOWS, RETURN_LAGS, VOLATILITY_WINDOWS, WEEK_NS, Readings

STRETCH = 8192  # bars worked on at once: their columns stay in the cache, and calls cost little per bar

Formula = Callable[[Readings], Floats]


@dataclass(frozen=True, slots=True)
class Feature:
    """One number per bar that a model may see.

    Parameters
    ----------
    name : str
        Such as ``vol_24``; manifests refer to it.
    lookback : int
        Bars up to t that must be free of gaps for the value to mean what it says.
    memory : int
        Bars up to t that the value depends on, bit for bit; more than `lookback` where a recursion is in it.
    intraday : bool
        Whether it says nothing on daily bars.
    meaning : str
        In one line.
    formula : callable
        From the readings of bars to a float64 array of their length.
    """

    name: str
    lookback: int
    memory: int
    intraday: bool
    meaning: str
    formula: Formula

    def compute(self, bars: Bars) -> Floats:
        """Return the feature at each bar, float64 of shape (n,); NaN before its warm-up."""
        return self.formula(Readings(bars))


def _windowed(name: str, bars: int, meaning: str, formula: Formula, intraday: bool = False) -> Feature:
    return Feature(name, bars, bars, intraday, meaning, formula)


def _recursive(name: str, bars: int, meaning: str, formula: Formula) -> Feature:
    return Feature(name, bars, max(bars, 2 * BLOCK), False, meaning, formula)


def _all() -> Iterator[Feature]:
    for k in RETURN_LAGS:
        yield _windowed(f"ret_{k}", k + 1, f"log return over {k} bars", partial(of.log_return, lag=k))
    for k in VOLATILITY_WINDOWS:
        meaning = f"standard deviation of the last {k} log returns"
        yield _windowed(f"vol_{k}", k + 1, meaning, partial(of.volatility, window=k))
    yield _windowed("parkinson_24", 24, "Parkinson volatility of 24 bars, from highs and lows", of.parkinson)
    yield _recursive("atr_pct_14", 15, "ATR 14 as a fraction of the close", of.atr_share)
    yield _recursive("atr_ratio", 29, "log of ATR 7 over ATR 28: is the market waking up", of.atr_ratio)
    yield _recursive("rsi_14", 15, "Wilder's relative strength, 0 to 100", of.rsi)
    yield _recursive(
        "macd_line", 26, "average of 12 less average of 26 closes, in ATRs", partial(of.macd, line=1.0, signal=0.0)
    )
    yield _recursive(
        "macd_signal", 34, "average of 9 of the MACD line, in ATRs", partial(of.macd, line=0.0, signal=1.0)
    )
    yield _recursive("macd_hist", 34, "MACD line less its signal, in ATRs", partial(of.macd, line=1.0, signal=-1.0))
    for k in AVERAGE_WINDOWS:
        meaning = f"close above the mean of {k} closes, in ATRs"
        yield _recursive(f"ma_dist_{k}", k, meaning, partial(of.average_distance, window=k))
    for k in EXTREME_WINDOWS:
        high, low = partial(of.high_distance, window=k), partial(of.low_distance, window=k)
        yield _recursive(f"high_dist_{k}", k, f"close less the highest high of {k} bars, in ATRs", high)
        yield _recursive(f"low_dist_{k}", k, f"close less the lowest low of {k} bars, in ATRs", low)
    yield _windowed("boll_20", 20, "place in the Bollinger band: -1 lower, 1 upper", of.bollinger)
    yield _windowed("volume_z_24", 47, "log volume against the last 24, in standard deviations", of.volume_score)
    yield _recursive("body", 15, "close less open, in ATRs", of.body)
    yield _recursive("upper_wick", 15, "high less the top of the body, in ATRs", of.upper_wick)
    yield _recursive("lower_wick", 15, "bottom of the body less low, in ATRs", of.lower_wick)
    yield _windowed("log_range", 1, "log of log(high/low), at least log(1e-5)", of.log_range)
    for name, period in (("hour", DAY_NS), ("week", WEEK_NS)):
        where = "day" if name == "hour" else "week, from Monday"
        for wave in (np.sin, np.cos):
            formula = partial(of.time_wave, period_ns=period, wave=wave)
            yield _windowed(f"{name}_{wave.__name__}", 1, f"{wave.__name__} of the time of the {where}", formula, True)


FEATURES: dict[str, Feature] = {feature.name: feature for feature in _all()}

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
        For an unknown name.

    Examples
    --------
    >>> from engine.synthetic import random_bars
    >>> feature_matrix(random_bars(60, seed=1), ["rsi_14", "ret_1"])[59].round(2).tolist()
    [33.34, -0.02]
    """
    features = named(names)
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
    return tuple(f.name for f in FEATURES.values() if f.name not in SPARE and not (daily and f.intraday))


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
