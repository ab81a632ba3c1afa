"""The parts of a bundle against the libraries they were fitted with: equal answers first."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.measure import Job, Row, missing, timed
from engine.synthetic import random_bars
from models.regime import RegimeModel, default_roles, stationary
from models.trees import parse_trees

TRANSITION = np.array([[0.98, 0.015, 0.005], [0.02, 0.96, 0.02], [0.01, 0.03, 0.96]])
MEANS = np.array([[-1.0, 0.0], [0.0, 0.0], [1.5, -0.2]])
COVARS = np.array([[0.5, 0.6], [0.6, 0.8], [1.2, 2.0]])
TWICE = "two filters a bar, so that truncation changes no bit; theirs looks ahead"
TREES, DEPTH, COLUMNS = 300, 5, 30


def regime(block: int) -> RegimeModel:
    return RegimeModel(
        features=("a", "b"),
        roles=default_roles(3),
        volatility=np.array([1.0, 2.0, 3.0]),
        mean=np.zeros(2),
        std=np.ones(2),
        start=stationary(TRANSITION),
        transition=TRANSITION,
        means=MEANS,
        covars=COVARS,
        block=block,
        forgetting=0,
    )


def against_hmmlearn(n: int, rounds: int) -> Row:
    """The causal filter of a whole history; hmmlearn's answer at a bar is its posterior of the bars up to it."""
    bars, rows = random_bars(1000, seed=1), np.random.default_rng(1).standard_normal((n, 2))
    model, what, size = regime(block=512), "regime belief at every bar, causal", f"{n:,} bars"
    slots = np.arange(n) // model.block
    from models.hmm import hmm_filter

    def ours():
        return hmm_filter(model.start, model.transition, model.log_likelihood(rows), slots)

    if missing("hmmlearn"):
        return Row(what, size, timed({"ours": ours}, rounds)["ours"], "hmmlearn", note=missing("hmmlearn"))
    from hmmlearn.hmm import GaussianHMM

    theirs = GaussianHMM(3, "diag")
    theirs.startprob_, theirs.transmat_, theirs.means_, theirs.covars_ = model.start, TRANSITION, MEANS, COVARS
    said = model.belief(bars, rows[:1000])
    for t in (1, 10, 500, 1000):
        block = 0 if t <= 2 * model.block else t  # from the filter's own start on
        np.testing.assert_allclose(said[t - 1], theirs.predict_proba(rows[block:t])[-1], atol=1e-9)
    times = timed({"ours": ours, "theirs": partial(theirs.predict_proba, rows)}, rounds)
    return Row(what, size, times["ours"], "hmmlearn predict_proba", times["theirs"], 7.0, note=TWICE)


def forest():
    """Return a fitted XGBoost classifier, its rows, and our reading of it."""
    from xgboost import XGBClassifier

    rng = np.random.default_rng(2)
    rows = rng.standard_normal((4000, COLUMNS)).astype(np.float32)
    fitted = XGBClassifier(n_estimators=TREES, max_depth=DEPTH, n_jobs=1).fit(rows, rng.random(4000) < 0.5)
    return fitted, rows, parse_trees(bytes(fitted.get_booster().save_raw("json")), "bench")


def against_xgboost(rounds: int) -> list[Row]:
    fitted, rows, ours = forest()
    np.testing.assert_allclose(ours.probability(rows), fitted.predict_proba(rows)[:, 1], atol=1e-6)
    one, booster = rows[:1], fitted.get_booster()
    live = timed(
        {
            "ours": partial(ours.probability, one),
            "sklearn": partial(fitted.predict_proba, one),
            "inplace": partial(booster.inplace_predict, one),
        },
        rounds * 20,
    )
    every = timed({"ours": partial(ours.probability, rows), "inplace": partial(booster.inplace_predict, rows)}, rounds)
    size = f"{TREES} trees"
    return [
        Row("auditor, one row", size, live["ours"], "xgboost predict_proba", live["sklearn"], 15.0),
        Row("auditor, one row", size, live["ours"], "xgboost inplace_predict", live["inplace"]),
        Row(f"auditor, {len(rows):,} rows", size, every["ours"], "xgboost inplace_predict", every["inplace"]),
    ]


def run(quick: bool) -> list[Row]:
    rounds = 3 if quick else 7
    return [against_hmmlearn(20_000 if quick else 100_000, rounds), *against_xgboost(rounds)]


def jobs() -> dict[str, Job]:
    from models.hmm import hmm_filter

    model, rows = regime(block=512), np.random.default_rng(1).standard_normal((100_000, 2))
    slots, (_, inputs, trees) = np.arange(len(rows)) // model.block, forest()
    return {
        "hmm_filter, 100k bars": lambda: hmm_filter(model.start, model.transition, model.log_likelihood(rows), slots),
        "trees, 4000 rows": partial(trees.probability, inputs),
    }
