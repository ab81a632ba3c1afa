"""When a market has moved enough to look at: the symmetric CUSUM filter, with a memory that ends.

Moves are summed up and down since the last event; where a sum passes the threshold of its bar there is an event,
and the side that fired starts again at 0. What the sums hold depends on where they began, so, like every recursion
here, they are anchored on the time grid (`engine.indicators.anchored`); in one block they are the endless filter.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.bars import Floats

EVENT_ATRS = 3.0  # a move of three average ranges is an event


class Sums(NamedTuple):
    """What the filter carries from bar to bar: both sums, the last event, and the bars since."""

    up: float
    down: float
    side: float
    age: float


QUIET = Sums(0.0, 0.0, 0.0, 0.0)


@njit(cache=True, nogil=True)
def sums_step(s: Sums, move: float, threshold: float) -> Sums:
    """Return the sums after one more move; an event has age 0. One event per bar, and one side is reset."""
    if not (np.isfinite(move) and np.isfinite(threshold)):
        return Sums(s.up, s.down, s.side, s.age + 1.0)
    up, down = max(0.0, s.up + move), min(0.0, s.down + move)
    if up > threshold:
        return Sums(0.0, down, 1.0, 0.0)
    if down < -threshold:
        return Sums(up, 0.0, -1.0, 0.0)
    return Sums(up, down, s.side, s.age + 1.0)


@njit(cache=True, nogil=True)
def cusum_pass(blocks: NDArray[np.int64], moves: Floats, thresholds: Floats, out: Floats) -> None:
    """Run the anchored filter over moves.

    Parameters
    ----------
    blocks : int64 array of shape (n,)
        Number of the block on the time grid, not falling; all equal for the endless filter.
    moves, thresholds : float64 arrays of shape (n,)
        Log returns and what their sum must pass; a bar where either is not finite tells nothing.
    out : float64 array of shape (2, n)
        Filled with the event of each bar (1 up, -1 down, 0 none) and its echo: the last event over the bars
        since it and one more.
    """
    current = fresh = QUIET
    for i in range(len(moves)):
        if i > 0 and blocks[i] != blocks[i - 1]:
            current, fresh = fresh, QUIET
        current = sums_step(current, moves[i], thresholds[i])
        fresh = sums_step(fresh, moves[i], thresholds[i])
        out[0, i] = current.side if current.age == 0.0 else 0.0
        out[1, i] = current.side / (1.0 + current.age)


def cusum_sums(blocks: NDArray[np.int64], moves: Floats, thresholds: Floats) -> Floats:
    """Return events and their echoes, shape (2, n); NaN where the threshold is not known."""
    out: Floats = np.empty((2, len(moves)))
    cusum_pass(blocks, np.ascontiguousarray(moves), np.ascontiguousarray(thresholds), out)
    out[:, np.isnan(thresholds)] = np.nan
    return out


def cusum(moves: Floats, thresholds: Floats) -> NDArray[np.int8]:
    """Return the events of a series of moves: 1 or -1 where the sum since the last event passed the threshold.

    Notes
    -----
    Lopez de Prado (2018), *Advances in Financial Machine Learning*, 2.5.2, with the threshold of the bar itself
    and a reset of the side that fired alone.

    Examples
    --------
    >>> np.flatnonzero(cusum(np.full(12, 0.01), np.full(12, 0.035)))
    array([ 3,  7, 11])
    """
    events = cusum_sums(np.zeros(len(moves), np.int64), moves, thresholds)[0]
    return np.nan_to_num(events).astype(np.int8)
