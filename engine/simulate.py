"""The simulation: wishes in, trades and equity out, one bar after the other.

The kernel is `engine.trading.trade_through`; this file checks what goes in and names what comes out.
The bot calls the same `simulate`, a few bars at a time: it carries the `Account`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.barriers import OPEN
from engine.bars import Bars, Floats, format_time
from engine.errors import UsageError
from engine.funding import charged
from engine.rules import Rules
from engine.signals import Sides, Signals
from engine.terms import NEVER, TIMES, TRADE, Account, Books, Tape, in_datetimes, prices_of, readonly, terms_of
from engine.trading import trade_through

if TYPE_CHECKING:
    from engine.score import Score

Trades = NDArray[Any]
TRADE_DTYPE = in_datetimes(TRADE, TIMES)


@dataclass(frozen=True, eq=False)
class Result:
    """What became of the wishes on some bars.

    Parameters
    ----------
    bars : Bars
        The bars traded on.
    rules : Rules
        The terms of every trade.
    start : Account
        The account before the first bar.
    trades : structured array of `TRADE_DTYPE`, shape (k,)
        Finished trades, oldest first. ``wish_time``, ``entry_time``, ``exit_time`` are open times of bars;
        ``entry_bar`` and ``exit_bar`` are rows of ``bars`` (-1: entered before them); ``bars`` is how many
        bars the trade lived; ``ret`` is ``pnl`` as a fraction of the entry's notional, after all costs;
        ``funding`` is money paid; ``reason`` indexes `engine.barriers.REASONS`. A position still open at
        the end is in ``account``, and in ``open_trade``.
    equity : float64 array of shape (n,)
        Cash and the position's worth at each close.
    position : int8 array of shape (n,)
        Side held at each close.
    account : Account
        The account after the last bar: give it to the next `simulate` to go on.
    ignored : int
        Wishes ignored because a position was open.
    lapsed : int
        Wishes that could not be filled: a gap followed, or no ATR was known.
    """

    bars: Bars
    rules: Rules
    start: Account
    trades: Trades
    equity: Floats
    position: Sides
    account: Account
    ignored: int
    lapsed: int

    def __len__(self) -> int:
        return len(self.bars)

    @property
    def ambiguous(self) -> int:
        """Number of trades that ended in a bar where stop and target were both touched."""
        return int(np.count_nonzero(self.trades["ambiguous"]))

    @property
    def ruined(self) -> bool:
        """Whether the account was wiped out: the position was liquidated and trading stopped."""
        return self.account.ruined

    @property
    def open_trade(self) -> Trades:
        """The trade still open after the last bar, marked at its close without exit costs: 0 or 1 rows."""
        held, size = self.account.holding, self.account.holding.side * self.account.holding.units
        trade = np.zeros(int(held.side != 0), TRADE_DTYPE)
        for name in ("side", "units", "entry_price", "entry_fee", "target", "stop", "bars", "funding"):
            trade[name] = getattr(held, name)
        for name, time in (
            ("wish_time", held.wish_time),
            ("entry_time", held.entry_time),
            ("exit_time", self.account.time),
        ):
            trade[name] = np.datetime64(int(time), "ns")
        trade["entry_bar"], trade["exit_bar"] = max(len(self) - held.bars, -1), len(self) - 1
        trade["reason"], trade["open"] = OPEN, True
        if held.side != 0:
            price = float(self.bars.close[-1]) if len(self) else (self.account.equity - self.account.cash) / size
            trade["exit_price"] = price
            trade["pnl"] = size * (price - held.entry_price) - held.entry_fee - held.funding
            trade["ret"] = trade["pnl"] / (held.units * held.entry_price)
        return trade

    @cached_property
    def score(self) -> Score:
        """Return, risk and cost figures: `engine.score.score`."""
        from engine.score import score

        return score(self)

    @cached_property
    def orders(self) -> Trades:
        """Order records as vectorbt keeps them: `engine.portfolio.order_records`."""
        from engine.portfolio import order_records

        return order_records(self)

    @cached_property
    def portfolio(self) -> Any:
        """The same run as a ``vectorbt.Portfolio``, for its stats and plots: `engine.portfolio.portfolio`."""
        from engine.portfolio import portfolio

        return portfolio(self)

    def trades_frame(self) -> Any:
        """Trades as a pandas frame with vectorbt's column names, the open one last."""
        from engine.portfolio import trades_frame

        return trades_frame(self)


