"""``tradsys explain``: from names and a time to an explanation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.errors import UsageError
from engine.run import run
from models.bundle import load_bundle
from models.cache import cache_in
from strategies import make_strategy
from strategies.explain import Explanation, Vetoes, explain, row_of_time, veto_worths
from strategies.workbench import find_market, find_stretch, refuse_sealed


@dataclass(frozen=True, slots=True)
class Explained:
    """What was asked for: one decision, or the worth of all vetoes, of a profile on some bars."""

    what: str
    decision: Explanation | None
    vetoes: tuple[Vetoes, ...]


def explain_bundle(  # noqa: PLR0913 - one argument per option of the verb
    bundle: str | Path,
    profile: str,
    bars: str | None,
    data_root: Path,
    zone: str,
    unseal: str | None,
    asked: tuple[str | None, int | None, bool],
) -> Explained:
    """Explain one decision of a profile, or what its gates' vetoes were worth in a zone.

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
        The stretch of trades and vetoes.
    unseal : str or None
        Why the sealed zone of a draft is looked at.
    asked : (str or None, int or None, bool)
        A time, the number of a trade, or all vetoes.

    Raises
    ------
    UsageError
        If not exactly one of the three was asked for, or there is no such bar or trade.
    """
    at, trade, vetoes = asked
    if sum((at is not None, trade is not None, vetoes)) != 1:
        raise UsageError("ask for one thing: --at TIME, --trade N or --vetoes")
    opened = load_bundle(bundle, cache_in(data_root))
    market = find_market(opened, bars, data_root)
    opened.check_market(market)
    refuse_sealed(opened, zone, unseal)
    strategy, rules = make_strategy(profile, opened), opened.rules()
    what = f"{strategy.name} of {opened.manifest.name} on {market.symbol} {market.timeframe}"
    if at is not None:
        return Explained(what, explain(strategy, opened, market, rules, row_of_time(market, at)), ())
    rows = find_stretch(opened, market, zone).rows
    stretch = market[: rows.stop]
    done = run(strategy, stretch, rules, since=rows.start)
    if vetoes:
        signals = strategy.signals(stretch)[rows.start :]
        return Explained(f"{what}, zone {zone}", None, tuple(veto_worths(signals, stretch[rows.start :], rules)))
    trades = done.result.trades
    if not 1 <= (trade or 0) <= len(trades):
        raise UsageError(f"--trade must be in 1..{len(trades)}: the trades of {strategy.name} in zone {zone}")
    row = market.since(trades["wish_time"][(trade or 1) - 1])
    return Explained(f"{what}, trade {trade} of {len(trades)}", explain(strategy, opened, market, rules, row), ())
