"""What the trade kernels read and write: plain numbers and arrays in named tuples."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.bars import Bars, Floats
from engine.rules import Rules
from engine.signals import Sides, Verdicts

NEVER = int(np.iinfo(np.int64).min)  # NaT in nanoseconds

TRADE = np.dtype(
    [
        ("wish_time", np.int64),
        ("entry_time", np.int64),
        ("exit_time", np.int64),
        ("entry_bar", np.int64),
        ("exit_bar", np.int64),
        ("bars", np.int64),
        ("units", np.float64),
        ("entry_price", np.float64),
        ("exit_price", np.float64),
        ("entry_fee", np.float64),
        ("exit_fee", np.float64),
        ("funding", np.float64),
        ("pnl", np.float64),
        ("ret", np.float64),
        ("target", np.float64),
        ("stop", np.float64),
        ("side", np.int8),
        ("reason", np.uint8),
        ("ambiguous", np.bool_),
        ("open", np.bool_),
    ],
    align=True,
)
TIMES = ("wish_time", "entry_time", "exit_time")


class Prices(NamedTuple):
    """The columns a trade is walked through; few, because a kernel's call passes each by value."""

    open: Floats
    high: Floats
    low: Floats


class Tape(NamedTuple):
    """What else is known of each bar: its open time in nanoseconds, its close, the wish decided there and its ATR.

    ``funding`` is what one unit long pays at its open, in money; empty where none is paid.
    """

    time: NDArray[np.int64]
    close: Floats
    side: Sides
    atr: Floats
    funding: Floats


class Terms(NamedTuple):
    """The numbers of `Rules`, and the longest step between two bars that is no gap."""

    k_up: float
    k_down: float
    hold: int
    fee: float
    maker_fee: float
    slippage: float
    exposure: float
    longest_step_ns: int


class Holding(NamedTuple):
    """An open position.

    Parameters
    ----------
    side : int
        1 long, -1 short, 0 flat.
    units : float
        Size, not negative.
    entry_price, entry_fee : float
        The fill, slippage included, and the fee paid in money.
    target, stop : float
        The barriers, in price units.
    bars : int
        Bars lived so far.
    funding : float
        Money paid for funding so far; negative if received.
    wish_time, entry_time : int
        Open times of the bar of the wish and the bar of the entry, in nanoseconds since 1970.
    """

    side: int
    units: float
    entry_price: float
    entry_fee: float
    target: float
    stop: float
    bars: int
    funding: float
    wish_time: int
    entry_time: int


FLAT = Holding(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0.0, NEVER, NEVER)


class Account(NamedTuple):
    """Everything needed to go on trading after a bar's close.

    Parameters
    ----------
    cash : float
        Money; below the equity while long, above it while short.
    equity : float
        Cash and the position's worth at the last close.
    time : int
        Open time of the last bar seen, in nanoseconds since 1970; `NEVER` before the first.
    wish : int
        Side wished at that bar's close and not yet filled; 0 none.
    wish_atr : float
        ATR of that wish; 0 without one.
    holding : Holding
        The open position, `FLAT` if none.
    """

    cash: float
    equity: float
    time: int = NEVER
    wish: int = 0
    wish_atr: float = 0.0
    holding: Holding = FLAT

    @property
    def side(self) -> int:
        """Side of the open position: 1 long, -1 short, 0 flat."""
        return self.holding.side

    @property
    def ruined(self) -> bool:
        """Whether nothing is left to trade with."""
        return self.holding.side == 0 and self.cash <= 0.0


class Books(NamedTuple):
    """Where the trade kernel writes: finished trades, equity and side at each close."""

    trades: NDArray[Any]
    equity: Floats
    position: Sides


class Labels(NamedTuple):
    """What became of a trade entered after each bar; one label per bar.

    Parameters
    ----------
    outcome : int8 array of shape (n,)
        1 target first, -1 stop first, 0 neither in time, or no label where ``end`` is -1.
    end : int64 array of shape (n,)
        Bar in which the trade ended; -1 where there is no label: the ATR was unknown, a gap followed,
        or the bars ran out before the trade was over (censored).
    ret : float64 array of shape (n,)
        Return after fees and slippage, as a fraction of the entry's notional; NaN without a label.
    gross : float64 array of shape (n,)
        Return from the entry bar's open to the exit's level, costs left out; NaN without a label.
    ambiguous : bool array of shape (n,)
        Stop and target both lay inside the bar that ended the trade.
    """

    outcome: NDArray[np.int8]
    end: NDArray[np.int64]
    ret: Floats
    gross: Floats
    ambiguous: Verdicts


def in_datetimes(record: Any, times: tuple[str, ...]) -> np.dtype[Any]:
    """Return a record type of the same bytes whose named fields read as datetime64[ns]."""
    fields = {name: ("M8[ns]" if name in times else kind[0], kind[1]) for name, kind in record.fields.items()}
    return np.dtype({
        "names": list(fields),
        "formats": [kind for kind, _ in fields.values()],
        "offsets": [offset for _, offset in fields.values()],
        "itemsize": record.itemsize,
    })  # fmt: skip


def prices_of(bars: Bars) -> Prices:
    """Return the columns of bars that a trade is walked through."""
    return Prices(readonly(bars.open), readonly(bars.high), readonly(bars.low))


def terms_of(rules: Rules, bars: Bars) -> Terms:
    """Return rules as kernels read them, every number of the type they were compiled for."""
    return Terms(
        k_up=float(rules.k_up),
        k_down=float(rules.k_down),
        hold=int(rules.hold),
        fee=float(rules.fee),
        maker_fee=float(rules.maker_fee),
        slippage=float(rules.slippage),
        exposure=float(rules.exposure),
        longest_step_ns=int(bars.longest_step_ns),
    )


def readonly(array: NDArray[Any]) -> NDArray[Any]:
    """Return a contiguous read-only view: one array type, so one compilation of each kernel."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
