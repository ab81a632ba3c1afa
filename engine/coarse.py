"""A market seen in longer bars: features of coarse bars, known at the close of each fine one.

Coarse bars lie on the grid since 1970 and are made of closed fine bars alone (`engine.history.resample`). At the
close of a fine bar the last coarse bar that is complete is what is known. Where a fine bar is missing so is the
coarse bar it belongs to, and its features are NaN until their own window is whole again: so a value depends on a
number of *fine* bars that can be told, bit for bit. For the same reason a coarse recursion never passes over a block
without coarse bars, as one on fine bars may, but starts again behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from engine.bars import Bars, Floats
from engine.history.resample import merged
from engine.indicators import Recursions, recursions
from engine.readings import Readings

COARSE_BLOCK = 128  # coarse slots: an average of 26 has forgotten (25/27)**128 = 5e-5 of its past


class CoarseReadings(Readings):
    """Readings of the bars some times as long as others, and where those know each of them.

    Parameters
    ----------
    fine : Bars
        The market.
    ratio : int
        Fine bars in a coarse one.
    """

    def __init__(self, fine: Bars, ratio: int) -> None:
        super().__init__(merged(fine, ratio * fine.timeframe_ns))
        self.place = self._places(fine)
        gap = np.r_[True, ~self.bars.follows[1:]] if len(self.bars) else np.zeros(0, np.bool_)
        row = np.arange(len(self.bars))
        self.clear = row - np.maximum.accumulate(np.where(gap, row, 0)) + 1

    def _places(self, fine: Bars) -> NDArray[np.int64]:
        """Return the row of the last coarse bar that is complete at each fine close; -1 where it is not the newest."""
        coarse_ns, closed = self.bars.timeframe_ns, fine.close_time.view(np.int64)
        ends = self.bars.close_time.view(np.int64)
        place = np.searchsorted(ends, closed, side="right") - 1
        if not fine.sessions and len(ends):  # where a fine bar was missing, the newest coarse bar is not there
            place[closed - ends[place] >= coarse_ns] = -1
        return place

    @cached_property
    def recursive(self) -> Recursions:
        """The anchored recursions over each run of blocks that holds bars."""
        breaks = np.flatnonzero(np.diff(self.bars.slots // COARSE_BLOCK) > 1) + 1
        edges = [0, *breaks.tolist(), len(self.bars)]
        parts = [recursions(self.bars[a:b], COARSE_BLOCK) for a, b in pairwise(edges)]
        return Recursions(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def laid(self, formula: Callable[[Readings], Floats], lookback: int) -> Floats:
        """Return a feature of the coarse bars at the close of every fine one; NaN across a gap."""
        values = np.where(self.clear >= lookback, formula(self), np.nan)
        return np.append(values, np.nan)[self.place]


def coarse_feature(readings: Readings, ratio: int, formula: Callable[[Readings], Floats], lookback: int) -> Floats:
    """Return a feature of bars some times as long, at each of a stretch's closes.

    Parameters
    ----------
    readings : Readings
        Of the fine bars.
    ratio : int
        Fine bars in a coarse one.
    formula : callable
        Of the coarse feature.
    lookback : int
        Coarse bars it needs without a gap.
    """

    def whole(history: Readings) -> Floats:
        coarse = history.once(("coarse", ratio), lambda of: CoarseReadings(of.bars, ratio))
        return coarse.laid(formula, lookback)

    return readings.shared((ratio, formula), whole)


def coarse_memory(memory: int, ratio: int) -> int:
    """Return how many fine bars decide a value that rests on some coarse bars: the bar under way besides them."""
    return memory * ratio + ratio
