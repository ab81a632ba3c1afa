"""What the bot is told by ``.env`` and the environment; the only file that reads either."""

from __future__ import annotations

import difflib
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from dotenv.parser import parse_stream

from engine.errors import SettingsError
from live.follow import Manner
from live.keys import Keys
from live.limits import SECOND_NS, Limits
from live.setting_table import PROFILES, REQUIRED, SETTINGS, TERMS

PREFIXES = ("BOT_", "STRATEGY_", "LIVE_CONFIRM")


@dataclass(frozen=True, slots=True)
class Settings:
    """What to trade, by which profile, on which terms, and where the bot remembers it.

    Parameters
    ----------
    profile : str
        ``sniper``, ``audited`` or ``reckless``.
    bundle : str
        Name or path of the trained bundle.
    mode : str
        ``replay``: recorded bars, simulated fills; ``paper``: live bars, simulated fills; ``testnet``: the
        exchange's play money; ``live``: money.
    confidence : str
        What the threshold is compared with: ``rank`` or ``probability``.
    ledger : Path
        The SQLite file that is the bot's whole memory; less its suffix, the folder of an exchange's ledgers.
    symbol : str or None
        Market to trade, or several with commas between; None for the market of the bars.
    replay_from : datetime64[ns] or None
        Open time of the first bar to decide on; None for the first bar there is.
    terms : dict of str to float
        Fields of ``Rules`` that replace the bundle's: exposure, cash, fee, maker_fee, slippage.
    exchange : str
        Where: see `live.exchange`.
    keys : Keys
        What opens the account.
    confirm : str
        The account that a person confirmed for money.
    limits : Limits
        How far the bot may go.
    manner : Manner
        How entries are made.
    poll_s : float
        Seconds between looks while something stands.
    log : str
        How the bot speaks: ``text`` or ``json``.
    notify : str
        Addresses that are told what a person should know, with spaces between; secrets.
    """

    profile: str
    bundle: str
    mode: str
    confidence: str
    ledger: Path
    symbol: str | None
    replay_from: np.datetime64 | None
    terms: dict[str, float]
    exchange: str = "binance"
    keys: Keys = field(default_factory=Keys)
    confirm: str = ""
    limits: Limits = field(default_factory=Limits)
    manner: Manner = field(default_factory=Manner)
    poll_s: float = 5.0
    log: str = "text"
    notify: str = field(default="", repr=False)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The markets to trade."""
        return tuple(self.symbol.split(",")) if self.symbol else ()

    @property
    def folder(self) -> Path:
        """Folder of the symbols' ledgers, where there is an exchange."""
        return self.ledger.with_suffix("")


IN_ENVIRONMENT = 1_000_000_000


class Line(NamedTuple):
    """One line that sets something; ``number`` counts from 1, or is past every file for the environment."""

    number: int
    name: str
    text: str


class Mistake(NamedTuple):
    """What is wrong in one line; sorts by line."""

    number: int
    text: str


