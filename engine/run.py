"""The whole flow in one function: read this file first.

::

    bars -> features -> predictor  p, confidence --+
                |----> regime belief --------------+-> strategy: propose, then gates that may only say no
                '----> auditor  p(right) ----------+                 |
                                                                  wishes   (engine.signals.Signals)
                                                                     |
                       rules: barriers, costs, size ---> one trade kernel (engine.barriers)
                                                                     |
                                       trades, equity, account -> score, report, or the bot's next order

Research calls `run` on years of bars; the bot calls the same `run` at every close, with the account it
ended with the bar before, and makes the exchange follow. There is no other path from a bar to an order.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.bars import Bars, Floats
from engine.rules import Rules
from engine.signals import Signals, Strategy
from engine.simulate import Result, simulate
from engine.terms import Account


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What a strategy wished and what became of it, on the same bars.

    Parameters
    ----------
    signals : Signals
        The wish of each bar traded on, with its evidence.
    result : Result
        Trades, equity and the account after the last bar.
    """

    signals: Signals
    result: Result


def run(
    strategy: Strategy,
    bars: Bars,
    rules: Rules,
    start: Account | None = None,
    since: int = 0,
    funding: Floats | None = None,
) -> Run:
    """Let a strategy decide on bars and trade what it wishes.

    Parameters
    ----------
    strategy : Strategy
        Turns bars into wishes; its memory is warm when ``since >= strategy.memory - 1``.
    bars : Bars
        n closed bars.
    rules : Rules
        Barriers, costs, size and fills.
    start : Account, optional
        The account before bar ``since``; by default ``rules.cash`` and no position.
    since : int
        First bar to trade on; bars before it only warm the memory.
    funding : float64 array of shape (n,), optional
        Funding at each bar's open instead of what the bars carry: see `simulate`.

    Returns
    -------
    Run
        Of ``bars[since:]``.

    Examples
    --------
    >>> import numpy as np
    >>> from engine.synthetic import random_bars
    >>> class Always:
    ...     name, memory = "Always", 1
    ...     def signals(self, bars, since=0):
    ...         return Signals(np.ones(len(bars), np.int8), bars.high - bars.low)
    >>> bars = random_bars(100, seed=1)
    >>> whole = run(Always(), bars, Rules()).result
    >>> first = run(Always(), bars[:50], Rules()).result
    >>> then = run(Always(), bars, Rules(), start=first.account, since=50).result
    >>> then.account == whole.account
    True
    """
    signals = strategy.signals(bars, since)[since:]
    paid = None if funding is None else funding[since:]
    return Run(signals, simulate(bars[since:], signals, rules, start, paid))
