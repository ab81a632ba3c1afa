"""Coarser bars from finer ones: only those that are complete, so nothing is known early."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.bars import UNIT_NS, Bars, Floats, parse_timeframe
from engine.errors import UsageError
from engine.funding import summed
from engine.history.infer import FIRST_MONDAY_NS

WEEK_NS = UNIT_NS["w"]


def resample(bars: Bars, timeframe: str) -> Bars:
    """Return coarser bars, each made of all the finer bars inside it.

    A coarse bar begins on the grid since 1970 in UTC; weeks begin on Monday, as exchanges' do.

    * A market that never closes: a coarse bar exists when every finer bar of it does. One missing
      fine bar leaves a gap, never a bar of less.
    * A market with sessions: nobody can tell a closure from a missing bar, so a coarse bar exists
      when its time is over for certain: a bar of a later coarse bar is there, or its last finer bar
      closes with it. The first one exists only when a finer bar opens with it, for the bars before
      may have been cut off.

    Therefore ``resample(bars.upto(n), ...)`` is always the beginning of ``resample(bars, ...)``.

    Parameters
    ----------
    bars : Bars
        Closed bars.
    timeframe : str
        A multiple of the bars' own, at most ``1w``.

    Returns
    -------
    Bars
        Open of the first, highest high, lowest low, close of the last, sum of volume, and at each open the funding due
        since the open before.

    Raises
    ------
    UsageError
        When the timeframe is not a multiple of the bars' own or is longer than a week.

    Examples
    --------
    >>> from engine.synthetic import random_bars
    >>> len(resample(random_bars(11, timeframe="1h"), "4h"))
    2
    """
    coarse_ns = parse_timeframe(timeframe)
    if coarse_ns % bars.timeframe_ns or coarse_ns > WEEK_NS:
        raise UsageError(
            f"{bars.timeframe} bars cannot become {timeframe}; allowed: multiples of {bars.timeframe} to 1w"
        )
    if coarse_ns == bars.timeframe_ns:
        return bars
    coarse = merged(bars, coarse_ns, FIRST_MONDAY_NS if coarse_ns == WEEK_NS else 0)
    if bars.funding is None:
        return coarse
    return coarse.paying(summed(coarse, bars.open_time.view(np.int64), bars.funding))


def merged(bars: Bars, coarse_ns: int, shift: int = 0) -> Bars:
    """Return the coarser bars of a length, a multiple of the bars' own, on the grid since 1970 shifted by some ns."""
    stamps = bars.open_time.view(np.int64)
    slot = (stamps - shift) // coarse_ns
    first = np.flatnonzero(np.diff(slot, prepend=slot[:1] - 1))
    opens = slot[first] * coarse_ns + shift
    keep = _complete(bars, opens, first, coarse_ns)

    def merge(how: np.ufunc, values: Floats) -> Floats:
        return np.asarray(how.reduceat(values, first)[keep] if len(first) else values)

    return Bars(
        open_time=opens[keep].view("datetime64[ns]"),
        open=bars.open[first][keep],
        high=merge(np.maximum, bars.high),
        low=merge(np.minimum, bars.low),
        close=bars.close[np.r_[first[1:], len(bars)][: len(first)] - 1][keep],
        volume=merge(np.add, bars.volume),
        timeframe_ns=coarse_ns,
        symbol=bars.symbol,
        sessions=bars.sessions,
    )


def _complete(bars: Bars, opens: NDArray[np.int64], first: NDArray[np.int64], coarse_ns: int) -> NDArray[np.bool_]:
    if not bars.sessions:
        return np.diff(first, append=len(bars)) == coarse_ns // bars.timeframe_ns
    over = np.ones(len(first), np.bool_)
    if len(over):
        over[-1] = bars.close_time[-1].astype(np.int64) == opens[-1] + coarse_ns
        over[0] &= bars.open_time[0].astype(np.int64) == opens[0]
    return over
