"""Several markets as one: their rows laid one market after another, and where each row lies in time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.bars import Bars
from engine.errors import UsageError
from research.events import Examples
from research.fades import joined_fades
from research.weights import Rows


def check_members(home: Bars, others: Sequence[Bars]) -> None:
    """Refuse markets that one predictor cannot learn from together."""
    seen = {home.symbol}
    for bars in others:
        if (bars.timeframe_ns, bars.sessions) != (home.timeframe_ns, home.sessions):
            raise UsageError(
                f"pool: {bars.symbol} has {_calendar(bars)} bars, {home.symbol} has {_calendar(home)};"
                " bring all markets in one timeframe and one kind of calendar"
            )
        if bars.symbol in seen:
            raise UsageError(f"pool: {bars.symbol} is named twice; name each market once")
        seen.add(bars.symbol)


def _calendar(bars: Bars) -> str:
    return bars.timeframe + (" session" if bars.sessions else "")


def joined(parts: Sequence[Examples]) -> Examples:
    """Return the examples of several markets as one, a market's rows after those of the one before it.

    Windows never cross from one market into the next: a decidable row has its whole window in its own.
    """
    first = np.cumsum([0, *(len(part.y) for part in parts)])
    end = [np.where(part.end >= 0, part.end + shift, -1) for part, shift in zip(parts, first, strict=False)]
    return Examples(
        np.concatenate([part.matrix for part in parts]),
        parts[0].window,
        np.concatenate([part.decidable for part in parts]),
        np.concatenate([part.y for part in parts]),
        np.concatenate(end),
        np.concatenate([part.net for part in parts]),
        joined_fades([part.fades for part in parts]),
    )


def places(home: Bars, others: Sequence[Bars]) -> Rows:
    """Return where each row of all markets lies among the home market's bars: at the first that is not earlier.

    Two rows are compared in time by their places; a bar in a gap of the home market has the place of the bar after it.

    Examples
    --------
    >>> from engine.synthetic import random_bars
    >>> bars = random_bars(4)
    >>> places(bars, [bars[1:3]]).tolist()
    [0, 1, 2, 3, 1, 2]
    """
    return np.concatenate([np.searchsorted(home.open_time, bars.open_time) for bars in (home, *others)])
