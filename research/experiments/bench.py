"""The one way experiments judge: fitted on development, calibrated on its end, asked about validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.bars import Floats
from engine.controls import wishing
from engine.errors import DataError
from engine.inference.bootstrap import mean_interval, sharpe_differences, sharpe_interval
from engine.inference.interval import Draws, Interval
from engine.score import daily_returns
from engine.simulate import Result, simulate
from engine.trials import Trial, market_key
from models.calibration import ConfidenceTable, lean_of
from research.calibrate import fit_line
from research.candidates import Model, fit_candidate
from research.experiments.finding import Standing
from research.experiments.lab import Lab
from research.measures import Score, cross_entropy, score_forecast
from research.splits import Fold
from research.study import Study

VALIDATION, WALK_FORWARD = "validation", "walk-forward"
THRESHOLD = 0.75  # rank from which a forecast becomes a wish: Reckless


class Told(NamedTuple):
    """What one model said about bars it had not seen.

    Parameters
    ----------
    name, zone : str
        The model, and where it was asked: ``validation`` or ``walk-forward``.
    study : Study
        Its market and target.
    rows : int64 array of shape (m,)
        Bars judged, ascending.
    p, losses : float64 arrays of shape (m,)
        Calibrated probabilities, and what each cost.
    score : Score
        Of all of them.
    rank : float64 array of shape (m,)
        Place among the predictions of the inner validation, for the side it would take.
    """

    name: str
    zone: str
    study: Study
    rows: NDArray[np.int64]
    p: Floats
    losses: Floats
    score: Score
    rank: Floats


def hear(study: Study, kind: str, other_seed: int = 0, name: str = "") -> Told:
    """Fit a kind of model on development and judge it on validation."""
    rows = judged_rows(study)
    return _told(study, name or kind, VALIDATION, [(rows, *_asked(study, study.final_fold(), kind, rows, other_seed))])


def hear_walk(study: Study, kind: str, name: str = "") -> Told:
    """Fit a kind of model at each step of the walk-forward and judge it on all the bars foreseen."""
    parts = []
    for fold in study.folds():
        rows = study.predictable(fold.test)
        rows = rows[study.judged(rows)]
        if len(rows):  # what is known beside the bars may be silent for a whole tile
            parts.append((rows, *_asked(study, fold, kind, rows, 0)))
    return _told(study, name or kind, WALK_FORWARD, parts)


def _asked(study: Study, fold: Fold, kind: str, rows: NDArray[np.int64], other_seed: int) -> tuple[Floats, Floats]:
    split = study.split(fold)
    model, _ = fit_candidate(kind, study.examples, split, study.config, None, other_seed)
    return calibrated(study, model, split.inner, rows)


def calibrated(study: Study, model: Model, inner: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return probabilities at some rows and the ranks of the side they take, calibrated on the inner rows alone."""
    examples, logits = study.examples, model.logits(study.examples, inner)
    line = fit_line(logits, examples.y[inner], study.uniqueness(inner), study.config.calibration.method)
    p = line.apply(model.logits(examples, rows))
    table = ConfidenceTable.from_predictions(line.apply(logits))
    return p, table.rank_of_lean(p, lean_of(p, study.config.sides))


def told_by(study: Study, model: Model, inner: NDArray[np.int64], name: str) -> Told:
    """Return what a model fitted on development said about validation."""
    rows = judged_rows(study)
    return _told(study, name, VALIDATION, [(rows, *calibrated(study, model, inner, rows))])


def _told(study: Study, name: str, zone: str, parts: list[tuple[NDArray[np.int64], Floats, Floats]]) -> Told:
    rows, p, rank = (np.concatenate(column) for column in zip(*parts, strict=True))
    y, n_eff = study.examples.y[rows], float(study.uniqueness(rows).sum())
    score = score_forecast(y, p, n_eff, study.block, study.config.seed)
    return Told(name, zone, study, rows, p, cross_entropy(y, p), score, rank)


def judged_rows(study: Study) -> NDArray[np.int64]:
    """Return the rows of the validation zone whose label ends inside it."""
    return study.examples.between(study.validation.start, study.validation.stop)


def gain(without: Told, losses: Floats, where: NDArray[np.bool_] | None = None, level: float = 0.95) -> Interval:
    """Return how much less other losses are than a forecaster's, as a share of no skill, with its interval.

    Parameters
    ----------
    without : Told
        The forecaster to beat.
    losses : float64 array of shape (m,)
        Of the other, on the same rows in time order.
    where : bool array of shape (m,), optional
        Rows that count.
    level : float
        Confidence of the interval.
    """
    keep = np.ones(len(losses), np.bool_) if where is None else where
    if not keep.any():
        return Interval(None, why="no rows")
    less = (without.losses - losses)[keep] / without.score.no_skill
    return mean_interval(less, Draws(block=float(min(2 * without.study.block, keep.sum())), level=level))


