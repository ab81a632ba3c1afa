"""From names to a comparison: which bundle, which bars, which zone, at which costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.bars import Bars, format_time
from engine.compare import CONTROL, GRID, PROFILE, Comparison, compare_strategies
from engine.controls import wishing
from engine.errors import DataError, UsageError, unknown
from engine.funding import is_perpetual
from engine.signals import Evidence, Signals, Strategy, Verdicts
from engine.zones import ZONES
from strategies.gates import gate_hashes

if TYPE_CHECKING:
    from models.bundle import Bundle

CHOICES = (*ZONES, "oos", "all")
SEALED_FROM = " test from "
LEAST_BARS = 3  # a wish, its fill, and a close after it


def named_terms(
    fee: float | None = None,
    maker_fee: float | None = None,
    slippage: float | None = None,
    exposure: float | None = None,
) -> dict[str, float]:
    """Return the costs and size that were named; the bundle's own stand for the rest."""
    named = {"fee": fee, "maker_fee": maker_fee, "slippage": slippage, "exposure": exposure}
    return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Stretch:
    """The bars to trade on, and what is known about them.

    Parameters
    ----------
    zone : str
        One of development, validation, test, oos, all.
    rows : slice
        Rows of the whole history.
    in_sample : bool array of shape (n,)
        Which bars of the whole history any part of the bundle was fitted on.
    evidence : Evidence or None
        The walk-forward's recorded evidence for ``oos``; None when the bundle's own models speak.
    """

    zone: str
    rows: slice
    in_sample: Verdicts
    evidence: Evidence | None


def find_stretch(bundle: Bundle, bars: Bars, zone: str) -> Stretch:
    """Return the rows of a zone in any bars of the bundle's market or another.

    Raises
    ------
    UsageError
        For a zone nobody knows.
    DataError
        If these bars do not reach into the zone.
    """
    if zone not in CHOICES:
        raise unknown("zone", zone, CHOICES)
    evidence = bundle.stored_evidence(bars) if zone == "oos" else None
    if evidence is not None:
        audited = np.flatnonzero(np.isfinite(evidence.audit))
        known = audited if len(audited) else np.flatnonzero(np.isfinite(evidence.p_up))
        rows = slice(int(known[0]), int(known[-1]) + 1)
        return Stretch(zone, rows, np.zeros(len(bars), np.bool_), evidence)
    rows = slice(0, len(bars)) if zone == "all" else bundle.manifest.zones.rows(bars, zone)
    if len(bars[rows]) < LEAST_BARS:
        raise DataError(_too_short(bundle, bars, zone, len(bars[rows])))
    return Stretch(zone, rows, bundle.in_sample(bars), None)


def _too_short(bundle: Bundle, bars: Bars, zone: str, there: int) -> str:
    """Say why a stretch holds too few bars, and what to do."""
    if zone not in ZONES or there:
        held = f"zone {zone} holds {there} of {len(bars)} bars of {bars.symbol}"
        return f"{held}, at least {LEAST_BARS} are needed to trade; bring more bars"
    first, last = format_time(bars.open_time[0]), format_time(bars.open_time[-1])
    return (
        f"{bars.symbol} from {first} to {last} holds no bars of zone {zone}, which begins"
        f" {format_time(getattr(bundle.manifest.zones, zone)[0])}; bring later bars or choose another --zone"
    )


