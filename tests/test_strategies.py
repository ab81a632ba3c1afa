"""Strategies: a predictor proposes, gates only remove, and the last `memory` bars decide."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.signals import BELOW_THRESHOLD, FIRST_VETO, NO_EVIDENCE, WISH, Evidence, Signals
from engine.synthetic import random_bars
from models.bundle import load_bundle
from strategies import MODES, PROFILES, ThresholdStrategy, gate_grid, make_strategy
from strategies.gates import AuditorGate
from strategies.thresholds import threshold_curves
from tests.bundles import make_bundle

BARS = random_bars(2600, seed=31)
GAPPED = random_bars(2600, seed=32, gaps=0.003)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return load_bundle(make_bundle(tmp_path_factory.mktemp("bundles"), BARS))


@pytest.fixture(scope="module")
def two_sided(tmp_path_factory):
    return load_bundle(make_bundle(tmp_path_factory.mktemp("bundles"), BARS, name="both", sides=("long", "short")))


def every_strategy(bundle) -> list[ThresholdStrategy]:
    profiles = [make_strategy(name, bundle, mode) for name in PROFILES for mode in MODES]
    return profiles + [strategy for mode in MODES for strategy in gate_grid(bundle, mode)]


def assert_same(found: Signals, told: Signals) -> None:
    for name in ("side", "atr", "confidence", "proposed", "reason"):
        np.testing.assert_array_equal(getattr(found, name), getattr(told, name), err_msg=name)
    assert list(found.gates) == list(told.gates)
    for gate, verdict in told.gates.items():
        np.testing.assert_array_equal(found.gates[gate], verdict, err_msg=gate)
    for part in fields(Evidence):
        np.testing.assert_array_equal(getattr(found.evidence, part.name), getattr(told.evidence, part.name))


@pytest.mark.parametrize("bars", [BARS, GAPPED], ids=["whole", "with gaps"])
def test_memory_is_enough(bundle, two_sided, bars):
    strategies = every_strategy(bundle) + every_strategy(two_sided)
    whole = [strategy.signals(bars) for strategy in strategies]
    for n in range(bundle.memory, len(bars) + 1, 97):
        last = bars[n - bundle.memory : n]
        for strategy, told in zip(strategies, whole, strict=True):
            assert strategy.memory == bundle.memory
            assert_same(strategy.signals(last)[-1:], told[n - 1 : n])


def test_the_past_does_not_change_when_the_future_arrives(bundle, two_sided):
    strategies = every_strategy(bundle) + every_strategy(two_sided)
    whole = [strategy.signals(BARS) for strategy in strategies]
    for n in (1, 2, 57, 350, 1701, 2599):
        for strategy, told in zip(strategies, whole, strict=True):
            assert_same(strategy.signals(BARS.upto(n)), told[:n])


def test_every_strategy_is_lively_enough_to_prove_something(bundle, two_sided):
    for strategy in every_strategy(bundle) + every_strategy(two_sided):
        if strategy.mode == "rank":
            assert np.count_nonzero(strategy.signals(BARS).side) > 3, strategy
    assert set(make_strategy("reckless", two_sided).signals(BARS).side.tolist()) == {-1, 0, 1}
    assert set(make_strategy("reckless", bundle).signals(BARS).side.tolist()) == {0, 1}


def test_more_gates_leave_a_subset(bundle):
    for mode in MODES:
        grid = gate_grid(bundle, mode)
        for few in grid:
            for many in grid:
                if few.threshold == many.threshold and few.regime <= many.regime and few.auditor <= many.auditor:
                    left, all_of_them = many.signals(BARS).side, few.signals(BARS).side
                    np.testing.assert_array_equal(left[left != 0], all_of_them[left != 0])
                    np.testing.assert_array_equal(many.signals(BARS).proposed, few.signals(BARS).proposed)


def test_a_higher_threshold_only_removes(bundle):
    for profile in PROFILES:
        for mode in MODES:
            wished = [
                make_strategy(profile, bundle, mode, level).signals(BARS).side for level in (0.0, 0.4, 0.6, 0.9, 1.0)
            ]
            for low, high in pairwise(wished):
                np.testing.assert_array_equal(high[high != 0], low[high != 0])
            assert np.count_nonzero(wished[0]) > np.count_nonzero(wished[-1])


def evidence_of(rows: list[tuple]) -> Evidence:
    """Return evidence from rows of (p_up, lean, rank, turbulent, audit)."""
    table = np.array(rows, np.float64).reshape(-1, 5)
    belief = np.stack([1.0 - table[:, 3], table[:, 3]], axis=1)
    return Evidence(table[:, 0], table[:, 1].astype(np.int8), table[:, 2], belief, table[:, 4], np.ones(len(table)))


NAN = float("nan")
CHANCE = st.one_of(st.floats(0.0, 1.0), st.just(NAN))
ANY_ROW = st.tuples(CHANCE, st.sampled_from([-1, 1]), CHANCE, CHANCE, CHANCE)


@settings(max_examples=100, deadline=None)
@given(st.lists(ANY_ROW, max_size=30))
def test_a_gate_never_adds_and_never_stumbles(bundle, rows):
    evidence = evidence_of(rows)
    for strategy in every_strategy(bundle):
        signals = strategy.signals_from(evidence)
        wished = signals.side != 0
        np.testing.assert_array_equal(signals.side[wished], signals.proposed[wished])
        np.testing.assert_array_equal(wished, signals.reason == WISH)
        for verdict in signals.gates.values():
            assert verdict.dtype == np.bool_
            assert verdict[wished].all()


def test_each_row_says_why(bundle):
    strategy = make_strategy("audited", bundle)
    limits = bundle.manifest.thresholds
    calm, wild, good, bad = 0.1, limits["max_turbulent"] + 0.1, limits["auditor"], limits["auditor"] - 1e-6
    rows = [
        (0.6, 1, 0.8, calm, good, WISH, "wish"),
        (0.6, 1, 0.75, limits["max_turbulent"], good, WISH, "wish"),
        (NAN, 1, NAN, calm, NAN, NO_EVIDENCE, "no evidence"),
        (0.6, 1, 0.7499, calm, good, BELOW_THRESHOLD, "below threshold"),
        (0.6, 1, 0.8, wild, good, FIRST_VETO, "vetoed by regime"),
        (0.6, 1, 0.8, calm, bad, FIRST_VETO + 1, "vetoed by auditor"),
        (0.6, 1, 0.8, wild, bad, FIRST_VETO, "vetoed by regime"),
        (0.6, 1, 0.8, NAN, good, FIRST_VETO, "vetoed by regime"),
        (0.6, 1, 0.8, calm, NAN, FIRST_VETO + 1, "vetoed by auditor"),
    ]
    signals = strategy.signals_from(evidence_of([row[:5] for row in rows]))
    assert signals.reason.tolist() == [row[5] for row in rows]
    assert [signals.why(i) for i in range(len(rows))] == [row[6] for row in rows]
    assert signals.side.tolist() == [1, 1] + [0] * 7
    assert signals.gates["regime"].tolist() == [True, True, True, True, False, True, False, False, True]


def test_gates_say_what_they_think_of_every_bar(bundle):
    signals = make_strategy("audited", bundle).signals(BARS)
    quiet = (signals.proposed == 0) & np.isfinite(signals.evidence.p_up)
    for verdict in signals.gates.values():
        assert set(verdict[quiet].tolist()) == {False, True}


def test_an_auditor_that_always_agrees_changes_no_trade(bundle):
    found = bundle.evidence(BARS)
    agreed = replace(found, audit=np.ones(len(BARS)))
    ungated = ThresholdStrategy(bundle, "regime alone", 0.75, regime=True, auditor=False)
    audited = make_strategy("audited", bundle).signals_from(agreed)
    np.testing.assert_array_equal(audited.side, ungated.signals(BARS).side)
    calm = replace(agreed, belief=np.zeros_like(found.belief))
    reckless = make_strategy("reckless", bundle).signals(BARS)
    np.testing.assert_array_equal(make_strategy("audited", bundle).signals_from(calm).side, reckless.side)


def test_a_short_needs_the_same_confidence_as_a_long(two_sided):
    strategy = make_strategy("reckless", two_sided, "probability")
    sides = strategy.signals_from(evidence_of([(0.2, -1, 0.9, 0, 1), (0.3, -1, 0.9, 0, 1), (0.8, 1, 0.9, 0, 1)])).side
    assert sides.tolist() == [-1, 0, 1]


def test_the_modes_ask_for_different_things(bundle):
    evidence = evidence_of([(0.6, 1, 0.97, 0.0, 1.0), (0.97, 1, 0.6, 0.0, 1.0)])
    assert make_strategy("sniper", bundle, "rank").signals_from(evidence).side.tolist() == [1, 0]
    assert make_strategy("sniper", bundle, "probability").signals_from(evidence).side.tolist() == [0, 1]


def test_the_profiles_are_what_they_are_said_to_be(bundle):
    told = {
        name: (s.name, s.threshold, s.regime, s.auditor) for name in PROFILES for s in [make_strategy(name, bundle)]
    }
    assert told == {
        "sniper": ("Sniper", 0.95, True, False),
        "audited": ("Audited", 0.75, True, True),
        "reckless": ("Reckless", 0.75, False, False),
    }


def test_each_profile_is_in_the_grid_and_the_grid_has_all_between(bundle):
    grid = {(s.threshold, s.regime, s.auditor) for s in gate_grid(bundle)}
    assert len(grid) == len({s.name for s in gate_grid(bundle)}) == 8
    assert {(s.threshold, s.regime, s.auditor) for s in (make_strategy(name, bundle) for name in PROFILES)} <= grid


def test_profiles_are_found_in_any_case_and_unknown_ones_are_named(bundle):
    assert make_strategy("SNIPER", bundle).name == "Sniper"
    with pytest.raises(UsageError, match="unknown profile 'snipr'; did you mean 'sniper'"):
        make_strategy("snipr", bundle)
    with pytest.raises(UsageError, match="unknown confidence mode 'ranks'; did you mean 'rank'"):
        make_strategy("sniper", bundle, "ranks")
    with pytest.raises(UsageError, match=r"threshold must be in \[0, 1\], was 95"):
        make_strategy("sniper", bundle, threshold=95)


def test_recorded_evidence_leads_to_the_same_wishes(bundle):
    for strategy in every_strategy(bundle):
        told = strategy.signals_from(bundle.stored_evidence(BARS))
        np.testing.assert_array_equal(told.side[1300:], strategy.signals(BARS).side[1300:])
        assert not told.side[:1300].any()


def test_the_bar_recorded_with_the_evidence_is_the_one_that_holds():
    plain = evidence_of([(0.6, 1, 0.8, 0.1, audit) for audit in (0.4, 0.6, 0.6, 0.6, NAN)])
    recorded = replace(plain, tau=np.array([0.3, 0.6, 0.7, NAN, 0.3]))
    gate = AuditorGate(0.5)
    assert gate.allowed(plain).tolist() == [False, True, True, True, False]
    assert gate.allowed(recorded).tolist() == [True, True, False, False, False]
    assert gate.allowed(recorded[2:]).tolist() == [False, False, False]
    assert gate.allowed(plain[:2]).tolist() == [False, True]


def test_threshold_curves_leave_the_auditor_out_and_say_what_their_zone_is(bundle):
    curves = threshold_curves(bundle, BARS, bundle.rules(), "rank")
    assert [curve["name"] for curve in curves] == ["predictor alone", "regime gate"]
    assert {curve["zone"] for curve in curves} == {"validation (calibration and ranks were fitted here)"}
