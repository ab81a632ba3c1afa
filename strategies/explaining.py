"""``tradsys explain``: from names and a time to an explanation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from engine.bars import Bars, format_time
from engine.errors import UsageError
from engine.run import run
from engine.signals import Strategy
from engine.wording import fitted_on
from models.bundle import Bundle, load_bundle
from models.cache import cache_in
from strategies import make_strategy
from strategies.base import ThresholdStrategy
from strategies.explain import Explanation, Vetoes, explain, row_of_time, veto_worths
from strategies.ledgered import record_look
from strategies.workbench import Recorded, find_market, find_stretch


class Look(NamedTuple):
    """A look at a draft's sealed test zone: why, the trial ledger that counts it, and the time, UTC."""

    reason: str
    ledger: Path
    at: str


@dataclass(frozen=True, slots=True)
class Explained:
    """What was asked for: one decision, or the worth of all vetoes, of a profile on some bars.

    ``in_sample`` says whether some part of the models that spoke was fitted on any of the bars explained, or on another
    market at their time; ``seen`` says which, in words.
    """

    what: str
    decision: Explanation | None
    vetoes: tuple[Vetoes, ...]
    in_sample: bool
    seen: str = ""


def explain_bundle(  # noqa: PLR0913 - one argument per option of the verb
    bundle: str | Path,
    profile: str,
    bars: str | None,
    data_root: Path,
    zone: str,
    look: Look | None,
    asked: tuple[str | None, int | None, bool],
) -> Explained:
    """Explain one decision of a profile, or what its gates' vetoes were worth in a zone.

    In zone ``oos`` the walk-forward's recorded evidence speaks, everywhere else the served models.

    Parameters
    ----------
    bundle : str or Path
        Name or folder.
    profile : str
        sniper, audited or reckless.
    bars : str or None
        As for ``compare``.
    data_root : Path
        Folder of the stored series.
    zone : str
        The stretch of trades and vetoes; a time needs none.
    look : Look or None
        Why the sealed zone of a draft is looked at, and where that is counted.
    asked : (str or None, int or None, bool)
        A time, the number of a trade, or all vetoes.

    Raises
    ------
    UsageError
        If not exactly one of the three was asked for, there is no such bar or trade, or it is sealed.
    """
    at, trade, vetoes = asked
    if sum((at is not None, trade is not None, vetoes)) != 1:
        raise UsageError("ask for one thing: --at TIME, --trade N or --vetoes")
    opened = load_bundle(bundle, cache_in(data_root))
    market = find_market(opened, bars, data_root)
    opened.check_market(market)
    strategy, rules = make_strategy(profile, opened), opened.rules()
    what = f"{strategy.name} of {opened.manifest.name} on {market.symbol} {market.timeframe}"
    if at is None:
        return _in_zone(strategy, opened, market, (zone, what, trade), look)
    row = row_of_time(market, at)
    unseal(opened, market[row : row + 1], look)
    found = explain(strategy, opened, market, rules, row)
    return Explained(
        what, found, (), found.in_sample, fitted_on(market.symbol, opened.manifest.market.taught, "this bar")
    )


def _in_zone(
    strategy: ThresholdStrategy, bundle: Bundle, market: Bars, asked: tuple[str, str, int | None], look: Look | None
) -> Explained:
    """Explain a trade of a zone by its number, or every veto in it."""
    zone, what, trade = asked
    found = find_stretch(bundle, market, zone)
    rows, rules = found.rows, bundle.rules()
    stretch = market[: rows.stop]
    unseal(bundle, market[rows], look)
    said = None if found.evidence is None else found.evidence[: rows.stop]
    speaker: Strategy = strategy if said is None else Recorded(strategy, said)
    done = run(speaker, stretch, rules, since=rows.start)
    if trade is None:
        worth = veto_worths(done.signals, stretch[rows.start :], rules)
        seen = fitted_on(market.symbol, bundle.manifest.market.taught, "some of these bars")
        return Explained(f"{what}, zone {zone}", None, tuple(worth), bool(found.in_sample[rows].any()), seen)
    trades = done.result.trades
    if not 1 <= trade <= len(trades):
        raise UsageError(f"--trade must be in 1..{len(trades)}: the trades of {strategy.name} in zone {zone}")
    row = market.since(trades["wish_time"][trade - 1])
    one = explain(strategy, bundle, market, rules, row, said)
    seen = fitted_on(market.symbol, bundle.manifest.market.taught, "this bar")
    return Explained(f"{what}, trade {trade} of {len(trades)} in zone {zone}", one, (), one.in_sample, seen)


def unseal(bundle: Bundle, bars: Bars, look: Look | None) -> None:
    """Let nobody see what a draft does in its test zone without a reason, and count every look.

    Raises
    ------
    UsageError
        If any of the bars is sealed and no reason is given.
    """
    if not bundle.manifest.sealed(bars).any():
        return
    if look is None:
        name, first = bundle.manifest.name, format_time(bundle.manifest.zones.test[0])
        raise UsageError(
            f"{name} is a draft: its bars from {first} are sealed. Ask about earlier ones, with --zone oos or"
            ' validation; --unseal "REASON" opens the test zone, and every look is counted in every later report'
        )
    record_look(look.ledger, bundle, "test", look.reason, look.at)
