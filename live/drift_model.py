"""Whether a ledger's decisions are those of a backtest of its bars, and its market that of the training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from engine.bars import Bars, Floats, format_time, parse_timeframe
from engine.inference.blocks import effective_count
from engine.inference.shift import stability_index
from engine.rules import FillRules, Rules
from engine.run import run
from live.control import Row, read
from live.funding import rates_of
from live.schema import bars_from

if TYPE_CHECKING:
    from models.bundle import Bundle

SHOWN = 6
SHIFTED = 0.25  # rule of thumb: beyond it a population is another


class Seen(NamedTuple):
    """What one ledger holds of a bot's market.

    Parameters
    ----------
    bot : dict
        The row about the bot.
    bars : Bars
        All, those that only warmed up too.
    first : int
        Row of the first bar decided on.
    """

    bot: Row
    bars: Bars
    first: int


def seen_by(path: Path, bot: Row) -> Seen:
    """Return the bars that a ledger holds."""
    rows = [tuple(row.values()) for row in read(path, "SELECT * FROM bars ORDER BY open_time")]
    bars = bars_from(rows, parse_timeframe(bot["timeframe"]), bot["symbol"], bool(bot["sessions"]))
    decided = read(path, "SELECT min(open_time) AS first FROM decisions")[0]["first"]
    return Seen(bot, bars, bars.since(np.datetime64(decided, "ns")))


def against_replay(path: Path, seen: Seen, bundle: Bundle) -> str:
    """Return the first bar at which the ledger and a backtest of its bars differ, in words; empty if they do not."""
    from strategies import make_strategy

    terms = json.loads(seen.bot["rules"])
    rules = Rules(**{**terms, "fills": FillRules(**terms["fills"])})
    strategy = make_strategy(seen.bot["profile"], bundle, seen.bot["confidence"])
    done = run(strategy, seen.bars, rules, since=seen.first, funding=rates_of(seen.bars))
    sides = read(path, "SELECT side FROM decisions ORDER BY open_time")
    worth = read(path, "SELECT equity FROM accounts ORDER BY open_time")
    times = done.result.bars.open_time
    for what, told, found in (
        ("wish", [row["side"] for row in sides], done.signals.side),
        ("equity", [row["equity"] for row in worth], done.result.equity),
    ):
        if len(told) != len(found):
            return f"{len(told)} bars decided on, {len(found)} in a backtest of the same bars"
        differ = np.flatnonzero(np.array(told, np.float64) != found.astype(np.float64))
        if len(differ):
            row = int(differ[0])
            return f"{what} at {format_time(times[row])} is {told[row]} in the ledger and {found[row]} in a backtest"
    return ""


def predictions_shift(path: Path, bundle: Bundle) -> tuple[float, float]:
    """Return how far a ledger's probabilities are from those of the validation zone (stability index), and the band.

    The band is 0.25 and what chance alone adds on average: nine over the number of independent observations
    that the probabilities are worth, which hang together from bar to bar.
    """
    told = read(path, "SELECT p_up, lean FROM decisions WHERE p_up IS NOT NULL ORDER BY open_time")
    seen = np.array([1.0 - row["p_up"] if row["lean"] < 0 else row["p_up"] for row in told], np.float64)
    kept = np.array(bundle.manifest.confidence["levels"], np.float64)
    return stability_index(kept, seen), SHIFTED + 9.0 / effective_count(seen)


def features_shift(seen: Seen, bundle: Bundle, data_root: Path) -> list[tuple[str, float]]:
    """Return the features that moved farthest from the training bars, with their stability indices.

    Raises
    ------
    UsageError
        If the training bars are not at hand.
    """
    from engine.features import feature_matrix
    from strategies.workbench import find_market

    names = list(bundle.feature_names)
    before = find_market(bundle, None, data_root)
    zone = bundle.manifest.zones.rows(before, "development")
    then, now = feature_matrix(before, names)[zone.start : zone.stop], feature_matrix(seen.bars, names)[seen.first :]
    told = [(name, _index(then[:, i], now[:, i])) for i, name in enumerate(names)]
    return sorted(((name, index) for name, index in told if np.isfinite(index)), key=lambda pair: -pair[1])[:SHOWN]


def _index(then: Floats, now: Floats) -> float:
    return stability_index(then.astype(np.float64), now.astype(np.float64))
