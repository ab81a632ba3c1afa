"""Whether the account still does what the simulation does, and the model what it was trained to do: every night."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.barriers import STOP, TARGET
from engine.bars import parse_timeframe
from engine.errors import UsageError
from engine.inference.shift import cusum
from live.control import Row, ledgers, read
from live.drift_model import against_replay, features_shift, predictions_shift, seen_by
from live.scene import time_text
from live.settings import Settings

if TYPE_CHECKING:
    from models.bundle import Bundle

ENTRY = "entry"
FEWEST = 300  # bars, before the distribution of predictions is judged
FAR = 3.0  # standard errors between claimed and realised share of wins
SHOWN = 6
SECOND_NS = 10**9


@dataclass(frozen=True)
class Bands:
    """How far the account may be from the simulation before a person should know.

    Parameters
    ----------
    slippage_bp : float
        Of a fill beyond the simulated price, average and of one trade's deviation.
    late_s : float
        From the close that was decided on to the first fill of the entry.
    missed : float
        Share of simulated trades without a fill.
    """

    slippage_bp: float = 10.0
    late_s: float = 30.0
    missed: float = 0.1


@dataclass
class Drift:
    """What one symbol's ledger tells.

    Parameters
    ----------
    symbol : str
        The market.
    trades : int
        Simulated ones looked at.
    filled, missed, late : int
        Of them: with fills, without, and filled too late.
    unwanted : list of str
        Fills of trades that the simulation does not know.
    entry_bp, exit_bp : float or None
        Average cost of the fills beyond the simulated prices.
    worst_bp : float or None
        Of one fill.
    claimed, realised : float or None
        Share of wins that the predictor claimed and that came.
    replay : str or None
        The first bar at which a backtest of the ledger's bars says something else; empty if none does.
    predictions : float or None
        Stability index of the probabilities against those of the bundle's validation zone.
    features : list of (name, index)
        Against training bars, farthest first; no alarm: markets drift.
    notes : list of str
        What could not be told, and why.
    alarms : list of str
        What is beyond its band.
    """

    symbol: str
    trades: int = 0
    filled: int = 0
    missed: int = 0
    late: int = 0
    unwanted: list[str] = field(default_factory=list)
    entry_bp: float | None = None
    exit_bp: float | None = None
    worst_bp: float | None = None
    claimed: float | None = None
    realised: float | None = None
    replay: str | None = None
    predictions: float | None = None
    features: list[tuple[str, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)

    def to_dict(self) -> Row:
        """Return it as plain values."""
        return asdict(self)


def drift_report(settings: Settings, data_root: Path, bands: Bands = Bands(), days: int | None = None) -> list[Drift]:
    """Return what drifted, per symbol.

    Parameters
    ----------
    settings : Settings
        Whose ledgers.
    data_root : Path
        Where the bundle's training bars may be.
    bands : Bands
        What is beyond them is an alarm.
    days : int, optional
        Look at the trades that began in so many last days of the ledger; at all by default.

    Raises
    ------
    UsageError
        If no bot was ever started with these settings.
    """
    from models.bundle import load_bundle

    bundle = load_bundle(settings.bundle)
    return [_of_ledger(path, settings.mode, bands, days, (bundle, data_root)) for path in ledgers(settings).values()]


def _of_ledger(path: Path, mode: str, bands: Bands, days: int | None, learned: tuple[Bundle, Path]) -> Drift:
    bot = read(path, "SELECT * FROM bot")[0]
    last = read(path, "SELECT ifnull(max(open_time), 0) AS last FROM decisions")[0]["last"]
    since = last - (days or 10**5) * 86400 * SECOND_NS
    trades = read(path, "SELECT * FROM trades WHERE wish_time >= ? ORDER BY wish_time", since)
    found = Drift(bot["symbol"], len(trades))
    if mode in ("testnet", "live"):
        _fills(found, path, (trades, since), parse_timeframe(bot["timeframe"]), bands)
    else:
        found.notes.append(f"fills: {mode} has none")
    _claims(found, path, trades, json.loads(bot["rules"])["slippage"])
    _model(found, path, bot, learned)
    return found


def _fills(found: Drift, path: Path, looked: tuple[list[Row], int], length: int, bands: Bands) -> None:
    """Hold every fill against the simulated price."""
    trades, since = looked
    by_wish: dict[int, list[Row]] = {}
    for fill in read(path, "SELECT * FROM exchange_fills WHERE client_id <> '' AND wish_time >= ?", since):
        by_wish.setdefault(fill["wish_time"], []).append(fill)
    costs: dict[str, list[float]] = {"entry": [], "exit": []}
    for trade in trades:
        fills = by_wish.pop(trade["wish_time"], [])
        entries = [fill for fill in fills if fill["leg"].split(".")[0] == ENTRY]
        exits = [fill for fill in fills if fill not in entries]
        if not entries:
            found.missed += 1
            continue
        found.filled += 1
        found.late += min(fill["time"] for fill in entries) - trade["wish_time"] - length > bands.late_s * SECOND_NS
        costs["entry"].append(trade["side"] * _beyond(entries, trade["entry_price"]))
        if exits:
            costs["exit"].append(-trade["side"] * _beyond(exits, trade["exit_price"]))
    last = read(path, "SELECT open_time, wish_time FROM accounts ORDER BY open_time DESC LIMIT 1")[0]
    under_way = tuple(last.values())  # what was wished at the last close is entered now, what is held ends later
    found.unwanted = [time_text(wish) for wish in sorted(by_wish) if wish not in under_way]
    _judge_fills(found, costs, bands)


def _judge_fills(found: Drift, costs: dict[str, list[float]], bands: Bands) -> None:
    for name, values in costs.items():
        if values:
            setattr(found, f"{name}_bp", float(np.mean(values)))
            if np.mean(values) > bands.slippage_bp:
                found.alarms.append(
                    f"{name} fills cost {np.mean(values):.1f} bp beyond the simulation, band {bands.slippage_bp:g}"
                )
    paid = [*costs["entry"], *costs["exit"]]
    found.worst_bp = max(paid, default=None)
    sums = cusum(np.array(costs["entry"]) / bands.slippage_bp)
    if sums.alarm is not None:
        found.alarms.append(
            f"entry fills went on drifting from the simulated prices from trade {sums.alarm + 1} on (CUSUM)"
        )
    if found.missed > bands.missed * max(found.trades, 1):
        found.alarms.append(f"{found.missed} of {found.trades} simulated trades have no fill, band {bands.missed:.0%}")
    if found.late:
        found.alarms.append(f"{found.late} entries came later than {bands.late_s:g} s after the close")
    if found.unwanted:
        found.alarms.append(f"fills of trades that the simulation does not know: {', '.join(found.unwanted[:SHOWN])}")


def _beyond(fills: list[Row], price: float) -> float:
    """How far the average fill lies above a price, in basis points."""
    units = sum(fill["quantity"] for fill in fills)
    return (sum(fill["quantity"] * fill["price"] for fill in fills) / units / price - 1.0) * 1e4


def won_before_costs(trade: Row, slippage: float) -> bool:
    """Return whether a trade was right as labels are: its target, or ahead of its entry's open when its time was up."""
    if trade["reason"] in (TARGET, STOP):
        return bool(trade["reason"] == TARGET)
    side = trade["side"]
    left, opened = trade["exit_price"] / (1.0 - side * slippage), trade["entry_price"] / (1.0 + side * slippage)
    return bool(side * (left - opened) > 0.0)


