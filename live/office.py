"""What all symbols of an account share: states, the exchange's clock, limits, and a voice."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from live import schema_orders as kinds
from live.account import AccountBook, Standing
from live.follow import Manner
from live.limits import Limits, judge_worth
from live.logs import Tell


class Office(NamedTuple):
    """What all desks of an account share.

    Parameters
    ----------
    book : AccountBook
        States, commands, worth.
    now : callable
        The exchange's clock as we know it, nanoseconds since 1970.
    limits : Limits
        How far the bot may go.
    manner : Manner
        How entries are made.
    poll_ns : int
        Time between looks while something stands.
    tell : callable
        Told symbol, kind (see `live.schema_orders.KINDS`) and message of what a person should know.
    """

    book: AccountBook
    now: Callable[[], int]
    limits: Limits
    manner: Manner
    poll_ns: int
    tell: Tell

    def put(self, symbol: str, standing: Standing) -> None:
        """Write down a state, and tell a person when it is another."""
        if self.book.put(symbol, standing):
            said = f"{standing.state}: {standing.cause}" + (f" ({standing.reason})" if standing.reason else "")
            self.book.note(symbol, kinds.STATE, said)
            self.tell(symbol, kinds.STATE, said)

    def weigh(self, worth: float) -> None:
        """Write down what the account is worth, and the states that follow."""
        for standing in judge_worth(self.book, self.limits, worth):
            self.put("", standing)
