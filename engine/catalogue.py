"""The features there are: what each is called, what it reads, and how many bars decide it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from engine import readings as of
from engine.bars import DAY_NS, Bars, Floats
from engine.coarse import COARSE_BLOCK, coarse_feature, coarse_memory
from engine.indicators import BLOCK, WEEK_NS
from engine.readings import (
    AVERAGE_WINDOWS,
    EXTREME_WINDOWS,
    FFD_WIDTH,
    RETURN_LAGS,
    VOLATILITY_WINDOWS,
    Readings,
)

Formula = Callable[[Readings], Floats]

FFD_ORDERS = (20, 30, 40, 50)  # hundredths: how often the log close is differenced
RATIOS = (4, 24)  # fine bars in a coarse one: of hourly bars, four hours and a day
COARSENED = ("atr_pct_14", "rsi_14", "macd_hist", "ma_dist_20")
BESIDE = {
    "vix_level": "log of the last known close of the VIX, the implied volatility of stocks",
    "vix_change_5": "log change of the VIX over the last 5 sessions known",
    "vix_age": "days since the last known session of the VIX became known",
    "dxy_ret_5": "log return of the dollar index over the last 5 sessions known",
    "qqq_ret_5": "log return of QQQ, NASDAQ stocks, over the last 5 sessions known",
    "qqq_open": "1 while New York's stock session is open, 0 outside; holidays are not known",
    "gld_ret_5": "log return of GLD, gold, over the last 5 sessions known",
    "dvol_level": "log of the last known DVOL, the implied volatility of bitcoin",
    "dvol_change_24": "log change of the DVOL over 24 hours",
    "funding_8h": "the last funding rate a holder of the perpetual paid",
    "funding_mean_3d": "mean of the last 9 funding rates, of three days",
    "book_imbalance": "size bid less size asked at the best prices, over both, at the close",
    "imbalance_deep": "size bid less size asked at the best 5 levels, over both, at the close",
    "ofi": "order flow imbalance of the bar at the best prices, over the mean size there",
    "ofi_deep": "order flow imbalance of the bar at the best 5 levels, over the mean size there",
    "spread_bp": "best ask less best bid at the close, in basis points",
    "microprice_dev": "microprice less mid price at the close, in basis points",
}


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
    needs : tuple of str
        What must be known beside the bars: columns of ``Bars.context``.
    """

    name: str
    lookback: int
    memory: int
    intraday: bool
    meaning: str
    formula: Formula
    needs: tuple[str, ...] = ()

    def compute(self, bars: Bars) -> Floats:
        """Return the feature at each bar, float64 of shape (n,); NaN before its warm-up."""
        return self.formula(Readings(bars))


def _windowed(name: str, bars: int, meaning: str, formula: Formula, intraday: bool = False) -> Feature:
    return Feature(name, bars, bars, intraday, meaning, formula)


def _recursive(name: str, bars: int, meaning: str, formula: Formula) -> Feature:
    return Feature(name, bars, max(bars, 2 * BLOCK), False, meaning, formula)


def basic_features() -> Iterator[Feature]:
    """Yield what is read from the bars themselves: defaults are taken from these."""
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


def further_features() -> Iterator[Feature]:
    """Yield what must be asked for by name: slower memories, longer bars, and what is known beside the bars."""
    for d in FFD_ORDERS:
        meaning = f"log close differenced {d / 100:.1f} times over {FFD_WIDTH} bars, free of its level"
        yield _windowed(f"ffd_{d}", FFD_WIDTH, meaning, partial(of.fractional, d=d / 100))
    for name, formula, meaning in (
        (
            "cusum_event",
            of.event,
            "1 or -1 where the close has moved 3 ATRs up or down since the last such bar, else 0",
        ),
        ("cusum_echo", of.event_echo, "the last CUSUM event over the bars since it and one more"),
    ):
        yield Feature(name, 15, 3 * BLOCK, False, meaning, formula)  # its sums are anchored, and their unit before them
    fine = {feature.name: feature for feature in basic_features()}
    for ratio in RATIOS:
        for name in COARSENED:
            yield _coarse(fine[name], ratio)
    for name, meaning in BESIDE.items():
        yield Feature(name, 1, 1, False, meaning, partial(of.beside, name=name), (name,))


def _coarse(feature: Feature, ratio: int) -> Feature:
    """Return a feature of the bars some times as long, at each close of the bars themselves."""
    depends = feature.lookback if feature.memory == feature.lookback else max(feature.lookback, 2 * COARSE_BLOCK)
    return Feature(
        f"x{ratio}_{feature.name}",
        coarse_memory(feature.lookback, ratio),
        coarse_memory(depends, ratio),
        False,
        f"{feature.meaning}; of the last closed bar {ratio} times as long",
        partial(coarse_feature, ratio=ratio, formula=feature.formula, lookback=feature.lookback),
    )
