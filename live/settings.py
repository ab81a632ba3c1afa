"""What the bot is told by ``.env`` and the environment; the only file that reads either."""

from __future__ import annotations

import difflib
import io
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from dotenv.parser import parse_stream

from engine.errors import SettingsError, UsageError
from engine.rules import Rules

PROFILES = ("SNIPER", "AUDITED", "RECKLESS")
MODES = ("replay", "paper", "testnet", "live")
AVAILABLE_MODES = ("replay",)
CONFIDENCES = ("rank", "probability")
PREFIXES = ("BOT_", "STRATEGY_")
TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d)?Z?")


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
        ``replay``: recorded bars, simulated fills.
    confidence : str
        What the threshold is compared with: ``rank`` or ``probability``.
    ledger : Path
        The SQLite file that is the bot's whole memory.
    symbol : str or None
        Market to trade; None for the market of the bars.
    replay_from : datetime64[ns] or None
        Open time of the first bar to decide on; None for the first bar there is.
    terms : dict of str to float
        Fields of ``Rules`` that replace the bundle's: exposure, cash, fee, maker_fee, slippage.
    """

    profile: str
    bundle: str
    mode: str
    confidence: str
    ledger: Path
    symbol: str | None
    replay_from: np.datetime64 | None
    terms: dict[str, float]


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


def _mode(text: str) -> str:
    mode = _choice(*MODES)(text)
    if mode not in AVAILABLE_MODES:
        raise ValueError(f"is not available yet; available now: {', '.join(AVAILABLE_MODES)}")
    return mode


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


def _time(text: str) -> np.datetime64:
    try:
        if TIME.fullmatch(text):
            return np.datetime64(text.rstrip("Z"), "ns")
    except ValueError:
        pass
    raise ValueError("is not a time; write it in UTC as 2024-01-31 or 2024-01-31T08:00")


class Setting(NamedTuple):
    """One setting: how its text is read, and what holds when it is absent."""

    parse: Callable[[str], Any]
    default: Any = None


REQUIRED = object()

SETTINGS: dict[str, Setting] = {
    "STRATEGY_PROFILE": Setting(_choice(*PROFILES), REQUIRED),
    "BOT_BUNDLE": Setting(_bundle, "nasdaq-1d"),
    "BOT_MODE": Setting(_mode, "replay"),
    "BOT_CONFIDENCE": Setting(_choice(*CONFIDENCES), "rank"),
    "BOT_LEDGER": Setting(Path, Path("runs/bot.db")),
    "BOT_SYMBOL": Setting(str),
    "BOT_REPLAY_FROM": Setting(_time),
    "BOT_EXPOSURE": Setting(_term("exposure")),
    "BOT_CASH": Setting(_term("cash")),
    "BOT_FEE": Setting(_term("fee")),
    "BOT_MAKER_FEE": Setting(_term("maker_fee")),
    "BOT_SLIPPAGE": Setting(_term("slippage")),
}
TERMS = ("exposure", "cash", "fee", "maker_fee", "slippage")


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
        ``BOT_`` or ``STRATEGY_`` are looked at.

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
    if mistakes:
        listed = "\n".join(f"  {_place(mistake, source)} {mistake.text}" for mistake in sorted(mistakes))
        raise SettingsError(f"fix these lines:\n{listed}")
    return Settings(
        profile=values["STRATEGY_PROFILE"].lower(),
        bundle=values["BOT_BUNDLE"],
        mode=values["BOT_MODE"],
        confidence=values["BOT_CONFIDENCE"],
        ledger=values["BOT_LEDGER"],
        symbol=values["BOT_SYMBOL"],
        replay_from=values["BOT_REPLAY_FROM"],
        terms={term: values[f"BOT_{term.upper()}"] for term in TERMS if values[f"BOT_{term.upper()}"] is not None},
    )


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
            mistakes.append(Mistake(line.number, f"{name}={line.text!r} {why}"))
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
