"""Watches of a bundle: what they say, from how many bars, and that their gates only remove."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from engine.bars import Bars
from engine.card.gates import gate_worths
from engine.compare import compare_strategies
from engine.errors import ModelMismatch, UsageError
from engine.indicators.windows import frozen
from engine.synthetic import random_bars
from models.bundle import load_bundle
from models.folder import write_bundle
from models.volatility import FILE, INPUTS
from models.watch import Watch, trailing_rank, watches_of
from research.config import parse_config
from research.export_volatility import volatility_graph
from research.train import train
from research.volatility_road import fit_development
from research.watching import watches
from strategies import make_strategy
from strategies.workbench import lineup
from tests.bundles import make_bundle

SUPERVISOR = {"bars": 300, "most": 0.8, "profiles": ["audited"], "column": "vix_level"}
VOLATILITY = {"bars": 24, "most": 0.6, "profiles": ["sniper", "audited"]}


def watched_bars(n: int = 2600, seed: int = 1) -> Bars:
    vix = np.repeat(np.random.default_rng(seed).standard_normal(n // 24 + 1), 24)[:n]
    vix[:30] = np.nan
    return random_bars(n, seed=seed).beside({"vix_level": vix})


BARS = watched_bars()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    plain = load_bundle(make_bundle(tmp_path_factory.mktemp("watch"), BARS))
    files = {name: (plain.folder / name).read_bytes() for name in plain.manifest.files}
    graph = volatility_graph(fit_development(BARS[:1500], 24))
    told = plain.manifest.regime | {"watches": {"supervisor": SUPERVISOR, "volatility": VOLATILITY}}
    page = dataclasses.replace(plain.manifest, regime=told)
    return load_bundle(write_bundle(plain.folder, page, files | {FILE: graph}))


@trials(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([1.0, 2.0, 3.0, np.nan]), min_size=1, max_size=40), st.integers(2, 12))
def test_a_rank_is_the_share_of_the_last_known_values_below(values, window):
    found = trailing_rank(frozen(np.array(values)), window)
    for t, value in enumerate(values):
        last = [v for v in values[max(t - window + 1, 0) : t + 1] if v == v]
        told = sum(v < value for v in last) / len(last) if value == value and 2 * len(last) >= window else np.nan
        np.testing.assert_equal(found[t], told)


def test_the_last_memory_bars_decide_what_is_watched(bundle):
    whole = bundle.evidence(BARS).watch
    assert whole.shape == (len(BARS), 2)
    assert bundle.memory >= max(watch.memory for watch in watches_of(bundle.manifest)) == 529
    for n in range(bundle.memory, len(BARS) + 1, 173):
        last = bundle.evidence(BARS[n - bundle.memory : n]).watch
        np.testing.assert_array_equal(last[-1], whole[n - 1])
    for n in (600, 1800):
        np.testing.assert_array_equal(bundle.evidence(BARS.upto(n)).watch, whole[:n])


def test_the_gates_stand_where_the_manifest_says_and_only_remove(bundle):
    evidence = bundle.evidence(BARS)
    for profile, names in (
        ("reckless", []),
        ("sniper", ["regime", "volatility"]),
        ("audited", ["regime", "auditor", "supervisor", "volatility"]),
    ):
        strategy = make_strategy(profile, bundle)
        assert [gate.name for gate in strategy.gates] == names
        signals = strategy.signals_from(evidence)
        assert ((signals.side == signals.proposed) | (signals.side == 0)).all()
        for i, gate in enumerate(("supervisor", "volatility")):
            if gate in names:
                np.testing.assert_array_equal(signals.gates[gate], evidence.watch[:, i] <= (0.8, 0.6)[i])
                assert 0.05 < signals.gates[gate][600:].mean() < 0.95
    unknown = dataclasses.replace(evidence, watch=np.full_like(evidence.watch, np.nan))
    assert not make_strategy("audited", bundle).signals_from(unknown).side.any()
    assert not make_strategy("audited", bundle).signals_from(dataclasses.replace(evidence, watch=None)).side.any()


def test_each_gate_is_compared_with_the_strategy_that_lacks_it_alone(bundle):
    comparison = compare_strategies(lineup(bundle, "rank"), BARS, bundle.rules(), slice(1200, len(BARS)))
    terms = {row.name: dict(row.terms) for row in comparison.rows if row.terms}
    assert terms["Audited"] | {"volatility": False, "supervisor": False} in terms.values()
    assert terms["Sniper"] == {**terms["Sniper"], "supervisor": False, "volatility": True}
    pairs = {(a, b): None for a in terms for b in terms}
    worths = {(worth.gate, worth.strategy): worth for worth in gate_worths(comparison, pairs)}
    assert worths["volatility", "Sniper"].without == "0.95 +regime"
    assert not any(gate in ("regime", "auditor") and name in ("Audited", "Sniper") for gate, name in worths)


def test_without_what_the_supervisor_reads_nothing_is_said(bundle):
    with pytest.raises(UsageError, match="reads vix_level beside its bars, which nobody joined"):
        bundle.evidence(random_bars(2600, seed=1))
    assert bundle.beside == ("vix_level",)


def test_a_bundle_without_watches_has_none(tmp_path):
    plain = load_bundle(make_bundle(tmp_path, BARS[:1500]))
    assert plain.evidence(BARS[:1500]).watch is None
    assert watches_of(plain.manifest) == ()
    assert make_strategy("audited", plain).watches == {}


@pytest.mark.parametrize(
    "page",
    [
        {"oracle": VOLATILITY},
        {"supervisor": VOLATILITY},
        {"volatility": VOLATILITY | {"most": 1.5}},
        {"volatility": VOLATILITY | {"bars": 1}},
        {"volatility": VOLATILITY | {"profiles": "all"}},
        {"volatility": [1]},
    ],
)
def test_a_watch_that_this_code_does_not_know_is_refused(bundle, page):
    manifest = dataclasses.replace(bundle.manifest, regime=bundle.manifest.regime | {"watches": page})
    with pytest.raises(ModelMismatch, match="is no watch this code knows; retrain"):
        watches_of(manifest)


def test_a_bundle_that_declares_less_memory_than_its_watches_need_is_refused(bundle, tmp_path):
    files = {name: (bundle.folder / name).read_bytes() for name in bundle.manifest.files}
    longer = bundle.manifest.regime | {"watches": {"supervisor": SUPERVISOR | {"bars": bundle.memory + 1}}}
    folder = write_bundle(tmp_path / "toy", dataclasses.replace(bundle.manifest, regime=longer), files)
    with pytest.raises(ModelMismatch, match=f"declares memory {bundle.memory}, its parts need {bundle.memory + 1}"):
        load_bundle(folder)


def test_a_training_writes_what_it_was_asked_to_watch(tmp_path):
    config = parse_config(
        {
            "name": "watched",
            "window": 8,
            "threads": 1,
            "features": ["ret_1", "vol_24", "body"],
            "candidates": ["logistic"],
            "folds": {"count": 2},
            "trees": {"lags": [0]},
            "regime": {"starts": 2, "screen_bars": 400},
            "auditor": {"least_events": 60},
            "supervisor": {"column": "vix_level", "bars": 240, "profiles": ["audited"]},
            "volatility": {"ahead": 8},
        }
    )
    bars = watched_bars(1400)
    bundle = load_bundle(train(config, bars, tmp_path / "watched", run_dir=tmp_path / "run"))
    assert watches_of(bundle.manifest) == tuple(watches(config))
    assert watches_of(bundle.manifest)[1] == Watch("volatility", 8, 0.8, ("sniper", "audited"))
    stored, now = bundle.stored_evidence(bars).watch, bundle.evidence(bars).watch
    seen = bars.open_time <= bundle.manifest.fences["regime"].label_horizon_end
    np.testing.assert_array_equal(stored[:, 0], now[:, 0])
    assert np.isnan(stored[seen, 1]).all()
    np.testing.assert_array_equal(stored[~seen, 1], now[~seen, 1])
    assert len(INPUTS) == 6
    assert np.isfinite(now[~seen, 1]).all()
