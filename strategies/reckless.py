"""Reckless."""

from __future__ import annotations

from strategies.base import EvidenceSource, ThresholdStrategy


class Reckless(ThresholdStrategy):
    """Everything the predictor likes, from 0.75 on: the control that shows what the gates are worth.

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
        own = bundle.manifest.thresholds["reckless"] if threshold is None else threshold
        super().__init__(bundle, "Reckless", own, regime=False, auditor=False, mode=mode)
