"""News on a phone or by mail, through apprise: sent from a thread of its own, so the bot never waits for it."""

from __future__ import annotations

import logging
import queue
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from engine.errors import SettingsError

WAITING = 100  # news that may wait to be sent; beyond that the newest is dropped
CLOSING_S = 10.0
LOST, DRIFT = "notification lost", "drift"
Complain = Callable[[str], object]


class Notifier:
    """Sends what it is told to every address.

    Parameters
    ----------
    addresses : sequence of str
        As apprise writes them (``tgram://...``, ``mailto://...``); they open accounts and are never shown.
    bot : str
        Which bot it is, for the title.
    complain : callable
        Told that something could not be sent; the bot goes on.

    Raises
    ------
    SettingsError
        When apprise is not installed or does not understand an address; says which, not what.
    """

    def __init__(self, addresses: Sequence[str], bot: str, complain: Complain) -> None:
        self._sender, self._bot, self._complain = _sender(addresses), bot, complain
        self._news: queue.Queue[tuple[str, str] | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._send_all, name="notifications", daemon=True)
        self._thread.start()

    def __call__(self, symbol: str, kind: str, message: str) -> None:
        """Pass on one piece of news, at once."""
        try:
            self._news.put_nowait((f"{self._bot}: {symbol or 'account'} {kind}", message))
        except queue.Full:
            self._complain(f"{LOST}: {WAITING} others wait already")

    def close(self, wait_s: float = CLOSING_S) -> None:
        """Send what waits, for some seconds, and end."""
        try:
            self._news.put(None, timeout=wait_s)
        except queue.Full:
            return
        self._thread.join(wait_s)

    def _send_all(self) -> None:
        while (news := self._news.get()) is not None:
            title, message = news
            try:
                sent = self._sender.notify(title=title, body=message)
            except Exception as why:  # a plugin's own mistake must not end the notifications
                sent, message = False, type(why).__name__
            if not sent:
                self._complain(f"{LOST}: {title}")


def notify_alarms(addresses: str, alarms: Sequence[tuple[str, str]]) -> None:
    """Send the alarms of a nightly look, as (symbol, message), and wait until they are sent.

    Raises
    ------
    SettingsError
        If there is nobody to tell.
    """
    if not addresses:
        raise SettingsError("--notify needs BOT_NOTIFY; set it to an apprise address, such as tgram://...")
    with closing(Notifier(addresses.split(), "tradsys", lambda why: sys.stderr.write(f"{why}\n"))) as send:
        for symbol, message in alarms:
            send(symbol, DRIFT, message)


def _sender(addresses: Sequence[str]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # its plugins import what Python 3.13 has no more
        return _opened(addresses)


def _opened(addresses: Sequence[str]) -> Any:
    try:
        import apprise
    except ImportError:
        raise SettingsError("BOT_NOTIFY needs apprise; install it with: pip install 'tradsys[live]'") from None
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # it would print addresses
    sender = apprise.Apprise()
    for number, address in enumerate(addresses, 1):
        if not sender.add(address):
            raise SettingsError(
                f"BOT_NOTIFY: address {number} of {len(addresses)} is none that apprise knows; write it as tgram://..."
                " or mailto://..., several with spaces between"
            )
    return sender
