"""Who a bot is: everything that its decisions and fills depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from engine.bars import format_time
from engine.errors import SettingsError
from engine.jsons import dumps
from engine.rules import Rules
from live.schema import plain

SETTING = {"mode": "BOT_MODE", "symbol": "BOT_SYMBOL", "bundle": "BOT_BUNDLE", "bundle_hash": "BOT_BUNDLE"} | {
    "profile": "STRATEGY_PROFILE",
    "confidence": "BOT_CONFIDENCE",
    "first_bar": "BOT_REPLAY_FROM",
}


@dataclass(frozen=True, slots=True)
class Identity:
    """Everything that a bot's decisions and fills depend on, bars aside.

    Parameters
    ----------
    mode : str
        ``replay``, ``paper``, ``testnet`` or ``live``.
    symbol, timeframe : str
        Its market.
    sessions : bool
        Whether that market closes.
    bundle, bundle_hash : str
        Name and content of what was learned.
    profile, confidence : str
        The strategy and what its threshold is compared with.
    memory : int
        Bars that decide.
    rules : Rules
        Barriers, costs, size and fills.
    first_bar : datetime64[ns]
        Open time of the first bar decided on.
    """

    mode: str
    symbol: str
    timeframe: str
    sessions: bool
    bundle: str
    bundle_hash: str
    profile: str
    confidence: str
    memory: int
    rules: Rules
    first_bar: np.datetime64

    @property
    def id(self) -> str:
        """Twelve letters that no other bot has; the same after every restart."""
        return hashlib.sha256(dumps(self._values(), indent=None).encode()).hexdigest()[:12]

    def row(self) -> tuple[Any, ...]:
        """Return the ledger's row about this bot."""
        return (self.id, *self._values())

    def check(self, row: Sequence[Any], ledger: Path) -> None:
        """Refuse a ledger whose bot would have decided otherwise.

        Raises
        ------
        SettingsError
            Listing what differs, the setting behind it and what to do.
        """
        names = [f.name for f in fields(self)]
        differences = []
        for name, old, new in zip(names, row[1:], self._values(), strict=True):
            if old != new:
                differences += _differences(name, old, new)
        if differences:
            raise SettingsError(
                f"name another BOT_LEDGER for a new bot, or restore the settings of the one that {ledger} belongs to:"
                f" {'; '.join(differences)}"
            )

    def _values(self) -> list[Any]:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["sessions"] = int(self.sessions)
        values["first_bar"] = plain(self.first_bar)
        values["rules"] = dumps({**asdict(self.rules), "fills": self.rules.fills._asdict()}, indent=None)
        return list(values.values())


def _differences(name: str, was: Any, now: Any) -> list[str]:
    """Say what differs, and which setting it comes from."""
    if name == "rules":
        old, new = json.loads(was), json.loads(now)
        changed = [term for term in {**old, **new} if old.get(term) != new.get(term)]
        return [f"{_setting(term)} was {old.get(term)}, is {new.get(term)}" for term in changed]
    if name == "first_bar":
        was, now = format_time(np.datetime64(was, "ns")), format_time(np.datetime64(now, "ns"))
    if name == "bundle_hash":
        was, now = f"the one of hash {was[:12]}", f"the one of hash {now[:12]}"
    return [f"{SETTING.get(name, name)} was {was}, is {now}"]


def _setting(term: str) -> str:
    return f"BOT_{term.upper()}" if term in ("exposure", "cash", "fee", "maker_fee", "slippage") else term
