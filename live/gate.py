"""The gate before money: everything that is missing, said at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from engine.bars import Bars, parse_timeframe
from engine.errors import ModelMismatch, SettingsError, TradingError
from live.broker import Broker
from live.candles import Candles
from live.check import Tell
from live.clock import stamp
from live.settings import Settings

PROOF = "verified.json"
PROVED_ON = 1500  # bars of the market itself, beyond the memory
CODE = ("engine", "models", "strategies", "live")


def account_name(settings: Settings) -> str:
    """Return the name of the account that ``LIVE_CONFIRM`` must hold."""
    return f"{settings.exchange}-{settings.keys.fingerprint}"


def missing(settings: Settings, bars: Callable[[], Bars], progress: Tell | None = None) -> list[str]:
    """Return what stands between these settings and money; nothing if the bot may start.

    Parameters
    ----------
    settings : Settings
        The bot.
    bars : callable
        Returns bars of the market, to prove the bundle on if it was not proved before.
    progress : callable, optional
        Told what is being tried.

    Notes
    -----
    The proof (`live.verify.verify`) is kept beside the ledgers as ``verified.json`` and holds for this bundle and
    this code only: a bot that starts again after a crash does not try again.
    """
    from models.bundle import load_bundle

    found, account = [], account_name(settings)
    if settings.confirm != account:
        found.append(f"LIVE_CONFIRM is {settings.confirm or 'empty'}; to trade money there, set LIVE_CONFIRM={account}")
    try:
        bundle = load_bundle(settings.bundle)
    except ModelMismatch as why:
        return [*found, f"the bundle's files do not hold: {why}"]
    if not bundle.manifest.released:
        found.append(f"bundle {bundle.manifest.name} is a draft; judge it, then `tradsys release {settings.bundle}`")
    try:
        found += _proved(settings, bundle.hash, bars, progress)
    except TradingError as why:
        found.append(f"verify could not be tried: {why}")
    return found


def refuse_if_missing(settings: Settings, bars: Callable[[], Bars], progress: Tell | None = None) -> None:
    """Let only a bot pass that lacks nothing.

    Raises
    ------
    SettingsError
        Listing what is missing.
    """
    found = missing(settings, bars, progress)
    if found:
        listed = "\n".join(f"  {each}" for each in found)
        raise SettingsError(f"BOT_MODE=live does not start; missing:\n{listed}")


def _proved(settings: Settings, bundle_hash: str, bars: Callable[[], Bars], progress: Tell | None) -> list[str]:
    """Return the laws that this bundle and code break; read from the proof where it is of them."""
    from live.verify import verify

    path, mine = settings.folder / PROOF, {"bundle": bundle_hash, "code": code_hash()}
    try:
        kept = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        kept = {}
    if isinstance(kept, dict) and {name: kept.get(name) for name in mine} == mine:
        return []
    checks = verify(settings.bundle, bars(), progress)
    broken = [f"verify: {check.name}: {check.failure}" for check in checks if not check.passed]
    if not broken:
        from engine.history.atomic import write_whole

        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps({**mine, "at": stamp(), "laws": len(checks)}, indent=1).encode())
    return broken


def code_hash() -> str:
    """Return the sha256 of all code that decides or trades."""
    root, digest = Path(__file__).resolve().parents[1], hashlib.sha256()
    for path in sorted(file for folder in CODE for file in (root / folder).rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def recent_bars(broker: Broker, settings: Settings) -> Bars:
    """Return the last bars of the first symbol, enough to prove a bundle on."""
    from models.bundle import load_bundle

    bundle = load_bundle(settings.bundle)
    length = parse_timeframe(bundle.manifest.market.timeframe)
    candles = Candles(broker, settings.symbols[0], length, bundle.memory + PROVED_ON, None)
    fresh = candles.look().fresh
    if not fresh:
        raise SettingsError(f"{settings.symbols[0]} has no closed bars")
    return candles.take(fresh)
