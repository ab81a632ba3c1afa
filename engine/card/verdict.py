"""The verdict in words: PROVEN only when nothing else is left, NOT PROVEN with every reason otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from engine.card.forecasts import Forecast
from engine.compare import Row
from engine.inference.assess import Assessment
from engine.inference.interval import Interval
from engine.inference.pbo import Overfit
from engine.inference.winrate import FEW_TRADES, SOME_TRADES
from engine.wording import fitted_on

PROVEN, NOT_PROVEN, LOSES, IN_SAMPLE, ALARM = "PROVEN", "NOT PROVEN", "LOSES", "IN-SAMPLE", "LEAK ALARM"
TOO_FEW, NO_TRADES = "TOO FEW TRADES", "NO TRADES"
SURE, OVERFIT = 0.95, 0.20
HIGH_AUC, HIGH_SKILL, HIGH_SHARPE, HIGH_WINS = 0.58, 0.02, 2.5, 0.65


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may be said of a strategy.

    Parameters
    ----------
    word : str
        The verdict in capitals.
    reasons : tuple of str
        Everything that stands against it.
    alarms : tuple of str
        What is too good to be believed before it is explained.
    """

    word: str
    reasons: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The verdict in one line."""
        why = (*self.alarms, *self.reasons)
        return f"{self.word} ({'; '.join(why)})" if why else self.word


class Grounds(NamedTuple):
    """What a verdict rests on besides the row itself.

    Parameters
    ----------
    record : Assessment
        The daily record.
    overfit : Overfit
        Of all trials on these days.
    over_hold : Interval or None
        Sharpe difference to buy and hold.
    luck : float or None
        Share of random entries that did worse.
    forecast : Forecast or None
        What the predictor knew.
    zone : str
        Where it was judged; only the test zone was never part of a choice.
    looks : int
        How often the sealed zone was looked at: after the first look it is one more validation zone.
    trained : sequence of str
        The markets that taught the bundle.
    symbol : str
        The market judged.
    """

    record: Assessment
    overfit: Overfit
    over_hold: Interval | None
    luck: float | None
    forecast: Forecast | None
    zone: str = "test"
    looks: int = 0
    trained: Sequence[str] = ()
    symbol: str = ""


def verdict_of(row: Row, grounds: Grounds) -> Verdict:
    """Return the verdict on one strategy.

    The word *proven* needs all of: the test zone at its first look, a deflated Sharpe ratio of 0.95, a probability
    of overfitting of at most 0.2, 100 trades, an interval above buy and hold, a place above 95 % of random entries,
    bars that no part of the bundle was fitted on, and no leak alarm.
    """
    alarms = alarms_of(row, grounds.forecast)
    if row.in_sample > 0:
        told = fitted_on(grounds.symbol, grounds.trained, f"{row.in_sample:.0%} of these bars")
        return Verdict(IN_SAMPLE, (told,), alarms)
    if row.score.trades == 0:
        return Verdict(NO_TRADES, ("nothing can be known",))
    reasons = _doubts(row, grounds)
    if alarms:
        return Verdict(ALARM, reasons, alarms)
    if row.score.trades < FEW_TRADES:
        return Verdict(TOO_FEW, reasons)
    high = grounds.record.sharpe.high
    if high is not None and high < 0:
        return Verdict(LOSES, reasons)
    return Verdict(NOT_PROVEN if reasons else PROVEN, reasons)


def _doubts(row: Row, grounds: Grounds) -> tuple[str, ...]:
    found, trades = [], row.score.trades
    if trades < SOME_TRADES:
        found.append(f"{trades} trades of {SOME_TRADES} needed")
    dsr = grounds.record.deflated.value
    if dsr is None or dsr < SURE:
        found.append(f"DSR {'unknown' if dsr is None else f'{dsr:.2f}'} < {SURE}")
    pbo = grounds.overfit.pbo
    if pbo is None or pbo > OVERFIT:
        found.append(f"PBO {'unknown' if pbo is None else f'{pbo:.2f}'} > {OVERFIT}")
    over_hold, luck = grounds.over_hold, grounds.luck
    if over_hold is None or over_hold.low is None or over_hold.low <= 0:
        found.append("not better than buy and hold")
    if luck is None or luck < SURE:
        found.append("random entries do as well" if luck is None else f"random entries: percentile {luck * 100:.0f}")
    if grounds.zone != "test":
        found.append(f"zone {grounds.zone} took part in choices: only the test zone can prove")
    if grounds.looks > 1:
        found.append(f"the test zone was looked at {grounds.looks} times")
    return tuple(found)


def alarms_of(row: Row, forecast: Forecast | None) -> tuple[str, ...]:
    """Return what is too good to be true: each stands for a leak until it is explained.

    A forecast's figure counts only where its interval leaves out that of no skill: of 300 hourly bars, a worthless
    forecast shows an AUC above 0.58 in one record of seven.
    """
    found = []
    if forecast is not None:
        auc, loss = forecast.auc, forecast.loss
        if auc.value is not None and auc.value > HIGH_AUC and _above(auc.low, 0.5):
            found.append(f"AUC {auc.value:.3f} > {HIGH_AUC}")
        if loss.skill is not None and loss.skill > HIGH_SKILL and _above(loss.low, 0.0):
            found.append(f"log-loss skill {loss.skill:.1%} > {HIGH_SKILL:.0%}")
    score, rules = row.score, row.result.rules
    if score.sharpe is not None and score.sharpe > HIGH_SHARPE and score.trades > SOME_TRADES:
        found.append(f"Sharpe {score.sharpe:.1f} > {HIGH_SHARPE} over {score.trades} trades")
    symmetric = rules.k_up == rules.k_down and score.trades >= FEW_TRADES
    if symmetric and score.win_rate is not None and score.win_rate > HIGH_WINS:
        found.append(f"win rate {score.win_rate:.0%} > {HIGH_WINS:.0%} at equal barriers")
    return tuple(found)


def _above(low: float | None, chance: float) -> bool:
    """Return whether an interval leaves chance out; one that has no bounds, such as a perfect forecast's, does."""
    return low is None or low > chance