@dataclass(frozen=True, slots=True)
class LastBar:
    """The control that knows the last bar alone: the bundle's logistic, at a threshold, without gates."""

    bundle: Bundle
    cut: float
    name: str = "Last-bar logistic"

    @property
    def memory(self) -> int:
        return self.bundle.memory

    def signals(self, bars: Bars, since: int = 0) -> Signals:
        """Return long wishes where the logistic's confidence reaches the threshold."""
        rank = self.bundle.baseline_rank(bars)
        side = np.zeros(len(bars), np.int8) if rank is None else (rank >= self.cut).astype(np.int8)
        return wishing(side, self.bundle.evidence(bars).atr)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A strategy that decides from recorded evidence instead of asking its models again."""

    strategy: Any
    evidence: Evidence

    def __getattr__(self, name: str) -> Any:
        return getattr(self.strategy, name)

    @property
    def name(self) -> str:
        return str(self.strategy.name)

    @property
    def memory(self) -> int:
        return 1

    def signals(self, bars: Bars, since: int = 0) -> Any:
        """Return the wishes of the recorded evidence; ``bars`` must be those it was recorded on."""
        return self.strategy.signals_from(self.evidence)


def lineup(bundle: Bundle, mode: str) -> list[tuple[str, Strategy]]:
    """Return the three profiles and the gate grid between them, profiles first, nothing twice."""
    from strategies import PROFILES, gate_grid, make_strategy

    profiles = [make_strategy(profile, bundle, mode) for profile in PROFILES]
    said = {(s.threshold, s.regime, s.auditor) for s in profiles if not any(s.watches.values())}
    between = [s for s in gate_grid(bundle, mode) if (s.threshold, s.regime, s.auditor) not in said]
    lines: list[tuple[str, Strategy]] = [*((PROFILE, s) for s in profiles), *((GRID, s) for s in between)]
    if "baseline_levels" in bundle.manifest.predictor:
        lines.append((CONTROL, LastBar(bundle, bundle.manifest.thresholds["reckless"])))
    return lines


def find_market(bundle: Bundle, what: str | None, data_root: Path) -> Bars:
    """Return the bars named, or those of the bundle's own market, with what its features read beside them.

    A perpetual's carry the funding that is stored; so do those of a bundle that goes short, for that is done on one.

    Raises
    ------
    UsageError
        If bars, or a series to be joined to them, are not at hand.
    """
    from engine.history.context import with_context
    from engine.history.funding import with_funding

    bars = with_context(_market(bundle, what, data_root), bundle.beside, data_root)
    return with_funding(bars, data_root) if is_perpetual(bars) or is_two_sided(bundle) else bars


def is_two_sided(bundle: Bundle) -> bool:
    """Return whether a bundle goes short too, and so trades a perpetual whatever its bars are called."""
    return "short" in bundle.manifest.market.sides


def _market(bundle: Bundle, what: str | None, data_root: Path) -> Bars:
    from engine.history.embedded import EMBEDDED
    from engine.history.find import find_bars

    if what is not None:
        return find_bars(what, data_root)
    market = bundle.manifest.market
    own = f"{market.symbol}-{market.timeframe}"
    if bundle.manifest.name in EMBEDDED:
        return find_bars(bundle.manifest.name, data_root)
    try:
        return find_bars(own, data_root)
    except UsageError:
        raise UsageError(
            f"bundle {bundle.manifest.name} was trained on {own}, which is not stored here;"
            f" name bars with --bars FILE or store them with `tradsys data import FILE --symbol {market.symbol}`"
        ) from None


def compare_bundle(
    bundle: Bundle | str | Path,
    bars: str | Bars | None = None,
    zone: str = "test",
    mode: str = "rank",
    costs: Mapping[str, float] | None = None,
    unseal: str | None = None,
) -> Comparison:
    """Set the profiles of a bundle and the gates between them side by side at equal costs.

    Parameters
    ----------
    bundle : Bundle, str or Path
        A bundle, a shipped bundle's name, or a folder.
    bars : str, Bars or None
        Embedded series, series stored in ``data``, file, or bars; the bundle's own market by default.
    zone : str
        ``test`` (unseen by every part), ``oos`` (the walk-forward's out-of-sample rows),
        ``validation``, ``development`` or ``all``.
    mode : str
        ``rank`` or ``probability``.
    costs : mapping of str to float, optional
        Fields of Rules that replace the bundle's.
    unseal : str, optional
        Why the sealed test zone of a draft is looked at; a released bundle needs none.

    Raises
    ------
    UsageError
        For a zone nobody knows, other bars than the bundle's kind, or a sealed zone without a reason.

    Examples
    --------
    >>> comparison = compare_bundle("nasdaq-1d")
    >>> [row.name for row in comparison.rows][:3]
    ['Sniper', 'Audited', 'Reckless']
    """
    from models.bundle import Bundle, load_bundle

    opened = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
    market = bars if isinstance(bars, Bars) else find_market(opened, bars, Path("data"))
    opened.check_market(market)
    refuse_sealed(opened, zone, unseal)
    stretch = find_stretch(opened, market, zone)
    strategies = lineup(opened, mode)
    if stretch.evidence is not None:
        strategies = [(kind, Recorded(s, stretch.evidence)) for kind, s in strategies if kind != CONTROL]
    rules = opened.rules(**(costs or {}))
    comparison = compare_strategies(strategies, market, rules, stretch.rows, stretch.in_sample, zone)
    return replace(comparison, about=about(opened, market, mode))


def refuse_sealed(bundle: Bundle, zone: str, unseal: str | None) -> None:
    """Refuse to look at the test zone of a draft without a reason.

    Raises
    ------
    UsageError
        Saying what to do instead.
    """
    if is_sealed(bundle, zone) and not unseal:
        raise UsageError(
            f"zone {zone} of {bundle.manifest.name} is sealed: this bundle is a draft. Judge it on --zone oos or"
            ' validation first; --unseal "REASON" opens the test zone, and every look is counted in every later report'
        )


def is_sealed(bundle: Bundle, zone: str) -> bool:
    """Return whether a zone holds bars that nobody may look at before the bundle is released."""
    return zone in ("test", "all") and not bundle.manifest.released


def seal_key(bundle: Bundle) -> str:
    """Return what looks are written down by: a market's sealed bars, and where they begin."""
    market = bundle.manifest.market
    return f"{market.symbol} {market.timeframe}{SEALED_FROM}{format_time(bundle.manifest.zones.test[0])}"


def about(bundle: Bundle, bars: Bars, mode: str) -> dict[str, Any]:
    """Return what a comparison's record says about its bundle and data."""
    from models.bundle import BASELINE, PREDICTOR

    fingerprint, files = bars.fingerprint(), bundle.manifest.files
    return {
        "bundle": {
            "name": bundle.manifest.name,
            "hash": bundle.hash,
            "predictor_hash": bundle.predictor_hash,
            "seal": seal_key(bundle),
            "gates": gate_hashes(bundle.manifest),
            "predictor": bundle.manifest.predictor["kind"],
            "is_control": PREDICTOR in files and files[PREDICTOR] == files.get(BASELINE),
            "fence": format_time(bundle.manifest.fence),
            "markets": bundle.manifest.market.taught,
            "released": bundle.manifest.released,
            "trials": bundle.manifest.trials,
            "vertical": bundle.manifest.barriers["vertical"],
            "regimes": list(bundle.regime_model.roles),
        },
        "data": {"fingerprint": fingerprint, "as_trained": fingerprint == bundle.manifest.data["fingerprint"]},
        "confidence": mode,
    }
