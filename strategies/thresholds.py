"""What each confidence threshold would have earned on the validation zone: the place to choose one.

The zone is not fresh: the calibration and the ranks were fitted on it, so that a curve's height is no
forecast. The auditor has no curve here, for it learned from trades of this very zone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.bars import Bars
from engine.rules import Rules
from engine.simulate import simulate
from models.bundle import Bundle
from strategies import PROFILES, ThresholdStrategy, make_strategy

ZONE = "validation (calibration and ranks were fitted here)"
LEVELS = np.round(np.arange(0.50, 0.995, 0.02), 2)
GATES = (("predictor alone", False), ("regime gate", True))


def threshold_curves(bundle: Bundle, bars: Bars, rules: Rules, mode: str) -> list[dict[str, Any]]:
    """Return net result and trades by confidence threshold on validation, with the regime gate and without.

    Parameters
    ----------
    bundle : Bundle
        Whose evidence is judged.
    bars : Bars
        History that reaches into the bundle's validation zone; elsewhere there is no curve.
    rules : Rules
        Costs, barriers and size.
    mode : str
        ``rank`` or ``probability``.

    Returns
    -------
    list of dict
        Blocks of the report (``engine.report.evidence.Thresholds``); the band is one standard error.
    """
    rows = bundle.manifest.zones.rows(bars, "validation")
    stretch = bars[rows]
    if len(stretch) < 3:
        return []
    evidence = bundle.evidence(bars)[rows]
    known = evidence.rank if mode == "rank" else evidence.probability
    if not np.isfinite(known).any():
        return []
    levels = LEVELS if mode == "rank" else np.unique(np.round(np.nanquantile(known, LEVELS), 4))
    marks = [{"name": s.name, "at": s.threshold} for s in (make_strategy(p, bundle, mode) for p in PROFILES)]
    curves = []
    for name, regime in GATES:
        points = []
        for level in levels:
            strategy = ThresholdStrategy(bundle, name, float(level), regime, False, mode)
            result = simulate(stretch, strategy.signals_from(evidence), rules)
            earned = rules.exposure * result.trades["ret"]
            error = float(earned.std(ddof=1) * np.sqrt(len(earned))) if len(earned) > 1 else None
            points.append((result.score.total_return, error, len(earned)))
        net = [point[0] for point in points]
        curves.append(
            {
                "name": name,
                "threshold": levels,
                "net_return": net,
                "low": [None if e is None or v is None else v - e for v, e, _ in points],
                "high": [None if e is None or v is None else v + e for v, e, _ in points],
                "trades": [n for _, _, n in points],
                "marks": marks,
                "zone": ZONE,
                "band": "one standard error",
            }
        )
    return curves
