"""Audited."""

from __future__ import annotations

from strategies.base import EvidenceSource, ThresholdStrategy


class Audited(ThresholdStrategy):
    """More proposals, from 0.75 on, with two second opinions: the auditor is the gatekeeper.

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
        own = bundle.manifest.thresholds["audited"] if threshold is None else threshold
        super().__init__(bundle, "Audited", own, regime=True, auditor=True, mode=mode)
