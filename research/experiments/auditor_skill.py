"""A9: the auditor that recovers skipped trades and filters false positives.

At a fixed threshold a gate can only remove wishes: nothing is recovered, which is counted here. Whether it removes the
right ones is its AUC among the proposed trades, and the win rate of those it passes less that of all.
"""

from __future__ import annotations

import numpy as np

from engine.inference.bootstrap import mean_interval
from engine.inference.forecast import auc
from engine.inference.interval import Draws, Interval
from research.experiments.bench import walk_columns
from research.experiments.finding import CONFIRMED, REFUTED, UNDECIDED, Column, Finding
from research.experiments.lab import Lab
from research.weights import uniqueness

CLAIM = "the auditor recovers skipped trades and filters false positives"
THRESHOLD = 0.75
WORTH = 0.02  # of win rate: 24 bp of costs at an hourly ATR move break-even by more than this
COLUMNS = (Column("fold"), Column("proposed", "d"), Column("n_eff", ".0f"), Column("won", ".3f"), Column("passed", "d"),
           Column("of them won", ".3f"), Column("wins refused", "d"), Column("losses refused", "d"),
           Column("AUC", ".3f"))  # fmt: skip


def verdict(area: Interval, gain: Interval, recovered: int) -> str:
    """Return the verdict from the auditor's AUC on proposals, the win rate it gains, and what it recovered.

    Confirmed (as a filter) when both are above chance for certain; refuted when the gain cannot be worth having or the
    AUC lies below 0.5, or something appeared that was never proposed, which would be a defect.
    """
    if recovered:
        return REFUTED
    ranks = area.low is not None and area.low > 0.5
    if ranks and gain.low is not None and gain.low > 0.0:
        return CONFIRMED
    poor = (area.high is not None and area.high < 0.5) or (gain.high is not None and gain.high < WORTH)
    return REFUTED if poor else UNDECIDED


def precision_gain(won: np.ndarray, passed: np.ndarray, block: int) -> Interval:
    """Return the win rate of the passed less that of all, with its interval; unknown when none passed."""
    if not passed.any():
        return Interval(None, n=len(won), why="nothing passed")
    share = passed.mean()
    influence = np.where(passed, (won - won[passed].mean()) / share, 0.0) - (won - won.mean())
    point = float(won[passed].mean() - won.mean())
    return mean_interval(influence, Draws(block=float(block))).moved(point)


def run(lab: Lab) -> Finding:
    """Ask the folds' auditors about every trade proposed after them."""
    study, walk = lab.study(), walk_columns(lab, audited=True)
    net, end = study.examples.net[:, 0], study.examples.end
    proposed = (walk.rank >= THRESHOLD) & np.isfinite(walk.audit) & np.isfinite(net) & (end < study.stop)
    passed = proposed & (walk.audit >= walk.tau)
    rows, judged = [], np.flatnonzero(proposed)
    spans = [(f"{f.number}", f.rows) for f in lab.walk()]
    for name, span in [*spans, ("all", np.concatenate([f.rows for f in lab.walk()]))]:
        here = span[proposed[span]]
        if not len(here):
            continue
        won, let = net[here] > 0.0, passed[here]
        worth = float(uniqueness(here + 1, end[here]).sum())
        told = auc(walk.audit[here], won)
        rows.append(
            (name, len(here), worth, won.mean(), int(let.sum()), won[let].mean() if let.any() else None,
             int((won & ~let).sum()), int((~won & ~let).sum()), told.value)
        )  # fmt: skip
    won = (net[judged] > 0.0).astype(np.float64)
    block = max(1.0, len(judged) / max(1.0, float(uniqueness(judged + 1, end[judged]).sum())))
    area = auc(walk.audit[judged], won, Draws(block=block))
    gain = precision_gain(won, passed[judged], int(block) + 1)
    recovered = int(np.count_nonzero(passed & ~(walk.rank >= THRESHOLD)))
    word = verdict(area, gain, recovered)
    n_eff = float(uniqueness(judged + 1, end[judged]).sum())
    return Finding(
        verdict=word,
        sentence=_sentence(word, area, gain, recovered, float(passed[judged].mean())),
        columns=COLUMNS,
        rows=tuple(rows),
        numbers={"auc": [area.value, area.low, area.high], "gain": [gain.value, gain.low, gain.high]},
        n=len(judged),
        n_eff=n_eff,
        seeds=(lab.seed,),
    )


def _sentence(word: str, area: Interval, gain: Interval, recovered: int, share: float) -> str:
    shown = "unknown" if area.value is None else f"{area.value:.3f}"
    if area.low is not None and area.high is not None:
        shown += f" [{area.low:.3f}, {area.high:.3f}]"
    won = "unknown (nothing passed)" if gain.value is None else f"{gain.value:+.1%}"
    if gain.low is not None and gain.high is not None:
        won += f" [{gain.low:+.1%}, {gain.high:+.1%}]"
    told = (
        f"of the trades never proposed it recovered {recovered}; among those proposed its AUC is {shown}, it passes"
        f" {share:.1%}, and their win rate differs by {won}"
    )
    end = {
        CONFIRMED: ": it filters, and recovers nothing",
        REFUTED: ": it neither recovers nor filters",
        UNDECIDED: ": it recovers nothing, and whether it filters cannot be told",
    }
    return told + end[word]
