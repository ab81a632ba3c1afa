"""What is left of a sweep's best combo once it is remembered how many were asked.

The best of a thousand worthless rules looks good. Its Sharpe ratio is set against the best that luck gives among all
that was ever tried on the market (the deflated Sharpe ratio), the choosing itself is tried on one half of the days
and judged on the other (PBO), and its neighbours on the grid say whether it is a plateau or a lonely peak.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.bars import Floats
from engine.inference.assess import Assessment, assess
from engine.inference.deflated import Trials, effective_trials
from engine.inference.pbo import Overfit, backtest_overfitting
from engine.inference.winrate import FEW_TRADES
from engine.score import daily_returns
from engine.signals import Signals
from engine.simulate import simulate
from engine.sweep.result import Place, Plateau, SweepResult

BEST, DRAWN = 50, 50  # combos whose daily returns are kept: the best, and as many at random
PROVEN = 0.95  # a DSR from here on is more than luck
GOOD, HALF = 0.2, 0.5  # a PBO up to here is good; from here on the winners of one half are anybody on the other


@dataclass(frozen=True, slots=True)
class Kept:
    """Combos with their daily returns: ``returns`` has one column per place, on ``days`` since 1970."""

    places: tuple[Place, ...]
    days: NDArray[np.int64]
    returns: Floats


@dataclass(frozen=True, slots=True)
class Tried:
    """What the trial ledger knows besides this sweep.

    Parameters
    ----------
    returns : float64 array of shape (t, k)
        Daily returns of other trials on the same days.
    others : int
        Configurations tried on this market besides those and the sweep's own combos.
    swept : int
        How many of ``others`` are combos of other sweeps: they count in full among all trials, but not as that many
        different ideas.
    """

    returns: Floats = field(default_factory=lambda: np.empty((0, 0)))
    others: int = 0
    swept: int = 0


@dataclass(frozen=True, slots=True)
class Selection:
    """The combo a sweep would choose, and what that choice is worth.

    Parameters
    ----------
    best : tuple of int
        Its place: the highest Sharpe ratio among combos with 30 trades or more; among all if none has.
    few : bool
        No combo has 30 trades.
    plateau : Plateau
        Its neighbours.
    assessment : Assessment
        Its Sharpe ratio with interval, deflated for everything tried.
    overfit : Overfit
        PBO over the combos whose daily returns are known.
    """

    best: Place
    few: bool
    plateau: Plateau
    assessment: Assessment
    overfit: Overfit

    @property
    def sentences(self) -> tuple[str, ...]:
        """What the figures mean, in words."""
        return _luck_sentence(self.assessment), _choice_sentence(self.overfit), _plateau_sentence(self)


def keep(found: SweepResult, wishes: Signals, atr: Floats, seed: int = 0) -> Kept:
    """Simulate the best combos and as many random ones again, for their daily returns.

    Parameters
    ----------
    found : SweepResult
        A sweep.
    wishes : Signals
        The wishes it was made of.
    atr : float64 array of shape (n,)
        The unit of its barriers.
    seed : int
        Same seed, same random combos.
    """
    best = found.ranked(BEST) or found.ranked(BEST, fewest=0)
    taken = set(best)
    order = np.random.default_rng(seed).permutation(len(found))[: BEST + DRAWN]
    drawn = [place for place in map(found.place, order.tolist()) if place not in taken]
    places = (*best, *drawn[:DRAWN])
    columns, days = [], np.empty(0, np.int64)
    for place in places:
        combo = found.combo(place)
        sure = wishes.confidence >= combo.threshold if len(wishes.confidence) else np.ones(len(wishes), np.bool_)
        asked = Signals(np.where(sure, wishes.side, 0).astype(np.int8), atr)
        result = simulate(found.bars, asked, combo.rules(found.rules))
        assert result.account.equity / found.rules.cash - 1.0 == found.total_return[place], (
            f"{combo} is not its simulation"
        )
        dates, returns = daily_returns(result)
        days = dates.astype(np.int64)
        columns.append(returns)
    return Kept(places, days, np.stack(columns, axis=1))


def select(found: SweepResult, kept: Kept, tried: Tried | None = None) -> Selection | None:
    """Choose the best combo of a sweep and say what the choice is worth.

    Parameters
    ----------
    found : SweepResult
        A sweep.
    kept : Kept
        Its best combo first.
    tried : Tried, optional
        What else was tried on this market; nothing by default.

    Returns
    -------
    Selection or None
        None where no combo's equity ever moved.
    """
    tried = tried or Tried()
    best = next(iter(found.ranked(1) or found.ranked(1, fewest=0)), None)
    if best is None:
        return None
    own = kept.returns
    pool = np.concatenate((own, tried.returns), axis=1) if len(tried.returns) == len(own) else own
    ratios = found.sharpe[np.isfinite(found.sharpe)] / np.sqrt(found.bars.days_per_year)
    ideas = effective_trials(pool) + tried.others - tried.swept
    count = len(found) + pool.shape[1] - own.shape[1] + tried.others
    trials = Trials(count, min(float(count), ideas), spread(ratios, len(own)))
    return Selection(
        best=best,
        few=int(found.trades[best]) < FEW_TRADES,
        plateau=found.plateau(best),
        assessment=assess(own[:, kept.places.index(best)], found.bars.days_per_year, trials),
        overfit=backtest_overfitting(pool),
    )


def spread(ratios: Floats, days: int) -> float | None:
    """Return the variance that luck shows among Sharpe ratios per day: what they show, but no more than 1 / days.

    That is the variance of the estimate for a worthless rule. Rules may differ by more, but then not by luck: those
    that trade too much lose by their costs, surely and in proportion. Counted as luck, one axis of such rules would
    put the best that luck gives beyond any strategy on earth.

    Examples
    --------
    >>> spread(np.array([0.01, 0.01]), 400), spread(np.array([0.1, -0.9]), 400)
    (0.0, 0.0025)
    """
    return min(float(ratios.var(ddof=1)), 1.0 / days) if len(ratios) > 1 else None


def _luck_sentence(record: Assessment) -> str:
    deflated, sharpe = record.deflated, record.sharpe.value
    if deflated.value is None or sharpe is None or record.luck is None:
        return f"DSR not known: {record.why}."
    counted = f"{deflated.trials:,} trials on this market, {deflated.effective_trials:.0f} of them different"
    raw = (deflated.benchmark_raw or 0.0) * record.days_per_year**0.5
    luck = f"the best of that many worthless rules is expected at {max(raw, record.luck):+.2f}"
    end = "more than luck explains" if deflated.value >= PROVEN else "luck is enough to explain it"
    return f"Sharpe {sharpe:+.2f} after {counted}: {luck}; DSR {deflated.value:.2f}, {end}."


def _choice_sentence(overfit: Overfit) -> str:
    if overfit.pbo is None:
        return f"PBO not known: {overfit.why}."
    worth = (
        "choosing by such a ranking is worth nothing" if overfit.pbo >= HALF else "the ranking carries over a little"
    )
    if overfit.pbo <= GOOD:
        worth = "the ranking carries over: the good stay better than the bad"
    return (
        f"PBO {overfit.pbo:.2f}: in {overfit.pbo:.0%} of {overfit.halves:,} splits of the days the winner of one half"
        f" of {overfit.trials} combos ranked in the lower half on the other, and in {overfit.loss or 0.0:.0%} it lost"
        f" money there; {worth}."
    )


def _plateau_sentence(chosen: Selection) -> str:
    plateau, sharpe = chosen.plateau, chosen.assessment.sharpe.value
    if plateau.median is None or plateau.worst is None or sharpe is None:
        return "No neighbour of it on the grid has a Sharpe ratio."
    peak = plateau.median < sharpe / 2 or plateau.median <= 0.0
    shape = (
        "a lonely peak: take it for luck" if peak else "a plateau" if plateau.worst > 0.0 else "a plateau with holes"
    )
    return (
        f"Its {plateau.known} neighbours within one step: median Sharpe {plateau.median:+.2f},"
        f" worst {plateau.worst:+.2f}; {shape}."
    )
