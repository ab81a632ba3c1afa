"""Examples from dice, with labels that may follow a feature, and small networks to learn them."""

from __future__ import annotations

import numpy as np

from research.config import TrainConfig, parse_config
from research.events import Examples, Split


def dice(n: int = 600, planted: float = 0.0, seed: int = 0) -> Examples:
    """Return features from dice, with labels that may follow the last bar's first feature."""
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((n, 3)).astype(np.float32)
    y = (rng.random(n) < 1 / (1 + np.exp(-planted * matrix[:, 0]))).astype(float)
    decidable = np.arange(n) >= 7
    return Examples(matrix, 8, decidable, y, np.arange(n) + 1, np.zeros((n, 2)))


def settings(transformer: dict | None = None, **sections) -> TrainConfig:
    """Return a configuration of small networks over windows of 8 bars."""
    base = {"width": 16, "feedforward": 32, "dropout": 0.0, "stride": 1, "batch": 64, "epochs": 3}
    keys = {"window": 8, "threads": 1, "trees": {"lags": [0]}, "transformer": base | (transformer or {})}
    return parse_config(keys | sections)


def halves(examples: Examples) -> Split:
    """Return the first half of the rows to learn from and the second to stop on."""
    rows = examples.rows
    return examples.split(rows[: len(rows) // 2], rows[len(rows) // 2 :])
