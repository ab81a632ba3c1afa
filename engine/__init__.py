"""Pure: bars in, decisions, trades and figures out; no network, clock, environment or unseeded dice."""

from pathlib import Path

from engine.kernel_cache import forget_stale_kernels

forget_stale_kernels(Path(__file__).resolve().parents[1])
