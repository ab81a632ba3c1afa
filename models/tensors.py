"""Named arrays of float32 in one file, in the safetensors layout: a header in JSON, then the numbers. Nothing runs.

Layout: eight bytes with the header's length, little-endian; the header, which gives each name its ``dtype``
("F32"), ``shape`` and ``data_offsets``; the numbers, without holes. Any safetensors reader opens such a file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import ModelMismatch
from models.manifest import parse_json

Floats32 = NDArray[np.float32]
LENGTH = 8  # bytes that hold the header's length
LONGEST_HEADER = 1 << 20
ALIGNED = 8  # headers are padded with spaces, so that the numbers begin on a multiple of this


def write_tensors(arrays: Mapping[str, Floats32]) -> bytes:
    """Return the file of some arrays; the same arrays give the same bytes.

    Examples
    --------
    >>> raw = write_tensors({"head": np.arange(3, dtype=np.float32)})
    >>> read_tensors(raw, "toy")["head"].tolist()
    [0.0, 1.0, 2.0]
    """
    header: dict[str, Any] = {}
    parts, place = [], 0
    for name, array in arrays.items():
        raw = np.ascontiguousarray(array, "<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [place, place + len(raw)]}
        parts.append(raw)
        place += len(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNED)
    return len(text).to_bytes(LENGTH, "little") + text + b"".join(parts)


def read_tensors(raw: bytes, where: str) -> dict[str, Floats32]:
    """Return the arrays of a file by name.

    Raises
    ------
    ModelMismatch
        If the header is no such header, or the numbers are not exactly those it describes, all finite.
    """
    size = int.from_bytes(raw[:LENGTH], "little")
    if len(raw) < LENGTH or not 2 <= size <= min(LONGEST_HEADER, len(raw) - LENGTH):
        raise ModelMismatch(f"{where} is no safetensors file: its header has no length it can have; retrain")
    header, numbers = parse_json(raw[LENGTH : LENGTH + size], where), raw[LENGTH + size :]
    out, place = {}, 0
    for name, entry in header.items():
        shape, end = _described(entry, place)
        if shape is None or end > len(numbers):
            raise ModelMismatch(
                f"{where}: {name!r} must be float32 numbers of a shape, laid directly after the last; retrain"
            )
        out[name] = np.frombuffer(numbers, "<f4", (end - place) // 4, place).reshape(shape).astype(np.float32)
        place = end
        if not np.isfinite(out[name]).all():
            raise ModelMismatch(f"{where}: {name!r} holds numbers that are not finite; retrain")
    if place != len(numbers):
        raise ModelMismatch(f"{where} holds {len(numbers) - place} bytes that its header does not name; retrain")
    return out


def _described(entry: Any, place: int) -> tuple[list[int] | None, int]:
    """Return shape and end of an array, or no shape if the entry is not one of ours."""
    if not isinstance(entry, dict) or entry.get("dtype") != "F32":
        return None, place
    shape = entry.get("shape")
    if not isinstance(shape, list) or not all(type(side) is int and side >= 0 for side in shape):
        return None, place
    end = place + 4 * math.prod(shape)
    return (shape, end) if entry.get("data_offsets") == [place, end] else (None, place)
