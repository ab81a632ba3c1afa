"""Formulas of the features: what a stretch of bars says, in numbers without a scale.

After warm-up a value is finite, whatever the bars:

* distances in ATRs are taken in ATRs or, in a market that hardly moves, in 1e-8 of the close: 0 when flat;
* where a spread is exactly 0 (equal closes, equal volumes), what is measured in it is 0; RSI is then 50;
* a bar without volume counts as the quietest of the 24 bars up to it; without any volume in them, z is 0;
* log_range takes a bar of less than 1e-5 for a bar of 1e-5.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cached_property, lru_cache
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.bars import DAY_NS, Bars, Floats
from engine.errors import UsageError
from engine.indicators import (
    BLOCK,
    EVENT_ATRS,
    Recursions,
    Rolling,
    cusum_sums,
    frozen,
    recursions,
    return_weights,
    week_steps,
    week_table,
    weighed,
    window_highest,
    window_moments,
)

RETURN_LAGS = (1, 3, 6, 12, 24, 48)
VOLATILITY_WINDOWS = (12, 24, 48)
RANGE_WINDOW = VOLUME_WINDOW = 24
AVERAGE_WINDOWS = (20, 50, 100)  # of the close; the shortest is Bollinger's
EXTREME_WINDOWS = (20, 50)
FFD_WIDTH = 256  # bars of a fractional difference: the last of 0.4's weights is 1e-4
STILL = 1e-8  # share of the close below which an ATR is no unit: a tick is larger in every market
NARROWEST = 1e-5  # log range of a bar that did not move; liquid 1-minute bars have 1e-4
HOW_TO_JOIN = "store its series (`tradsys data import --help`, `import-series`, `fetch`) and name the bars again"


class Readings:
    """What several features are made of, worked out once for a stretch of bars.

    Parameters
    ----------
    bars : Bars
        The stretch.
    whole : Readings or None
        Readings of the history the stretch is part of, whose recursions it shares.
    first : int
        Row of the history where the stretch begins.
    """

    def __init__(self, bars: Bars, whole: Readings | None = None, first: int = 0) -> None:
        self.bars = bars
        self._whole = whole
        self._first = first
        self._kept: dict[Hashable, Any] = {}

    def part(self, first: int, last: int) -> Readings:
        """Return the readings of rows first to last - 1."""
        return Readings(self.bars[first:last], self if self._whole is None else self._whole, self._first + first)

    def once(self, key: Hashable, compute: Callable[[Readings], Any]) -> Any:
        """Return what is computed from the whole history, the first time it is asked for."""
        history = self if self._whole is None else self._whole
        if key not in history._kept:
            history._kept[key] = compute(history)
        return history._kept[key]

    def shared(self, key: Hashable, compute: Callable[[Readings], Floats]) -> Floats:
        """Return this stretch's part of values, bars last, that are computed once for the whole history."""
        values: Floats = self.once(key, compute)
        return values[..., self._first : self._first + len(self.bars)]

    @cached_property
    def recursive(self) -> Recursions:
        """The anchored recursions, run once over the history; stretches of it are asked for in order."""
        if self._whole is None:
            return recursions(self.bars)
        return self._whole.rolling.rows(self._first, self._first + len(self.bars))

    @cached_property
    def rolling(self) -> Rolling:
        """The same recursions, a stretch at a time."""
        return Rolling(self.bars)

    @cached_property
    def per_unit(self) -> Floats:
        """One over the ATR, or over 1e-8 of the close where the ATR is less."""
        unit: Floats = np.maximum(self.recursive.atr, STILL * self.bars.close)
        return 1.0 / unit

    @cached_property
    def log_return(self) -> Floats:
        """Log return of each bar; NaN for the first."""
        return _log_return(self.bars.close, 1)

    @cached_property
    def log_span(self) -> Floats:
        """Log of high over low of each bar."""
        return np.log(self.bars.high / self.bars.low)

    @cached_property
    def return_moments(self) -> Floats:
        """Moments of the log returns over `VOLATILITY_WINDOWS`."""
        return window_moments(frozen(self.log_return), np.array(VOLATILITY_WINDOWS))

    @cached_property
    def close_moments(self) -> Floats:
        """Moments of the closes over `AVERAGE_WINDOWS`."""
        return window_moments(frozen(self.bars.close), np.array(AVERAGE_WINDOWS))

    @cached_property
    def log_volume(self) -> Floats:
        """Log volume, that of the quietest of the last bars where nothing traded, NaN where there is none."""
        traded = self.bars.volume > 0.0
        if traded.all():
            return np.log(self.bars.volume)
        logs = np.log(self.bars.volume, where=traded, out=np.full(len(traded), np.inf))
        quietest = -window_highest(-logs, VOLUME_WINDOW)
        quietest[np.isinf(quietest)] = np.nan
        return np.where(traded, logs, quietest)

    @property
    def events(self) -> Floats:
        """The events of the CUSUM filter and their echoes, shape (2, n), run once over the whole history."""
        return self.shared("events", _events)

    @property
    def step_ns(self) -> int:
        """The longest step, in nanoseconds, that leads from midnight to every bar's open."""
        return gcd(self.bars.timeframe_ns, DAY_NS)

    @cached_property
    def steps_since_monday(self) -> NDArray[np.int64]:
        """Steps from Monday's midnight, UTC, to each bar's open."""
        steps: NDArray[np.int64] = week_steps(self.bars.open_time.view(np.int64), self.step_ns)
        return steps


