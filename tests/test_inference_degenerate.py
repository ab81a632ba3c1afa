"""Inputs from which nothing can be learned: every statistic says so, none is NaN and none crashes."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass

import numpy as np
import pytest

from engine.inference.assess import assess
from engine.inference.bootstrap import mean_interval, profit_factor_interval, sharpe_differences, sharpe_interval
from engine.inference.calibration import calibration, reliability_curve
from engine.inference.confidence_set import model_confidence_set
from engine.inference.deflated import Trials, effective_trials, trials_of
from engine.inference.drawdown import drawdown_range
from engine.inference.forecast import auc, log_loss
from engine.inference.interval import Draws
from engine.inference.pbo import backtest_overfitting
from engine.inference.sharpe import sample
from engine.inference.superiority import superiority

FEW = Draws(resamples=100)
RNG = np.random.default_rng(1)

SERIES = {
    "empty": np.empty(0),
    "one day": np.array([0.01]),
    "two days": np.array([0.01, -0.02]),
    "nine days": RNG.normal(0, 0.01, 9),
    "ten days": RNG.normal(0, 0.01, 10),
    "flat": np.zeros(60),
    "always the same": np.full(60, 0.001),
    "a NaN": np.r_[RNG.normal(0, 0.01, 60), np.nan],
    "infinite": np.r_[RNG.normal(0, 0.01, 60), np.inf],
    "one trade": np.r_[np.zeros(60), 0.05],
    "two values": np.tile([0.01, -0.01], 40),
    "tiny": RNG.normal(0, 1e-200, 60),
    "huge": RNG.normal(0, 1e150, 60),
    "ruin": np.r_[RNG.normal(0, 0.01, 60), -1.0],
    "trend": np.linspace(0.0, 0.1, 60),
}
STATISTICS = {
    "sample": sample,
    "sharpe_interval": lambda x: sharpe_interval(x, 365, FEW),
    "mean_interval": lambda x: mean_interval(x, FEW),
    "profit_factor_interval": lambda x: profit_factor_interval(x, FEW),
    "drawdown_range": lambda x: drawdown_range(x, FEW),
    "assess": lambda x: assess(x, 365, Trials(31), FEW),
    "sharpe_differences": lambda x: sharpe_differences(np.column_stack([x, x[::-1]]), [(0, 1), (1, -1)], 365, FEW),
    "superiority": lambda x: superiority(np.column_stack([x, x[::-1]]), 0.0, FEW),
    "model_confidence_set": lambda x: model_confidence_set(np.column_stack([x, x[::-1], np.zeros(len(x))]), 0.05, FEW),
    "backtest_overfitting": lambda x: backtest_overfitting(np.column_stack([x, x[::-1]] * 3), 4),
    "trials_of": lambda x: trials_of(np.column_stack([x, x[::-1]])),
    "effective_trials": lambda x: effective_trials(x[:, None]),
}


def numbers(found):
    """Every number inside a result."""
    if isinstance(found, tuple):
        return [n for part in found for n in numbers(part)]
    if is_dataclass(found):
        return [n for field in fields(found) for n in numbers(getattr(found, field.name))]
    return [found] if isinstance(found, float | int) else []


@pytest.mark.parametrize("series", SERIES)
@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.filterwarnings("error")
def test_no_statistic_crashes_or_returns_what_is_no_number(statistic, series):
    for number in numbers(STATISTICS[statistic](SERIES[series].copy())):
        assert math.isfinite(number)


@pytest.mark.parametrize("statistic", ["sharpe_interval", "mean_interval", "assess", "superiority"])
@pytest.mark.parametrize("series", ["empty", "one day", "flat", "always the same", "a NaN"])
def test_what_cannot_be_known_is_explained(statistic, series):
    assert STATISTICS[statistic](SERIES[series].copy()).why


@pytest.mark.parametrize("n", [0, 1, 2, 9, 40])
@pytest.mark.parametrize("event", [0.0, 1.0, None])
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0, None])
@pytest.mark.filterwarnings("error")
def test_no_forecast_score_crashes_or_returns_what_is_no_number(n, event, p):
    rng = np.random.default_rng(2)
    y = np.full(n, event) if event is not None else (np.arange(n) % 2).astype(float)
    forecast = np.full(n, p) if p is not None else rng.random(n)
    found = (
        calibration(forecast, y),
        log_loss(forecast, y, None, FEW),
        auc(forecast, y),
        reliability_curve(forecast, y),
    )
    assert all(math.isfinite(number) for number in numbers(found))