def simulate(
    bars: Bars, signals: Signals, rules: Rules, start: Account | None = None, funding: Floats | None = None
) -> Result:
    """Trade the wishes of a strategy under the market contract.

    A wish decided at the close of bar t is filled at the open of bar t+1. Simulating bars in pieces,
    each going on from the account the one before ended with, gives the same trades, equity and account
    as simulating them whole, bit for bit.

    Parameters
    ----------
    bars : Bars
        n closed bars.
    signals : Signals
        One wish per bar, of the same bars.
    rules : Rules
        Barriers, costs, size and fills.
    start : Account, optional
        The account before the first bar; by default ``rules.cash`` and no position.
    funding : float64 array of shape (n,), optional
        Fraction of notional at each bar's open that a long pays and a short receives if the position
        was entered before that bar. An order at the same open fills after the payment. By default what
        the bars carry (`Bars.funding`), and nothing where they know none.

    Returns
    -------
    Result
        Trades, equity and the account after the last bar.

    Raises
    ------
    UsageError
        If the arrays are not of the same bars, or the bars do not come after the account's last.

    Notes
    -----
    A position whose equity is used up at a close is liquidated there, at the close's price with slippage
    and taker fee; nothing is traded afterwards and `Result.ruined` is True.

    Examples
    --------
    >>> from engine.synthetic import random_bars
    >>> bars = random_bars(100, seed=1)
    >>> side = np.zeros(100, np.int8)
    >>> side[[10, 50]] = 1
    >>> result = simulate(bars, Signals(side, np.ones(100)), Rules())
    >>> result.trades["entry_bar"].tolist(), len(result.equity)
    ([11, 51], 100)
    """
    n = len(bars)
    funding = charged(bars) if funding is None else np.asarray(funding, np.float64)
    paid = np.empty(0) if funding is None else funding
    if len(signals) != n or len(signals.atr) != n or (funding is not None and paid.shape != (n,)):
        also = "" if funding is None else f", funding {paid.size}"
        raise UsageError(f"signals cover {len(signals)} bars{also} and bars {n}; they must be the same bars")
    if not np.isfinite(paid).all():
        raise UsageError(f"funding[{int(np.argmin(np.isfinite(paid)))}] is not finite; write 0 where none is paid")
    begin = Account(float(rules.cash), float(rules.cash)) if start is None else start
    time = bars.open_time.view(np.int64)
    if n and begin.time != NEVER and time[0] <= begin.time:
        ended = format_time(np.datetime64(int(begin.time), "ns"))
        raise UsageError(
            f"bars begin at {format_time(bars.open_time[0])}; the account has seen {ended}: give later bars"
        )
    side = readonly(np.asarray(signals.side, np.int8))
    atr, per_unit = np.asarray(signals.atr, np.float64), paid if funding is None else paid * bars.open
    tape = Tape(readonly(time), readonly(bars.close), side, readonly(atr), readonly(per_unit))
    books = Books(np.empty(np.count_nonzero(side) + 2, TRADE), np.empty(n), np.zeros(n, np.int8))
    account, k, ignored, lapsed = trade_through(tape, prices_of(bars), terms_of(rules, bars), rules.fills, begin, books)
    trades = books.trades[:k].view(TRADE_DTYPE)
    return Result(bars, rules, begin, trades, books.equity, books.position, account, ignored, lapsed)
