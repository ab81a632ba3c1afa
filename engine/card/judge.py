"""What may be believed of a comparison: intervals, luck, selection, controls, stress, and a verdict.

Nothing here makes a strategy look better or worse; it says how far its figures can be told from
those of chance, of the market, and of having looked often.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from engine.bars import Floats
from engine.card.forecasts import Forecast, forecast_of
from engine.card.gates import GateWorth, gate_worths
from engine.card.stability import Stability, stability
from engine.card.stress import Stress, free_of_cost, stresses, target_first
from engine.card.verdict import Grounds, Verdict, verdict_of
from engine.compare import CONTROL, PROFILE, Comparison, Row
from engine.inference.assess import Assessment, assess
from engine.inference.bootstrap import mean_interval, sharpe_differences, sharpe_interval
from engine.inference.deflated import Trials, trials_of
from engine.inference.interval import Interval
from engine.inference.pbo import Overfit, backtest_overfitting
from engine.inference.superiority import Superiority, superiority
from engine.inference.winrate import WinRate, break_even_of, win_rate
from engine.random_entries import RandomEntries, random_entries
from engine.score import Score, daily_returns
from engine.workers import Workers

HOLD, CASH = "Buy and hold", "Cash"


@dataclass(frozen=True, slots=True)
class History:
    """What the trial ledger knows about these bars.

    Parameters
    ----------
    returns : float64 array of shape (t, k)
        Daily returns of every other configuration tried on these days.
    others : int
        Configurations tried on this market that left no returns on these days: other zones, other spans,
        and the candidates of trainings.
    looks : int
        How often the sealed zone of this market's drafts was looked at.
    fresh : bool
        Whether the ledger begins with this comparison: what was tried before it is not known.
    """

    returns: Floats = field(default_factory=lambda: np.empty((0, 0)))
    others: int = 0
    looks: int = 0
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Luck:
    """Where a strategy stands among random entries: share of draws that did worse, in [0, 1]."""

    draws: RandomEntries
    by_return: float
    by_sharpe: float | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What may be believed of one strategy.

    Parameters
    ----------
    row : Row
        Its figures.
    assessment : Assessment
        Sharpe ratio with interval, PSR, minimum record, deflated for the trials.
    win : WinRate
        With its exact interval and the break-even rate of these barriers and costs.
    expectancy : Interval
        Mean net return per trade, as a fraction of its notional.
    against : dict of str to Interval
        Paired differences of annualised Sharpe ratios with other rows.
    luck : Luck or None
        Among random entries; None without trades.
    claimed : float or None
        Mean calibrated probability at the decisions that became trades.
    stability : Stability
        What the result rests on.
    stress : tuple of Stress
        Under harder terms.
    target_first : Score
        If the target came first in every ambiguous bar.
    gross : Score
        Without any cost: its result per trade is the round trip the strategy can pay.
    verdict : Verdict
        In words.
    """

    row: Row
    assessment: Assessment
    win: WinRate
    expectancy: Interval
    against: Mapping[str, Interval]
    luck: Luck | None
    claimed: float | None
    stability: Stability
    stress: tuple[Stress, ...]
    target_first: Score
    gross: Score
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Judged:
    """A comparison with everything that may be believed of it.

    Parameters
    ----------
    comparison : Comparison
        The figures.
    profiles : tuple of Judgement
        One per profile, and per grid strategy where asked for, in the comparison's order.
    ranking : tuple of str
        Those with enough trades, best first, by the lower bound of the paired difference to holding.
    sharpes : dict of str to Interval
        Annualised Sharpe ratio of every row.
    wins : dict of str to WinRate
        Win rate of every row.
    trials : Trials
        What the ledger counts, this comparison included.
    looks : int
        Looks at the sealed zone.
    fresh : bool
        Whether the ledger begins with this comparison.
    overfit : Overfit
        Probability that choosing among the trials was worth nothing.
    beats_cash, beats_hold : Superiority
        Whether the best of all trials on these days beats doing nothing, and holding.
    forecast : Forecast or None
        What the predictor knew on these bars.
    gates : tuple of GateWorth
        What each gate was worth.
    """

    comparison: Comparison
    profiles: tuple[Judgement, ...]
    ranking: tuple[str, ...]
    sharpes: Mapping[str, Interval]
    wins: Mapping[str, WinRate]
    trials: Trials
    looks: int
    fresh: bool
    overfit: Overfit
    beats_cash: Superiority
    beats_hold: Superiority
    forecast: Forecast | None
    gates: tuple[GateWorth, ...]

    def __getitem__(self, name: str) -> Judgement:
        """Return the judgement of a profile."""
        return next(one for one in self.profiles if one.row.name == name)


