"""The whole bot over many bars: speed, memory, and how long a decision takes after its candle arrived.

Run with ``python -m benchmarks.soak [--bars 100000] [--bundle btcusdt-1h] [--profile AUDITED] [--out soak.json]``. The
bot is the one that ``tradsys live`` runs in paper mode: candles fetched page by page from an exchange that serves a
recording on its own clock, receipts, ledger, states, commands. Only time is not waited for. Two bars are kept of what
was measured: processor time, which other programs on the machine do not change much, and the time on the wall.
"""

from __future__ import annotations

import argparse
import json
import resource
import sqlite3
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

from engine.bars import Bars
from engine.synthetic import random_bars
from live.broker import Candle, MarketTerms
from live.settings import Settings
from live.start import Surroundings, opened
from models.bundle import load_bundle

LEAST_BARS_PER_S, MOST_P99_MS, MOST_GROWTH_MB = 200.0, 100.0, 50.0
PAGE = 1000


class Recording:
    """An exchange that can only be asked for candles and the time, and the clock that goes with it."""

    def __init__(self, bars: Bars) -> None:
        self.bars, self.opened = bars, bars.open_time.view(np.int64)
        self.time = 0

    def now(self) -> int:
        return self.time

    server_time = now

    def sleep(self, seconds: float) -> None:
        self.time += max(int(seconds * 1e9), 1)

    def terms(self, symbol: str) -> MarketTerms:
        return MarketTerms(symbol, "BTC", "USDT", 0.01, 1e-5)

    def candles(self, _symbol: str, _timeframe: str, since: int) -> list[Candle]:
        first = int(np.searchsorted(self.opened, since))
        last = min(int(np.searchsorted(self.opened, self.time, "right")), first + PAGE)
        return [self._candle(row) for row in range(first, last)]

    def _candle(self, row: int) -> Candle:
        prices = (float(getattr(self.bars, name)[row]) for name in ("open", "high", "low", "close", "volume"))
        return Candle(int(self.opened[row]), *prices, int(self.opened[row]) + self.bars.timeframe_ns <= self.time)


def soak(bundle: str, profile: str, bars: int, folder: Path) -> dict[str, float]:
    """Run the bot and return what was measured."""
    warm = load_bundle(bundle).memory + 10
    market = Recording(replace(random_bars(warm + bars + 1, seed=1), symbol="BTCUSDT"))
    market.time = int(market.opened[warm]) + 10**9
    settings = Settings(profile.lower(), bundle, "paper", "rank", folder / "bot", "BTCUSDT", None, {})
    told: list[tuple[str, str, str]] = []
    outside = Surroundings(market, market, lambda *said: told.append(said), folder)
    with opened(settings, outside) as runner:
        runner.turn()
        begun, cpu, sizes = perf_counter(), process_time(), [memory_mb()]
        for row in range(warm + 1, warm + bars):
            market.time = int(market.opened[row]) + 2 * 10**8
            runner.turn()
            if row % max(bars // 20, 1) == 0:
                sizes.append(memory_mb())
                rate = (row - warm) / (process_time() - cpu)
                sys.stderr.write(f"{row - warm:,} bars, {rate:.0f} per processor second, {sizes[-1]:.0f} MB\n")
        wall, cpu = perf_counter() - begun, process_time() - cpu
        done = runner.desks[0].bot.ledger.decided() - 1
    took = latencies_ms(folder / "bot" / "BTCUSDT.db")
    settled = sizes[len(sizes) // 4 :]
    return {
        "bars": done,
        "bars_per_s": done / wall,
        "bars_per_processor_s": done / cpu,
        "latency_p50_ms": float(np.percentile(took, 50)),
        "latency_p99_ms": float(np.percentile(took, 99)),
        "latency_max_ms": float(took.max()),
        "memory_mb": sizes[-1],
        "memory_growth_mb": settled[-1] - settled[0],
        "told": len(told),
    }


def memory_mb() -> float:
    """What the process holds now (where Linux says so), else the most it ever held."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 2**20
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def latencies_ms(ledger: Path) -> np.ndarray:
    """From the arrival of each final candle to its decision in the ledger."""
    database = sqlite3.connect(ledger)
    rows = database.execute("SELECT (decided - arrived) / 1e6 FROM receipts ORDER BY open_time").fetchall()
    database.close()
    return np.array(rows)[1:, 0]


def main() -> None:
    """Measure, print, and fail where a bound is not met."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--bars", type=int, default=100_000)
    ask.add_argument("--bundle", default="btcusdt-1h")
    ask.add_argument("--profile", default="AUDITED")
    ask.add_argument("--out", type=Path)
    told = ask.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = soak(told.bundle, told.profile, told.bars, Path(folder))
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    if told.out:
        told.out.write_text(json.dumps(vars(told) | found, default=str, indent=1))
    good = (
        found["bars_per_processor_s"] >= LEAST_BARS_PER_S
        and found["latency_p99_ms"] < MOST_P99_MS
        and found["memory_growth_mb"] < MOST_GROWTH_MB
    )
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
