"""Each fitted part has seen its own rows and nothing else: what lies beyond them may be anything."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.barriers import label_barriers
from engine.synthetic import random_bars
from models.calibration import ConfidenceTable
from models.predictor import Predictor
from research.assemble import served_table
from research.candidates import fit_candidate
from research.config import KINDS, parse_config
from research.fit_auditor import break_even
from research.fit_regime import fit_regime
from research.study import Study, make_study
from research.walk_forward import Forecast, audit_forecasts
from tests.bundles import logistic_graph

SMALL = {
    "name": "small",
    "window": 4,
    "threads": 1,
    "features": ["ret_1", "ret_6", "vol_12", "log_range"],
    "barriers": {"hold": 5},
    "folds": {"count": 3},
    "trees": {"lags": [0, 1], "rounds": 10, "patience": 5},
    "transformer": {"width": 8, "heads": 2, "feedforward": 16, "epochs": 1, "stride": 4, "seeds": 1},
    "streaming": {"width": 8, "heads": 2, "feedforward": 16, "band": 4, "epochs": 1, "chunk": 64},
    "resnet": {"unit": "vol_12", "least_move": 0.5, "epochs": 1},
    "supcon": {"epochs": 1, "batch": 64},
    "ensemble": {"members": ["logistic", "resnet"], "folds": 2},
    "candidates": ["logistic", "trees", "streaming", "resnet", "transformer", "supcon", "ensemble"],
    "regime": {"starts": 2, "screen_bars": 200},
    "auditor": {"rounds": 3, "least_events": 30},
    "thresholds": {"audited": 0.3},
}


@pytest.fixture(scope="module")
def study() -> Study:
    return make_study(parse_config(SMALL), random_bars(900, seed=2))


def spoiled(study: Study, first: int) -> Study:
    """The same study, with nonsense from a row on."""
    told = study.examples
    beyond = np.arange(len(told.y)) >= first
    matrix = np.where(beyond[:, None], 50.0 * told.matrix + 7.0, told.matrix).astype(np.float32)
    y, net = np.where(beyond, 1.0 - told.y, told.y), np.where(beyond[:, None], -told.net, told.net)
    fades = None if told.fades is None else told.fades._replace(y=np.where(beyond, 1.0 - told.fades.y, told.fades.y))
    regime = np.where(beyond[:, None], 50.0 * study.regime_features + 7.0, study.regime_features)
    return replace(study, examples=replace(told, matrix=matrix, y=y, net=net, fades=fades), regime_features=regime)


@pytest.mark.parametrize("kind", KINDS)
def test_a_candidate_is_made_of_its_training_rows_and_their_scale(study, kind):
    fold = study.folds()[0]
    told, other = (
        fit_candidate(kind, s.examples, s.examples.split(fold.train, fold.inner), s.config)[0].state()
        for s in (study, spoiled(study, fold.fence + 1))
    )
    assert told.keys() == other.keys()
    for name, values in told.items():
        np.testing.assert_array_equal(other[name], values, err_msg=name)


def test_a_regime_is_made_of_the_bars_before_its_fence(study):
    stop = study.folds()[0].fence + 1
    told, other = (
        fit_regime(s.bars, s.regime_features, stop, s.config)[0].to_json() for s in (study, spoiled(study, stop))
    )
    assert told == other


def test_confidence_is_measured_on_the_validation_zone(study):
    graph = logistic_graph(study.features[study.examples.decidable], study.config.window)
    rows = np.arange(len(study.bars))
    told = {}
    for zone in ("development", "validation", "test"):
        mine = np.flatnonzero(study.examples.decidable & np.isin(rows, rows[study.zones.rows(study.bars, zone)]))
        p = Predictor(graph, study.config.window, len(study.names)).probabilities(study.examples.matrix, mine)
        told[zone] = ConfidenceTable.from_predictions(p).levels
    served = served_table(study, graph).levels
    assert [zone for zone, levels in told.items() if np.array_equal(levels, served)] == ["validation"]


def diced_forecasts(study: Study) -> list[Forecast]:
    """What dice said about every fold's bars."""
    rng = np.random.default_rng(0)
    forecasts = []
    for fold in study.folds():
        rows = study.predictable(fold.test)
        p, belief = np.round(rng.random(len(rows)), 6), rng.dirichlet(np.ones(study.config.regime.states), len(rows))
        forecasts.append(Forecast(fold.number, fold.fence, rows, p, p, np.ones(len(rows), np.int8), belief))
    return forecasts


def test_an_auditor_learns_from_trades_that_were_over_before_its_fold(study):
    audits, events, notes = audit_forecasts(study, diced_forecasts(study))
    for fold, note in zip(study.folds(), notes, strict=True):
        over = [end < fold.test.start - study.config.embargo for end in events.end]
        assert note["events"] == sum(over)
    assert [bool(np.isfinite(audit.chance).any()) for audit in audits] == [False, True, True]
    assert 60 < notes[1]["events"] < notes[2]["events"] < len(events.row)


def test_an_auditors_bar_is_made_of_trades_that_were_over_before_its_fold(study):
    forecasts = diced_forecasts(study)
    audits, events, _ = audit_forecasts(study, forecasts)
    assert [np.isfinite(audit.tau) for audit in audits] == [False, True, True]
    assert audits[1].tau != audits[2].tau
    for number in (1, 2):
        over = events.end < forecasts[number].rows[0] - study.config.embargo
        assert audits[number].tau == break_even(events.some(over))
        net, later = study.examples.net.copy(), events.row[~over]  # how these would end nobody knew then
        net[later] = 9.0 * net[later] - 0.05
        other, changed, _ = audit_forecasts(replace(study, examples=replace(study.examples, net=net)), forecasts)
        assert break_even(changed) != break_even(events)
        assert other[number].tau == audits[number].tau
        np.testing.assert_array_equal(other[number].chance, audits[number].chance)


def torn(bars, first):
    """Return bars that are thrice as dear from a row on."""
    columns = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close")}
    for column in columns.values():
        column[first:] *= 3.0
    return replace(bars, **columns)


@pytest.mark.parametrize("k_down", [1.0, 4.0])
def test_no_trade_of_either_side_that_counts_has_seen_a_sealed_bar(k_down):
    """With barriers of different widths the short trade of a row may end long after the long one."""
    config = parse_config(
        {
            "window": 8,
            "sides": ["long", "short"],
            "features": SMALL["features"],
            "barriers": {"k_up": 1.0, "k_down": k_down, "hold": 24},
            "candidates": ["resnet"],  # which alone may have them
            "resnet": SMALL["resnet"],
        }
    )
    bars = random_bars(4000, seed=5, gaps=0.002)
    study = make_study(config, bars)
    other = make_study(config, torn(bars, study.stop))
    counted = (study.examples.end >= 0) & (study.examples.end < study.stop)
    assert counted.sum() > 3000
    np.testing.assert_array_equal(study.examples.net[counted], other.examples.net[counted])
    assert (study.examples.end[counted] == other.examples.end[counted]).all()
    later = (
        label_barriers(bars, study.atr, config.rules, side=-1).end > label_barriers(bars, study.atr, config.rules).end
    )
    assert later.any() == (k_down != 1.0)
