"""The bot: at each close it asks the backtest's own function for one more bar and writes down what came of it.

There is no trading logic here and no state but the ledger's: start and restart are the same code.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from engine.bars import COLUMNS, Bars, Floats, format_time
from engine.errors import DataError
from engine.rules import Rules
from engine.run import run
from engine.signals import Strategy
from engine.terms import Account
from live.funding import rates_of
from live.ledger import BarRecord, Ledger, Receipt
from live.orders import fills_of


class Bot:
    """Decides at every close, once, and trades what it decided.

    Parameters
    ----------
    strategy : Strategy
        Turns closed bars into wishes.
    rules : Rules
        Barriers, costs, size and fills.
    ledger : Ledger
        What the bot knows; whatever was written there is continued.
    """

    def __init__(self, strategy: Strategy, rules: Rules, ledger: Ledger) -> None:
        self.strategy = strategy
        self.rules = rules
        self.ledger = ledger
        self.account: Account | None = ledger.account()
        self._name = ledger.identity.id
        self._kept = max(strategy.memory - 1, 1)
        self._seen = ledger.seen(self._kept)

    @property
    def last_bar(self) -> np.datetime64 | None:
        """Open time of the last bar decided on; None before the first."""
        return None if self.account is None else np.datetime64(int(self.account.time), "ns")

    def on_close(self, window: Bars, receipt: Receipt | None = None) -> BarRecord | None:
        """Decide on the bar that has just closed, the last of a window.

        Parameters
        ----------
        window : Bars
            The last ``strategy.memory`` closed bars, or all there are if fewer.
        receipt : Receipt, optional
            Of the last bar, where it came from an exchange.

        Returns
        -------
        BarRecord or None
            What was written to the ledger; None if this bar was decided on before.

        Raises
        ------
        DataError
            If a bar is not as it was when it was decided on, or a bar was passed over. Nothing is
            decided then, and the ledger says why.
        """
        if len(window) == 0:
            raise DataError("a window without bars was given; wait for a bar to close")
        with self._alarm():
            recognise(self._seen, window)
            last = self.last_bar
            fresh = len(window) if last is None else int(np.count_nonzero(window.open_time > last))
            if fresh > 1 and last is not None:
                missed = format_time(window.open_time[-fresh])
                raise DataError(f"bar {missed} was passed over; give the bot every bar, in order")
            if fresh and self._seen is not None:
                _reach(window, self._seen.open_time[0])
        return self._decide(window, fresh, receipt) if fresh else None

    def recognise(self, history: Bars) -> None:
        """Refuse a history that is not the one the ledger grew from, or that ends before it.

        Raises
        ------
        DataError
            Naming the first bar that differs.
        """
        with self._alarm():
            seen = self.ledger.seen()
            if seen is None:
                return
            recognise(seen, history)
            _reach(history, seen.open_time[0])
            if history.open_time[-1] < seen.open_time[-1]:
                ends, stands = format_time(history.open_time[-1]), format_time(seen.open_time[-1])
                raise DataError(
                    f"the bars end at {ends}, the ledger is at {stands}; bring later bars or set another BOT_LEDGER"
                )

    @contextmanager
    def _alarm(self) -> Iterator[None]:
        """Write to the ledger why the bot stopped."""
        try:
            yield
        except DataError as alarm:
            self.ledger.note(alarm, self.last_bar)
            raise

    def _decide(self, window: Bars, fresh: int, receipt: Receipt | None) -> BarRecord:
        """Decide on the last bar, from the bars that count and no others, and write it down."""
        known = 0 if self._seen is None else len(self._seen)
        bars = window[-min(known + fresh, self.strategy.memory) :]
        done = run(self.strategy, bars, self.rules, self.account, len(bars) - 1, rates_of(bars))
        result = done.result
        fills = fills_of(result, self._name)
        record = BarRecord(window[-fresh:], done.signals, result.account, fills, result.trades, receipt)
        self.ledger.write(record)
        self.account = result.account
        self._seen = bars[-self._kept :]
        return record


def recognise(seen: Bars | None, offered: Bars) -> None:
    """Refuse bars that are not, bit for bit, those seen before, as far as they are of the same time.

    Raises
    ------
    DataError
        Naming the first bar that was changed, removed or added since it was seen.
    """
    if seen is None:
        return
    begin, end = max(seen.open_time[0], offered.open_time[0]), min(seen.open_time[-1], offered.open_time[-1])
    seen, again = _between(seen, begin, end), _between(offered, begin, end)
    if not np.array_equal(seen.open_time, again.open_time):
        odd = np.setxor1d(seen.open_time, again.open_time)[0]
        what = "was seen before and is missing now" if odd in seen.open_time else "is new among bars seen before"
        raise DataError(f"bar {format_time(odd)} {what}; {_REMEDY}")
    unknown = np.full(len(again), np.nan)
    before, after = _columns(seen), _columns(again)
    for name, was in before.items():
        now = after.get(name, unknown)
        differ = (was != now) & ~(np.isnan(was) & np.isnan(now))
        if differ.any():
            row = int(np.argmax(differ))
            raise DataError(
                f"{name} of bar {format_time(seen.open_time[row])} was {float(was[row])!r} when it was decided on"
                f" and is {float(now[row])!r} now; {_REMEDY}"
            )


def _columns(bars: Bars) -> dict[str, Floats]:
    """Prices, volume and what was known beside them, by name."""
    return {**{name: getattr(bars, name) for name in COLUMNS}, **bars.context}


def _between(bars: Bars, begin: np.datetime64, end: np.datetime64) -> Bars:
    """The bars that open from one time to another, both included."""
    return bars[bars.since(begin) : int(np.searchsorted(bars.open_time, end, side="right"))]


def _reach(bars: Bars, begin: np.datetime64) -> None:
    """Refuse bars that begin later than what the next decision depends on."""
    if bars.open_time[0] > begin:
        have, need = format_time(bars.open_time[0]), format_time(begin)
        raise DataError(f"the bars begin at {have}, the bot needs them from {need}; bring earlier bars too")


_REMEDY = "the feed rewrote history: find out which is right, then feed it again or start a new BOT_LEDGER"
