"""The front door: the whole command on the embedded bars, and a comparison of three profiles on many bars.

The many bars' predictions are kept beforehand: what is measured is everything else.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import Job, Row, command_seconds, timed
from engine.synthetic import random_bars

COMMAND = ["-m", "tradsys", "compare"]
NEW_PROCESS = """
import sys
from pathlib import Path
from benchmarks.bench_compare import three_profiles
three_profiles(Path(sys.argv[1]))()
"""


def bundle_and_bars(home: Path, n: int) -> None:
    """Store bars and train a small bundle on their beginning."""
    from engine.history import Store
    from tests.bundles import make_bundle

    bars = random_bars(n, seed=1)
    Store(home).keep(bars, "dice")
    make_bundle(home, bars[:2600], name="bench")


def three_profiles(home: Path) -> Callable[[], object]:
    """Return a comparison of Sniper, Audited and Reckless on the stored bars, each time from the bundle's files."""
    from engine.compare import PROFILE, compare_strategies
    from engine.history import Store
    from models.bundle import load_bundle
    from models.cache import cache_in
    from strategies import PROFILES, make_strategy

    store = Store(home)
    bars = store.load(store.names()[0])

    def compare() -> object:
        bundle = load_bundle(home / "bench", cache_in(home))
        profiles = [(PROFILE, make_strategy(profile, bundle, "rank")) for profile in PROFILES]
        return compare_strategies(profiles, bars, bundle.rules())

    return compare


def run(quick: bool) -> list[Row]:
    n = 10_000 if quick else 100_000
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        bundle_and_bars(home, n)
        compare = three_profiles(home)
        compare()
        size = f"{n:,} bars"
        warm = timed({"warm": compare}, 3)["warm"]
        rows.append(Row("compare three profiles, predictions kept", size, warm, most=0.45))
        fresh = min(command_seconds(["-c", NEW_PROCESS, folder], home) for _ in range(1 if quick else 3))
        rows.append(Row("the same in a new process", size, fresh, most=1.5))
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if not quick:
            cold = command_seconds(COMMAND, home, cold=True)
            rows.append(Row("tradsys compare, nothing compiled yet", "embedded", cold, most=20.0))
        command_seconds(COMMAND, home)
        warm = min(command_seconds(COMMAND, home) for _ in range(1 if quick else 3))
        rows.append(Row("tradsys compare", "embedded", warm, most=2.5))
    return rows


def jobs() -> dict[str, Job]:
    home = Path(tempfile.mkdtemp(prefix="tradsys-bench-"))  # lives as long as the job
    bundle_and_bars(home, 100_000)
    return {"compare three profiles, 100k bars": three_profiles(home)}
