"""Columns of numbers as compact JSON: what numpy holds, a browser reads, and nothing in between."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import UsageError

SHORT = 32  # shorter columns are plain lists: as small, and readable in the page's source
INTEGERS = (("u8", np.uint8), ("i8", np.int8), ("u32", np.uint32), ("i32", np.int32))


def to_json(report: Mapping[str, Any]) -> str:
    r"""Return a payload as JSON that may stand inside a script element of a page.

    Parameters
    ----------
    report : mapping
        Dicts, sequences, numbers, text, None, and numpy arrays and scalars of any kind of number or time.

    Returns
    -------
    str
        Plain ASCII without ``<``, ``>`` and ``&``, so that no text in it can end the element.

    Examples
    --------
    >>> to_json({"a": np.array([1.0, np.nan]), "b": "</script>", "c": float("inf")})
    '{"a":[1.0,null],"b":"\\u003c/script\\u003e","c":null}'
    """
    text = json.dumps(packed(report), separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def packed(value: Any) -> Any:
    """Return a value as JSON's own types: arrays packed, six significant digits, None for what is not finite."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, np.ndarray):
        return packed_array(value)
    if isinstance(value, np.datetime64):
        return packed_array(np.array([value]))[0]
    if isinstance(value, np.generic):
        return packed(value.item())
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): packed(part) for name, part in value.items()}
    if isinstance(value, Sequence):
        return [packed(part) for part in value]
    raise UsageError(f"a report holds numbers, text, lists, dicts and arrays; it was given a {type(value).__name__}")


def packed_array(array: NDArray[Any]) -> Any:
    """Return a column as a list, or as base64 of 32-bit floats or of the smallest integers that hold it.

    Examples
    --------
    >>> packed_array(np.array(["2020-01-01T01"], "datetime64[h]"))
    [1577840400]
    >>> packed_array(np.zeros(40, np.int8))["u8"][:8]
    'AAAAAAAA'
    """
    if array.ndim != 1:
        raise UsageError(f"a report's columns are one-dimensional; one had shape {array.shape}")
    if array.dtype.kind == "M":
        array = array.astype("datetime64[s]").astype(np.int64)
    if array.dtype.kind not in "fiub":
        raise UsageError(f"a report's columns hold numbers or times; one held {array.dtype}")
    if len(array) < SHORT:
        return [packed(item) for item in array.tolist()]
    if array.dtype.kind == "f":
        return _base64("f32", array.astype("<f4"))
    low, high = int(array.min()), int(array.max())
    for name, kind in INTEGERS:
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return _base64(name, array.astype(np.dtype(kind).newbyteorder("<")))
    return array.tolist()


def _base64(name: str, array: NDArray[Any]) -> dict[str, str]:
    return {name: base64.b64encode(array.tobytes()).decode()}
