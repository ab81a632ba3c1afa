"""What goes wrong, and when: a plan that the server asks at every request."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

BEFORE, AFTER = ("hang", "reset", "timeout", "late"), ("hang_after", "reset_after", "timeout_after")
KINDS = (*BEFORE, *AFTER, "status", "status_after", "twice", "repeat", "stale", "cut_short")


@dataclass
class Fault:
    """One planned fault; see `Faults.plan`."""

    kind: str
    on: str
    nth: int
    times: int
    status: int = 503
    code: int = 0
    message: str = ""
    retry_after: int | None = None
    delay_ms: int = 2000
    seen: int = 0
    struck: int = 0


class Faults:
    """Everything that will go wrong."""

    def __init__(self) -> None:
        self.planned: list[Fault] = []
        self.struck: list[tuple[str, str]] = []  # kind and request, in order
        self.shares: list[Decimal] = []

    def plan(self, kind: str, on: str = "", nth: int = 1, times: int = 1, **details) -> Fault:  # type: ignore[no-untyped-def]
        """Plan a fault.

        Parameters
        ----------
        kind : str
            ``hang`` (no answer, nothing done), ``hang_after`` (done, no answer), ``reset``, ``reset_after``
            (the connection is reset before or after it is done), ``timeout``, ``timeout_after`` (the same, and for
            the client of `tests.exchange.wire` its patience passes on the exchange's clock, not on the wall),
            ``late`` (the connection is reset, and the request arrives ``delay_ms`` later), ``status`` (an error,
            nothing done), ``status_after`` (an error, though it was done), ``twice`` (a request arrives two times),
            ``repeat`` (rows of a list are there twice), ``stale`` (an answer from before the last order or cancel,
            if that was less than ``delay_ms`` ago), ``cut_short`` (half an answer).
        on : str
            Regular expression searched in ``"METHOD /path"``; empty: any request.
        nth, times : int
            The fault strikes the nth request it fits (counted from now), and ``times`` in a row from there; one
            request meets one fault, and those that had to wait strike the next.
        status, code, message, retry_after
            Of an error: HTTP status, Binance's code and message, and the Retry-After header in seconds.
        """
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {KINDS}, was {kind!r}")
        fault = Fault(kind, on, nth, times, **details)
        self.planned.append(fault)
        return fault

    def partial(self, *shares: float) -> None:
        """Let the next fills be of these shares; a limit's rest waits for the next price, a market order's ends."""
        self.shares += [Decimal(str(share)) for share in shares]

    def clear(self) -> None:
        """From here on all goes well."""
        self.planned.clear()
        self.shares.clear()

    def share(self) -> Decimal:
        return self.shares.pop(0) if self.shares else Decimal(1)

    def take(self, request: str) -> Fault | None:
        """The fault that strikes a request."""
        hit = None
        for fault in self.planned:
            if re.search(fault.on, request):
                fault.seen += 1
                if hit is None and fault.seen >= fault.nth and fault.struck < fault.times:
                    hit = fault
                    fault.struck += 1
        if hit is not None:
            self.struck.append((hit.kind, request))
        return hit
