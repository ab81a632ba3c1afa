"""What should stand at the exchange after a close: read off the simulated account, never decided anew."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import NamedTuple

from engine.barriers import bracket
from engine.rules import Rules
from engine.terms import NEVER, Account
from live.broker import MarketTerms

SNAP = Decimal("1e-6")  # of a step: sums of rounded numbers are on the grid for all that matters
TIME, LATE = "time", "late"


class Wanted(NamedTuple):
    """What the simulated account holds, or wishes to hold from the next open on.

    Parameters
    ----------
    side : int
        1 long, -1 short, 0 flat.
    wish_time : int
        Open time of the bar that wished for the trade, its name; `NEVER` without one.
    enter : bool
        The trade begins at the open that is now: entering later would be another trade.
    target, stop : float
        Barriers before rounding; NaN while the open of the entry bar is not known.
    atr : float
        Of the wish, while ``enter``.
    leg : str
        Why it is to be flat: ``time`` when the time exit is due, ``late`` when the simulation ended
        the trade and the exchange may not have.
    """

    side: int = 0
    wish_time: int = NEVER
    enter: bool = False
    target: float = float("nan")
    stop: float = float("nan")
    atr: float = 0.0
    leg: str = LATE


def wanted(account: Account, rules: Rules) -> Wanted:
    """Return what should stand from a close until the next.

    Parameters
    ----------
    account : Account
        The simulated account after the bar that closed.
    rules : Rules
        For the time exit: a position that lived ``hold`` bars leaves at the open that is now.

    Examples
    --------
    >>> wanted(Account(1e4, 1e4, time=7, wish=-1, wish_atr=2.0), Rules()).enter
    True
    """
    held = account.holding
    if account.wish:
        return Wanted(account.wish, account.time, enter=True, atr=account.wish_atr)
    if held.side == 0:
        return Wanted()
    if held.bars >= rules.hold:
        return Wanted(0, held.wish_time, leg=TIME)
    return Wanted(held.side, held.wish_time, target=held.target, stop=held.stop)


def with_barriers(want: Wanted, opened: float | None, rules: Rules) -> Wanted:
    """Return what is wanted with the barriers that the open of the entry bar fixes, once it is known."""
    if not want.enter or opened is None:
        return want
    target, stop = bracket(opened, want.side, want.atr, rules.k_up, rules.k_down)
    return want._replace(target=target, stop=stop)


def on_grid(value: float, step: float, up: bool = False) -> float:
    """Return the nearest multiple of a step that is not above a value (``up``: not below).

    Examples
    --------
    >>> on_grid(0.1 + 0.2, 0.1), on_grid(27.49, 0.5), on_grid(27.01, 0.5, up=True)
    (0.3, 27.0, 27.5)
    """
    steps = Decimal(repr(float(value))) / Decimal(repr(float(step)))
    nearest = steps.to_integral_value()
    whole = steps.to_integral_value(ROUND_CEILING if up else ROUND_FLOOR)
    return float((nearest if abs(steps - nearest) <= SNAP else whole) * Decimal(repr(float(step))))


def rounded_barriers(want: Wanted, tick: float) -> tuple[float, float]:
    """Return target and stop as orders carry them.

    Both move toward the same side, down for a long and up for a short: the stop away from the entry, so that it is
    never touched before the simulated one, and the target toward it, so that it is never better than simulated.
    """
    return on_grid(want.target, tick, up=want.side < 0), on_grid(want.stop, tick, up=want.side < 0)


def lots(quantity: float, price: float, terms: MarketTerms) -> float:
    """Return the units an order may have, rounded down to lots; 0 when that is less than the market takes.

    Examples
    --------
    >>> spot = MarketTerms("BTCUSDT", "BTC", "USDT", tick=0.01, lot=0.001, min_quantity=0.001, min_notional=5.0)
    >>> lots(0.0129, 60_000.0, spot), lots(0.0129, 300.0, spot)
    (0.012, 0.0)
    """
    whole = on_grid(min(abs(quantity), terms.max_quantity), terms.lot)
    return 0.0 if whole < terms.min_quantity or whole * price < terms.min_notional else whole
