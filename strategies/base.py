"""The one shape of strategy: a predictor proposes where it is confident, gates may only say no."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from engine.bars import Bars, Floats
from engine.errors import UsageError, unknown
from engine.rules import Rules
from engine.signals import BELOW_THRESHOLD, FIRST_VETO, NO_EVIDENCE, WISH, Evidence, Signals
from models.manifest import Manifest
from models.watch import watches_of
from strategies.gates import AuditorGate, Gate, RegimeGate, WatchGate

MODES = ("rank", "probability")


class EvidenceSource(Protocol):
    """What a strategy needs of a bundle."""

    @property
    def manifest(self) -> Manifest: ...
    @property
    def memory(self) -> int: ...
    def evidence(self, bars: Bars, since: int = 0) -> Evidence: ...
    def rules(self, **overrides: float) -> Rules: ...


class ThresholdStrategy:
    """Wishes for a trade where confidence reaches a threshold and every gate allows it.

    Parameters
    ----------
    bundle : Bundle
        Whose evidence it judges, and whose gate settings it takes.
    name : str
        As tables print it.
    threshold : float
        Least confidence, in [0, 1].
    regime, auditor : bool
        Which gates stand between a proposal and a wish.
    mode : str
        ``rank``: confidence is the percentile among the validation zone's predictions, so 0.95 means the
        5 % most confident of any model. ``probability``: the calibrated probability itself.

    Raises
    ------
    UsageError
        For an unknown mode or a threshold outside [0, 1].
    """

    def __init__(
        self, bundle: EvidenceSource, name: str, threshold: float, regime: bool, auditor: bool, mode: str = "rank"
    ) -> None:
        if mode not in MODES:
            raise unknown("confidence mode", mode, MODES)
        if not 0.0 <= threshold <= 1.0:
            raise UsageError(f"threshold must be in [0, 1], was {threshold}")
        self.bundle = bundle
        self.name = name
        self.threshold = threshold
        self.regime = regime
        self.auditor = auditor
        self.mode = mode

    @property
    def memory(self) -> int:
        """Bars that decide."""
        return self.bundle.memory

    @property
    def gates(self) -> tuple[Gate, ...]:
        """The gates that are on, in the order they are asked."""
        settings = self.bundle.manifest.thresholds
        regime: tuple[Gate, ...] = (RegimeGate(settings["max_turbulent"]),) if self.regime else ()
        auditor: tuple[Gate, ...] = (AuditorGate(settings["auditor"]),) if self.auditor else ()
        listed = enumerate(watches_of(self.bundle.manifest))
        watches = (WatchGate(one.gate, one.most, i) for i, one in listed if self.watches[one.gate])
        return (*regime, *auditor, *watches)

    @property
    def watches(self) -> dict[str, bool]:
        """What the bundle watches, and whether that gate stands here: the manifest lists in which profiles it does."""
        return {one.gate: self.name.lower() in one.profiles for one in watches_of(self.bundle.manifest)}

    def signals(self, bars: Bars, since: int = 0) -> Signals:
        """Return the wishes at each close; rows before ``since`` may be left without evidence."""
        return self.signals_from(self.bundle.evidence(bars, since))

    def signals_from(self, evidence: Evidence) -> Signals:
        """Return the wishes some evidence leads to, with every gate's verdict on every bar."""
        confidence = self.confidence(evidence)
        proposed = np.where(confidence >= self.threshold, evidence.lean, np.int8(0)).astype(np.int8)
        verdicts = {gate.name: gate.allowed(evidence) for gate in self.gates}
        reason = np.where(proposed != 0, WISH, np.where(np.isnan(confidence), NO_EVIDENCE, BELOW_THRESHOLD))
        for i, allowed in enumerate(verdicts.values()):
            reason = np.where((reason == WISH) & ~allowed, FIRST_VETO + i, reason)
        return Signals(
            side=np.where(reason == WISH, proposed, np.int8(0)).astype(np.int8),
            atr=evidence.atr,
            evidence=evidence,
            confidence=confidence,
            proposed=proposed,
            gates=verdicts,
            reason=reason.astype(np.uint8),
        )

    def confidence(self, evidence: Evidence) -> Floats:
        """Return the confidence in the lean side in this strategy's mode, shape (n,)."""
        return evidence.rank if self.mode == "rank" else evidence.probability

    def __repr__(self) -> str:
        gates = " and ".join(gate.name for gate in self.gates) or "no gate"
        return f"{self.name}: {self.mode} >= {self.threshold:g}, {gates}"


class Profile(ThresholdStrategy):
    """A named temper: which gates stand, at the threshold the bundle serves it with.

    A profile is a subclass that says its ``title`` and its gates; its threshold is the bundle's for the
    lower-case title.

    Parameters
    ----------
    bundle : Bundle
        Whose evidence it judges.
    mode : str
        Meaning of confidence: ``rank`` or ``probability``.
    threshold : float, optional
        Another threshold than the bundle's.
    """

    title: str
    regime_gate: bool
    auditor_gate: bool

    def __init__(self, bundle: EvidenceSource, mode: str = "rank", threshold: float | None = None) -> None:
        own = bundle.manifest.thresholds[self.title.lower()] if threshold is None else threshold
        super().__init__(bundle, self.title, own, self.regime_gate, self.auditor_gate, mode)
