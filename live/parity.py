"""What the bot did against what the backtest says: the same, bit for bit, or the first thing that is not."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.bars import Bars, format_time
from engine.rules import Rules
from engine.run import Run, run
from engine.signals import Strategy
from live.funding import rates_of
from live.ledger import Ledger
from live.schema import NOT_KEPT


def against_backtest(strategy: Strategy, rules: Rules, ledger: Ledger, bars: Bars) -> str | None:
    """Return the first difference between a ledger and a backtest of the bars it has seen; None if there is none.

    Funding is paid at the rates given beside the bars, or else those that the ledger holds.
    """
    seen = ledger.seen()
    if seen is None:
        return None
    recorded = bars[bars.since(seen.open_time[0]) : bars.since(seen.open_time[-1]) + 1]
    first = recorded.since(ledger.identity.first_bar)
    paid = rates_of(recorded)
    paid = rates_of(seen) if paid is None and len(seen) == len(recorded) else paid
    return _difference(ledger, run(strategy, recorded, rules, since=first, funding=paid))


def _difference(ledger: Ledger, backtest: Run) -> str | None:
    times, equity = ledger.equity()
    result = backtest.result
    pairs: list[tuple[str, Any, Any]] = [
        ("bars decided on", times, result.bars.open_time),
        ("equity", equity, result.equity),
    ]
    pairs.insert(1, ("wish", ledger.wishes(), backtest.signals.side))
    for what, live, tested in pairs:
        if len(live) != len(tested):
            return f"{len(live)} {what} in the ledger, {len(tested)} in the backtest"
        if not np.array_equal(live, tested):
            row = int(np.argmax(live != tested))
            return f"{what} at {format_time(times[row])} is {live[row]} in the ledger and {tested[row]} in the backtest"
    mine, theirs = ledger.trades(), result.trades
    if len(mine) != len(theirs):
        return f"{len(mine)} trades in the ledger, {len(theirs)} in the backtest"
    for name in mine.dtype.names or ():
        if name not in NOT_KEPT and not np.array_equal(mine[name], theirs[name]):
            row = int(np.argmax(mine[name] != theirs[name]))
            return f"{name} of trade {row} is {mine[name][row]} in the ledger and {theirs[name][row]} in the backtest"
    return None if ledger.account() == result.account else "the account after the last bar"
