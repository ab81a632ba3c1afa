"""Indicators with a memory that ends: a value depends on a known number of bars, bit for bit."""

from engine.indicators.anchored import BLOCK, LONGEST_PERIOD, Recursions, Rolling, atr, recursions
from engine.indicators.events import EVENT_ATRS, cusum_sums
from engine.indicators.fractional import return_weights, weighed
from engine.indicators.weeks import WEEK_NS, week_steps, week_table
from engine.indicators.windows import frozen, interleave, window_highest, window_moments

__all__ = [
    "BLOCK",
    "EVENT_ATRS",
    "LONGEST_PERIOD",
    "WEEK_NS",
    "Recursions",
    "Rolling",
    "atr",
    "cusum_sums",
    "frozen",
    "interleave",
    "recursions",
    "return_weights",
    "week_steps",
    "week_table",
    "weighed",
    "window_highest",
    "window_moments",
]
