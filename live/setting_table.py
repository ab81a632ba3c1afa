"""Every setting of the bot: its name, how its text is read, and what holds when it is absent."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from engine.errors import UsageError
from engine.rules import Rules
from live.broker import LIMIT, MARKET
from live.exchange import EXCHANGES, SPOT
from live.follow import Manner
from live.limits import SECOND_NS, Limits
from live.logs import FORMATS

PROFILES = ("SNIPER", "AUDITED", "RECKLESS")
MODES = ("replay", "paper", "testnet", "live")
CONFIDENCES = ("rank", "probability")
TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d)?Z?")
SYMBOLS = re.compile(r"[\w.$-]{1,30}(,[\w.$-]{1,30})*")


def _choice(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        for name in allowed:
            if text.lower() == name.lower():
                return name
        near = difflib.get_close_matches(text.lower(), [name.lower() for name in allowed], n=1)
        hint = next((f"; did you mean {name}?" for name in allowed if [name.lower()] == near), "")
        raise ValueError(f"is not one of {', '.join(allowed)}{hint}")

    return parse


def _bundle(text: str) -> str:
    from models.bundle import find_folder

    try:
        find_folder(text)
    except UsageError as mistake:
        raise ValueError(f"is refused: {mistake}") from None
    return text


def _symbols(text: str) -> str:
    names = re.sub(r"\s", "", text)
    if not SYMBOLS.fullmatch(names):
        raise ValueError("is not a list of symbols; write BTCUSDT, or several as BTCUSDT,ETHUSDT")
    if len(set(names.split(","))) < len(names.split(",")):
        raise ValueError("names a symbol twice; write each once")
    return names


def _number(least: float, most: float, words: str, kind: type[float] | type[int] = float) -> Callable[[str], Any]:
    """A number in a range, both ends allowed."""

    def parse(text: str) -> float | int:
        try:
            number = kind(text) if "_" not in text else math.nan
        except ValueError:
            number = math.nan
        if not least <= number <= most:
            raise ValueError(f"must be {words}")
        return number

    return parse


def _term(name: str) -> Callable[[str], float]:
    """A number that ``Rules`` accepts; how terms go together is known only with the bundle's."""

    def parse(text: str) -> float:
        try:
            number = float(text) if "_" not in text else math.nan
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise ValueError("is not a number; write one such as 0.95, with a point")
        try:
            Rules(**{"fee": 0.0, "slippage": 0.0, "exposure": 0.5, name: number})  # type: ignore[arg-type]
        except UsageError as mistake:
            allowed = str(mistake).split(" must be ")[1].split(", was ")[0].split(" = ")[0]
            raise ValueError(
                f"must be {allowed.replace('1/(1+fee+slippage)', '1 less the costs of a trade')}"
            ) from None
        return number

    return parse


def parse_time(text: str) -> np.datetime64:
    """Return a time as people write it, in UTC."""
    try:
        if TIME.fullmatch(text):
            return np.datetime64(text.rstrip("Z"), "ns")
    except ValueError:
        pass
    raise ValueError("is not a time; write it in UTC as 2024-01-31 or 2024-01-31T08:00")


class Setting(NamedTuple):
    """One setting: how its text is read, what holds when it is absent, and whether nobody may see it."""

    parse: Callable[[str], Any]
    default: Any = None
    secret: bool = False


REQUIRED = object()
SHARE = (0.0001, 1.0, "a share of equity, from 0.0001 to 1")
_MOST, _HOW = Limits(), Manner()

SETTINGS: dict[str, Setting] = {
    "STRATEGY_PROFILE": Setting(_choice(*PROFILES), REQUIRED),
    "BOT_BUNDLE": Setting(_bundle, "nasdaq-1d"),
    "BOT_MODE": Setting(_choice(*MODES), "replay"),
    "BOT_CONFIDENCE": Setting(_choice(*CONFIDENCES), "rank"),
    "BOT_LEDGER": Setting(Path, Path("runs/bot.db")),
    "BOT_SYMBOL": Setting(_symbols),
    "BOT_REPLAY_FROM": Setting(parse_time),
    "BOT_EXPOSURE": Setting(_term("exposure")),
    "BOT_CASH": Setting(_term("cash")),
    "BOT_FEE": Setting(_term("fee")),
    "BOT_MAKER_FEE": Setting(_term("maker_fee")),
    "BOT_SLIPPAGE": Setting(_term("slippage")),
    "BOT_EXCHANGE": Setting(_choice(*EXCHANGES), SPOT),
    "BOT_API_KEY": Setting(str, "", secret=True),
    "BOT_API_SECRET": Setting(str, "", secret=True),
    "LIVE_CONFIRM": Setting(str, ""),
    "BOT_LOG": Setting(_choice(*FORMATS), FORMATS[0]),
    "BOT_NOTIFY": Setting(str, "", secret=True),
    "BOT_ENTRY": Setting(_choice(MARKET, LIMIT), _HOW.entry),
    "BOT_ENTRY_TIMEOUT_S": Setting(_number(1, 3600, "seconds, from 1 to 3600"), _HOW.timeout_ns / SECOND_NS),
    "BOT_ENTRY_LATE_S": Setting(_number(1, 3600, "seconds, from 1 to 3600"), _HOW.late_ns / SECOND_NS),
    "BOT_POLL_S": Setting(_number(0.5, 60, "seconds, from 0.5 to 60"), 5.0),
    "BOT_MAX_EXPOSURE": Setting(_number(*SHARE), _MOST.max_exposure),
    "BOT_MAX_DAY_LOSS": Setting(_number(*SHARE), _MOST.max_day_loss),
    "BOT_MAX_DRAWDOWN": Setting(_number(*SHARE), _MOST.max_drawdown),
    "BOT_MAX_ORDERS_PER_HOUR": Setting(_number(4, 1000, "a whole number from 4 to 1000", int), _MOST[3]),
    "BOT_MAX_SPREAD": Setting(_number(0.00001, 0.1, "a share of the price, from 0.00001 to 0.1"), _MOST.max_spread),
    "BOT_STALE_S": Setting(_number(5, 86400, "seconds, from 5 to 86400"), _MOST.stale_s),
    "BOT_MAX_SKEW_S": Setting(_number(0.1, 60, "seconds, from 0.1 to 60"), _MOST.max_skew_s),
    "BOT_MAX_ERRORS": Setting(_number(1, 100, "a whole number from 1 to 100", int), _MOST.max_errors),
}
TERMS = ("exposure", "cash", "fee", "maker_fee", "slippage")
