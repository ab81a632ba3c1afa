"""Where in the week a bar opens, and a wave over it."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.bars import DAY_NS, Floats

WEEK_NS = 7 * DAY_NS
MONDAY_NS = 4 * DAY_NS  # 1970 began on a Thursday


@njit(cache=True, nogil=True)
def week_steps(time: NDArray[np.int64], step: int) -> NDArray[np.int64]:
    """Return whole steps from Monday's midnight, UTC, to each time; divides only where times do not follow.

    Parameters
    ----------
    time : int64 array of shape (n,)
        Nanoseconds since 1970.
    step : int
        Nanoseconds; a week is a whole number of steps.
    """
    out, steps = np.empty(len(time), np.int64), WEEK_NS // step
    for i in range(len(time)):
        if i > 0 and time[i] - time[i - 1] == step:
            out[i] = out[i - 1] + 1 if out[i - 1] + 1 < steps else 0
        else:
            out[i] = (time[i] - MONDAY_NS) // step % steps
    return out


@lru_cache(maxsize=16)
def week_table(step_ns: int, period_ns: int, wave: Callable[[Floats], Floats]) -> Floats:
    """Return a wave at every step of a week."""
    since_monday: Floats = np.arange(0.0, WEEK_NS, step_ns)
    return wave(2.0 * np.pi / period_ns * (since_monday % period_ns))
