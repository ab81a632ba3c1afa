"""Every error this project raises on purpose, and what the caller should do about each.

* TradingError
  x DataError           the input is wrong: fix the data, never retry
  x UsageError          the request is wrong: fix the option or argument named
  x ModelMismatch       the artefact does not fit the code: retrain or check out the old code
  x SettingsError       .env is wrong: fix the lines listed
  x BrokerError
    + BrokerRefused     the exchange said no: stop and ask a person
    + BrokerUnreachable the exchange said nothing: retry with the same order id

The front door prints any of them as one line and exits with 2; a failed check exits with 1.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TradingError(Exception):
    """Root of everything raised on purpose."""


class DataError(TradingError):
    """The market data is wrong; the message names file, row, rule and remedy."""


class UsageError(TradingError):
    """The request is wrong; the message names the option and what is allowed."""


class ModelMismatch(TradingError):
    """A stored model does not fit this code or was changed since it was written."""


class SettingsError(TradingError):
    """The settings are wrong; the message lists every line to fix."""


class BrokerError(TradingError):
    """The exchange did not do what was asked."""


class BrokerRefused(BrokerError):
    """The exchange said no."""


class BrokerUnreachable(BrokerError):
    """The exchange said nothing; the order may or may not stand."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for a name nobody knows, with the nearest known one.

    Examples
    --------
    >>> str(unknown("profile", "snipr", ["sniper", "audited"]))
    "unknown profile 'snipr'; did you mean 'sniper'? (known: audited, sniper)"
    >>> str(unknown("zone", "TEST", ["test"])), str(unknown("series", "mine", []))
    ("unknown zone 'TEST'; did you mean 'test'? (known: test)", "unknown series 'mine'")
    """
    names = sorted(known)
    lower = {each.lower(): each for each in names}
    near = difflib.get_close_matches(name.lower(), list(lower), n=1)
    hint = f"; did you mean {lower[near[0]]!r}?" if near else ""
    return UsageError(f"unknown {kind} {name!r}{hint}" + (f" (known: {', '.join(names)})" if names else ""))
