"""``tradsys live`` behind its verb: a replay, or the bot at an exchange."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from engine.errors import UsageError
from live.check import Plain
from live.clock import Clock, stamp
from live.exchange import Exchange
from live.gate import recent_bars, refuse_if_missing
from live.keys import Keys
from live.replay import run_live
from live.settings import Settings, read_settings
from live.start import Surroundings, run_bot


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
    outside = surroundings(settings)
    if settings.mode == "live":
        plain = Plain(lambda line: sys.stderr.write(f"{line}\n"))
        refuse_if_missing(settings, lambda: recent_bars(outside.broker, settings), plain)
    return run_bot(settings, outside)


def surroundings(settings: Settings) -> Surroundings:
    """Return the real exchange, the real clock, and a voice."""
    keys = Keys() if settings.mode == "paper" else settings.keys
    return Surroundings(Exchange(settings.exchange, keys, settings.mode == "testnet"), Clock(), say)


def say(symbol: str, kind: str, message: str) -> None:
    """Write what a person should know to the error stream, one line."""
    sys.stderr.write(f"{stamp()} {symbol or 'account'} {kind}: {message}\n")
    sys.stderr.flush()
