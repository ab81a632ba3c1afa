"""The one law, as a check anyone can run: what is decided at a bar depends on a finite past alone.

Two ways to break it are tried. *Truncation*: the decision is asked again from its declared memory
and nothing else. *Perturbation*: everything after the bar is replaced (by noise, by another path,
by nothing, by a gap) and the decision must not move. The second also catches what truncation cannot
see: a decision that the future only removes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.bars import COLUMNS, Bars, format_time
from engine.signals import Signals, Strategy

FUTURES = ("noise", "another path", "nothing", "a gap")


@dataclass(frozen=True, slots=True)
class Break:
    """Where the law was broken.

    Parameters
    ----------
    what : str
        Feature, field of a decision, or part that moved.
    how : str
        ``memory`` or the future that was put in place of the real one.
    row : int
        The bar whose value moved.
    time : str
        Its open time.
    """

    what: str
    how: str
    row: int
    time: str

    def __str__(self) -> str:
        return (
            f"{self.what} at {self.time} moved when the future was {self.how}"
            if self.how != "memory"
            else (f"{self.what} at {self.time} differs when computed from its declared memory alone")
        )


Values = dict[str, NDArray[Any]]


class Span(NamedTuple):
    """How many bars around a row are looked at when its future is replaced.

    Parameters
    ----------
    back : int
        Bars that decide a row: its declared memory.
    depth : int
        Rows, the last being the one before the future, whose decisions must not move: a leak that looks
        h bars ahead shows in h of them.
    later : int
        Bars after the row that are replaced: a leak that looks further ahead than this is not seen.
    """

    back: int
    depth: int = 24
    later: int = 8


def decision_fields(signals: Signals) -> Values:
    """Return every number a decision is made of, by name, each of shape (n,) or (n, k)."""
    fields: Values = {
        "side": signals.side,
        "atr": signals.atr,
        "confidence": signals.confidence,
        "proposed": signals.proposed,
        "reason": signals.reason,
        **{f"gate {name}": verdict for name, verdict in signals.gates.items()},
    }
    if signals.evidence is not None:
        for name in ("p_up", "lean", "rank", "belief", "audit"):
            fields[name] = getattr(signals.evidence, name)
    return {name: values for name, values in fields.items() if len(values)}


def first_difference(before: Values, after: Values, rows: slice, shift: int = 0) -> tuple[str, int] | None:
    """Return name and row of the first value that is not the same to the last bit; NaN equals NaN.

    Parameters
    ----------
    before, after : dict of str to arrays
        The same names.
    rows : slice
        Rows of ``before`` to compare.
    shift : int
        Rows of ``before`` that come before the first of ``after``.
    """
    for name, values in before.items():
        here = values[rows]
        there = after[name][rows.start - shift : rows.stop - shift]
        differ = ~((here == there) | ((here != here) & (there != there)))
        if differ.ndim > 1:
            differ = differ.any(axis=1)
        if differ.any():
            return name, rows.start + int(np.argmax(differ))
    return None


def cuts_of(n: int, first: int, count: int, seed: int = 0) -> list[int]:
    """Return rows to try, spread at random over ``first .. n - 2`` and sorted; fewer when there are fewer."""
    rows = np.arange(min(first, max(n - 2, 0)), max(n - 1, 1))
    chosen = np.random.default_rng(seed).choice(rows, min(count, len(rows)), replace=False)
    return sorted(int(row) for row in chosen)


def memory_break(compute: Callable[[Bars], Values], memory: int, bars: Bars, whole: Values, row: int) -> Break | None:
    """Return how the values at a row differ when computed from ``memory`` bars alone, if they do."""
    first = max(0, row - memory + 1)
    part = compute(bars[first : row + 1])
    found = first_difference(whole, part, slice(row, row + 1), first)
    return None if found is None else Break(found[0], "memory", found[1], format_time(bars.open_time[found[1]]))


def future_break(compute: Callable[[Bars], Values], bars: Bars, whole: Values, row: int, seed: int) -> Break | None:
    """Return how values up to a row moved when the bars after it were replaced, if they did."""
    for how in FUTURES:
        changed = compute(with_future(bars, row, how, seed))
        found = first_difference(whole, changed, slice(0, row + 1))
        if found is not None:
            return Break(found[0], how, found[1], format_time(bars.open_time[found[1]]))
    return None


def futures_break(compute: Callable[[Bars, int], Values], bars: Bars, row: int, span: Span, seed: int) -> Break | None:
    """Return how values at and before a row moved when the bars after it were replaced, from the bars around it alone.

    Since memory is finite and exact, the bars before are not needed: this costs the same on any history.

    Parameters
    ----------
    compute : callable
        From bars, and the first row wanted of them, to values.
    bars : Bars
        The market.
    row : int
        The last bar that is not replaced.
    span : Span
        How far to look.
    seed : int
        Of the futures.
    """
    first = max(0, row - span.back - span.depth + 2)
    part, here = bars[first : row + 1 + span.later], row - first
    since = max(0, here - span.depth + 1)
    before = compute(part, since)
    for how in FUTURES:
        after = compute(with_future(part, here, how, seed), since)
        found = first_difference(before, after, slice(since, here + 1))
        if found is not None:
            moved = first + found[1]
            return Break(found[0], how, moved, format_time(bars.open_time[moved]))
    return None


def with_future(bars: Bars, row: int, how: str, seed: int) -> Bars:
    """Return bars whose rows after one are replaced: by noise, by another path, by nothing, or missing for a while."""
    if how == "nothing":
        return bars.upto(row + 1)
    if how == "a gap":
        return _without(bars, row + 1, row + 1 + max(1, (len(bars) - row - 1) // 2))
    rng = np.random.default_rng([seed, row])
    later = len(bars) - row - 1
    spread = np.std(np.diff(np.log(bars.close[: row + 1]))) if row > 2 else 0.01
    moves = rng.standard_normal(later) * max(float(spread), 1e-4)
    level = np.zeros(later) if how == "noise" else np.cumsum(moves)
    close = bars.close[row] * np.exp(level + (moves * 5.0 if how == "noise" else 0.0))
    opened = np.concatenate((bars.close[row : row + 1], close))[:later]
    stretch = np.exp(np.abs(rng.standard_normal(later)) * spread)
    future = {
        "open": opened,
        "high": np.maximum(opened, close) * stretch,
        "low": np.minimum(opened, close) / stretch,
        "close": close,
        "volume": rng.permutation(bars.volume[: max(later, 1)])[:later] if later <= row else np.ones(later),
    }
    kept: Values = {name: np.concatenate((getattr(bars, name)[: row + 1], future[name])) for name in COLUMNS}
    known = {
        name: np.concatenate((column[: row + 1], np.nan_to_num(column[row]) + np.cumsum(rng.standard_normal(later))))
        for name, column in bars.context.items()
    }
    return _changed(bars, kept, known)


def _without(bars: Bars, first: int, stop: int) -> Bars:
    kept = np.r_[0:first, stop : len(bars)]
    columns = {name: getattr(bars, name)[kept] for name in ("open_time", *COLUMNS)}
    return _changed(bars, columns, {name: column[kept] for name, column in bars.context.items()})


def _changed(bars: Bars, columns: Values, context: Values) -> Bars:
    changes: dict[str, Any] = {**columns, "context": context, "funding": None}  # which no decision reads
    return replace(bars, **changes)


def strategy_breaks(strategy: Strategy, bars: Bars, cuts: Sequence[int], futures: bool = False) -> list[Break]:
    """Return every break of the law by a strategy's decisions at some rows; none is the proof.

    Parameters
    ----------
    strategy : Strategy
        Anything that turns bars into wishes.
    bars : Bars
        The market.
    cuts : sequence of int
        Rows to try.
    futures : bool
        Also replace the future after each row.
    """
    whole = decision_fields(strategy.signals(bars))
    found = []
    for row in cuts:
        first = max(0, row - strategy.memory + 1)
        part = decision_fields(strategy.signals(bars[first : row + 1], since=row - first))
        differs = first_difference(whole, part, slice(row, row + 1), first)
        if differs is not None:
            found.append(Break(f"{strategy.name} {differs[0]}", "memory", row, format_time(bars.open_time[row])))
        if futures:
            span = Span(strategy.memory)
            moved = futures_break(lambda b, since: decision_fields(strategy.signals(b, since)), bars, row, span, seed=1)
            if moved is not None:
                found.append(Break(f"{strategy.name} {moved.what}", moved.how, moved.row, moved.time))
    return found
