"""Whether JSON has the shape a reader asks for."""

from __future__ import annotations

from typing import Any

_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def misfit(value: Any, shape: Any, path: str) -> str | None:
    """Return the first place where JSON does not have the shape asked for."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return f"{path} must be an object"
        missing = [key for key in shape if key not in value]
        if missing:
            return f"{f'{path}.' if path else ''}{missing[0]} is missing"
        faults = (misfit(value[key], inner, f"{path}.{key}" if path else key) for key, inner in shape.items())
        return next((fault for fault in faults if fault), None)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{path} must be a list"
        return next((fault for i, item in enumerate(value) if (fault := misfit(item, shape[0], f"{path}[{i}]"))), None)
    allowed = (int, float) if shape is float else shape
    if not isinstance(value, allowed) or (isinstance(value, bool) and shape is not bool):
        return f"{path} must be {_WORDS[shape]}"
    return None
