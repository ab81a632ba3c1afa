"""A6: trial 0 of a search, the best configuration or one of many that are alike.

Thirty random configurations of the boosted trees are scored on purged folds of development; then the validation zone,
which the search never saw, says what the five best of them are worth against five drawn blindly.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from engine.bars import Floats
from engine.inference.interval import Interval
from research.candidates import fit_candidate
from research.config import TrainConfig
from research.experiments.bench import Told, gain, hear, standing_of
from research.experiments.finding import CONFIRMED, REFUTED, UNDECIDED, WORTH, Column, Finding, judge_gain
from research.experiments.lab import Lab
from research.measures import block_se, cross_entropy
from research.settings import Trees
from research.splits import combinatorial_splits, inner_split
from research.study import Study

CLAIM = "the tuned configuration, found as trial 0 with purged k-fold, is the best one"
TRIALS, FOLDS, TOP = 30, 5, 5  # METHODS A6
COLUMNS = (
    Column("rank", "d"),
    Column("trial", "d"),
    Column("depth", "d"),
    Column("rate", ".3f"),
    Column("leaf", ".0f"),
    Column("ridge", ".1f"),
    Column("columns", ".2f"),
    Column("cv loss", ".5f"),
    Column("above best", ".5f"),
    Column("+-", ".5f"),
    Column("in 1-SE set"),
    Column("validation", ".5f"),
)


def verdict(low: float | None, high: float | None, alike: float) -> str:
    """Return the verdict from what the best five gain over five blind ones, and the share of trials within one error.

    Refuted when the gain is too small to be worth having; confirmed when it is real and the winner stands apart from at
    least half of the trials.
    """
    word = judge_gain(low, high, WORTH)
    if word == CONFIRMED and alike > 0.5:
        return UNDECIDED
    return word


def drawn(rng: np.random.Generator) -> Trees:
    """Return a random configuration; the span of each is an order of magnitude around the default."""
    return Trees(
        depth=int(rng.integers(2, 7)),
        rate=float(np.exp(rng.uniform(np.log(0.01), np.log(0.2)))),
        least_weight=float(np.exp(rng.uniform(np.log(5.0), np.log(200.0)))),
        ridge=float(np.exp(rng.uniform(np.log(1.0), np.log(100.0)))),
        columns=float(rng.uniform(0.2, 1.0)),
        rows=float(rng.uniform(0.4, 1.0)),
    )


def fold_losses(study: Study, config: TrainConfig, folds: int) -> Floats:
    """Return the loss of every development row, foreseen by a fit that saw no label sharing a bar with its fold."""
    examples = study.examples
    rows = examples.between(study.development.start, study.development.stop)
    losses = np.full(len(rows), np.nan)
    for train, (test,) in combinatorial_splits(rows + 1, examples.end[rows], folds, 1, config.embargo):
        part, inner = inner_split(rows[train], examples.end, config.folds.inner, config.embargo)
        model, _ = fit_candidate("trees", examples, examples.split(part, inner), config)
        p = 1.0 / (1.0 + np.exp(-model.logits(examples, rows[test])))
        losses[test] = cross_entropy(examples.y[rows[test]], p)
    return losses


def run(lab: Lab) -> Finding:
    """Search, rank by folds, and let validation say what the ranking was worth."""
    study, rng = lab.study(), np.random.default_rng(lab.seed)
    count, folds, top = lab.pick((TRIALS, FOLDS, TOP), (6, 3, 2))
    found: list[tuple[Trees, Floats, Told]] = []
    for i in range(count):
        config = replace(lab.config, trees=drawn(rng))
        told = hear(replace(study, config=config), "trees", name=f"trees, trial {i}")
        found.append((config.trees, fold_losses(study, config, folds), told))
        lab.tell(f"trial {i + 1} of {count}", (i + 1) / count)
    order = sorted(range(count), key=lambda i: float(found[i][1].mean()))
    best, blind = found[order[0]][1], rng.choice(count, top, replace=False)
    gaps = [(float((f[1] - best).mean()), block_se(f[1] - best, 2 * study.block)) for f in found]
    mean = [np.mean([found[i][2].losses for i in group], axis=0) for group in (blind, order[:top])]
    won = gain(found[0][2]._replace(losses=mean[0]), mean[1])
    alike = float(np.mean([gap <= error for gap, error in gaps]))
    kept = float(spearmanr([f[1].mean() for f in found], [f[2].score.loss for f in found]).statistic)
    rows: list[tuple[Any, ...]] = []
    for place, i in enumerate(order):
        s, gap = found[i][0], gaps[i]
        terms = (s.depth, s.rate, s.least_weight, s.ridge, s.columns)
        within = "yes" if gap[0] <= gap[1] else "no"
        rows.append((place + 1, i, *terms, float(found[i][1].mean()), *gap, within, found[i][2].score.loss))
    word, s = verdict(won.low, won.high, alike), found[0][2].score
    return Finding(
        verdict=word,
        sentence=_sentence(word, order, alike, won, kept),
        columns=COLUMNS,
        rows=tuple(rows),
        numbers={
            "order": order,
            "place_of_trial_0": order.index(0) + 1,
            "share_within_one_error": alike,
            "top_over_blind": {"value": won.value, "low": won.low, "high": won.high},
            "rank_correlation": kept,
            "failed": int(sum(not np.isfinite(f[1]).all() for f in found)),
        },
        n=s.n,
        n_eff=s.n_eff,
        seeds=(lab.seed,),
        standings=tuple(standing_of(f[2], "barriers") for f in found),
    )


def _sentence(word: str, order: list[int], alike: float, won: Interval, kept: float) -> str:
    value, low, high = (0.0 if x is None else x for x in (won.value, won.low, won.high))
    told = (
        f"trial 0 came {order.index(0) + 1} of {len(order)}; {alike:.0%} of the trials are within one standard error of"
        f" the winner; on validation the best five beat five drawn blindly by {value:+.3%} of no skill"
        f" [{low:+.3%}, {high:+.3%}], rank correlation {kept:+.2f}"
    )
    end = {
        CONFIRMED: ": the search found something",
        REFUTED: ": the search chose among equals",
        UNDECIDED: ": the search cannot be told from a draw",
    }
    return told + end[word]
