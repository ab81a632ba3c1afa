"""Where closed bars come from, one close at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from engine.bars import Bars


class Feed(Protocol):
    """Gives the bot a window of closed bars at every close, in order, each close once.

    ``closes(after)`` begins with the first bar after a time (None: at the feed's own first bar) and
    yields windows whose last bar has just closed.
    """

    def closes(self, after: np.datetime64 | None) -> Iterator[Bars]: ...


@dataclass(frozen=True, slots=True)
class ReplayFeed:
    """Recorded bars, as if each had just closed.

    Parameters
    ----------
    bars : Bars
        The recording.
    memory : int
        Bars of a window; fewer at the beginning of the recording.
    first : int
        Row of the first bar to trade on; the rows before it warm up.
    """

    bars: Bars
    memory: int
    first: int = 0

    def begin(self, after: np.datetime64 | None) -> int:
        """Return the row of the first close after a time."""
        return self.first if after is None else int(np.searchsorted(self.bars.open_time, after, side="right"))

    def closes(self, after: np.datetime64 | None) -> Iterator[Bars]:
        """Yield the window of every close after a time."""
        for row in range(self.begin(after), len(self.bars)):
            yield self.bars[max(row + 1 - self.memory, 0) : row + 1]
