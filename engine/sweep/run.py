"""`sweep`: one market, one set of wishes, a grid of rules; six figures per combo and nothing kept besides."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.bars import Bars, Floats
from engine.errors import UsageError, unknown
from engine.funding import charged
from engine.rules import Rules
from engine.signals import Signals
from engine.sweep.grid import Grid
from engine.sweep.kernels import fill_touches, run_combos
from engine.sweep.market import COLUMNS, NO_TOUCH, Axes, Wishes, axes_of, market_of, purse_of
from engine.sweep.result import SweepResult
from engine.terms import prices_of, readonly, terms_of
from engine.workers import Workers

AUTO, SCAN, TOUCH = ROADS = ("auto", "scan", "touch")
MOST_TABLE_BYTES = 64 * 2**20
PIECES = 16  # per thread: low thresholds trade more, so equal shares would be unequal work


def sweep(  # noqa: PLR0913 - threads, road and workers change how fast, not what
    bars: Bars,
    wishes: Signals | Floats,
    atr: Floats,
    rules: Rules,
    grid: Grid,
    funding: Floats | None = None,
    threads: int = 1,
    road: str = AUTO,
    workers: Workers | None = None,
) -> SweepResult:
    """Score every combo of a grid as `simulate` and `score` would, thousands of times faster.

    Parameters
    ----------
    bars : Bars
        n closed bars.
    wishes : float64 array of shape (n,), or Signals
        Confidence in a long trade at each close: a combo wishes where it reaches its threshold; NaN never does. Or
        signals, gates and all: ``side`` where ``confidence`` reaches the threshold, or ``side`` itself where they
        have no confidence, and then the grid has one threshold.
    atr : float64 array of shape (n,)
        Barriers' unit at each close, in price units.
    rules : Rules
        Costs, size and fills of every combo; barriers come from the grid.
    grid : Grid
        What to try.
    funding : float64 array of shape (n,), optional
        As for `simulate`: instead of what the bars carry.
    threads : int
        Kernels run without Python's lock, so threads share the combos.
    road : str
        ``scan`` walks every trade bar by bar. ``touch`` looks up when each level is first touched: the same bits,
        faster from some dozens of combos on. ``auto`` takes the cheaper one.
    workers : Workers, optional
        Processes, here or of a cluster, that share the combos instead of threads: the same bits.

    Returns
    -------
    SweepResult
        Arrays of the grid's shape.

    Raises
    ------
    UsageError
        If arrays are not of the same bars, or a road is asked for that cannot be taken.

    Examples
    --------
    >>> from engine.synthetic import random_bars
    >>> bars = random_bars(500, seed=1)
    >>> dice = np.random.default_rng(1).random(500)
    >>> found = sweep(bars, dice, bars.high - bars.low, Rules(), Grid(threshold=(0.5, 0.9), k_up=(1.0, 2.0)))
    >>> found.trades[:, :, 0, 0].tolist()
    [[90, 64], [38, 31]]
    """
    n = len(bars)
    _check(bars, wishes, atr, grid, funding, threads)
    bars = bars if funding is None else bars.paying(np.asarray(funding, np.float64))
    paid = charged(bars)
    out = np.full((len(COLUMNS), len(grid)), np.nan)
    if n == 0:
        out[[COLUMNS.index("total_return"), COLUMNS.index("trades")]] = 0.0
        return SweepResult(bars, rules, grid, out, SCAN)
    axes, candidates = axes_of(grid), _candidates(bars, wishes, atr, rules, grid.threshold[0])
    taken = _road(road, grid, n, len(candidates.row), paid is not None)
    market = market_of(bars, np.empty(0) if paid is None else paid * bars.open)
    with ThreadPoolExecutor(threads) as pool:
        if taken == TOUCH:
            candidates = _touched(bars, candidates, axes, pool, threads)
        candidates = candidates._replace(up=readonly(candidates.up), down=readonly(candidates.down))
        shared = (market, candidates, axes, terms_of(rules, bars), rules.fills, purse_of(bars, rules), len(grid))
        spans = _spans(len(grid), threads if workers is None else max(2, workers.count))
        if workers is None:
            list(pool.map(lambda span: run_combos(*shared[:-1], span, out), spans))
            return SweepResult(bars, rules, grid, out, taken)
    for place, figures in workers.each(run_span, spans, shared, f"{len(grid):,} combos of {bars.symbol}"):
        out[:, slice(*spans[place])] = figures
    return SweepResult(bars, rules, grid, out, taken)


def run_span(span: tuple[int, int], shared: tuple[Any, ...]) -> Floats:
    """Return the figures of some combos, shape (6, span), on a worker."""
    *asked, combos = shared
    out = np.empty((len(COLUMNS), combos))
    run_combos(*asked, span, out)
    return out[:, slice(*span)].copy()


def _check(bars: Bars, wishes: Signals | Floats, atr: Floats, grid: Grid, funding: Floats | None, threads: int) -> None:
    """Refuse arrays of other bars and questions that cannot be asked."""
    n = len(bars)
    covered = {"wishes": len(wishes), "atr": len(atr)} | ({} if funding is None else {"funding": len(funding)})
    if any(length != n for length in covered.values()):
        given = ", ".join(f"{name} {length}" for name, length in covered.items())
        raise UsageError(f"{given} and bars {n} rows; they must be of the same bars")
    if funding is not None and not np.isfinite(funding).all():
        raise UsageError(f"funding[{int(np.argmin(np.isfinite(funding)))}] is not finite; write 0 where none is paid")
    if isinstance(wishes, Signals) and len(wishes.confidence) != n and len(grid.threshold) > 1:
        raise UsageError(
            f"these signals carry no confidence, so {len(grid.threshold)} thresholds would ask the same;"
            " give the grid one threshold"
        )
    if threads < 1:
        raise UsageError(f"threads must be at least 1, was {threads}")


def _candidates(bars: Bars, wishes: Signals | Floats, atr: Floats, rules: Rules, lowest: float) -> Wishes:
    """Return every wish that the lowest threshold lets through and that the market could fill."""
    n = len(bars)
    if isinstance(wishes, Signals):
        side = np.asarray(wishes.side, np.int64)
        confidence = wishes.confidence if len(wishes.confidence) == n else np.full(n, np.inf)
    else:
        side, confidence = np.ones(n, np.int64), np.asarray(wishes, np.float64)
    unit = np.asarray(atr, np.float64)
    able = (side != 0) & (confidence >= lowest) & (unit > 0.0) & np.isfinite(unit)
    able[-1] = False
    if rules.fills.wish_lapses_at_gap:
        able[:-1] &= bars.follows[1:]
    row = np.flatnonzero(able)
    up, down = _tables(0, 0, 0)
    return Wishes(readonly(row), readonly(side[row]), readonly(unit[row]), readonly(confidence[row]), up, down)


def _tables(wishes: int, ups: int, downs: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    return np.empty((wishes, ups), np.int16), np.empty((wishes, downs), np.int16)


def _road(road: str, grid: Grid, bars: int, wishes: int, paying: bool) -> str:
    """Return how trades are followed: bar by bar, or by looking up the first touches."""
    if road not in ROADS:
        raise unknown("road", road, ROADS)
    size = 2 * wishes * (len(grid.k_up) + len(grid.k_down))
    why = "funding is paid bar by bar" if paying else ""
    if grid.hold[-1] >= NO_TOUCH:
        why = f"touches are counted up to {NO_TOUCH - 1} bars and hold goes to {grid.hold[-1]}"
    if size > MOST_TABLE_BYTES:
        why = f"the tables would take {size / 2**20:.0f} MiB, and at most {MOST_TABLE_BYTES / 2**20:.0f} are allowed"
    if road == TOUCH and why:
        raise UsageError(f"road touch cannot be taken: {why}; take scan")
    worth = len(grid) * bars > 4 * wishes * min(grid.hold[-1], bars)  # a table costs one long walk per wish
    return TOUCH if wishes and not why and (road == TOUCH or (road == AUTO and worth)) else SCAN


def _touched(bars: Bars, wishes: Wishes, axes: Axes, pool: ThreadPoolExecutor, threads: int) -> Wishes:
    """Return wishes with the tables of their first touches."""
    up, down = _tables(len(wishes.row), len(axes.k_up), len(axes.k_down))
    known, prices = wishes._replace(up=up, down=down), prices_of(bars)
    list(pool.map(lambda span: fill_touches(prices, known, axes, span), _spans(len(known.row), threads)))
    return known


def _spans(size: int, threads: int) -> list[tuple[int, int]]:
    """Return stretches of work; many per thread, so that none waits long for another."""
    pieces = 1 if threads == 1 else min(size, threads * PIECES)
    cuts = [size * i // max(pieces, 1) for i in range(pieces + 1)]
    return list(itertools.pairwise(cuts))
