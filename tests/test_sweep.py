"""Sweeps: every combo is a simulation, whichever road it took; the best is shown with the ground it stands on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.rules import FillRules, Rules
from engine.score import score
from engine.signals import Signals
from engine.simulate import simulate
from engine.sweep import Grid, parse_axis, sweep
from engine.sweep.market import COLUMNS
from engine.synthetic import random_bars
from tests.markets import bars_of, fill_rules, lively_signals, markets, rules

EXACT = ("total_return", "max_drawdown", "trades", "win_rate")
GRID = Grid(threshold=(0.2, 0.6), k_up=(0.5, 3.0), k_down=(1.0, 1e9), hold=(1, 3, 40))


def wishes_of(n, seed):
    """Wishes on both sides, each with a confidence that is sometimes unknown or just a threshold."""
    drawn = lively_signals(n, seed)
    confidence = np.random.default_rng(seed).choice([np.nan, 0.1, 0.2, 0.5, 0.6, 0.9], n)
    return Signals(drawn.side, drawn.atr, confidence=confidence)


def simulated(bars, wishes, terms, combo, funding=None):
    sure = wishes.confidence >= combo.threshold
    asked = Signals(np.where(sure, wishes.side, 0).astype(np.int8), wishes.atr)
    return score(simulate(bars, asked, combo.rules(terms), funding=funding))


def assert_simulated(found, wishes, terms, funding=None):
    for place in np.ndindex(found.grid.shape):
        want, got = simulated(found.bars, wishes, terms, found.combo(place), funding), found.at(place)
        for name in EXACT:
            assert got[name] == getattr(want, name), (place, name)
        for name in ("sharpe", "expectancy_bp"):
            assert (got[name] is None) == (getattr(want, name) is None), (place, name)
            assert (got[name] or 0.0) == pytest.approx(getattr(want, name) or 0.0, rel=1e-12, abs=1e-11), (place, name)


@settings(max_examples=120, deadline=None)
@given(markets, rules, st.integers(0, 99))
def test_every_combo_is_the_simulation_of_its_rules(bars, terms, seed):
    wishes = wishes_of(len(bars), seed)
    assert_simulated(sweep(bars, wishes, wishes.atr, terms, GRID, road="scan"), wishes, terms)


@settings(max_examples=120, deadline=None)
@given(markets, rules, st.integers(0, 99))
def test_looking_up_touches_has_the_bits_of_walking(bars, terms, seed):
    wishes = wishes_of(len(bars), seed)
    walked, looked_up = (sweep(bars, wishes, wishes.atr, terms, GRID, road=road) for road in ("scan", "touch"))
    np.testing.assert_array_equal(walked.figures, looked_up.figures)


@settings(max_examples=60, deadline=None)
@given(markets, rules, st.integers(0, 99))
def test_funding_is_paid_as_the_simulation_pays_it(bars, terms, seed):
    wishes = wishes_of(len(bars), seed)
    funding = np.random.default_rng(seed).choice([0.0, 0.01, -0.01, 0.3], len(bars))
    assert_simulated(sweep(bars, wishes, wishes.atr, terms, GRID, funding), wishes, terms, funding)


@pytest.mark.parametrize("road", ["scan", "touch"])
def test_long_histories_are_simulations_too(road):
    bars = random_bars(4000, seed=5, gaps=0.01, drift=0.0004)
    wishes = Signals(np.ones(4000, np.int8), bars.high - bars.low, confidence=np.random.default_rng(5).random(4000))
    terms, grid = Rules(fee=0.0, maker_fee=0.0, slippage=0.0), Grid((0.5, 0.99), (2.0, 30.0), (2.0, 30.0), (10, 600))
    found = sweep(bars, wishes, wishes.atr, terms, grid, road=road)
    assert_simulated(found, wishes, terms)
    assert (found.total_return > 0.5).any() and (found.max_drawdown < -0.2).any()


@settings(max_examples=20, deadline=None)
@given(markets, fill_rules, st.integers(0, 99), st.integers(2, 5))
def test_threads_and_company_change_nothing(bars, fills, seed, threads):
    wishes, terms = wishes_of(len(bars), seed), Rules(fills=fills)
    alone = sweep(bars, wishes, wishes.atr, terms, GRID)
    np.testing.assert_array_equal(alone.figures, sweep(bars, wishes, wishes.atr, terms, GRID, threads=threads).figures)
    for place in [(0, 0, 0, 0), (1, 1, 0, 2)]:
        one = Grid(*((value,) for value in GRID[place]))
        np.testing.assert_array_equal(
            sweep(bars, wishes, wishes.atr, terms, one).figures[:, 0],
            [column[place] for column in alone.figures.reshape(len(COLUMNS), *GRID.shape)],
        )
