"""The one way this project writes JSON: any number type in, never NaN out, the same bytes every time."""

from __future__ import annotations

import json
from typing import Any

import numpy as np


def _plain(value: Any) -> Any:
    """Return numbers of any library (numpy, torch) as Python's own, times as ISO text."""
    if isinstance(value, np.datetime64):
        return f"{np.datetime_as_string(value, unit='s')}Z"
    if isinstance(value, np.ndarray):
        return value.tolist()
    if hasattr(value, "item"):
        return value.item()
    if hasattr(value, "__fspath__"):
        return value.__fspath__()
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def dumps(value: Any, indent: int | None = 1) -> str:
    """Return JSON text; NaN and infinity are refused, because a result that is not known is None.

    Examples
    --------
    >>> dumps({"a": np.float32(0.5), "t": np.datetime64("2024-01-01T00:00", "ns")}, indent=None)
    '{"a": 0.5, "t": "2024-01-01T00:00:00Z"}'
    """
    return json.dumps(value, default=_plain, allow_nan=False, indent=indent)
