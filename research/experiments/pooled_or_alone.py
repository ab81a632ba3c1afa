"""Whether many coins teach one predictor better than each coin teaches its own.

The same logistic on the last bar, the same rows to judge it on: once taught by the training rows of all coins, once by
those of the coin it is asked about. The difference is what the bars of other coins know about this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.bars import Floats
from engine.errors import UsageError
from engine.inference.interval import Interval
from research.calibrate import fit_line
from research.candidates import fit_candidate
from research.events import Split
from research.experiments.finding import CONFIRMED, REFUTED, UNDECIDED, Column, Finding, judge_gain
from research.experiments.lab import Lab
from research.experiments.streaming_or_windowed import COINS, coins_of, gain, pooled_study
from research.finals import judged_rows
from research.measures import cross_entropy, score_forecast
from research.study import Study
from research.weights import Rows

CLAIM = "a predictor taught by many coins foresees each better than one taught by that coin alone"
KIND = "logistic"
COLUMNS = (
    Column("coin"),
    Column("training rows", "d"),
    Column("n", "d"),
    Column("n_eff", ".0f"),
    Column("base rate", ".3f"),
    Column("no skill", ".5f"),
    Column("loss, pooled", ".5f"),
    Column("loss, alone", ".5f"),
    Column("AUC, pooled", ".3f"),
    Column("AUC, alone", ".3f"),
)


def verdict(found: Interval) -> str:
    """Return the verdict from the pooled one's gain in skill: confirmed above zero, refuted where none is worth it."""
    return judge_gain(found.low, found.high)


def forecast(study: Study, split: Split, rows: Rows) -> Floats:
    """Return what a model taught by a split says at some rows."""
    examples, inner = study.examples, split.inner
    model, _ = fit_candidate(KIND, examples, split, study.config)
    line = fit_line(
        model.logits(examples, inner), examples.y[inner], study.uniqueness(inner), study.config.calibration.method
    )
    return line.apply(model.logits(examples, rows))


def run(lab: Lab) -> Finding:
    """Teach one model by all coins and one by each, and judge both on the same rows."""
    folder = None if lab.extra is None else lab.extra / COINS
    if folder is None or not folder.is_dir():
        raise UsageError(f"A18 needs bars of several coins below --extra FOLDER/{COINS}")
    study = pooled_study(lab, coins_of(folder, lab.pick(1000, 3)))
    rows, split = judged_rows(study), study.split(study.final_fold())
    y, pooled, alone = study.examples.y[rows], forecast(study, split, rows), np.empty(len(rows))
    edges = np.cumsum([0, *(len(bars) for bars in (study.bars, *study.others))])
    table: list[tuple[Any, ...]] = []
    for i, bars in enumerate((study.bars, *study.others)):
        lab.tell(bars.symbol, i / len(edges))
        train, inner, own = (_within(part, edges[i : i + 2]) for part in (split.train, split.inner, rows))
        alone[own] = forecast(study, study.examples.split(split.train[train], split.inner[inner]), rows[own])
        table.append(_line(study, bars.symbol, int(train.sum()), rows[own], (pooled[own], alone[own])))
    found = gain(study, cross_entropy(y, alone), cross_entropy(y, pooled))
    table.append(_line(study, "all", len(split.train), rows, (pooled, alone)))
    word = verdict(found)
    better = sum(row[6] < row[7] for row in table[:-1])
    return Finding(
        verdict=word,
        sentence=_sentence(word, found, better, len(table) - 1),
        columns=COLUMNS,
        rows=tuple(table),
        numbers={"gain": [found.value, found.low, found.high], "better": better},
        n=len(rows),
        n_eff=float(study.uniqueness(rows).sum()),
        seeds=(lab.seed,),
    )


def _within(rows: Rows, edges: Rows) -> Any:
    return (rows >= edges[0]) & (rows < edges[1])


def _line(study: Study, name: str, taught: int, rows: Rows, told: Sequence[Floats]) -> tuple[Any, ...]:
    y, n_eff = study.examples.y[rows], float(study.uniqueness(rows).sum())
    pooled, alone = (score_forecast(y, p, n_eff, study.block, study.config.seed) for p in told)
    shared = (taught, pooled.n, pooled.n_eff, pooled.base_rate, pooled.no_skill)
    return name, *shared, pooled.loss, alone.loss, pooled.auc, alone.auc


def _sentence(word: str, found: Interval, better: int, coins: int) -> str:
    if found.low is None:
        return f"unknown: {found.why}"
    end = {
        CONFIRMED: "other coins' bars teach something",
        REFUTED: "other coins' bars only disturb",
        UNDECIDED: "whether other coins' bars teach anything is open",
    }
    told = f"pooled training is worth {found.value:+.2%} [{found.low:+.2%}, {found.high:+.2%}] of skill"
    return f"{told} above each coin's own, better on {better} of {coins}: {end[word]}"
