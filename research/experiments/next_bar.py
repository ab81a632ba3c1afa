"""A1: the next candle that cannot be foreseen, and a longer view that can.

The notes gave up the next candle because its loss "stuck at 1.000 = random". No skill at a fair coin is ln 2 = 0.693
nats, so 1.000 was another scale (a bit) or another loss. Here the same models foresee the sign of the close 1, 3, 6, 12
and 24 bars on, and the barriers, on the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.bars import Bars, Floats
from research.experiments.bench import Told, hear, standing_of
from research.experiments.finding import CONFIRMED, REFUTED, UNDECIDED, Column, Finding
from research.experiments.lab import Lab, with_target
from research.measures import Score

CLAIM = "the next candle cannot be foreseen (loss stuck at 1.000), a longer horizon can"
HORIZONS = (1, 3, 6, 12, 24)  # bars; METHODS A1
BARRIERS = "barriers"
KINDS = ("logistic", "trees")
SURE = 1.96
COLUMNS = (
    Column("target"),
    Column("model"),
    Column("n", "d"),
    Column("n_eff", ".0f"),
    Column("base rate", ".3f"),
    Column("no skill", ".4f"),
    Column("loss", ".4f"),
    Column("skill", "+.2%"),
    Column("+-", ".2%"),
    Column("AUC", ".3f"),
    Column("low", ".3f"),
    Column("high", ".3f"),
    Column("top tenth, gross bp", "+.1f"),
)


def sign_target(bars: Bars, ahead: int) -> tuple[Floats, np.ndarray]:
    """Return whether the close some bars on is higher, and the bar at whose close that is known; none across a gap."""
    n = len(bars)
    y, end = np.full(n, np.nan), np.full(n, -1)
    whole = np.flatnonzero(bars.slots[ahead:] - bars.slots[: n - ahead] == ahead)
    y[whole] = bars.close[whole + ahead] > bars.close[whole]
    end[whole] = whole + ahead
    return y, end


def verdict(next_auc: Score, longer: Sequence[Score]) -> str:
    """Return the verdict: of the longer targets the best one counts, at an interval widened for the choice.

    Confirmed when the next bar's AUC interval covers 0.5 and a longer target's lies above it; refuted when the next
    bar's lies above 0.5 (it can be foreseen), or the longer ones' lie below what is worth having.
    """
    wide = SURE + 0.3 * np.log(len(longer))  # close to the normal quantile of 0.05 over so many questions
    above = [s.auc - wide * (s.auc_high - s.auc) / SURE > 0.5 for s in longer]
    if next_auc.auc_low > 0.5:
        return REFUTED
    return CONFIRMED if any(above) else UNDECIDED


def moves(lab: Lab, target: int | str) -> Floats:
    """Return what a long position earns until the target is known, before costs, shape (n,)."""
    if target == BARRIERS:
        study = lab.study()
        return np.asarray(study.examples.net[:, 0] + study.config.rules.round_trip)
    ahead, price = int(target), np.log(lab.bars.close)
    return np.r_[price[ahead:] - price[:-ahead], np.full(ahead, np.nan)]


def top_tenth(told: Told, move: Floats) -> float | None:
    """Return the mean move of the rows ranked in the highest tenth, in basis points."""
    picked = move[told.rows[told.rank >= 0.9]]
    return float(1e4 * picked.mean()) if len(picked) else None


def run(lab: Lab) -> Finding:
    """Foresee every target with the same models on the same rows."""
    rows, standings, found, gross = [], [], {}, {}
    targets = [*HORIZONS, BARRIERS]
    for i, target in enumerate(targets):
        study = lab.study()
        if target != BARRIERS:
            y, end = sign_target(lab.bars, int(target))
            study = with_target(study, y, end, int(target))
        for kind in lab.pick(KINDS, KINDS[:1]):
            told = hear(study, kind)
            s = told.score
            found[target, kind] = s
            name = f"+{target} bars" if target != BARRIERS else BARRIERS
            figures = (s.n, s.n_eff, s.base_rate, s.no_skill, s.loss, s.skill, s.skill_se)
            gross[target, kind] = top_tenth(told, moves(lab, target))
            rows.append((name, kind, *figures, *_auc(s), gross[target, kind]))
            standings.append(standing_of(told, f"sign of the close, {name}" if target != BARRIERS else BARRIERS))
        lab.tell(f"target {target}", (i + 1) / len(targets))
    best = {t: max((found[t, k] for k in KINDS if (t, k) in found), key=lambda s: s.auc) for t in targets}
    nearest, longer = best[1], [best[t] for t in targets[1:]]
    top = max(longer, key=lambda s: s.auc_low)
    word = verdict(nearest, longer)
    return Finding(
        verdict=word,
        sentence=_sentence(word, (nearest, top), next(t for t in targets if best[t] is top), gross),
        columns=COLUMNS,
        rows=tuple(rows),
        numbers={"next_auc": _auc(nearest), "best_longer_auc": _auc(top), "ln2": float(np.log(2.0))},
        n=nearest.n,
        n_eff=nearest.n_eff,
        seeds=(lab.seed,),
        standings=tuple(standings),
    )


def _auc(s: Score) -> tuple[float, float, float]:
    return s.auc, s.auc_low, s.auc_high


def _sentence(word: str, scores: tuple[Score, Score], target: int | str, gross: dict[Any, float | None]) -> str:
    nearest, top = scores
    earned = max((x for (t, _), x in gross.items() if t == 1 and x is not None), default=0.0)
    ahead = "the barriers" if target == BARRIERS else f"+{target} bars"
    end = {
        CONFIRMED: "can be ranked a little",
        REFUTED: "; the next bar can be foreseen a little, for less than a trade costs",
        UNDECIDED: "cannot be told from a coin either",
    }
    return (
        f"the next bar's AUC is {nearest.auc:.3f} [{nearest.auc_low:.3f}, {nearest.auc_high:.3f}] at a loss of"
        f" {nearest.loss:.4f} (no skill {nearest.no_skill:.4f}, never 1.000), and the tenth ranked highest earns"
        f" {earned:+.1f} bp before costs; the best of the longer targets, {ahead}: {top.auc:.3f}"
        f" [{top.auc_low:.3f}, {top.auc_high:.3f}]{'' if word == REFUTED else ', '}{end[word]}"
    )
