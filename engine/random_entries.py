"""What luck alone would have earned: random entries with the strategy's count, rules and sides.

Every draw places as many trades as the strategy made, with the same barriers, costs and long/short
mix, at random bars where no other trade of the draw is open, and as many of them in quiet, middling
and lively times (terciles of ATR over price): a strategy that only picks its weather gets no credit.
What the strategy did better than the draws is skill or luck; what it did no better is the market.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.barriers import label_barriers
from engine.bars import DAY_NS, Bars, Floats
from engine.funding import paid_per_unit, returns_of
from engine.rules import Rules
from engine.simulate import Trades
from engine.terms import readonly
from engine.workers import Workers

DRAWS = 2_000
Rows = NDArray[np.int64]
SPAN = 50  # draws that are one task
SIDES = (1, -1)  # of the two rows of what trades become
PATIENCE = 200  # attempts per trade before a draw goes on with fewer


class Fates(NamedTuple):
    """What a trade wished at each bar would become; row 0 long, row 1 short; each of shape (2, n)."""

    end: Rows
    ret: Floats
    fill: Floats


class Book(NamedTuple):
    """What the draws are marked with: closes, funding paid so far, the last row of each day, days, size and fee."""

    close: Floats
    paid: Floats
    day_last: Rows
    days: int
    exposure: float
    fee: float


@dataclass(frozen=True, slots=True)
class RandomEntries:
    """The distribution of what random entries earned.

    Parameters
    ----------
    total_return, sharpe : float64 arrays of shape (draws,)
        Net return over the stretch; daily Sharpe ratio, annualised (0 where returns never varied).
    trades : int64 array of shape (draws,)
        Trades placed; fewer than asked where the stretch was too crowded.
    asked : int
        Trades of the strategy.
    """

    total_return: Floats
    sharpe: Floats
    trades: Rows
    asked: int

    @property
    def share_placed(self) -> float:
        """Mean share of the strategy's trades that a draw could place, in (0, 1]."""
        return float(self.trades.mean()) / self.asked

    def percentile(self, figure: str, value: float) -> float:
        """Return the share of draws that did worse, ties counted half, in [0, 1]."""
        drawn = getattr(self, figure)
        return float((np.mean(drawn < value) + np.mean(drawn <= value)) / 2)


