"""A15: mean reversion that profits when the trend fails, and what an ensemble of the two gains.

Three agents choose among trades of their own side with the same logistic, walk-forward: *trend* goes with the last
day's move, *reversion* against a close outside its Bollinger band, *volatility* with the last bars where it expects a
barrier to be reached soon. What each earns in each regime, and what reversion earns on the days on which trend loses.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.barriers import label_barriers
from engine.bars import Floats
from engine.features import feature_matrix
from engine.inference.bootstrap import mean_interval
from engine.inference.confidence_set import model_confidence_set
from engine.inference.interval import Draws, Interval
from engine.signals import Sides
from research.experiments.bench import (
    Told,
    Traded,
    hear_walk,
    money_of,
    standing_of,
    trade,
    trial_of,
    walk_columns,
)
from research.experiments.finding import Column, Finding, Standing, judge_gain
from research.experiments.lab import Lab, with_target

CLAIM = "when the trend fails, mean reversion profits"
SOON = 6  # bars in which the volatility agent wants a barrier reached: a quarter of the time limit
THRESHOLD = 0.75
AGENTS = ("trend", "reversion", "volatility")
ROLES = ("calm", "normal", "turbulent")
COLUMNS = (
    Column("agent"),
    Column("regime"),
    Column("trades", "d"),
    Column("win", ".0%"),
    Column("net bp/trade", "+.1f"),
    Column("low", "+.1f"),
    Column("high", "+.1f"),
    Column("Sharpe", "+.2f"),
    Column("in the set"),
)


def verdict(when_trend_loses: Interval) -> str:
    """Return the verdict from what reversion earns a day on the days on which trend loses."""
    return judge_gain(when_trend_loses.low, when_trend_loses.high)


def sides(lab: Lab) -> dict[str, Sides]:
    """Return the side each agent would take at each bar: 1, -1 or 0, from closed bars alone."""
    day, band, last = feature_matrix(lab.bars, ("ret_24", "boll_20", "ret_6")).T
    follow, quick = (np.sign(np.nan_to_num(x)).astype(np.int8) for x in (day, last))
    fade = np.where(np.abs(np.nan_to_num(band)) >= 1.0, -np.sign(np.nan_to_num(band)), 0.0).astype(np.int8)
    return {"trend": follow, "reversion": fade, "volatility": quick}


def heard(lab: Lab, name: str, side: Sides) -> Told:
    """Return what the logistic says, walk-forward, of an agent's own trades."""
    study = lab.study()
    labels = label_barriers(lab.bars, study.atr, study.config.rules, side)
    taken = np.arange(len(side))
    y = (labels.gross > 0.0).astype(np.float64)
    if name == "volatility":
        y = ((labels.outcome != 0) & (labels.end - taken <= SOON)).astype(np.float64)
    y[(labels.end < 0) | (side == 0)] = np.nan
    return hear_walk(with_target(study, y, labels.end, study.config.barriers.hold), "logistic", name=name)


def run(lab: Lab) -> Finding:
    """Let each agent trade the walk-forward, long and short, and set them side by side."""
    study, choose = lab.study(), sides(lab)
    told = {}
    for i, name in enumerate(AGENTS):
        told[name] = heard(lab, name, choose[name])
        lab.tell(name, 0.2 * (i + 1))
    stretch = slice(max(int(one.rows[0]) for one in told.values()), study.stop)
    traded = {name: trade(study, name, _wishes(told[name], choose[name]), stretch) for name in AGENTS}
    daily = np.column_stack([traded[name].daily for name in AGENTS])
    ensemble = daily.mean(axis=1)
    draws = Draws(resamples=lab.pick(2000, 400))
    chosen = model_confidence_set(-np.column_stack([daily, ensemble]), draws=draws)
    state = walk_columns(lab).belief.argmax(axis=1)
    rows: list[tuple[Any, ...]] = []
    for i, name in enumerate(AGENTS):
        rows += _rows(traded[name], state, stretch, "yes" if i in chosen.included else "no")
    score = float(ensemble.mean() / ensemble.std(ddof=1) * np.sqrt(lab.bars.days_per_year)) if ensemble.any() else None
    rows.append(("equal weights", "all", None, None, None, None, None, score, "yes" if 3 in chosen.included else "no"))
    lost = daily[:, 0] < 0.0
    given = mean_interval(daily[lost, 1], draws).scaled(1e4)
    together = correlation(daily[:, 0], daily[:, 1], draws)
    word = verdict(given)
    return Finding(
        verdict=word,
        sentence=_sentence(given, together, int(lost.sum()), len(lost)),
        columns=COLUMNS,
        rows=tuple(rows),
        numbers={"correlations": np.corrcoef(daily.T).tolist(), "days_trend_lost": int(lost.sum())},
        n=len(daily),
        n_eff=None,
        seeds=(lab.seed,),
        standings=tuple(_standing(told[name], traded[name]) for name in AGENTS),
        trials=tuple(trial_of(one, "A15", "walk-forward", {"threshold": THRESHOLD}) for one in traded.values()),
    )


def correlation(a: Floats, b: Floats, draws: Draws) -> Interval:
    """Return the correlation of two series of days with its block-bootstrap interval."""
    if not a.std() or not b.std():
        return Interval(None, why="one of them never moves")
    x, y = (a - a.mean()) / a.std(), (b - b.mean()) / b.std()
    rho = float(np.mean(x * y))
    return mean_interval(x * y - rho * (x * x + y * y) / 2.0, draws).moved(rho)


def _wishes(told: Told, side: Sides) -> Sides:
    out = np.zeros(len(side), np.int8)
    picked = told.rows[told.rank >= THRESHOLD]
    out[picked] = side[picked]
    return out


def _standing(told: Told, traded: Traded) -> Standing:
    return standing_of(told._replace(name=f"{told.name} agent, logistic"), f"trades of {told.name}", traded)


def _rows(traded: Traded, state: np.ndarray, stretch: slice, held: str) -> list[tuple[Any, ...]]:
    trades = traded.result.trades
    wished = stretch.start + np.maximum(trades["entry_bar"] - 1, 0)
    money = money_of(traded)
    score = traded.result.score
    rows: list[tuple[Any, ...]] = [
        (traded.name, "all", score.trades, score.win_rate, money["net_bp"], money["net_low"], money["net_high"],
         score.sharpe, held)
    ]  # fmt: skip
    for k, role in enumerate(ROLES):
        net = traded.net[state[wished] == k]
        told = mean_interval(net).scaled(1e4) if len(net) else Interval(None)
        win = float(np.mean(net > 0.0)) if len(net) else None
        rows.append((traded.name, role, len(net), win, told.value, told.low, told.high, None, ""))
    return rows


def _sentence(given: Interval, together: Interval, lost: int, days: int) -> str:
    def shown(x: Interval, style: str) -> str:
        bounds = "" if x.low is None or x.high is None else f" [{x.low:{style}}, {x.high:{style}}]"
        return "an unknown amount" if x.value is None else f"{x.value:{style}}{bounds}"

    return (
        f"on the {lost} of {days} days on which trend lost, reversion earned {shown(given, '+.1f')} bp a day after"
        f" costs; the correlation of the two is {shown(together, '+.2f')}"
    )
