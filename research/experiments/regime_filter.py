"""A5: blocking State 0, and what trading less is worth.

The number of a hidden state means nothing: refitted, any of the three may be 0. So each role is blocked in turn, by
the causal filter of each fold of the walk-forward, and the Sharpe ratio compared on the same days. Whoever loses on
every trade gains by trading less, whatever the reason: so each filter is also compared with itself moved to other
times, which blocks as much, as long at a time, and knows nothing. The best path (Viterbi), which library defaults
give, knows later bars: what it gains over the filter is the look-ahead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from engine.bars import Floats
from engine.inference.interval import Interval
from models.regime import RegimeModel
from research.experiments.bench import Traded, differences, money_of, trade, trial_of, walk_columns
from research.experiments.finding import CONFIRMED, REFUTED, UNDECIDED, Column, Finding, Standing, holm, judge_gain
from research.experiments.lab import Lab
from research.fit_regime import fit_regime

CLAIM = "not trading in HMM State 0 improves the strategies"
THRESHOLDS = (0.75, 0.95)  # Reckless and Sniper
ROLES = ("calm", "normal", "turbulent")
MOVED = (400, 60)  # filters moved to other times, full and quick
LEVEL = 0.05
COLUMNS = (
    Column("threshold", ".2f"),
    Column("not traded in"),
    Column("by"),
    Column("trades", "d"),
    Column("net bp/trade", "+.1f"),
    Column("Sharpe", "+.2f"),
    Column("d-Sharpe", "+.2f"),
    Column("low", "+.2f"),
    Column("high", "+.2f"),
    Column("moved as good", ".0%"),
)


class Worth(NamedTuple):
    """What leaving out a role changes, and the share of the moved filters that do at least as well."""

    gain: Interval
    as_good: float


def verdict(found: Mapping[object, Worth]) -> str:
    """Return the verdict from what each role's filter is worth.

    Confirmed when a filter helps for certain and its moved copies do not (after Holm); refuted when every filter does
    no better than the middle of its moved copies.
    """
    p_values = holm([one.as_good for one in found.values()])
    for p, one in zip(p_values, found.values(), strict=True):
        if p < LEVEL and judge_gain(one.gain.low, one.gain.high) == CONFIRMED:
            return CONFIRMED
    return REFUTED if all(one.as_good >= 0.5 for one in found.values()) else UNDECIDED


def moved_as_good(lab: Lab, wishes: np.ndarray, blocked: np.ndarray, stretch: slice, sharpe: float | None) -> float:
    """Return the share of filters moved to other times whose Sharpe ratio is at least as good."""
    if sharpe is None:
        return 1.0
    rng, part, draws = np.random.default_rng(lab.seed), blocked[stretch], lab.pick(*MOVED)
    better = 0
    for by in rng.integers(len(part) // 20, len(part) - len(part) // 20, draws):
        allowed = wishes.copy()
        allowed[stretch] &= ~np.roll(part, int(by))
        other = trade(lab.study(), "moved", allowed, stretch).result.score.sharpe
        better += other is not None and other >= sharpe
    return (better + 1) / (draws + 1)


def viterbi(model: RegimeModel, matrix: Floats) -> np.ndarray:
    """Return the likeliest path of states through some bars, all of them known: it looks ahead."""
    likely, step = model.log_likelihood(matrix), np.log(np.maximum(model.transition, 1e-300))
    score, back = np.log(np.maximum(model.start, 1e-300)) + likely[0], np.zeros(likely.shape, np.int64)
    for t in range(1, len(likely)):
        paths = score[:, None] + step
        back[t] = paths.argmax(axis=0)
        score = paths.max(axis=0) + likely[t]
    path = np.empty(len(likely), np.int64)
    path[-1] = int(score.argmax())
    for t in range(len(likely) - 1, 0, -1):
        path[t - 1] = back[t, path[t]]
    return path


def best_paths(lab: Lab) -> np.ndarray:
    """Return Viterbi's state of every walk-forward bar, from the models of the same folds; -1 elsewhere."""
    study, out = lab.study(), np.full(len(lab.bars), -1)
    for forecast in lab.walk():
        model, _ = fit_regime(lab.bars, study.regime_features, forecast.fence + 1, study.config)
        known = forecast.rows[np.isfinite(study.regime_features[forecast.rows]).all(axis=1)]
        out[known] = viterbi(model, study.regime_features[known])
    return out


def run(lab: Lab) -> Finding:
    """Trade the walk-forward with and without each role, by filter and by best path."""
    study, walk = lab.study(), walk_columns(lab)
    believed = np.where(np.isfinite(walk.belief).all(axis=1), walk.belief.argmax(axis=1), -1)
    paths = best_paths(lab)
    lab.tell("trading", 0.9)
    rows, standings, trials, worths, ahead = [], [], [], {}, []
    for threshold in THRESHOLDS:
        wishes = walk.rank >= threshold
        traded = [trade(study, f"rank {threshold:g}", wishes, walk.stretch)]
        terms = [("-", "-")]
        for by, state in (("filter", believed), ("Viterbi", paths)):
            for k, role in enumerate(ROLES):
                name = f"rank {threshold:g} without {role}, {by}"
                traded.append(trade(study, name, wishes & (state != k) & (state >= 0), walk.stretch))
                terms.append((role, by))
        found = differences(lab, traded, [(i, 0) for i in range(1, 7)] + [(6, 3)])
        ahead.append(found[-1])
        for i, (one, (role, by)) in enumerate(zip(traded, terms, strict=True)):
            gain, share = (found[i - 1] if i else Interval(None)), None
            if by == "filter":
                blocked = (believed == ROLES.index(role)) | (believed < 0)
                share = moved_as_good(lab, wishes, blocked, walk.stretch, one.result.score.sharpe)
                worths[threshold, role] = Worth(gain, share)
            rows.append((threshold, role, by, *_money(one), gain.value, gain.low, gain.high, share))
            if by != "Viterbi":
                standings.append(Standing(one.name, "-", "walk-forward", money_of(one)))
                trials.append(trial_of(one, "A5", "walk-forward", {"threshold": threshold, "without": role}))
    word = verdict(worths)
    return Finding(
        verdict=word,
        sentence=_sentence(word, worths, ahead[0]),
        columns=COLUMNS,
        rows=tuple(rows),
        numbers={"look_ahead": [{"value": a.value, "low": a.low, "high": a.high} for a in ahead]},
        n=len(traded[0].daily),
        seeds=(lab.seed,),
        standings=tuple(standings),
        trials=tuple(trials),
    )


def _money(one: Traded) -> tuple[float | None, ...]:
    score = one.result.score
    return score.trades, score.expectancy_bp, score.sharpe


def _sentence(word: str, worths: Mapping[tuple[float, str], Worth], ahead: Interval) -> str:
    (threshold, role), best = min(worths.items(), key=lambda item: item[1].as_good)
    told = (
        f"the best of the roles to leave out, {role} at rank {threshold:g}, changes the Sharpe ratio by"
        f" {_interval(best.gain)}, and {best.as_good:.0%} of its copies moved to other times do as well; the best path"
        f" that knows later bars adds {_interval(ahead)} to the causal filter"
    )
    end = {
        CONFIRMED: ": a filter by role helps, a state's number never was one",
        REFUTED: ": what leaving out a state gains is what trading less gains",
        UNDECIDED: ": no filter can be told from trading less",
    }
    return told + end[word]


def _interval(x: Interval) -> str:
    if x.value is None:
        return "an unknown amount"
    return f"{x.value:+.2f}" + ("" if x.low is None or x.high is None else f" [{x.low:+.2f}, {x.high:+.2f}]")
