"""The long blocks of a report: bars, equity curves and trades, in columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Required, TypedDict

from numpy.typing import NDArray

Numbers = Sequence[float | None] | NDArray[Any]
Times = Sequence[int] | NDArray[Any]
Kind = Literal["profile", "grid", "control"]


class Coded(TypedDict):
    """A column of words that repeat: each row holds the number of its word.

    Attributes
    ----------
    words : sequence of str
        The vocabulary.
    code : integers of shape (n,)
        Index into ``words``; -1 or 255 where not known.
    """

    words: Sequence[str]
    code: Times


class Curve(TypedDict, total=False):
    """Equity of one strategy or control on the common times of ``Equity``.

    Attributes
    ----------
    name : str
    kind : {"profile", "grid", "control"}
        Profiles and controls are drawn at first; grid curves wait for a click.
    equity : Numbers
        In any unit; the page divides by the first value.
    drawdown : Numbers
        The worst fall from the peak (0 to -1) since the point before, so that thinned curves keep the true
        maximum drawdown. Computed from ``equity`` where absent.
    """

    name: Required[str]
    kind: Required[Kind]
    equity: Required[Numbers]
    drawdown: Numbers


class Equity(TypedDict):
    """Equity of everything compared; ``engine.report.blocks.equity_block`` makes it, thinned.

    Attributes
    ----------
    time : Times
        When each value was marked: closes of bars.
    curves : sequence of Curve
    """

    time: Times
    curves: Sequence[Curve]


class Price(TypedDict, total=False):
    """The bars under the trades; ``engine.report.blocks.price_block`` makes it.

    Attributes
    ----------
    time : Times
        Open times, increasing.
    open, high, low, close : Numbers
    regime : Coded
        The most probable regime of each bar, words by ascending volatility.
    note : str
        Said under the chart, such as that several bars were merged into one to keep the file small.
    """

    time: Required[Times]
    open: Required[Numbers]
    high: Required[Numbers]
    low: Required[Numbers]
    close: Required[Numbers]
    regime: Coded
    note: str


class Trades(TypedDict, total=False):
    """The closed trades of one strategy, each with its evidence; ``engine.report.blocks.trades_block`` makes it.

    Attributes
    ----------
    name : str
        The strategy.
    wish_time, entry_time, exit_time : Times
        Open time of the bar that decided, of the bar entered, of the bar left.
    side : Numbers
        1 long, -1 short.
    entry_price, exit_price, target, stop : Numbers
        Prices paid and barriers set.
    ret : Numbers
        Net return of the trade, costs included, as a fraction of its notional.
    outcome : Coded
        How it ended: target, stop, time.
    bars : Numbers
        Bars held.
    p : Numbers
        Calibrated probability, at the decision, that this side is right.
    confidence : Numbers
        In the strategy's mode, compared with its threshold.
    belief : Numbers
        Probability of the most volatile regime at the decision.
    audit : Numbers
        The auditor's probability that the trade earns more than its costs; NaN where it was not asked.
    reason : Coded
        Why the trade was taken, in words.
    ambiguous : Numbers
        1 where stop and target lay in one bar and the stop was assumed.
    note : str
        Said above the list, such as that only the newest trades are in it.
    """

    name: Required[str]
    wish_time: Times
    entry_time: Required[Times]
    exit_time: Required[Times]
    side: Required[Numbers]
    entry_price: Required[Numbers]
    exit_price: Required[Numbers]
    target: Numbers
    stop: Numbers
    ret: Required[Numbers]
    outcome: Coded
    bars: Numbers
    p: Numbers
    confidence: Numbers
    belief: Numbers
    audit: Numbers
    reason: Coded
    ambiguous: Numbers
    note: str