@njit(cache=True, nogil=True)
def next_random(state: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Return the next of a sequence of 64-bit numbers and its state (splitmix64, Steele et al. 2014)."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    z = state
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state, z ^ (z >> np.uint64(31))


class Lots(NamedTuple):
    """What is drawn: bars grouped by weather (``first[w] .. first[w + 1]``), and weather and side row of each trade."""

    bars: Rows
    first: Rows
    weather: Rows
    row: Rows


@njit(cache=True, nogil=True)
def place(lots: Lots, fates: Fates, state: np.uint64, wishes: Rows) -> int:
    """Fill ``wishes`` (2 * bar + side row) in time order with trades that never overlap; return how many fitted."""
    taken = np.zeros(fates.end.shape[1] + 1, np.uint8)
    placed = 0
    for k in range(len(lots.row)):
        row, begin = lots.row[k], lots.first[lots.weather[k]]
        size = np.uint64(lots.first[lots.weather[k] + 1] - begin)
        for _ in range(PATIENCE):
            state, drawn = next_random(state)
            bar = lots.bars[begin + np.int64(drawn % size)]
            end = fates.end[row, bar]
            free = bar + 1
            while free <= end and taken[np.uint64(free)] == 0:
                free += 1
            if free > end:
                for i in range(bar + 1, end + 1):
                    taken[np.uint64(i)] = 1
                wishes[placed] = 2 * bar + row
                placed += 1
                break
    wishes[:placed].sort()
    return placed


@njit(cache=True, nogil=True)
def worth(wishes: Rows, placed: int, fates: Fates, book: Book) -> tuple[float, float]:
    """Return total return and daily Sharpe (not annualised) of the trades placed."""
    cash, before, total, squares = 1.0, 1.0, 0.0, 0.0
    i = 0
    for last in book.day_last:
        while i < placed and fates.end[wishes[i] & 1, wishes[i] >> 1] <= last:
            cash *= 1.0 + book.exposure * fates.ret[wishes[i] & 1, wishes[i] >> 1]
            i += 1
        equity = cash
        if i < placed and (wishes[i] >> 1) + 1 <= last:
            row, bar = wishes[i] & 1, wishes[i] >> 1
            side, fill = 1 - 2 * row, fates.fill[row, bar]
            gained = side * (book.close[last] / fill - 1.0)
            funding = side * (book.paid[last] - book.paid[bar + 1]) / fill
            equity = cash * (1.0 + book.exposure * (gained - book.fee - funding))
        move = equity / before - 1.0
        total += move
        squares += move * move
        before = equity
    mean = total / book.days
    variance = (squares - book.days * mean * mean) / (book.days - 1)
    return before - 1.0, mean / np.sqrt(variance) if variance > 1e-18 else 0.0


@njit(cache=True, nogil=True)
def draw_all(lots: Lots, fates: Fates, book: Book, seed: int, first: int, out: Floats) -> None:
    """Fill ``out`` (draws, 3: return, Sharpe, trades) from draw ``first`` on; one depends on seed and number alone."""
    wishes = np.empty(len(lots.row), np.int64)
    for k in range(len(out)):
        placed = place(lots, fates, seed_of(seed, first + k), wishes)
        out[k, 0], out[k, 1] = worth(wishes, placed, fates, book)
        out[k, 2] = placed


@njit(cache=True, nogil=True)
def seed_of(seed: int, draw: int) -> np.uint64:
    """Return where the dice of a draw begin."""
    return np.uint64(seed) * np.uint64(0xD1342543DE82EF95) + np.uint64(draw) * np.uint64(0x2545F4914F6CDD1D)


def fates_of(bars: Bars, atr: Floats, rules: Rules) -> Fates:
    """Return what trades wished at each bar would become, long and short."""
    labels = [label_barriers(bars, atr, rules, side) for side in SIDES]
    earned = [returns_of(bars, x, side, rules.slippage) for x, side in zip(labels, SIDES, strict=True)]
    opened = np.append(bars.open[1:], np.nan)
    fills = [opened * (1.0 + side * rules.slippage) for side in SIDES]
    return Fates(np.stack([x.end for x in labels]), np.stack(earned), np.stack(fills))


def lots_of(bars: Bars, atr: Floats, fates: Fates, trades: Trades) -> Lots | None:
    """Return the bars that can be drawn, grouped by weather, and what the strategy's trades were; None without either.

    Parameters
    ----------
    bars : Bars
        The stretch traded.
    atr : float64 array of shape (n,)
        Barriers' unit at each close.
    fates : Fates
        Of these bars.
    trades : structured array of shape (k,)
        The strategy's trades (``engine.simulate.TRADE_DTYPE``).
    """
    known = np.flatnonzero((fates.end >= 0).all(axis=0))
    if not len(trades) or not len(known):
        return None
    share = atr / bars.close
    edges = np.quantile(share[known], [1 / 3, 2 / 3])
    weather = np.searchsorted(edges, share[known])
    wished = np.searchsorted(edges, share[np.searchsorted(bars.open_time, trades["wish_time"])])
    first = np.searchsorted(np.sort(weather), np.arange(4))
    empty = first[wished + 1] == first[wished]  # a market of one weather: draw from all of it
    order = np.argsort(weather, kind="stable")
    everything = np.array([0, len(known)])
    return Lots(
        known[order],
        everything if empty.any() else first,
        np.zeros(len(trades), np.int64) if empty.any() else wished,
        (trades["side"] < 0).astype(np.int64),
    )


def draw_span(span: tuple[int, int], shared: tuple[Lots, Fates, Book, int]) -> Floats:
    """Return some of the draws, shape (span, 3)."""
    out = np.empty((span[1] - span[0], 3))
    draw_all(*shared, span[0], out)
    return out


def random_entries(  # noqa: PLR0913 - workers change how fast, not what
    bars: Bars,
    atr: Floats,
    rules: Rules,
    trades: Trades,
    draws: int = DRAWS,
    seed: int = 0,
    workers: Workers | None = None,
) -> RandomEntries | None:
    """Return what random entries like a strategy's trades earned on these bars.

    Parameters
    ----------
    bars : Bars
        The stretch that the strategy traded.
    atr : float64 array of shape (n,)
        Barriers' unit at each close; bars without it are never entered.
    rules : Rules
        Barriers, costs, size.
    trades : structured array of shape (k,)
        The strategy's trades: their number, sides and weather are kept.
    draws, seed : int
        Number of draws; same seed, same draws.
    workers : Workers, optional
        Processes that share the draws: the same bits.

    Returns
    -------
    RandomEntries or None
        None when there is nothing to draw: no trades, no bar that could be entered, under two days.
    """
    day = (bars.open_time.view(np.int64) + bars.timeframe_ns - 1) // DAY_NS  # a bar belongs to the day it ends in
    day_last = np.flatnonzero(np.append(np.diff(day) > 0, True)) if len(bars) else np.empty(0, np.int64)
    days = len(day_last) if bars.sessions else int(day[-1] - day[0]) + 1 if len(bars) else 0
    fates = fates_of(bars, atr, rules)
    lots = lots_of(bars, atr, fates, trades)
    if lots is None or days < 2:
        return None
    book = Book(
        readonly(bars.close), readonly(paid_per_unit(bars)), readonly(day_last), days, rules.exposure, rules.fee
    )
    shared = Lots(*map(readonly, lots)), Fates(*map(readonly, fates)), book, seed
    spans = [(first, min(first + SPAN, draws)) for first in range(0, draws, SPAN)]
    if workers is None:
        parts = [draw_span(span, shared) for span in spans]
    else:
        parts = workers.map(draw_span, spans, shared, f"{draws:,} random entries")
    out = np.concatenate((np.empty((0, 3)), *parts))
    sharpe = out[:, 1] * np.sqrt(bars.days_per_year)
    return RandomEntries(out[:, 0].copy(), sharpe, out[:, 2].astype(np.int64), len(trades))
