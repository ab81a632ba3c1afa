"""What ccxt raises, as one of our three ways to fail, with every secret and address left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from live.broker import Refused, Retry, Unknown
from live.keys import Keys

T = TypeVar("T")
BROKEN = (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError)  # an answer that is none
LONGEST = 300  # letters of a message


class NotThere(Refused):
    """The exchange knows no order of that name."""


class Wire:
    """Calls to a ccxt exchange.

    Parameters
    ----------
    exchange : ccxt exchange
        Whom to call.
    keys : Keys
        What no message may hold.
    """

    def __init__(self, exchange: Any, keys: Keys) -> None:
        import ccxt

        self._exchange, self._keys, self._known = exchange, keys, ccxt
        self._until, self._span = 0.0, 0.0  # of a wait that the exchange asked for, by its client's clock, in ms
        exchange.parse_json = self._parse

    def read(self, ask: Callable[..., T], *what: Any) -> T:
        """Ask for something; asking again does no harm, so every silence is a `Retry`, half an answer too."""
        self._keep_waiting()
        with self._told(Retry):
            return ask(*what)

    def write(self, act: Callable[..., T], *what: Any) -> T:
        """Do something; without an answer nobody knows whether it was done, so silence is `Unknown`."""
        self._keep_waiting()
        with self._told(Unknown):
            return act(*what)

    def _keep_waiting(self) -> None:
        """Ask nothing while the exchange wants to be left alone: who asks on is shut out for longer."""
        left = self._until - self._exchange.milliseconds()
        if 0.0 < left <= self._span:
            raise Retry(f"the exchange wants to be left alone for {left / 1000:.0f} s", left / 1000)

    def _parse(self, text: str) -> Any:
        """Read an answer; ccxt alone would take half of one for an empty list."""
        try:
            return self._exchange.on_json_response(text)
        except ValueError:
            if text[:1] in ("{", "["):
                raise self._known.BadResponse("the answer is not whole") from None
            return None  # an error page: its status says more

    @contextmanager
    def _told(self, lost: type[Retry] | type[Unknown]) -> Iterator[None]:
        known = self._known
        try:
            yield
        except known.OrderNotFound:
            raise NotThere("the exchange does not know this order") from None
        except known.DuplicateOrderId as why:  # it stands: it was sent before
            raise Unknown(self._scrubbed(why)) from None
        except (known.RateLimitExceeded, known.DDoSProtection) as why:
            wait = self._asked_to_wait()
            self._span = 1000.0 * wait
            self._until = self._exchange.milliseconds() + self._span
            raise Retry(self._scrubbed(why), wait) from None
        except known.InvalidNonce as why:  # turned away for its time stamp, unread
            raise Retry(self._scrubbed(why)) from None
        except known.OperationFailed as why:
            raise lost(self._scrubbed(why)) from None
        except known.BaseError as why:
            raise Refused(self._scrubbed(why)) from None
        except BROKEN as why:
            raise lost(f"the answer made no sense ({type(why).__name__})") from None

    def _asked_to_wait(self) -> float:
        headers = self._exchange.last_response_headers or {}
        text = str({str(name).lower(): value for name, value in headers.items()}.get("retry-after", ""))
        return float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else 1.0

    def _scrubbed(self, why: Exception) -> str:
        text = re.sub(r"\?\S*", "", f"{type(why).__name__}: {why}")
        return self._keys.scrub(text)[:LONGEST]
