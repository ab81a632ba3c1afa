"""What holds for the whole account: its states, what people ask of the running bot, its worth, and its lock."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from engine.errors import SettingsError
from live.append_only import AppendOnly, code_version
from live.lock import Lock
from live.schema_orders import ACCOUNT_TABLES

ACTIVE, REDUCING, HALTED = "ACTIVE", "REDUCING", "HALTED"
SEVERITY = (ACTIVE, REDUCING, HALTED)
FILE = "account.db"
PERSON, FLATTEN = "a person", "flatten"
HALT, RESUME, ADOPT = "halt", "resume", "adopt"
COMMANDS = (HALT, RESUME, FLATTEN, ADOPT)


class Standing(NamedTuple):
    """A state, whose doing it is, why, and when it ends by itself (None: when somebody ends it)."""

    state: str
    cause: str = ""
    reason: str = ""
    until: int | None = None


class Command(NamedTuple):
    """What a person asked for; ``symbol`` is empty for all."""

    number: int
    symbol: str
    command: str
    reason: str


class AccountBook:
    """The file ``account.db`` beside the symbols' ledgers.

    Parameters
    ----------
    folder : Path
        The bot's folder.
    now : callable
        Clock, in nanoseconds since 1970.
    power_safe : bool
        Whether to wait for the disk: see `live.append_only.AppendOnly`.
    """

    def __init__(self, folder: Path, now: Callable[[], int], power_safe: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.now = now
        self.file = AppendOnly(folder / FILE, ACCOUNT_TABLES, power_safe)
        self._states: dict[tuple[str, str], Standing] = {}
        for symbol, *rest in self.file.select("SELECT symbol, state, cause, reason, until FROM states ORDER BY number"):
            self._states[symbol, rest[1]] = Standing(*rest)
        self._peak: tuple[int, float] | None = None

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def begin(self, exchange: str, mode: str, fingerprint: str) -> None:
        """Note a start; refuse the folder of another account.

        Raises
        ------
        SettingsError
            If the folder was begun by another account or in another mode.
        """
        mine = (f"{exchange}-{mode}-{fingerprint}", exchange, mode, fingerprint)
        rows = self.file.select("SELECT id, exchange, mode, fingerprint FROM account")
        if not rows:
            self.file.add("account", mine)
        elif rows[0] != mine:
            raise SettingsError(
                f"BOT_LEDGER: {self.file.path.parent} belongs to account {rows[0][0]}, this is {mine[0]};"
                " restore the settings or set another BOT_LEDGER"
            )
        self.file.add("starts", (None, self.now(), os.getpid(), code_version()))

    def standing(self, symbol: str) -> Standing:
        """Return the gravest state that holds for a symbol."""
        return max(self._found(symbol), key=lambda each: SEVERITY.index(each.state), default=Standing(ACTIVE))

    def halted_by(self, symbol: str) -> set[str]:
        """Return the causes that halt a symbol."""
        return {standing.cause for standing in self._found(symbol) if standing.state == HALTED}

    def _found(self, symbol: str) -> list[Standing]:
        now = self.now()
        return [
            standing
            for (whose, _), standing in self._states.items()
            if whose in ("", symbol) and (standing.until is None or now < standing.until)
        ]

    def put(self, symbol: str, standing: Standing) -> bool:
        """Write down a state of a symbol (``''``: of all) and its cause; return whether it is another than before."""
        before = self._states.get((symbol, standing.cause), Standing(ACTIVE, standing.cause))
        ended = before.until is not None and self.now() >= before.until
        if before.state == standing.state and not ended:
            return False
        if ended and standing.state == ACTIVE:
            return False
        row = (None, self.now(), symbol, standing.state, standing.cause, standing.reason, standing.until)
        self.file.add("states", row)
        self._states[symbol, standing.cause] = standing
        return True

    def clear(self, symbol: str, cause: str) -> bool:
        """End a state; return whether it held."""
        return (symbol, cause) in self._states and self.put(symbol, Standing(ACTIVE, cause))

    def holds(self, symbol: str, cause: str) -> bool:
        """Whether a cause keeps a symbol, itself or with all others, from being active."""
        return any(self._states.get((whose, cause), Standing(ACTIVE)).state != ACTIVE for whose in ("", symbol))

    def resume(self, symbol: str) -> None:
        """End every state of a symbol, or of all and each."""
        for whose, cause in list(self._states):
            if symbol in ("", whose):
                self.clear(whose, cause)
        self._peak = None

    def ask(self, symbol: str, command: str, reason: str) -> int:
        """Write down what a person wants of the bot; return its number."""
        with self.file.transaction():
            self.file.insert("commands", [(None, self.now(), symbol, command, reason)])
            return int(self.file.select("SELECT max(number) FROM commands")[0][0])

    def asked(self) -> list[Command]:
        """Return what was asked and not answered yet."""
        done = self.file.select("SELECT ifnull(max(command), 0) FROM answers")[0][0]
        query = "SELECT number, symbol, command, reason FROM commands WHERE number > ? ORDER BY number"
        return [Command(*row) for row in self.file.select(query, done)]

    def answer(self, number: int, text: str) -> None:
        """Write down what came of a command."""
        self.file.add("answers", (number, self.now(), text))

    def answered(self, number: int) -> str | None:
        """Return what came of a command, or None while nothing did."""
        rows = self.file.select("SELECT text FROM answers WHERE command = ?", number)
        return rows[0][0] if rows else None

    def note(self, symbol: str, kind: str, message: str) -> None:
        """Write down what a person should know."""
        self.file.add("events", (None, self.now(), symbol, kind, message))

    def worth(self, equity: float) -> None:
        """Write down what the account is worth now."""
        self.file.add("equities", (None, self.now(), equity))
        if self._peak is not None:
            self._peak = (self._peak[0], max(self._peak[1], equity))

    def since(self, at: int) -> float | None:
        """Return the last worth before a time, or the first after it."""
        rows = self.file.select("SELECT equity FROM equities WHERE at < ? ORDER BY number DESC LIMIT 1", at)
        rows = rows or self.file.select("SELECT equity FROM equities ORDER BY number LIMIT 1")
        return rows[0][0] if rows else None

    def peak(self) -> float | None:
        """Return the highest worth since somebody last resumed trading."""
        if self._peak is None:
            query = "SELECT ifnull(max(at), 0) FROM states WHERE state = 'ACTIVE' AND cause = 'drawdown'"
            begun = self.file.select(query)[0][0]
            highest = self.file.select("SELECT max(equity) FROM equities WHERE at >= ?", begun)[0][0]
            if highest is None:
                return None
            self._peak = (begun, highest)
        return self._peak[1]


def account_lock(folder: Path, exchange: str, mode: str, fingerprint: str) -> Lock:
    """Return the lock that one bot of an account holds on this machine, wherever its ledgers are.

    Raises
    ------
    SettingsError
        If another bot trades that account.
    """
    name = f"{exchange}-{mode}-{fingerprint}"
    path = folder / f"tradsys-{name}"
    try:
        return Lock(path, f"account {name}", "stop that bot first")
    except OSError as why:
        raise SettingsError(
            f"{path}.lock, by which bots of one account find each other, cannot be held ({why.strerror}): it is another"
            " user's or a link; run one bot of the account, as one user, and remove that file"
        ) from None
