"""The proof, on any bars: nothing looks ahead, memory is enough, and the bot decides what the backtest decided."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from engine.bars import Bars
from engine.errors import DataError, ModelMismatch, TradingError
from engine.features import BESIDE, FEATURES, clear_run, feature_matrix
from engine.invariance import Values, cuts_of, future_break, memory_break, strategy_breaks
from engine.synthetic import random_context
from live.check import Check, Plain, Tell
from live.replay import replay
from live.settings import Settings
from models.bundle import Bundle, load_bundle
from strategies import PROFILES, gate_grid, make_strategy

CUTS = 40  # rows at which decisions are asked again
FUTURE_CUTS = 4  # rows after which the future is replaced
REPLAYED = 150  # bars that the real bot decides on, for each profile, with a restart in the middle


def verify(bundle: str | Path, bars: Bars, progress: Tell | None = None, leaks: bool = False) -> list[Check]:
    """Try every law on a bundle and bars.

    Parameters
    ----------
    bundle : str or Path
        Shipped name or folder.
    bars : Bars
        Of the bundle's timeframe.
    progress : callable, optional
        Told the name of each check before it runs, and how far the long ones are.
    leaks : bool
        Also look for leaks: see `live.leaks`.

    Returns
    -------
    list of Check
        All must have passed.

    Raises
    ------
    DataError
        If the bars are too few for a single decision: laws about nothing always hold.
    """
    opened, found = load_bundle(bundle), []
    longest = int(clear_run(bars).max(initial=0))
    if longest < opened.clear_bars:
        raise DataError(
            f"nothing can be verified: a decision of {opened.manifest.name} needs {opened.clear_bars} bars without a "
            f"gap, the longest run in the {len(bars)} given has {longest}; bring a longer history"
        )
    checks = _checks(opened, bars)
    if leaks:
        from live.leaks import leak_checks

        checks = chain(checks, leak_checks(opened, bars, progress))
    for name, check in checks:
        if progress is not None:
            progress(name)
        try:
            found.append(check())
        except TradingError as refusal:
            found.append(Check(name, 1, str(refusal)))
    return found


def _checks(bundle: Bundle, bars: Bars) -> Iterator[tuple[str, Callable[[], Check]]]:
    yield "files", lambda: Check("files hash to the manifest", len(bundle.manifest.files))
    yield "features: memory", lambda: feature_memories(bars)
    yield "features: future", lambda: feature_futures(bars)
    for profile in PROFILES:
        yield f"{profile}: memory", partial(decisions, bundle, bars, profile)
    yield "gate grid", lambda: grid(bundle, bars)
    for profile in PROFILES:
        yield f"{profile}: live replay", partial(live_equals_backtest, bundle, bars, profile)


def feature_memories(bars: Bars) -> Check:
    """Compute every registered feature again from its declared memory alone."""
    bars = random_context(bars, BESIDE)
    whole = {name: _values(name)(bars) for name in FEATURES}
    tried = 0
    for row in cuts_of(len(bars), 50, CUTS):
        for name, feature in FEATURES.items():
            tried += 1
            broken = memory_break(_values(name), feature.memory, bars, whole[name], row)
            if broken is not None:
                return Check("features need no more than their memory", tried, str(broken))
    return Check("features need no more than their memory", tried)


def feature_futures(bars: Bars) -> Check:
    """Compute every registered feature again after the future was replaced."""
    bars, names, tried = random_context(bars, BESIDE), tuple(FEATURES), 0

    def compute(part: Bars) -> Values:
        return dict(zip(names, feature_matrix(part, names).T, strict=True))

    whole = compute(bars)
    for row in cuts_of(len(bars), 50, FUTURE_CUTS, seed=1):
        tried += len(names)
        broken = future_break(compute, bars, whole, row, seed=2)
        if broken is not None:
            return Check("features do not know the future", tried, str(broken))
    return Check("features do not know the future", tried)


def _values(name: str) -> Callable[[Bars], Values]:
    return lambda bars: {name: FEATURES[name].compute(bars)}


def decisions(bundle: Bundle, bars: Bars, profile: str) -> Check:
    """Ask a profile again at random rows, from its memory alone."""
    strategy = make_strategy(profile, bundle)
    cuts = cuts_of(len(bars), min(bundle.clear_bars, len(bars) // 2), CUTS)
    broken = strategy_breaks(strategy, bars, cuts)
    name = f"{strategy.name} decides from {strategy.memory} bars alone"
    return Check(name, len(cuts), str(broken[0]) if broken else "")


def grid(bundle: Bundle, bars: Bars) -> Check:
    """Demand that a strategy with one gate more wishes for a subset."""
    strategies = {(s.threshold, s.regime, s.auditor): s.signals(bars).side for s in gate_grid(bundle)}
    name, tried = "a gate only removes wishes", 0
    for (threshold, regime, auditor), side in strategies.items():
        for fewer in ((threshold, False, auditor), (threshold, regime, False)):
            tried += 1
            added = np.flatnonzero((side != 0) & (side != strategies[fewer]))
            if len(added):
                return Check(name, tried, f"{threshold:g} regime={regime} auditor={auditor} added row {added[0]}")
    return Check(name, tried)


def live_equals_backtest(bundle: Bundle, bars: Bars, profile: str) -> Check:
    """Let the real bot decide on the last bars, stop it half way, restart it, and compare its ledger."""
    first = max(0, len(bars) - REPLAYED)
    name = f"{profile}: the bot's ledger is the backtest, restart included"
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            profile=profile,
            bundle=str(bundle.folder),
            mode="replay",
            confidence="rank",
            ledger=Path(folder) / "verify.db",
            symbol=None,
            replay_from=bars.open_time[first],
            terms={},
        )
        replay(settings, bars[: first + (len(bars) - first) // 2])
        report = replay(settings, bars)
    return Check(name, report.decided, report.difference or "")


def verify_bundle(bundle: str, bars: str | None, data_root: Path, as_json: bool, leaks: bool = False) -> bool:
    """Run ``tradsys verify``: print what was tried and return whether every law held."""
    from engine.report.terminal import console, print_checks
    from strategies.workbench import find_market

    screen = console()
    try:
        opened = load_bundle(bundle)
        market = find_market(opened, bars, data_root)
        opened.check_market(market)
    except ModelMismatch as damage:
        refused = Check("files hash to the manifest", 1, str(damage))
        print_checks([{**asdict(refused), "passed": False}], as_json, bundle, "no bars: it was not opened")
        return False
    show: Tell | None = lambda text: screen.print(f"[dim]{text:<78}[/]", end="\r")  # noqa: E731
    if as_json or not screen.is_terminal:
        show = None if sys.stderr.isatty() else Plain(lambda line: sys.stderr.write(f"{line}\n"))
    found = verify(bundle, market, show, leaks)
    what = f"{market.symbol} {market.timeframe}, {len(market)} bars"
    print_checks([{**asdict(check), "passed": check.passed} for check in found], as_json, bundle, what)
    return all(check.passed for check in found)