def _events(history: Readings) -> Floats:
    unit = EVENT_ATRS * history.recursive.atr / history.bars.close
    return cusum_sums(history.bars.slots // BLOCK, history.log_return, unit)


def log_return(readings: Readings, lag: int) -> Floats:
    """Return the log return over some bars."""
    return readings.log_return if lag == 1 else _log_return(readings.bars.close, lag)


def _log_return(close: Floats, lag: int) -> Floats:
    out = np.full(len(close), np.nan)
    if len(close) > lag:
        np.log(close[lag:] / close[:-lag], out=out[lag:])
    return out


def volatility(readings: Readings, window: int) -> Floats:
    """Return the standard deviation of the last one-bar log returns."""
    return readings.return_moments[1, VOLATILITY_WINDOWS.index(window)]


def parkinson(readings: Readings) -> Floats:
    """Return Parkinson's volatility of a bar (1980): from highs and lows, sqrt(mean(log(h/l)^2) / (4 log 2))."""
    mean: Floats = window_moments(frozen(readings.log_span**2), np.array((RANGE_WINDOW,)))[0, 0]
    return np.sqrt(mean / (4.0 * np.log(2.0)))


def atr_share(readings: Readings) -> Floats:
    """Return the ATR as a fraction of the close."""
    return readings.recursive.atr / readings.bars.close


def atr_ratio(readings: Readings) -> Floats:
    """Return the log of the short over the long ATR: above 0 where a market wakes up."""
    least = STILL * readings.bars.close
    return np.log(np.maximum(readings.recursive.atr_short, least) / np.maximum(readings.recursive.atr_long, least))


def rsi(readings: Readings) -> Floats:
    """Return Wilder's relative strength, 0 to 100."""
    return readings.recursive.rsi


def macd(readings: Readings, line: float, signal: float) -> Floats:
    """Return a mix of MACD line and signal in ATRs."""
    return (line * readings.recursive.macd + signal * readings.recursive.macd_signal) * readings.per_unit


def average_distance(readings: Readings, window: int) -> Floats:
    """Return how far the close is above its mean, in ATRs."""
    return (readings.bars.close - readings.close_moments[0, AVERAGE_WINDOWS.index(window)]) * readings.per_unit


def high_distance(readings: Readings, window: int) -> Floats:
    """Return the close less the highest high, in ATRs."""
    return (readings.bars.close - window_highest(readings.bars.high, window)) * readings.per_unit


def low_distance(readings: Readings, window: int) -> Floats:
    """Return the close less the lowest low, in ATRs."""
    return (readings.bars.close + window_highest(-readings.bars.low, window)) * readings.per_unit


def bollinger(readings: Readings) -> Floats:
    """Return where the close lies in its Bollinger band: -1 lower, 0 mean, 1 upper."""
    mean, deviation = readings.close_moments[:, 0]
    return _measured(readings.bars.close - mean, 2.0 * deviation)


def volume_score(readings: Readings) -> Floats:
    """Return how unusual the volume is: its log less the mean, in standard deviations."""
    logs = readings.log_volume
    mean, deviation = window_moments(frozen(logs), np.array((VOLUME_WINDOW,)))[:, 0]
    out = _measured(logs - mean, deviation)
    known = out[VOLUME_WINDOW - 1 :]
    known[np.isnan(known)] = 0.0
    return out


def body(readings: Readings) -> Floats:
    """Return close less open, in ATRs."""
    return (readings.bars.close - readings.bars.open) * readings.per_unit


def upper_wick(readings: Readings) -> Floats:
    """Return the high less the body's top, in ATRs."""
    bars = readings.bars
    return (bars.high - np.maximum(bars.open, bars.close)) * readings.per_unit


def lower_wick(readings: Readings) -> Floats:
    """Return the body's bottom less the low, in ATRs."""
    bars = readings.bars
    return (np.minimum(bars.open, bars.close) - bars.low) * readings.per_unit


def log_range(readings: Readings) -> Floats:
    """Return the log of a bar's log range, which is nearly Gaussian (Alizadeh, Brandt & Diebold 2002)."""
    return np.log(np.maximum(readings.log_span, NARROWEST))


def fractional(readings: Readings, d: float) -> Floats:
    """Return the log close differenced d times over a closed window of `FFD_WIDTH` bars: see `ffd_weights`."""
    return weighed(readings.log_return, _return_weights(d))


@lru_cache(maxsize=16)
def _return_weights(d: float) -> Floats:
    return return_weights(d, FFD_WIDTH)


def event(readings: Readings) -> Floats:
    """Return 1 or -1 where the close has moved `EVENT_ATRS` ATRs up or down since the last such bar, else 0."""
    return readings.events[0]


def event_echo(readings: Readings) -> Floats:
    """Return the last event over the bars since it and one more: 1 or -1 at the event, fading towards 0."""
    return readings.events[1]


def beside(readings: Readings, name: str) -> Floats:
    """Return what is known beside the bars under a name.

    Raises
    ------
    UsageError
        If these bars carry nothing of the name.
    """
    if name not in readings.bars.context:
        raise missing_context([name], readings.bars.symbol)
    return readings.bars.context[name]


def missing_context(names: Sequence[str], symbol: str) -> UsageError:
    """Return the error for bars without what some features read beside them."""
    return UsageError(f"the bars of {symbol} carry no {', '.join(names)} beside them; {HOW_TO_JOIN}")


def time_wave(readings: Readings, period_ns: int, wave: Callable[[Floats], Floats]) -> Floats:
    """Return sine or cosine of the bar's open time within a day, or within a week from Monday."""
    return week_table(readings.step_ns, period_ns, wave)[readings.steps_since_monday]


def _measured(distance: Floats, spread: Floats) -> Floats:
    """Return the distance in spreads; 0 where there is no spread."""
    out: Floats = np.zeros(len(distance))
    return np.divide(distance, spread, out=out, where=spread != 0.0)
