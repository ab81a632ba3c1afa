"""The one place that knows what time it is."""

from __future__ import annotations

import time

import numpy as np


def now() -> np.datetime64:
    """Return the time in UTC, datetime64[ns]."""
    return np.datetime64(time.time_ns(), "ns")


def seconds() -> float:
    """Return seconds on a clock that never goes back; only differences mean something."""
    return time.monotonic()


def stamp() -> str:
    """Return the time in UTC to the second, as records carry it."""
    return f"{np.datetime_as_string(now(), unit='s')}Z"
