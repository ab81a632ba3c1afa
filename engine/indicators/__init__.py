"""Indicators with a memory that ends: a value depends on a known number of bars, bit for bit."""

from engine.indicators.anchored import BLOCK, LONGEST_PERIOD, Recursions, atr, recursions
from engine.indicators.windows import frozen, interleave, window_highest, window_moments

__all__ = [
    "BLOCK",
    "LONGEST_PERIOD",
    "Recursions",
    "atr",
    "frozen",
    "interleave",
    "recursions",
    "window_highest",
    "window_moments",
]
