"""The trade kernel against the engines that need an environment of their own; equal trades first.

Their seconds are one run's processor time, imports not counted; ours are the whole simulation of the same wishes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.measure import Job, Row, timed
from engine.rules import PRESETS
from tests.peers.market import MARKETS, our_runs, our_trades
from tests.peers.packages import PACKAGES, missing, run_peer

LEAST = {"pybroker": 6000.0, "freqtrade": 7000.0, "nautilus-bar": 8000.0}  # PERFORMANCE, at 100k bars
SIZES = {True: 10_000, False: 100_000}


def run(quick: bool) -> list[Row]:
    rows = []
    for peer, (package, _) in PACKAGES.items():
        calmer = min(MARKETS[peer].jump, 0.1)  # so that no bar lies wholly beyond a barrier: docs/fill-rules.md
        market = MARKETS[peer]._replace(n=SIZES[quick], volatility=0.001, unit=0.002, jump=calmer, wishes=0.05, hold=60)
        runs = our_runs(peer, market, PRESETS[peer])
        ours = timed({"ours": lambda runs=runs: [go() for go in runs]}, 5)["ours"]
        size, least = f"{market.n:,} bars", None if quick else LEAST[peer]
        if missing(peer):
            rows.append(Row("one run", size, ours, package, least=least, note=missing(peer) or ""))
            continue
        with tempfile.TemporaryDirectory() as folder:
            told = run_peer(peer, Path(folder), market)
        trades = our_trades(peer, market, PRESETS[peer])
        np.testing.assert_allclose(np.array(told["trades"]), trades, rtol=1e-9)
        rows.append(Row(f"one run, {len(trades):,} equal trades", size, ours, package, told["seconds"], least))
    return rows


def jobs() -> dict[str, Job]:
    return {}
