"""Leaks, looked for: whether anything that is decided knows what had not happened yet.

`tradsys verify --leaks` tries, besides the laws of `live.verify`:

* here: decisions, features, coarser bars and labels while the future is replaced, and the regime filter;
* `live.provenance`: whether what was learned lies where the bundle says it does;
* `live.unseen`: whether the models know bars they claim never to have seen.

Where the future is replaced matters. A filter that looks one bar ahead and only *removes* entries changes
nothing at nearly all bars, so a checker that looks at the trades taken, or cuts the bars off, passes it. Here
every field of every decision is compared bit for bit, at random bars and at bars with a wish. With four futures
a one-bar filter that halves the wishes goes unnoticed at a bar with a wish once in about eight times, among 200
of them never; for a strategy that shows no wish where it was filtered, on 2 % of bars, 400 random bars miss it
less than once in a thousand times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from engine.barriers import label_barriers
from engine.bars import COLUMNS, UNIT_NS, Bars, Floats, format_time
from engine.features import BESIDE, FEATURES, clear_run, feature_lookback, feature_matrix, feature_memory
from engine.history.resample import resample
from engine.indicators import BLOCK, atr
from engine.invariance import FUTURES, Span, Values, cuts_of, decision_fields, futures_break, with_future
from engine.rules import Rules
from engine.signals import Strategy
from engine.synthetic import random_context
from live.check import Check, Tell, watched
from live.provenance import fence_order, fitted_where_claimed, fold_order
from live.unseen import foresight
from models.bundle import Bundle
from models.regime import RegimeModel
from strategies import PROFILES, make_strategy

CUTS = 400  # random bars after which the future is replaced
WISHES = 200  # and bars at which something was wished
LADDER = ((128, 4096), (32, 512), (8, 64), (1, 8))  # every so many cuts, so many bars are replaced
NEAR, FAR_EVERY = 4 * BLOCK, 8  # features that rest on more bars are tried at fewer cuts: each costs as many bars
OTHER_CUTS = 60  # of coarser bars, labels and beliefs
COARSER = ("5m", "15m", "1h", "4h", "1d", "1w")
ENOUGH = 1e-9  # two ways to compute a belief differ by rounding

Named = tuple[str, Callable[[], Check]]


def leak_checks(bundle: Bundle, bars: Bars, tell: Tell | None = None) -> Iterator[Named]:
    """Yield every check by name, each to be run when its turn comes."""
    strategies = [make_strategy(profile, bundle) for profile in PROFILES]
    yield "decisions: futures", lambda: decision_futures(strategies, bars, bundle.clear_bars, tell)
    yield "features: futures", lambda: feature_futures(bars, tell)
    yield "coarser bars: futures", lambda: resample_futures(bars)
    yield "labels: futures", lambda: label_futures(bars, bundle.rules(), bundle.manifest.market.sides)
    yield "regime: filter", lambda: regime_filter(bundle, bars)
    yield "fences", lambda: fence_order(bundle, bars)
    yield "folds", lambda: fold_order(bundle)
    yield "fitted where claimed", lambda: fitted_where_claimed(bundle, bars)
    yield from foresight(bundle, bars)


def decision_futures(strategies: Sequence[Strategy], bars: Bars, first: int = 50, tell: Tell | None = None) -> Check:
    """Replace the future after random bars, and after bars with a wish: no decision at or before may move by a bit.

    Parameters
    ----------
    strategies : sequence of Strategy
        All are asked about each future together.
    bars : Bars
        The market.
    first : int
        First bar to try: before it nothing is decided.
    tell : callable, optional
        Told how far it is.
    """

    def compute(part: Bars, since: int) -> Values:
        decided = [(s.name, decision_fields(s.signals(part, since))) for s in strategies]
        return {f"{name} {field}": values for name, fields in decided for field, values in fields.items()}

    wished = np.zeros(len(bars), np.bool_)
    for strategy in strategies:
        signals = strategy.signals(bars)
        wished |= signals.side != 0
        wished[: len(signals.proposed)] |= signals.proposed != 0
    at_wishes = np.flatnonzero(wished[:-1])
    chosen = np.random.default_rng(1).permutation(at_wishes)[:WISHES]
    cuts = cuts_of(len(bars), min(first, len(bars) // 2), CUTS, seed=2) + sorted(int(row) for row in chosen)
    memory = max(strategy.memory for strategy in strategies)
    return _all_futures("decisions do not know the future, nor are removed by it", compute, bars, (cuts, memory), tell)


def feature_futures(bars: Bars, tell: Tell | None = None) -> Check:
    """Replace the future after random bars: no registered feature at or before may move by a bit."""
    name, tried = "features do not know any future", 0
    bars, cuts = random_context(bars, BESIDE), cuts_of(len(bars), min(50, len(bars) // 2), CUTS, seed=3)
    near = tuple(feature.name for feature in FEATURES.values() if feature.memory <= NEAR)
    far = tuple(feature for feature in FEATURES if feature not in near)
    for names, rows in ((near, cuts), (far, cuts[::FAR_EVERY])):

        def compute(part: Bars, since: int, names: tuple[str, ...] = names) -> Values:
            return dict(zip(names, feature_matrix(part, names).T, strict=True))

        found = _all_futures(name, compute, bars, (rows, feature_memory(names)), tell)
        tried += found.tried
        if not found.passed:
            return found
    return Check(name, tried)


def _all_futures(
    name: str,
    compute: Callable[[Bars, int], Values],
    bars: Bars,
    terms: tuple[Sequence[int], int],
    tell: Tell | None,
) -> Check:
    cuts, memory = terms
    for i, row in enumerate(watched(name, cuts, tell)):
        later = next(length for every, length in LADDER if i % every == 0)
        broken = futures_break(compute, bars, row, Span(memory, later=later), seed=i)
        if broken is not None:
            return Check(name, (i + 1) * len(FUTURES), str(broken))
    return Check(name, len(cuts) * len(FUTURES))


def resample_futures(bars: Bars) -> Check:
    """Replace the future after random bars: no coarser bar that was complete by then may move."""
    name, tried = "coarser bars are made of closed bars alone", 0
    longer = [frame for frame in COARSER if _multiple(frame, bars.timeframe_ns)]
    for row in cuts_of(len(bars), 1, OTHER_CUTS, seed=4):
        part = bars[max(0, row - 4096) : row + 513]
        here = min(row, 4096)
        for frame in longer:
            before = _complete(resample(part, frame), part, here)
            for how in FUTURES:
                tried += 1
                after = _complete(resample(with_future(part, here, how, row), frame), part, here)
                for column in ("open_time", *COLUMNS):
                    if not np.array_equal(getattr(before, column), getattr(after, column)):
                        moved = f"{column} of the {frame} bars up to {format_time(bars.open_time[row])}"
                        return Check(name, tried, f"{moved} moved when the future was {how}")
    return Check(name, tried, measured="" if longer else f"{bars.timeframe} bars have nothing coarser")


def _multiple(frame: str, timeframe_ns: int) -> bool:
    length = int(frame[:-1]) * UNIT_NS[frame[-1]]
    return length > timeframe_ns and length % timeframe_ns == 0


def _complete(coarse: Bars, fine: Bars, here: int) -> Bars:
    """Return the coarse bars that had closed at the close of a fine one."""
    return coarse.upto(int(np.searchsorted(coarse.close_time, fine.close_time[here], side="right")))


def label_futures(bars: Bars, rules: Rules, sides: Sequence[str] = ("long",)) -> Check:
    """Replace the future after random bars: no label of a trade that was over by then may move."""
    name = "labels of finished trades do not move"
    cuts = cuts_of(len(bars), min(50, len(bars) // 2), OTHER_CUTS, seed=5)
    span = Span(2 * BLOCK, depth=8 * rules.hold, later=4 * rules.hold)
    for i, row in enumerate(cuts):
        for side in sides:
            compute = partial(_finished, rules=rules, side=1 if side == "long" else -1, by=bars.open_time[row])
            broken = futures_break(compute, bars, row, span, seed=i)
            if broken is not None:
                return Check(name, (i + 1) * len(FUTURES), str(broken))
    return Check(name, len(cuts) * len(FUTURES) * len(sides))


def _finished(bars: Bars, since: int, rules: Rules, side: int, by: np.datetime64) -> Values:
    """Return the labels of trades that ended at or before a bar, and blanks for the others."""
    labels = label_barriers(bars, atr(bars), rules, side)
    over = (labels.end >= 0) & (bars.open_time[labels.end] <= by)
    return {f"label's {field}": np.where(over, values, 0) for field, values in labels._asdict().items()}


def regime_filter(bundle: Bundle, bars: Bars) -> Check:
    """Hold the served belief at random bars against a filter written anew, that is given no later bar.

    Also measured: how far a smoother, which is given the next bars too, would have been from it. A served
    smoother therefore differs from the filter by that much, and fails.
    """
    name = "the regime belief is the filter's, stopped at the bar"
    model, served = bundle.regime_model, bundle.evidence(bars, len(bars) - 1).belief
    off, ahead, tried = 0.0, 0.0, 0
    for row in cuts_of(len(bars), min(bundle.clear_bars, len(bars) // 2), OTHER_CUTS, seed=6):
        if not np.isfinite(served[row]).all():
            continue
        tried += 1
        filtered, smoothed = _belief_at(model, bars, row)
        off = max(off, float(np.abs(served[row] - filtered).max()))
        ahead = max(ahead, float(np.abs(filtered - smoothed).max()))
        if off > ENOUGH:
            like = ", which is the smoothed belief" if np.abs(served[row] - smoothed).max() < 1e-6 else ""
            at = format_time(bars.open_time[row])
            return Check(name, tried, f"at {at} it differs from the filter by {off:.2g}{like}")
    return Check(name, tried, measured=f"a smoother would differ by up to {ahead:.2f}")


def _belief_at(model: RegimeModel, bars: Bars, row: int) -> tuple[Floats, Floats]:
    """Return the belief at a bar from the bars up to it, and from 64 more: plain sums of logarithms."""
    block = bars.slots[: row + 1] // model.block
    begins = np.flatnonzero(np.diff(block, prepend=block[0] - 1))
    first = int(begins[max(len(begins) - 2, 0)])  # of the block before this one: where the filter's anchor lies
    reach = max(0, first - feature_memory(model.features))
    part = bars[reach : row + 65]
    told = model.log_likelihood(feature_matrix(part, model.features))
    told[clear_run(part) < feature_lookback(model.features)] = np.nan
    told = np.where(np.isfinite(told), told, 0.0)[first - reach :]  # a bar of which nothing is known tells nothing
    with np.errstate(divide="ignore"):
        move, ahead = np.log(model.transition), np.log(model.start)
    for i in range(row - first + 1):
        now = ahead + told[i]
        ahead = np.logaddexp.reduce(now[:, None] + move, axis=0)
    back = np.zeros(len(model.roles))
    for later in told[row - first + 1 :][::-1]:
        back = np.logaddexp.reduce(move + (later + back)[None, :], axis=1)
    return _normal(now), _normal(now + back)


def _normal(log: Floats) -> Floats:
    shares = np.exp(log - log.max())
    return np.asarray(shares / shares.sum())
