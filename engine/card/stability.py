"""Whether a result rests on many trades and times, or on two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.bars import Floats
from engine.signals import Signals
from engine.simulate import Result

BEST = 2  # trades a result must survive without


@dataclass(frozen=True, slots=True)
class Slice:
    """The trades of one year or regime: how many, and their mean net result in basis points."""

    name: str
    trades: int
    expectancy_bp: float
    total_return: float


@dataclass(frozen=True, slots=True)
class Stability:
    """What a result rests on.

    Parameters
    ----------
    best_share : float or None
        Profit of the best trade over the net profit of all; None where all together lost.
    without_best : float or None
        Net return without the two best trades; None with fewer than three.
    years, regimes : tuple of Slice
        Trades by the year of entry and by the likeliest regime at the decision.
    """

    best_share: float | None
    without_best: float | None
    years: tuple[Slice, ...]
    regimes: tuple[Slice, ...]


def stability(result: Result, signals: Signals | None, roles: tuple[str, ...] = ()) -> Stability:
    """Return what a result rests on.

    Parameters
    ----------
    result : Result
        Trades of one strategy.
    signals : Signals, optional
        Their decisions, for the regimes.
    roles : tuple of str
        Names of the regimes, by ascending volatility.
    """
    trades, size = result.trades, result.rules.exposure
    pnl, ret = trades["pnl"], trades["ret"]
    total = float(pnl.sum())
    order = np.argsort(ret)
    years = trades["entry_time"].astype("datetime64[Y]").astype(np.int64) + 1970
    slices = [_slice(f"{year}", ret[years == year], size) for year in np.unique(years)]
    regimes = _regimes(result, signals, roles) if signals is not None and signals.evidence is not None else ()
    return Stability(
        best_share=float(pnl.max()) / total if len(trades) and total > 0 else None,
        without_best=_compound(ret[order[:-BEST]], size) if len(trades) > BEST else None,
        years=tuple(slices),
        regimes=regimes,
    )


def _regimes(result: Result, signals: Signals, roles: tuple[str, ...]) -> tuple[Slice, ...]:
    assert signals.evidence is not None
    rows = np.searchsorted(result.bars.open_time, result.trades["wish_time"])
    belief = signals.evidence.belief[rows]
    if belief.shape[1] == 0 or not len(rows):
        return ()
    likeliest = np.where(np.isfinite(belief).all(axis=1), np.nan_to_num(belief).argmax(axis=1), -1)
    names = roles or tuple(f"regime {i}" for i in range(belief.shape[1]))
    ret = result.trades["ret"]
    return tuple(
        _slice(names[k], ret[likeliest == k], result.rules.exposure)
        for k in range(len(names))
        if (likeliest == k).any()
    )


def _slice(name: str, ret: Floats, size: float) -> Slice:
    return Slice(name, len(ret), float(ret.mean()) * 1e4, _compound(ret, size))


def _compound(ret: Floats, size: float) -> float:
    return float(np.prod(1.0 + size * ret) - 1.0)