def judge(
    comparison: Comparison,
    history: History | None = None,
    roles: tuple[str, ...] = (),
    kinds: tuple[str, ...] = (PROFILE,),
    workers: Workers | None = None,
) -> Judged:
    """Judge a comparison.

    Parameters
    ----------
    comparison : Comparison
        Rows on the same bars.
    history : History, optional
        What the trial ledger knows; without it only this comparison's own rows are counted.
    roles : tuple of str
        Names of the regimes by ascending volatility.
    kinds : tuple of str
        Kinds of rows that get a judgement of their own; ``grid`` too for the strategies between the profiles.
    workers : Workers, optional
        Processes that share the random entries.
    """
    history = history or History()
    rows, bars = comparison.rows, comparison.bars
    daily = np.stack([daily_returns(row.result)[1] for row in rows], axis=1)
    tried = [i for i, row in enumerate(rows) if row.kind != CONTROL]
    pool = _pool(daily[:, tried], history.returns)
    trials, overfit = trials_of(pool, history.others), backtest_overfitting(pool)
    names = [row.name for row in rows]
    pairs = [(i, j) for i in tried for j in range(len(rows)) if i != j]
    found = dict(zip(pairs, sharpe_differences(daily, pairs, bars.days_per_year), strict=True))
    wins = {row.name: win_of(row, comparison) for row in rows}
    forecast = forecast_of(comparison)
    judged = []
    for i, row in enumerate(rows):
        if row.kind in kinds:
            against = {names[j]: found[i, j] for j in range(len(rows)) if j != i}
            record = assess(daily[:, i], bars.days_per_year, trials)
            rest = (overfit, forecast, roles, history.looks, luck_of(row, comparison, workers))
            judged.append(_judge_one(row, comparison, record, wins[row.name], against, rest))
    hold = daily[:, names.index(HOLD)] if HOLD in names else 0.0
    return Judged(
        comparison=comparison,
        profiles=tuple(judged),
        ranking=_ranking(judged),
        sharpes={name: sharpe_interval(daily[:, i], bars.days_per_year) for i, name in enumerate(names)},
        wins=wins,
        trials=trials,
        looks=history.looks,
        fresh=history.fresh,
        overfit=overfit,
        beats_cash=superiority(pool),
        beats_hold=superiority(pool, hold),
        forecast=forecast,
        gates=gate_worths(comparison, {(names[i], names[j]): d for (i, j), d in found.items()}),
    )


def _pool(own: Floats, ledger: Floats) -> Floats:
    """Return the daily returns of all trials on these days."""
    return np.concatenate((own, ledger), axis=1) if ledger.shape[0] == own.shape[0] else own


def win_of(row: Row, comparison: Comparison) -> WinRate:
    """Return the win rate of a row with the break-even rate of the terms at the middle ATR of its trades."""
    trades = row.result.trades
    rows = np.searchsorted(comparison.bars.open_time, trades["wish_time"])
    level = None
    if row.signals is not None and len(rows):
        share = row.signals.atr[rows] / comparison.bars.close[rows]
        level = break_even_of(comparison.rules, float(np.median(share)))
    return win_rate(int(np.count_nonzero(trades["pnl"] > 0)), len(trades), level)


def _judge_one(
    row: Row,
    comparison: Comparison,
    record: Assessment,
    win: WinRate,
    against: Mapping[str, Interval],
    rest: tuple[Overfit, Forecast | None, tuple[str, ...], int, Luck | None],
) -> Judgement:
    assert row.signals is not None
    overfit, forecast, roles, looks, luck = rest
    bars, rules = comparison.bars, comparison.rules
    harder = tuple(stresses(bars, row.signals, rules))
    place, trained = None if luck is None else luck.by_return, comparison.about.get("bundle", {}).get("markets", ())
    said = (place, forecast, comparison.zone, looks, trained, bars.symbol)
    grounds = Grounds(record, overfit, against.get(HOLD), *said)
    return Judgement(
        row=row,
        assessment=record,
        win=win,
        expectancy=mean_interval(row.result.trades["ret"].astype(np.float64)),
        against=against,
        luck=luck,
        claimed=_claimed(row),
        stability=stability(row.result, row.signals, roles),
        stress=harder,
        target_first=target_first(bars, row.signals, rules),
        gross=free_of_cost(bars, row.signals, rules),
        verdict=verdict_of(row, grounds),
    )


def luck_of(row: Row, comparison: Comparison, workers: Workers | None = None) -> Luck | None:
    """Return a strategy's place among random entries with its own count, sides, barriers and costs."""
    trades = row.result.trades
    assert row.signals is not None
    drawn = random_entries(comparison.bars, row.signals.atr, comparison.rules, trades, workers=workers)
    if drawn is None or row.score.total_return is None:
        return None
    by_sharpe = None if row.score.sharpe is None else drawn.percentile("sharpe", row.score.sharpe)
    return Luck(drawn, drawn.percentile("total_return", row.score.total_return), by_sharpe)


def _claimed(row: Row) -> float | None:
    if row.signals is None or row.signals.evidence is None or not len(row.result.trades):
        return None
    rows = np.searchsorted(row.result.bars.open_time, row.result.trades["wish_time"])
    return float(row.signals.evidence.probability[rows].mean())


def _ranking(judged: list[Judgement]) -> tuple[str, ...]:
    fit = [one for one in judged if not one.win.few and one.row.in_sample == 0 and one.against.get(HOLD) is not None]
    bound = {one.row.name: one.against[HOLD].low for one in fit}
    known = [name for name, low in bound.items() if low is not None]
    return tuple(sorted(known, key=lambda name: -(bound[name] or 0.0)))
