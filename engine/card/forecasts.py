"""What the predictor knew on the bars compared: every event it could have taken, not only the trades."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.barriers import label_barriers
from engine.compare import Comparison
from engine.inference.calibration import Calibration, ReliabilityBin, calibration, reliability_curve
from engine.inference.forecast import LogLoss, auc, log_loss
from engine.inference.interval import Draws, Interval

LEAST = 30  # events below which nothing is said


@dataclass(frozen=True, slots=True)
class Forecast:
    """The predictor judged on every labelled bar.

    Parameters
    ----------
    loss : LogLoss
        With its base rate and no-skill loss.
    auc : Interval
        Chance that a right trade was forecast higher than a wrong one.
    calibration : Calibration
        With the band of a perfect model.
    curve : tuple of ReliabilityBin
        Claimed against realised.
    """

    loss: LogLoss
    auc: Interval
    calibration: Calibration
    curve: tuple[ReliabilityBin, ...]


def forecast_of(comparison: Comparison) -> Forecast | None:
    """Return what the predictor knew on these bars, or None where it said too little.

    A bar's outcome is 1 when the long trade entered after it reached its target first, or was ahead when its time
    ran out (or as the bundle's label says): what predictors are trained on. Labels overlap, so the block of
    every interval is the holding period.
    """
    evidence = next((row.signals.evidence for row in comparison.rows if row.signals and row.signals.evidence), None)
    if evidence is None:
        return None
    labels = label_barriers(comparison.bars, evidence.atr, comparison.rules)
    rows = np.flatnonzero(np.isfinite(evidence.p_up) & (labels.end >= 0))
    if len(rows) < LEAST:
        return None
    p = evidence.p_up[rows]
    late = labels.outcome[rows] == 0
    vertical = comparison.about.get("bundle", {}).get("vertical", "sign")
    if vertical == "drop":
        rows, p, late = rows[~late], p[~late], late[~late]
    won = labels.outcome[rows] > 0
    y = (won | (late & (labels.gross[rows] > 0)) if vertical == "sign" else won).astype(np.float64)
    draws = Draws(block=float(comparison.rules.hold))
    loss = log_loss(p, y, draws=draws)
    worth = loss.n_eff or None
    return Forecast(loss, auc(p, y, draws), calibration(p, y, n_eff=worth), reliability_curve(p, y, n_eff=worth))
