"""The auditor's training: which of the predictor's own trades, foreseen out of sample, earned more than they cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.bars import Floats
from models.calibration import at_the_door
from research.config import TrainConfig
from research.weights import Rows, sample_weights, uniqueness


class AuditEvents(NamedTuple):
    """Trades that the predictor proposed on bars its fold's model had never seen.

    Parameters
    ----------
    row : int64 array of shape (m,)
        Bars of the decisions, ascending.
    end : int64 array of shape (m,)
        Last bar each trade has seen.
    fold : int64 array of shape (m,)
        Whose model proposed it.
    fence : int64 array of shape (m,)
        Last bar that model had seen, labels included.
    inputs : float32 array of shape (m, inputs)
        What was known at the decision.
    net : float64 array of shape (m,)
        What the trade earned after costs, as a fraction of its notional.
    """

    row: Rows
    end: Rows
    fold: Rows
    fence: Rows
    inputs: NDArray[np.float32]
    net: Floats

    def some(self, keep: Any) -> AuditEvents:
        """Return some of the events."""
        return AuditEvents(*(column[keep] for column in self))

    def before(self, row: int) -> AuditEvents:
        """Return the events that were over before a bar."""
        return self.some(self.end < row)


@dataclass(frozen=True, eq=False)
class FittedAuditor:
    """An auditor and what was found while fitting it.

    Parameters
    ----------
    raw : bytes
        XGBoost's JSON.
    names : tuple of str
        Its inputs.
    notes : dict
        Events, their n_eff and base rate, trees kept, whether it could learn at all.
    """

    raw: bytes
    names: tuple[str, ...]
    notes: dict[str, Any]

    def probability(self, inputs: NDArray[np.float32]) -> Floats:
        """Return P(earns more than its costs), as served."""
        from models.auditor import Auditor

        return Auditor(self.raw, self.names).probability(inputs)


def fit_auditor(events: AuditEvents, names: tuple[str, ...], config: TrainConfig) -> FittedAuditor:
    """Fit on earlier events, stop on later ones, purged between.

    With too few events, or with events of one kind only, nothing can be learned: the auditor then
    says the base rate to every trade, and its notes say so.

    Parameters
    ----------
    events : AuditEvents
        Only such as were foreseen out of sample; asserted.
    names : tuple of str
        Names of the inputs.
    config : TrainConfig
        Sizes and seed.
    """
    assert (events.fence < events.row).all(), "an auditor may only learn from trades foreseen out of sample"
    s, z = config.auditor, (events.net > 0.0).astype(np.float64)
    notes: dict[str, Any] = {"events": len(z)}
    if len(z):
        unique = uniqueness(events.row + 1, events.end)
        notes |= {"n_eff": float(unique.sum()), "base_rate": float(np.average(z, weights=unique))}
    if len(z) >= s.least_events:
        first = events.row[int(len(z) * (1.0 - s.later))]
        train, later = np.flatnonzero(events.end < first - config.embargo), np.flatnonzero(events.row >= first)
        if len(set(z[train])) == 2 and len(set(z[later])) == 2:
            raw, kept = _learned(events, z, (train, later), names, config)
            return FittedAuditor(raw, names, notes | {"kind": "trees", "trees": kept})
    return FittedAuditor(_constant(notes.get("base_rate", 0.5), names), names, notes | {"kind": "constant", "trees": 1})


def break_even(events: AuditEvents) -> float:
    """Return the chance of a profit at which the average trade earns nothing: its wins against its losses.

    Derived from the terms of the trades, not chosen for a result; but the trades it judges must not be
    among those it is made of. To the decimals of the door.

    Examples
    --------
    >>> none = np.empty(0, np.int64)
    >>> paid = AuditEvents(none, none, none, none, np.empty((0, 1), np.float32), np.array([0.01, -0.03]))
    >>> round(break_even(paid), 6)
    0.75
    """
    won, lost = events.net[events.net > 0.0], events.net[events.net <= 0.0]
    if len(won) == 0 or len(lost) == 0:
        return 0.5
    return float(at_the_door(np.clip(-lost.mean() / (won.mean() - lost.mean()), 0.05, 0.95)))


def _learned(
    events: AuditEvents, z: Floats, split: tuple[Rows, Rows], names: tuple[str, ...], config: TrainConfig
) -> tuple[bytes, int]:
    from xgboost import DMatrix, train

    s = config.auditor
    seen, judged = (
        DMatrix(
            events.inputs[part],
            z[part],
            weight=sample_weights(events.row[part] + 1, events.end[part]),
            feature_names=list(names),
            nthread=config.threads,
        )
        for part in split
    )
    terms = {
        "objective": "binary:logistic",
        "base_score": float(np.average(z[split[0]], weights=seen.get_weight())),
        "max_depth": s.depth,
        "eta": s.rate,
        "lambda": s.ridge,
        "min_child_weight": s.least_weight,
        "subsample": 0.8,
        "colsample_bytree": 0.5,
        "tree_method": "hist",
        "seed": config.seed,
        "nthread": config.threads,
        "verbosity": 0,
    }
    booster = train(terms, seen, s.rounds, evals=[(judged, "later")], early_stopping_rounds=20, verbose_eval=False)
    kept = booster.best_iteration + 1
    return bytes(booster[:kept].save_raw("json")), kept


def _constant(rate: float, names: tuple[str, ...]) -> bytes:
    """Return a model of one bare leaf that says the base rate."""
    from xgboost import DMatrix, train

    rate = float(np.clip(rate, 0.01, 0.99))
    nothing = DMatrix(np.zeros((2, len(names)), np.float32), np.array([0.0, 1.0]), feature_names=list(names))
    terms = {"objective": "binary:logistic", "base_score": rate, "eta": 0.0, "max_depth": 1, "verbosity": 0}
    return bytes(train(terms, nothing, 1).save_raw("json"))