def _claims(found: Drift, path: Path, trades: list[Row], slippage: float) -> None:
    """Hold the share of wins against the probabilities that were claimed; neither knows costs."""
    told = {row["open_time"]: row["p_up"] for row in read(path, "SELECT open_time, p_up FROM decisions")}
    pairs = [(told.get(trade["wish_time"]), trade["side"], won_before_costs(trade, slippage)) for trade in trades]
    known = [(p if side > 0 else 1.0 - p, won) for p, side, won in pairs if p is not None]
    if not known:
        found.notes.append("calibration: no finished trade carries a probability")
        return
    claimed, won = (np.array(column, np.float64) for column in zip(*known, strict=True))
    spread = np.sqrt(claimed * (1.0 - claimed))
    found.claimed, found.realised = float(claimed.mean()), float(won.mean())
    error = float(np.sqrt(np.sum(spread**2)))
    if error > 0 and abs(np.sum(won - claimed)) > FAR * error:
        found.alarms.append(
            f"{found.realised:.0%} of {len(won)} trades won before costs and {found.claimed:.0%} was claimed,"
            f" over {FAR:g} standard errors apart"
        )
    sums = cusum((won - claimed) / np.maximum(spread, 1e-6))
    if sums.alarm is not None:
        found.alarms.append(f"outcomes went on drifting from what was claimed from trade {sums.alarm + 1} on (CUSUM)")


def _model(found: Drift, path: Path, bot: Row, learned: tuple[Bundle, Path]) -> None:
    """Hold the decisions against a backtest, and probabilities and features against those of the training."""
    bundle, data_root = learned
    count = read(path, "SELECT count(*) AS n FROM decisions")[0]["n"]
    if bot["bundle_hash"] != bundle.hash:
        found.notes.append(f"replay and predictions: the ledger is of another state of bundle {bot['bundle']}")
        return
    seen = seen_by(path, bot)
    found.replay = against_replay(path, seen, bundle)
    if found.replay:
        found.alarms.append(f"the ledger is not what a backtest of its bars does: {found.replay}")
    if count < FEWEST:
        found.notes.append(f"predictions: {count} bars so far, {FEWEST} are needed")
        return
    found.predictions, band = predictions_shift(path, bundle)
    if found.predictions > band:
        found.alarms.append(
            f"predictions are not distributed as in the bundle's validation zone"
            f" (stability index {found.predictions:.2f}, band {band:.2f})"
        )
    try:
        found.features = features_shift(seen, bundle, data_root)
    except UsageError as why:
        found.notes.append(f"features: {why}")


def drift_lines(found: list[Drift]) -> list[str]:
    """Return the report in words."""
    out = []
    for each in found:
        out.append(
            f"{each.symbol}: {each.trades} simulated trades,"
            f" {each.filled} filled, {each.missed} missed, {each.late} late"
        )
        if each.entry_bp is not None:
            exits = "-" if each.exit_bp is None else f"{each.exit_bp:+.1f}"
            out.append(
                f"  fills        entries {each.entry_bp:+.1f} bp, exits {exits} bp beyond the simulation,"
                f" worst {each.worst_bp:+.1f} bp"
            )
        if each.claimed is not None:
            out.append(f"  calibration  claimed {each.claimed:.1%} wins before costs, realised {each.realised:.1%}")
        if each.replay is not None:
            out.append(
                f"  replay       {each.replay or 'a backtest of these bars wishes and earns the same, bit for bit'}"
            )
        if each.predictions is not None:
            out.append(f"  predictions  stability index {each.predictions:.3f}")
        if each.features:
            out.append(
                f"  features     {', '.join(f'{name} {index:.2f}' for name, index in each.features)} (against training)"
            )
        out += [f"  not told     {note}" for note in each.notes]
        out += [f"  ALARM        {alarm}" for alarm in each.alarms] or ["  no alarm"]
    return out
