"""A7: three winning trades of three, and what that proves.

The notes' Sniper asked a focal-trained network for a raw output of 0.95, which stands for a true probability of 0.9997;
hence two or three trades. Here the walk-forward of the last-bar logistic is traded at 0.95 in three meanings:
rank, calibrated probability, and the raw focal output that belongs to it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from engine.bars import Floats
from engine.controls import hold
from engine.inference.assess import Assessment, assess
from engine.inference.deflated import trials_of
from engine.inference.winrate import WinRate, break_even_of, win_rate
from engine.random_entries import random_entries
from research.experiments.bench import Traded, money_of, trade, trial_of, walk_columns
from research.experiments.finding import CONFIRMED, REFUTED, Column, Finding, Standing
from research.experiments.lab import Lab
from research.losses import focal_minimiser

CLAIM = "Sniper (0.95): 3 of 3 trades won, +1.11 %, drawdown 0.61 %: Proven Profitable"
CUT, GAMMA = 0.95, 2.0
CLAIMED = (3, 3)  # wins, trades
OTHERS = 31  # configurations the notes tried before (their trial number); METHODS A8
LEAST_TRADES, SURE = 30, 0.95  # METHODS: refuted below either
COLUMNS = (
    Column("0.95 of"),
    Column("trades", "d"),
    Column("a year", ".1f"),
    Column("win", ".0%"),
    Column("low", ".0%"),
    Column("high", ".0%"),
    Column("break-even", ".0%"),
    Column("net bp/trade", "+.1f"),
    Column("return", "+.1%"),
    Column("max DD", ".1%"),
    Column("Sharpe", "+.2f"),
    Column("low", "+.2f"),
    Column("high", "+.2f"),
    Column("DSR", ".2f"),
)


class Record(NamedTuple):
    """A traded meaning of 0.95 and what it proves."""

    traded: Traded
    win: WinRate
    proof: Assessment


def verdict(records: list[tuple[int, float | None]]) -> str:
    """Return the verdict from trades and deflated Sharpe ratio of each meaning: confirmed if any is proven."""
    proven = [trades >= LEAST_TRADES and dsr is not None and dsr >= SURE for trades, dsr in records]
    return CONFIRMED if any(proven) else REFUTED


def meanings(p: Floats, rank: Floats) -> dict[str, np.ndarray]:
    """Return the wishes of each meaning of a threshold of 0.95."""
    known = np.isfinite(p)
    raw = np.full(len(p), np.nan)
    raw[known] = focal_minimiser(p[known], GAMMA)
    return {"rank": rank >= CUT, "calibrated p": p >= CUT, "raw focal": raw >= CUT}


def run(lab: Lab) -> Finding:
    """Trade each meaning through the walk-forward."""
    study, walk = lab.study(), walk_columns(lab)
    lab.tell("trading", 0.8)
    bars = study.bars[walk.stretch]
    traded = [trade(study, name, wish, walk.stretch) for name, wish in meanings(walk.p, walk.rank).items()]
    tried = trials_of(np.stack([one.daily for one in traded], axis=1), OTHERS)
    atr = float(np.median(study.atr[walk.stretch] / bars.close))
    years = len(bars) / bars.bars_per_year
    even = break_even_of(study.config.rules, atr)
    records = [Record(one, _wins(one, even), assess(one.daily, bars.days_per_year, tried)) for one in traded]
    word = verdict([(len(r.traded.net), r.proof.deflated.value) for r in records])
    claimed = win_rate(*CLAIMED)
    return Finding(
        verdict=word,
        sentence=(
            f"3 of 3 is a win rate of [{claimed.low:.0%}, {claimed.high:.0%}]; in the walk-forward 0.95 makes"
            f" {_told(records[0], years)} by rank, {len(records[1].traded.net)} trades as a probability and"
            f" {len(records[2].traded.net)} as a raw focal output:"
            f" {'one of them is proven' if word == CONFIRMED else 'nothing is proven'}"
        ),
        columns=COLUMNS,
        rows=tuple(_row(r, years) for r in records),
        numbers={
            "claimed_interval": [claimed.low, claimed.high],
            "raw_0.95_means": float(_true_of(CUT)),
            "random_pairs_as_good": random_pairs(study, walk.stretch, lab.pick(4000, 500), lab.seed),
            "hold_sharpe": hold(bars, study.config.rules).score.sharpe,
            "psr": [r.proof.psr for r in records],
            "min_days": [r.proof.min_days for r in records],
            "years": years,
        },
        n=len(traded[0].daily),
        seeds=(lab.seed,),
        standings=tuple(
            Standing(f"logistic at 0.95 of the {one.name}", "-", "walk-forward", money_of(one)) for one in traded
        ),
        trials=tuple(trial_of(one, "A7", "walk-forward", {"cut": CUT}) for one in traded),
    )


def _wins(one: Traded, even: float | None) -> WinRate:
    return win_rate(int(np.count_nonzero(one.net > 0.0)), len(one.net), even)


def random_pairs(study: Any, stretch: slice, draws: int, seed: int) -> dict[str, float]:
    """Return how often two random trades, in 90 days drawn at random, have a Sharpe ratio of 0.73 or win twice."""
    rng, bars, atr = np.random.default_rng(seed), study.bars[stretch], study.atr[stretch]
    span, good, won, counted = int(90 * 24 * 3600e9 / bars.timeframe_ns), 0, 0, 0
    if span >= len(bars):
        return {}
    for _ in range(draws // 50):
        first = int(rng.integers(0, len(bars) - span))
        part = slice(first, first + span)
        wishes = np.zeros(len(study.bars), np.bool_)
        wishes[stretch.start + first + np.array([span // 4, 3 * span // 4])] = True
        two = trade(study, "two", wishes, slice(stretch.start + first, stretch.start + first + span))
        drawn = random_entries(bars[part], atr[part], study.config.rules, two.result.trades, 50, int(rng.integers(1e9)))
        if drawn is not None:
            good, counted = good + int((drawn.sharpe >= 0.73).sum()), counted + len(drawn.sharpe)
            won += int((drawn.total_return > 0.0).sum())
    return {"sharpe_0.73": good / max(counted, 1), "profit": won / max(counted, 1)}


def _true_of(raw: float) -> float:
    import torch

    from research.losses import recovered_logit

    logit = torch.logit(torch.tensor([raw], dtype=torch.float64))
    return float(torch.sigmoid(recovered_logit(logit, GAMMA))[0])


def _row(r: Record, years: float) -> tuple[Any, ...]:
    score, proof = r.traded.result.score, r.proof
    return (
        r.traded.name,
        len(r.traded.net),
        len(r.traded.net) / years,
        *(r.win.value, r.win.low, r.win.high, r.win.break_even),
        *(score.expectancy_bp, score.total_return, score.max_drawdown),
        *(proof.sharpe.value, proof.sharpe.low, proof.sharpe.high),
        proof.deflated.value,
    )


def _told(r: Record, years: float) -> str:
    score, dsr = r.traded.result.score, r.proof.deflated.value
    told = f"{len(r.traded.net)} trades in {years:.1f} years"
    if score.sharpe is None:
        return told
    return (
        f"{told} (win {score.win_rate:.0%}, net {score.expectancy_bp:+.1f} bp each, Sharpe {score.sharpe:+.2f}, DSR"
        + (" unknown)" if dsr is None else f" {dsr:.2f})")
    )
