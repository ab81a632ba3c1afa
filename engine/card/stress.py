"""The same wishes under harder terms: what is left when costs, timing and barriers are not as assumed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from engine.bars import Bars
from engine.rules import Rules
from engine.score import Score, score
from engine.signals import Signals
from engine.simulate import simulate

COST_MULTIPLES = (0.0, 1.0, 2.0, 3.0)
HARDER_SLIPPAGE = 0.0005  # five basis points more on every taker fill
HIGHEST_COST = 0.0999  # just below what `Rules` refuses
SHIFTS = (1, 2, 3, 5)  # parts of a holding period by which the start is moved


@dataclass(frozen=True, slots=True)
class Stress:
    """One row of the stress test.

    Parameters
    ----------
    name : str
        What was changed.
    score : Score
        The figures under it.
    """

    name: str
    score: Score


def with_costs(rules: Rules, multiple: float) -> Rules:
    """Return rules whose every cost is multiplied, up to what rules take.

    Exposure is lowered where it could no longer be paid. A rebate is no cost: it grows with no multiple above 1.

    Examples
    --------
    >>> with_costs(Rules(), 2.0).fee
    0.002
    """
    maker_fee = rules.maker_fee * (multiple if rules.maker_fee > 0.0 else min(multiple, 1.0))
    return _charged(rules, rules.fee * multiple, maker_fee, rules.slippage * multiple)


def _charged(rules: Rules, fee: float, maker_fee: float, slippage: float) -> Rules:
    """Return rules at other costs, none beyond what rules take, and at an exposure that can pay them."""
    fee, maker_fee, slippage = (min(cost, HIGHEST_COST) for cost in (fee, maker_fee, slippage))
    exposure = min(rules.exposure, 0.999 / (1.0 + fee + slippage))
    return replace(rules, fee=fee, maker_fee=maker_fee, slippage=slippage, exposure=exposure)


def delayed(signals: Signals, bars: int = 1) -> Signals:
    """Return wishes that come some bars late, as those of a slow or broken bot do."""
    side = np.zeros_like(signals.side)
    atr = np.full_like(signals.atr, np.nan)
    side[bars:], atr[bars:] = signals.side[:-bars], signals.atr[:-bars]
    return Signals(side=side, atr=atr)


def stresses(bars: Bars, signals: Signals, rules: Rules) -> list[Stress]:
    """Return the figures of the same wishes under each harder term.

    Parameters
    ----------
    bars : Bars
        The stretch traded.
    signals : Signals
        The wishes on it.
    rules : Rules
        The terms assumed.
    """
    wider = replace(rules, k_up=rules.k_up * 1.2, k_down=rules.k_down * 1.2)
    tighter = replace(rules, k_up=rules.k_up * 0.8, k_down=rules.k_down * 0.8)
    dearer = _charged(rules, rules.fee, rules.maker_fee, rules.slippage + HARDER_SLIPPAGE)
    rows = [
        Stress("costs x2", _run(bars, signals, with_costs(rules, 2.0))),
        Stress("slippage +5 bp", _run(bars, signals, dearer)),
        Stress("entry one bar later", _run(bars, delayed(signals), rules)),
        Stress("barriers 20 % wider", _run(bars, signals, wider)),
        Stress("barriers 20 % tighter", _run(bars, signals, tighter)),
    ]
    return [*rows, *([Stress("start shifted, worst of 4", worst)] if (worst := _shifted(bars, signals, rules)) else [])]


def target_first(bars: Bars, signals: Signals, rules: Rules) -> Score:
    """Return the figures if the target, not the stop, came first in every bar that touched both."""
    return _run(bars, signals, replace(rules, fills=rules.fills._replace(stop_first=False, high_first=False)))


def free_of_cost(bars: Bars, signals: Signals, rules: Rules) -> Score:
    """Return the figures of the same wishes where nothing costs anything, funding neither."""
    return _run(bars.paying(None), signals, with_costs(rules, 0.0))


def cost_curve(bars: Bars, signals: Signals, rules: Rules) -> list[Score]:
    """Return the figures at each of `COST_MULTIPLES` of the assumed costs; funding is known, so it stays as it was."""
    return [_run(bars, signals, with_costs(rules, multiple)) for multiple in COST_MULTIPLES]


def _shifted(bars: Bars, signals: Signals, rules: Rules) -> Score | None:
    starts = [max(1, rules.hold * part // 5) for part in SHIFTS]
    found = [_run(bars[start:], signals[start:], rules) for start in starts if len(bars) - start > 2]
    known = [figures for figures in found if figures.sharpe is not None]
    return min(known, key=lambda figures: figures.sharpe or 0.0) if known else None


def _run(bars: Bars, signals: Signals, rules: Rules) -> Score:
    return score(simulate(bars, signals, rules))
