"""The one place that knows what time it is."""

from __future__ import annotations

import time

import numpy as np


def now() -> np.datetime64:
    """Return the time in UTC, datetime64[ns]."""
    return np.datetime64(time.time_ns(), "ns")


class Clock:
    """The machine's own clock, as the bot is handed it; tests hand it another."""

    def now(self) -> int:
        """Return the time in UTC, in nanoseconds since 1970."""
        return time.time_ns()

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(max(seconds, 0.0))


def seconds() -> float:
    """Return seconds on a clock that never goes back; only differences mean something."""
    return time.monotonic()


def stamp() -> str:
    """Return the time in UTC to the second, as records carry it."""
    return f"{np.datetime_as_string(now(), unit='s')}Z"
