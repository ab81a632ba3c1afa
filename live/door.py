"""``tradsys live`` behind its verb: a replay, or the bot at an exchange."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from engine.errors import BrokerUnreachable, TradingError, UsageError
from live import schema_orders as kinds
from live.broker import Retry
from live.check import Plain
from live.clock import Clock
from live.exchange import Exchange
from live.gate import recent_bars, refuse_if_missing
from live.keys import Keys
from live.logs import Tell, voice
from live.notify import Notifier
from live.replay import run_live
from live.settings import Settings, read_settings
from live.start import UNHANDLED, Surroundings, run_bot

TRY_AGAIN = 1  # exit code: nobody made a mistake


def run(recorded: str | None, env_file: Path | None, data_root: Path) -> int:
    """Run the bot that the settings describe; return the exit code.

    Parameters
    ----------
    recorded : str or None
        Recorded bars to replay instead, whatever the mode.
    env_file : Path or None
        Settings file.
    data_root : Path
        Where recorded bars are.

    Raises
    ------
    UsageError
        If there is nothing to run on.
    SettingsError
        If the settings are wrong, or something is missing for trading with money.
    """
    settings = read_settings(env_file)
    if recorded is not None:
        run_live(recorded, replace(settings, mode="replay"), data_root)
        return 0
    if settings.mode == "replay":
        raise UsageError(
            "BOT_MODE=replay needs recorded bars: name them with --replay, such as nasdaq-1d; or set BOT_MODE=paper"
        )
    with speaking(settings) as tell:
        outside = surroundings(settings, tell)._replace(data=data_root)
        try:
            with _told(settings, tell), _reached(settings):
                return _started(settings, outside)
        except BrokerUnreachable as why:
            sys.stderr.write(f"BrokerUnreachable: {why}\n")
            return TRY_AGAIN


def _started(settings: Settings, outside: Surroundings) -> int:
    """Pass the gate before money, and run the bot until it ends."""
    if settings.mode == "live":
        plain = Plain(lambda line: sys.stderr.write(f"{line}\n"))
        refuse_if_missing(settings, lambda: recent_bars(outside.broker, settings), plain)
    return run_bot(settings, outside)


@contextmanager
def _told(settings: Settings, tell: Tell) -> Iterator[None]:
    """Let who is to be notified know that the bot did not start: after a crash at night nobody looks at the screen."""
    try:
        yield
    except TradingError as why:
        if settings.notify:
            tell("", kinds.FAILED, f"the bot did not start: {why}")
        raise
    except Exception as why:  # nobody foresaw it; once the bot runs, `live.start` does the same
        tell("", kinds.FAILED, settings.keys.scrub(f"the bot did not start: {type(why).__name__}: {why}"))
        sys.stderr.write(settings.keys.scrub("".join(traceback.format_exception(why))))
        raise SystemExit(UNHANDLED) from None


@contextmanager
def _reached(settings: Settings) -> Iterator[None]:
    """Say what to do when the exchange cannot even be asked at the start."""
    try:
        yield
    except Retry as why:
        raise BrokerUnreachable(
            f"{settings.exchange} does not answer ({why}); see to the network, then start again: nothing was sent"
        ) from None


def surroundings(settings: Settings, tell: Tell) -> Surroundings:
    """Return the real exchange, the real clock, and a voice."""
    keys = Keys() if settings.mode == "paper" else settings.keys
    return Surroundings(Exchange(settings.exchange, keys, settings.mode == "testnet"), Clock(), tell)


@contextmanager
def speaking(settings: Settings) -> Iterator[Tell]:
    """Write what a person should know to the error stream, and to whoever is to be notified."""
    plain = voice(settings.log, settings.keys)
    if not settings.notify:
        yield plain
        return
    name = f"{settings.mode} bot {settings.symbol}"
    notifier = Notifier(settings.notify.split(), name, lambda why: plain("", "notification", why))
    with closing(notifier):
        yield voice(settings.log, settings.keys, notifier)