class Traded(NamedTuple):
    """What some wishes came to.

    Parameters
    ----------
    name : str
        Of the rule that wished.
    result : Result
        Of the simulation.
    days : int64 array of shape (d,)
        Days since 1970.
    daily : float64 array of shape (d,)
        Net returns.
    """

    name: str
    result: Result
    days: NDArray[np.int64]
    daily: Floats

    @property
    def net(self) -> Floats:
        """Net return of each trade, as a fraction of its notional."""
        return np.asarray(self.result.trades["ret"], np.float64)


def trade(study: Study, name: str, wishes: NDArray[Any], stretch: slice, funding: Floats | None = None) -> Traded:
    """Trade wishes of the whole history on a stretch of it, at the study's terms.

    ``wishes`` of shape (n,) are 1 long, -1 short, 0 nothing; or True for long. ``funding`` of shape (n,) is what a long
    pays at each open.
    """
    signals = wishing(np.asarray(wishes, np.int8)[stretch], study.atr[stretch])
    paid = None if funding is None else funding[stretch]
    result = simulate(study.bars[stretch], signals, study.config.rules, funding=paid)
    days, daily = daily_returns(result)
    return Traded(name, result, days.astype("datetime64[D]").astype(np.int64), daily)


def trade_told(told: Told, threshold: float = THRESHOLD, funding: Floats | None = None) -> Traded:
    """Trade the side a model leans to where its rank reaches a threshold, from its first row to the end: no gate."""
    study = told.study
    wishes = np.zeros(len(study.bars), np.int8)
    wishes[told.rows] = np.where(told.rank >= threshold, lean_of(told.p, study.config.sides), 0)
    return trade(study, told.name, wishes, slice(int(told.rows[0]), study.stop), funding)


class Walk(NamedTuple):
    """A walk-forward as columns over the whole history; NaN where nothing was said.

    Parameters
    ----------
    p, rank, audit, tau : float64 arrays of shape (n,)
        Calibrated probability, its rank in its fold's table, the auditor's opinion and its bar.
    belief : float64 array of shape (n, k)
        Regimes.
    stretch : slice
        From the first row foreseen to the end of validation.
    """

    p: Floats
    rank: Floats
    audit: Floats
    tau: Floats
    belief: Floats
    stretch: slice


def walk_columns(lab: Lab, kind: str = "logistic", audited: bool = False) -> Walk:
    """Return a walk-forward as columns; with auditors where asked, and then from the first row that has one."""
    study, forecasts = lab.study(), lab.walk(kind)
    n = len(study.bars)
    p, rank, audit, tau = np.full((4, n), np.nan)
    belief = np.full((n, study.config.regime.states), np.nan)
    for forecast in forecasts:
        p[forecast.rows], rank[forecast.rows] = forecast.p_up, forecast.rank
        belief[forecast.rows] = forecast.belief
    known = np.isfinite(p)
    if audited:
        for forecast, told in zip(forecasts, lab.audits(kind), strict=True):
            audit[forecast.rows], tau[forecast.rows] = told.chance, told.tau
        known = np.isfinite(audit)
        if not known.any():
            raise DataError(f"{len(lab.bars)} bars propose too few trades for an auditor to learn from; bring more")
    first = int(np.argmax(known)) if known.any() else study.stop
    return Walk(p, rank, audit, tau, belief, slice(first, study.stop))


def differences(lab: Lab, traded: Sequence[Traded], pairs: Sequence[tuple[int, int]]) -> tuple[Interval, ...]:
    """Return differences of annualised Sharpe ratios on the same days."""
    daily = np.stack([one.daily for one in traded], axis=1)
    return sharpe_differences(daily, list(pairs), lab.bars.days_per_year, Draws(resamples=lab.pick(2000, 400)))


def standing_of(told: Told, target: str, traded: Traded | None = None) -> Standing:
    """Return a forecaster's line of the leaderboard, with what trading it came to where it was traded."""
    s = told.score
    figures: dict[str, float | None] = {
        name: getattr(s, name)
        for name in ("n", "n_eff", "base_rate", "loss", "no_skill", "skill", "skill_se", "auc", "auc_low", "auc_high")
    }
    return Standing(told.name, target, told.zone, figures | (money_of(traded) if traded else {}))


def money_of(traded: Traded) -> dict[str, float | None]:
    """Return trades, net result of one in basis points and Sharpe ratio, with their intervals."""
    net = mean_interval(traded.net).scaled(1e4)
    sharpe = sharpe_interval(traded.daily, traded.result.bars.days_per_year)
    return {
        "trades": len(traded.net),
        "net_bp": net.value,
        "net_low": net.low,
        "net_high": net.high,
        "sharpe": sharpe.value,
        "sharpe_low": sharpe.low,
        "sharpe_high": sharpe.high,
    }


def trial_of(traded: Traded, experiment: str, zone: str, config: dict[str, Any]) -> Trial:
    """Return a scored configuration as the trial ledger keeps it."""
    score = traded.result.score
    return Trial(
        kind="experiment",
        name=f"{experiment} {traded.name}",
        config={"experiment": experiment, "name": traded.name, **config},
        data=market_key(traded.result.bars),
        zone=zone,
        status="ok" if score.sharpe is not None else "nan",
        metric=score.sharpe,
        days=traded.days,
        returns=traded.daily,
    )
