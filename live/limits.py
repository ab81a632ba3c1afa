"""What the bot may not do with money: each breach is a state with a cause, and says how it ends."""

from __future__ import annotations

from typing import NamedTuple

from engine.bars import DAY_NS
from live.account import ACTIVE, HALTED, REDUCING, AccountBook, Standing

SECOND_NS = 10**9
DAY_LOSS, DRAWDOWN, ORDERS, ERRORS, STALE, SKEW, SILENT = (
    *("day loss", "drawdown", "orders", "errors"),
    *("stale data", "clock", "exchange silent"),
)


class Limits(NamedTuple):
    """How far the bot may go; money limits are shares of equity.

    Parameters
    ----------
    max_exposure : float
        All positions together.
    max_day_loss : float
        Lost since midnight UTC: exits only until the next midnight.
    max_drawdown : float
        Lost since the highest worth: exits only until somebody resumes.
    max_orders_per_hour : int
        Orders of a symbol in an hour: exits only until somebody resumes; at twice as many nothing is sent.
    max_spread : float
        Ask over bid, as a share of the price: no entry there and then.
    stale_s : float
        How late a bar may be before there are exits only.
    max_skew_s : float
        How far our clock may be from the exchange's.
    max_errors : int
        Refusals or silences in a row: refusals stop the symbol until somebody resumes; silence ends by itself.
    """

    max_exposure: float = 1.0
    max_day_loss: float = 0.05
    max_drawdown: float = 0.2
    max_orders_per_hour: int = 60
    max_spread: float = 0.002
    stale_s: float = 120.0
    max_skew_s: float = 2.0
    max_errors: int = 5


def judge_worth(book: AccountBook, limits: Limits, equity: float) -> list[Standing]:
    """Write down the account's worth; return the states that follow."""
    today = book.now() // DAY_NS * DAY_NS
    begun = book.since(today)
    book.worth(equity)
    peak, found = book.peak(), []
    if begun is not None and equity < begun * (1.0 - limits.max_day_loss):
        reason = f"{1.0 - equity / begun:.1%} lost since midnight UTC, limit {limits.max_day_loss:.1%}"
        found.append(Standing(REDUCING, DAY_LOSS, reason, today + DAY_NS))
    if peak is not None and equity < peak * (1.0 - limits.max_drawdown):
        reason = f"{1.0 - equity / peak:.1%} below the highest worth {peak:.2f}, limit {limits.max_drawdown:.1%}"
        found.append(Standing(REDUCING, DRAWDOWN, reason))
    return found


def judge_orders(limits: Limits, sent: int) -> Standing | None:
    """Return the state that so many orders in an hour lead to."""
    if sent < limits.max_orders_per_hour:
        return None
    state = HALTED if sent >= 2 * limits.max_orders_per_hour else REDUCING
    return Standing(state, ORDERS, f"{sent} orders in an hour, limit {limits.max_orders_per_hour}")


def judge_errors(limits: Limits, refused: int, silent: int) -> list[Standing]:
    """Return the states that refusals and silences in a row lead to; silence is over at the first answer."""
    found = [Standing(ACTIVE, SILENT)]
    if silent >= limits.max_errors:
        found = [Standing(REDUCING, SILENT, f"no answer {silent} times in a row")]
    if refused >= limits.max_errors:
        found.append(Standing(HALTED, ERRORS, f"{refused} orders in a row were refused"))
    return found


def judge_bars(limits: Limits, now: int, next_close: int) -> Standing:
    """Return the state that a missing bar leads to."""
    late = (now - next_close) / SECOND_NS
    if next_close and late > limits.stale_s:
        return Standing(REDUCING, STALE, f"the bar is {late:.0f} s late, limit {limits.stale_s:g}")
    return Standing(ACTIVE, STALE)


def judge_clock(limits: Limits, skew_ns: int) -> Standing:
    """Return the state that a wrong clock leads to."""
    skew = skew_ns / SECOND_NS
    if abs(skew) > limits.max_skew_s:
        return Standing(REDUCING, SKEW, f"our clock is {skew:+.1f} s off the exchange's, limit {limits.max_skew_s:g}")
    return Standing(ACTIVE, SKEW)