def read_settings(env_file: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Return the bot's settings; the environment overrides the file.

    Parameters
    ----------
    env_file : Path, optional
        File of ``NAME=value`` lines, which must be there; by default ``.env`` where there is one.
    environment : mapping of str to str, optional
        Environment variables, the process's own by default; only names that begin with
        ``BOT_`` or ``STRATEGY_``, and ``LIVE_CONFIRM``, are looked at.

    Raises
    ------
    SettingsError
        Listing every mistake with file, line, what is allowed and the nearest known name.
        Values of unknown settings, which may be secrets, are never shown.
    """
    mistakes: list[Mistake] = []
    source = env_file or Path(".env")
    lines = list(_file_lines(source, mistakes)) if env_file or source.exists() else []
    variables = os.environ if environment is None else environment
    lines += [Line(IN_ENVIRONMENT, name, text) for name, text in variables.items() if name.startswith(PREFIXES)]
    values = _values(lines, mistakes)
    _check_together(values, mistakes)
    if mistakes:
        listed = "\n".join(f"  {_place(mistake, source)} {mistake.text}" for mistake in sorted(mistakes))
        absent = "" if env_file or source.exists() else f"there is no {source}, copy .env.example to {source} and "
        raise SettingsError(f"{absent}fix these lines:\n{listed}")
    return Settings(
        profile=values["STRATEGY_PROFILE"].lower(),
        bundle=values["BOT_BUNDLE"],
        mode=values["BOT_MODE"],
        confidence=values["BOT_CONFIDENCE"],
        ledger=values["BOT_LEDGER"],
        symbol=values["BOT_SYMBOL"],
        replay_from=values["BOT_REPLAY_FROM"],
        terms={term: values[f"BOT_{term.upper()}"] for term in TERMS if values[f"BOT_{term.upper()}"] is not None},
        exchange=values["BOT_EXCHANGE"],
        keys=Keys(values["BOT_API_KEY"], values["BOT_API_SECRET"]),
        confirm=values["LIVE_CONFIRM"],
        limits=Limits(*(values[f"BOT_{name.upper()}"] for name in Limits._fields)),
        manner=Manner(
            values["BOT_ENTRY"],
            int(values["BOT_ENTRY_TIMEOUT_S"] * SECOND_NS),
            int(values["BOT_ENTRY_LATE_S"] * SECOND_NS),
        ),
        poll_s=values["BOT_POLL_S"],
        log=values["BOT_LOG"],
        notify=values["BOT_NOTIFY"],
    )


def _check_together(values: dict[str, Any], mistakes: list[Mistake]) -> None:
    """List what a mode needs and is not set."""
    mode = values["BOT_MODE"]
    needed = {"replay": (), "paper": ("BOT_SYMBOL",)}.get(mode, ("BOT_SYMBOL", "BOT_API_KEY", "BOT_API_SECRET"))
    for name in needed:
        if not values[name]:
            mistakes.append(Mistake(0, f"{name} is missing; BOT_MODE={mode} needs it"))


def _file_lines(path: Path, mistakes: list[Mistake]) -> Iterator[Line]:
    """Read the lines of a file as python-dotenv does, keeping line numbers; ``$`` stays ``$``."""
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise SettingsError(f"{path} is not there; copy .env.example to {path} and edit it") from None
    except (OSError, UnicodeDecodeError) as why:
        raise SettingsError(f"{path} cannot be read as UTF-8 text: {why}") from None
    seen: dict[str, int] = {}
    for binding in parse_stream(io.StringIO(text)):
        before = binding.original.string
        number = binding.original.line + before[: len(before) - len(before.lstrip())].count("\n")
        if binding.error or (binding.key is not None and binding.value is None):
            mistakes.append(Mistake(number, "is not a setting; write NAME=value, or # in front of a remark"))
        elif binding.key is not None and binding.key in seen:
            again = f"{binding.key} was already set in line {seen[binding.key]}; keep one of them"
            mistakes.append(Mistake(number, again))
        elif binding.key is not None and binding.value is not None:
            seen[binding.key] = number
            yield Line(number, binding.key, binding.value.strip())


def _values(lines: list[Line], mistakes: list[Mistake]) -> dict[str, Any]:
    """Read every line; an empty value is an absent one; a later line overrides."""
    values = {name: setting.default for name, setting in SETTINGS.items()}
    texts: dict[str, Line] = {}
    for line in lines:
        if line.name not in SETTINGS:
            mistakes.append(Mistake(line.number, _unknown_name(line.name)))
        elif line.text:
            texts[line.name] = line
    for name, line in texts.items():
        try:
            values[name] = SETTINGS[name].parse(line.text)
        except ValueError as why:
            shown = "" if SETTINGS[name].secret else f"={line.text!r}"
            mistakes.append(Mistake(line.number, f"{name}{shown} {why}"))
    for name in values.keys() - texts.keys():
        if values[name] is REQUIRED:
            mistakes.append(Mistake(0, f"{name} is missing; add {name}= and one of {', '.join(PROFILES)}"))
    return values


def _place(mistake: Mistake, source: Path) -> str:
    """File and line, or the environment."""
    if mistake.number == IN_ENVIRONMENT:
        return "environment"
    return f"{source}:{mistake.number}" if mistake.number else f"{source}"


def _unknown_name(name: str) -> str:
    """Say that nobody knows a name, with the nearest one; never its value, which may be a secret."""
    bare = {known.removeprefix("BOT_").removeprefix("STRATEGY_"): known for known in SETTINGS}
    short = name.upper().removeprefix("BOT_").removeprefix("STRATEGY_")
    near = difflib.get_close_matches(short, list(bare), n=1, cutoff=0.6)
    hint = f"; did you mean {bare[near[0]]}?" if near else f"; known: {', '.join(SETTINGS)}"
    return f"{name} is not a setting{hint}"
