"""What the tests of the bot share: a quick lively strategy, its identity, and a ledger laid bare."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.bars import Bars
from engine.rules import Rules
from engine.run import run
from engine.signals import Signals
from engine.synthetic import random_bars
from live.bot import Bot
from live.feed import ReplayFeed
from live.identity import Identity
from live.ledger import Ledger

RULES = Rules(hold=6)
BARS = random_bars(160, seed=29, gaps=0.1)  # 31 trades of both sides, 5 wishes that lapse at gaps
FACTS = ("bot", "bars", "decisions", "accounts", "fills", "trades")  # what a restart must not change


@dataclass(frozen=True)
class Momentum:
    """Follows every rise and fall of 8 bars; wishes on most bars, also across gaps and while in a trade."""

    least: float = 0.5  # ATRs
    memory: int = 12
    name: str = "Momentum"

    def signals(self, bars: Bars, since: int = 0) -> Signals:
        """Return wishes from the last 12 bars of each row."""
        side = np.zeros(len(bars), np.int8)
        atr = np.full(len(bars), np.nan)
        for t in range(11, len(bars)):
            change = bars.close[t] - bars.close[t - 7]
            atr[t] = float(np.mean(bars.high[t - 11 : t + 1] - bars.low[t - 11 : t + 1]))
            side[t] = np.sign(change) if abs(change) > self.least * atr[t] else 0
        return Signals(side, atr)


STRATEGY = Momentum()


def identity(bars: Bars = BARS, rules: Rules = RULES, first: int = 0, **other: str) -> Identity:
    """Who the test's bot is."""
    who = {"mode": "replay", "bundle": "none", "bundle_hash": "0" * 64, "profile": "momentum", "confidence": "rank"}
    return Identity(
        symbol=bars.symbol,
        timeframe=bars.timeframe,
        sessions=bars.sessions,
        memory=STRATEGY.memory,
        rules=rules,
        first_bar=bars.open_time[first],
        **{**who, **other},
    )


def open_ledger(path: Path, connect=sqlite3.connect, **who) -> Ledger:
    """The test bot's ledger."""
    return Ledger(path, identity(**who), power_safe=False, connect=connect)


def trade_on(ledger: Ledger, bars: Bars = BARS, first: int = 0) -> Bot:
    """Let the bot go on from where its ledger ends, to the end of the bars."""
    bot = Bot(STRATEGY, RULES, ledger)
    for window in ReplayFeed(bars, STRATEGY.memory, first).closes(bot.last_bar):
        bot.on_close(window)
    return bot


def facts(path: Path) -> dict[str, list[tuple]]:
    """Every row of a ledger, in the order written, but for the notes of when it was started."""
    database = sqlite3.connect(path)
    found = {table: database.execute(f"SELECT * FROM {table} ORDER BY rowid").fetchall() for table in FACTS}
    database.close()
    return found


def backtest(bars: Bars = BARS, first: int = 0):
    """The same bars in one go."""
    return run(STRATEGY, bars, RULES, since=first)
