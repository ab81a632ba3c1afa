"""Sniper."""

from __future__ import annotations

from strategies.base import EvidenceSource, ThresholdStrategy


class Sniper(ThresholdStrategy):
    """Few trades, the most confident: 0.95 unless the bundle says otherwise, and never in a turbulent market.

    Parameters
    ----------
    bundle : Bundle
        Whose evidence it judges.
    mode : str
        Meaning of confidence: ``rank`` or ``probability``.
    threshold : float, optional
        Another threshold than the bundle's.
    """

    def __init__(self, bundle: EvidenceSource, mode: str = "rank", threshold: float | None = None) -> None:
        own = bundle.manifest.thresholds["sniper"] if threshold is None else threshold
        super().__init__(bundle, "Sniper", own, regime=True, auditor=False, mode=mode)
