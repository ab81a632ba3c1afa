"""What to wish for: three profiles of one shape, and the grid of gates between them."""

from __future__ import annotations

from engine.errors import unknown
from strategies.audited import Audited
from strategies.base import MODES, EvidenceSource, ThresholdStrategy
from strategies.reckless import Reckless
from strategies.sniper import Sniper

__all__ = ["MODES", "PROFILES", "Audited", "Reckless", "Sniper", "ThresholdStrategy", "gate_grid", "make_strategy"]

PROFILES: dict[str, type[Sniper] | type[Audited] | type[Reckless]] = {
    "sniper": Sniper,
    "audited": Audited,
    "reckless": Reckless,
}


def make_strategy(
    profile: str, bundle: EvidenceSource, mode: str = "rank", threshold: float | None = None
) -> ThresholdStrategy:
    """Return a profile over a bundle.

    Parameters
    ----------
    profile : str
        sniper, audited or reckless, in any case.
    bundle : Bundle
        Whose evidence it judges.
    mode : str
        ``rank`` or ``probability``.
    threshold : float, optional
        Another confidence threshold than the bundle's.

    Raises
    ------
    UsageError
        For a profile nobody knows, with the nearest known one.
    """
    if profile.lower() not in PROFILES:
        raise unknown("profile", profile, PROFILES)
    return PROFILES[profile.lower()](bundle, mode, threshold)


def gate_grid(bundle: EvidenceSource, mode: str = "rank") -> list[ThresholdStrategy]:
    """Return every combination of gates at both thresholds: the strategies between the profiles.

    Two profiles that differ in two things cannot be compared; through this grid each step changes one.
    """
    told = bundle.manifest.thresholds
    return [
        ThresholdStrategy(bundle, _grid_name(threshold, regime, auditor), threshold, regime, auditor, mode)
        for threshold in (told["sniper"], told["reckless"])
        for regime in (False, True)
        for auditor in (False, True)
    ]


def _grid_name(threshold: float, regime: bool, auditor: bool) -> str:
    return f"{threshold:g}" + " +regime" * regime + " +auditor" * auditor
