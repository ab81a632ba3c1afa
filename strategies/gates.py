"""Gates: second opinions that may only say no."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

import numpy as np

from engine.jsons import dumps
from engine.signals import Evidence, Verdicts
from models.bundle import AUDITOR, REGIME
from models.manifest import Manifest
from models.volatility import FILE
from models.watch import watches_of


class Gate(Protocol):
    """Says for every bar whether a trade would be allowed; what it does not know, it does not allow."""

    @property
    def name(self) -> str: ...
    def allowed(self, evidence: Evidence) -> Verdicts: ...


@dataclass(frozen=True, slots=True)
class RegimeGate:
    """Allows a trade while the most turbulent regime is not too likely.

    Parameters
    ----------
    max_turbulent : float
        Largest belief in the most volatile regime, in [0, 1].
    """

    max_turbulent: float

    @property
    def name(self) -> str:
        return "regime"

    def allowed(self, evidence: Evidence) -> Verdicts:
        return np.asarray(evidence.belief[:, -1] <= self.max_turbulent)  # NaN is no


@dataclass(frozen=True, slots=True)
class AuditorGate:
    """Allows a trade the auditor expects to earn more than it costs.

    Parameters
    ----------
    tau : float
        Least probability of that, in [0, 1]; recorded evidence brings the one of its own time instead.
    """

    tau: float

    @property
    def name(self) -> str:
        return "auditor"

    def allowed(self, evidence: Evidence) -> Verdicts:
        least = self.tau if evidence.tau is None else evidence.tau
        return np.asarray(evidence.audit >= least)  # NaN is no


@dataclass(frozen=True, slots=True)
class WatchGate:
    """Allows a trade while something that the bundle watches is not too high (``models.watch``).

    Parameters
    ----------
    name : str
        ``supervisor`` or ``volatility``.
    most : float
        Largest value allowed, in [0, 1].
    column : int
        Which of the evidence's watches it asks.
    """

    name: str
    most: float
    column: int

    def allowed(self, evidence: Evidence) -> Verdicts:
        if evidence.watch is None:
            return np.zeros(len(evidence), np.bool_)
        return np.asarray(evidence.watch[:, self.column] <= self.most)  # NaN is no


def gate_hashes(manifest: Manifest) -> dict[str, str]:
    """Return what each gate of a bundle is made of, as a hash: what it learned, and where it says no.

    A draft and its release have the same ones.
    """
    files, cuts = manifest.files, manifest.thresholds
    made: dict[str, list[Any]] = {
        "regime": [files[REGIME], cuts["max_turbulent"]],
        "auditor": [files[AUDITOR], cuts["auditor"]],
    }
    for watch in watches_of(manifest):
        made[watch.gate] = [watch.bars, watch.most, watch.column or files.get(FILE)]
    return {gate: sha256(dumps(parts).encode()).hexdigest()[:16] for gate, parts in made.items()}
