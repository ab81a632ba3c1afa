"""A16: Sharpe above 1 before going live, a goal between skill and luck.

Two things decide: how long a true Sharpe ratio of 1 must be watched before it can be told from 0, with one try and with
many; and how often the best of a few random-entry strategies shows more than 1 in a short window anyway.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from engine.inference.deflated import expected_max
from engine.inference.sharpe import NORMAL, power
from engine.random_entries import random_entries
from research.experiments.bench import trade
from research.experiments.finding import CONFIRMED, REFUTED, UNDECIDED, Column, Finding
from research.experiments.lab import Lab

CLAIM = "the goal: Sharpe above 1 in the backtest before going live"
GOAL, TRADES = 1.0, 24  # the notes' goal, and trades of their winner
TRIES = (1, 10, 31, 100)
SHARPES = (0.5, 1.0, 1.5, 2.0)
WINDOWS_DAYS = (90, 180, 365)
WINDOWS, DRAWS = (150, 40), (400, 100)  # drawn windows and random strategies in each; full and quick
SURE, LIKELY = 0.05, 0.80
SECOND = 0.0004  # cost of a side for the random entries: 4 bp, as in METHODS 0.5
COLUMNS = (
    Column("what"),
    Column("of"),
    Column("one try", ".2f"),
    Column("best of 10", ".2f"),
    Column("best of 31", ".2f"),
    Column("best of 100", ".2f"),
)


def verdict(lucky: float, window_days: int, needed_days: float) -> str:
    """Return the verdict on the goal, for a window of some length.

    Refuted when luck reaches the goal in more than one window of twenty, or the window is shorter than what a true
    ratio of the goal needs to be seen with a power of 80 %; confirmed when neither.
    """
    if math.isnan(lucky):
        return UNDECIDED
    return REFUTED if lucky > SURE or window_days < needed_days else CONFIRMED


def days_needed(sharpe: float, tries: int, days_per_year: int, likely: float = LIKELY) -> float:
    """Return after how many days a true annual ratio beats the expected best of so many worthless ones, this likely."""
    bar, reach = expected_max(tries), NORMAL.inv_cdf(1.0 - SURE) + NORMAL.inv_cdf(likely)
    return ((bar + reach) / (sharpe / math.sqrt(days_per_year))) ** 2


def lucky_share(lab: Lab, days: int) -> np.ndarray:
    """Return Sharpe ratios of random entries in windows drawn at random, one per draw."""
    study, rng = lab.study(), np.random.default_rng(lab.seed)
    bars = study.bars[study.development.start : study.stop]
    span = int(days * 86_400e9 / bars.timeframe_ns)
    if span + 200 > len(bars):
        return np.empty(0)
    rules = replace(study.config.rules, fee=SECOND, maker_fee=SECOND, slippage=0.0)
    windows, draws, out = lab.pick(*WINDOWS), lab.pick(*DRAWS), []
    for _ in range(windows):
        first = study.development.start + int(rng.integers(200, len(bars) - span))
        part = slice(first, first + span)
        wishes = np.zeros(len(study.bars), np.bool_)
        wishes[first + np.linspace(30, span - 60, TRADES).astype(np.int64)] = True
        trades = trade(study, "even", wishes, part).result.trades
        drawn = random_entries(study.bars[part], study.atr[part], rules, trades, draws, int(rng.integers(1e9)))
        if drawn is not None:
            out.append(drawn.sharpe)
    return np.concatenate(out) if out else np.empty(0)


def best_of(sharpes: np.ndarray, tries: int, goal: float) -> float:
    """Return the chance that the best of several independent tries reaches a goal."""
    return float(1.0 - np.mean(sharpes < goal) ** tries) if len(sharpes) else float("nan")


def run(lab: Lab) -> Finding:
    """Tabulate luck and patience."""
    a_year, rows, luck = lab.bars.days_per_year, list[tuple[Any, ...]](), {}
    for i, days in enumerate(WINDOWS_DAYS):
        sharpes = lucky_share(lab, days)
        luck[days] = {k: best_of(sharpes, k, GOAL) for k in TRIES}
        rows.append((f"P(Sharpe >= {GOAL:g}) by luck", f"{days} days, {TRADES} trades", *luck[days].values()))
        lab.tell(f"{days} days", (i + 1) / len(WINDOWS_DAYS))
    need = {sharpe: {k: days_needed(sharpe, k, a_year) for k in TRIES} for sharpe in SHARPES}
    for sharpe in SHARPES:
        least = (days_needed(sharpe, k, a_year, 0.5) / a_year for k in TRIES)
        rows.append(("years until such a record counts", f"shown Sharpe {sharpe:g}", *least))
        rows.append(
            (
                "years until it shows 4 times of 5",
                f"true Sharpe {sharpe:g}",
                *(d / a_year for d in need[sharpe].values()),
            )
        )
    lucky = {k: "an unknown share" if math.isnan(x) else f"{x:.0%}" for k, x in luck[90].items()}
    chance = power(GOAL / math.sqrt(a_year), WINDOWS_DAYS[0], 0.0)
    word = verdict(luck[90][1], 90, need[GOAL][1])
    return Finding(
        verdict=word,
        sentence=(
            f"{TRADES} random entries show a Sharpe ratio above 1 in {lucky[1]} of 90-day windows, the best of"
            f" 10 in {lucky[10]}; a true 1 needs {need[GOAL][1] / a_year:.1f} years to show once in one try and"
            f" {need[GOAL][31] / a_year:.1f} after 31, and in 90 days it shows {chance:.0%} of the time: the goal alone"
            " tells nothing"
        ),
        columns=COLUMNS,
        rows=tuple(
            (*row[:2], *(None if isinstance(x, float) and math.isnan(x) else x for x in row[2:])) for row in rows
        ),
        numbers={"luck": luck, "days_needed": need, "power_in_90_days": chance},
        n=lab.pick(WINDOWS[0] * DRAWS[0], WINDOWS[1] * DRAWS[1]),
        seeds=(lab.seed,),
    )
