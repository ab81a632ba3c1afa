"""A2: a validation loss of 0.50, a strong signal or the loss of a constant.

The notes labelled 1 = "upper barrier first", 0 = "stop or time". In a driftless market the share of ones, and so the
loss of the best constant, then depends on the time limit alone: H=3 bars give about 20 % and 0.50 nats. The sweep shows
loss beside that constant's for each time limit and each way to label a time-out. Where some skill remains, it may know
only *whether* a barrier will be reached (volatility); with time-outs dropped the label is *which one* alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from engine.barriers import label_barriers
from engine.bars import Floats
from research.config import TrainConfig
from research.experiments.bench import hear, judged_rows, standing_of
from research.experiments.finding import CONFIRMED, REFUTED, UNDECIDED, Column, Finding, Standing
from research.experiments.lab import Lab
from research.fit_logistic import moments
from research.measures import Score, block_se, entropy
from research.study import Study

CLAIM = "barriers of 1.5 ATR: train .52, validation .50 is a strong signal"
HOLDS = (3, 4, 6, 12, 24, 48)  # METHODS A2
CLAIMED = 0.50  # the notes' validation loss: judged at the time limit whose constant loses nearest to it
SIGNAL = 0.01  # of the no-skill loss: METHODS refutes where the loss is within 1 % of it
PENALTY = 0.001  # of the three-class logistic; what the two-class one chooses most often
WAYS = ("zero", "sign", "drop")  # drop: only which barrier, not whether
LABELS = {"zero": "a loss", "sign": "its sign", "drop": "dropped"}
COLUMNS = (
    Column("H", "d"),
    Column("time-out is"),
    Column("model"),
    Column("n", "d"),
    Column("n_eff", ".0f"),
    Column("P(up)", ".3f"),
    Column("H(pi)", ".4f"),
    Column("loss", ".4f"),
    Column("skill", "+.2%"),
    Column("+-", ".2%"),
    Column("AUC", ".3f"),
    Column("low", ".3f"),
    Column("high", ".3f"),
)


def verdict(claimed: tuple[float, float], direction: tuple[float, float]) -> str:
    """Return the verdict from skill and standard error of the notes' label, and of that of the direction alone.

    Confirmed when both are above 1 % for certain; refuted when one is below 1 % for certain: then the loss is a
    constant's, or what is known is when the market will move and not where to.
    """
    if all(skill - 1.96 * se > SIGNAL for skill, se in (claimed, direction)):
        return CONFIRMED
    return REFUTED if any(skill + 1.96 * se < SIGNAL for skill, se in (claimed, direction)) else UNDECIDED


def three_class(study: Study) -> tuple[float, float, float]:
    """Return loss, no-skill loss and the standard error of skill of a logistic that tells up, down and time-out."""
    from sklearn.linear_model import LogisticRegression

    labels = label_barriers(study.bars, study.atr, study.config.rules)
    examples, fold, rows = study.examples, study.final_fold(), judged_rows(study)
    split = study.split(fold)
    mean, deviation = moments(examples.lagged(split.train, (0,)))

    def standard(where: Any) -> Floats:
        return np.asarray(np.clip((examples.lagged(where, (0,)) - mean) / deviation, -5.0, 5.0))

    model = LogisticRegression(C=PENALTY, max_iter=2000)
    model.fit(standard(split.train), labels.outcome[split.train], sample_weight=split.weights)
    told, truth = model.predict_proba(standard(rows)), labels.outcome[rows]
    shares = np.array([np.mean(truth == c) for c in model.classes_])
    place = np.searchsorted(model.classes_, truth)
    losses = -np.log(told[np.arange(len(rows)), place])
    constant = -np.log(shares[place])
    no_skill = float(constant.mean())
    return float(losses.mean()), no_skill, block_se(constant - losses, study.block) / no_skill


def run(lab: Lab) -> Finding:
    """Sweep time limits and ways to label a time-out."""
    rows: list[tuple[Any, ...]] = []
    standings: list[Standing] = []
    best: dict[tuple[int, str], Score] = {}
    holds = lab.pick(HOLDS, (3, 24))
    for i, hold in enumerate(holds):
        for way in WAYS:
            study = lab.study(_terms(lab, hold, way))
            for kind in lab.pick(("logistic", "trees"), ("logistic",)):
                told = hear(study, kind)
                best[hold, way] = max(told.score, best.get((hold, way), told.score), key=lambda s: s.skill)
                rows.append((hold, LABELS[way], kind, *_cells(told.score)))
                standings.append(standing_of(told, f"barriers, H={hold}, time-out {LABELS[way]}"))
        s = best[hold, "sign"]
        loss, no_skill, se = three_class(lab.study(_terms(lab, hold, "sign")))
        skill = (1.0 - loss / no_skill, se)
        rows.append((hold, "a third class", "logistic", s.n, s.n_eff, None, no_skill, loss, *skill, None, None, None))
        lab.tell(f"H = {hold}", (i + 1) / len(holds))
    at = min(holds, key=lambda h: abs(best[h, "zero"].no_skill - CLAIMED))
    claimed, direction = best[at, "zero"], best[at, "drop"]
    word = verdict((claimed.skill, claimed.skill_se), (direction.skill, direction.skill_se))
    numbers = {"hold": at, "claimed": claimed._asdict(), "direction": direction._asdict()}
    return Finding(
        verdict=word,
        sentence=_sentence(word, at, claimed, direction),
        columns=COLUMNS,
        rows=tuple(rows),
        numbers=numbers | {"constant_loses": {str(rate): entropy(rate) for rate in (0.178, 0.20, 0.215)}},
        n=claimed.n,
        n_eff=claimed.n_eff,
        seeds=(lab.seed,),
        standings=tuple(standings),
    )


def _terms(lab: Lab, hold: int, way: str) -> TrainConfig:
    return replace(lab.config, barriers=replace(lab.config.barriers, hold=hold, vertical=way))


def _cells(s: Score) -> tuple[float, ...]:
    return s.n, s.n_eff, s.base_rate, s.no_skill, s.loss, s.skill, s.skill_se, s.auc, s.auc_low, s.auc_high


def _sentence(word: str, hold: int, claimed: Score, direction: Score) -> str:
    told = (
        f"at H={hold}, P(up)={claimed.base_rate:.3f}, a constant loses {claimed.no_skill:.4f} and the best model"
        f" {claimed.loss:.4f} (skill {claimed.skill:+.2%} +- {claimed.skill_se:.2%}, AUC {claimed.auc:.3f}); of the"
        f" trades that reached a barrier it knows which one with a skill of {direction.skill:+.2%} +-"
        f" {direction.skill_se:.2%}, AUC {direction.auc:.3f} [{direction.auc_low:.3f}, {direction.auc_high:.3f}]"
    )
    end = {
        REFUTED: ": a loss near .50 is the base rate's, and what is known beyond it is when, not where to",
        CONFIRMED: ": more than base rate and volatility explain",
        UNDECIDED: ": a skill of 1 % in the direction can be neither shown nor excluded",
    }
    return told + end[word]
