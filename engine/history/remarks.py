"""What looks odd in bars that break no rule: lone spikes, and stretches in which nothing moves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.bars import Floats

SPIKE = 5.0  # times the closes on either side
FLAT_BARS = 50
NEAR = 3


def spikes(high: Floats, low: Floats, close: Floats) -> NDArray[np.int64]:
    """Return the bars that alone reach five times above or below the median of the three closes on either side.

    Examples
    --------
    >>> close = np.ones(9)
    >>> spikes(np.r_[np.ones(4), 6.0, np.ones(4)], close, close).tolist()
    [4]
    """
    if len(close) <= NEAR:
        return np.empty(0, np.int64)
    padded = np.pad(close, NEAR, mode="reflect")
    middles = _middle_of_three(padded)
    before, after = middles[: len(close)], middles[NEAR + 1 : NEAR + 1 + len(close)]
    above = high > SPIKE * np.maximum(before, after)
    return np.flatnonzero(above | ((low > 0) & (low * SPIKE < np.minimum(before, after))))


def flat_stretches(prices: dict[str, Floats]) -> NDArray[np.int64]:
    """Return first and last row of every stretch of 50 or more equal bars without any movement, shape (k, 2)."""
    price = prices["close"]
    still = (prices["high"] == prices["low"]) & (price == prices["high"])
    same = still[1:] & still[:-1] & (price[1:] == price[:-1])
    edges = np.flatnonzero(np.diff(np.r_[False, same, False].astype(np.int8)))
    runs = edges.reshape(-1, 2)
    return runs[runs[:, 1] - runs[:, 0] + 1 >= FLAT_BARS]


def _middle_of_three(values: Floats) -> Floats:
    """Return the median of each value and the two after it."""
    a, b, c = values[:-2], values[1:-1], values[2:]
    return np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
