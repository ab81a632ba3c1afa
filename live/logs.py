"""What the bot says while it runs: one line each, for people or for machines, and never a key."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from live.clock import stamp
from live.keys import Keys

TEXT, JSON = "text", "json"
FORMATS = (TEXT, JSON)
Tell = Callable[[str, str, str], None]


def log_line(form: str, symbol: str, kind: str, message: str) -> str:
    """Return one line of the log, without its end.

    Examples
    --------
    >>> import json
    >>> sorted(json.loads(log_line("json", "BTCUSDT", "state", "HALTED")))
    ['at', 'kind', 'message', 'symbol']
    """
    if form == JSON:
        return json.dumps({"at": stamp(), "symbol": symbol, "kind": kind, "message": message}, ensure_ascii=False)
    return f"{stamp()} {symbol or 'account'} {kind}: {' '.join(message.split())}"


def voice(form: str, keys: Keys, *others: Tell) -> Tell:
    """Return what writes to the error stream, and passes on, all that a person should know.

    Parameters
    ----------
    form : str
        ``text`` or ``json``: one object a line, with ``at``, ``symbol``, ``kind`` and ``message``.
    keys : Keys
        Left out wherever they might appear.
    others : callables
        Told the same, without keys.
    """

    def tell(symbol: str, kind: str, message: str) -> None:
        clean = keys.scrub(message)
        sys.stderr.write(f"{log_line(form, symbol, kind, clean)}\n")
        sys.stderr.flush()
        for other in others:
            other(symbol, kind, clean)

    return tell
