"""The walk-forward: every part refitted at each step, every row predicted by models that never saw it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.bars import Floats
from models.auditor import audit_inputs
from models.calibration import ConfidenceTable, lean_of
from research.calibrate import fit_line
from research.candidates import fit_candidate
from research.fit_auditor import AuditEvents, FittedAuditor, break_even, fit_auditor
from research.fit_regime import fit_regime
from research.splits import Fold
from research.study import Study
from research.weights import Rows

Tick = Callable[[float], None]  # told the finished share of the step under way


class Forecast(NamedTuple):
    """What one fold's models said about the bars they had never seen.

    Parameters
    ----------
    number, fence : int
        The fold, and the last bar its models had seen, labels included.
    rows : int64 array of shape (m,)
        Bars predicted.
    p_up, rank : float64 arrays of shape (m,)
        Calibrated on the fold's inner validation and ranked in its table.
    lean : int8 array of shape (m,)
        Side.
    belief : float64 array of shape (m, k)
        Of the fold's own regime model.
    """

    number: int
    fence: int
    rows: Rows
    p_up: Floats
    rank: Floats
    lean: NDArray[np.int8]
    belief: Floats


class Audit(NamedTuple):
    """What one fold's auditor said about the fold's bars, and from where on its gate would have let a trade pass.

    Parameters
    ----------
    chance : float64 array of shape (m,)
        P(earns more than its costs) of each row; NaN while too few trades had happened to learn from.
    tau : float
        Break-even of the trades the auditor learned from; NaN where there is no auditor.
    """

    chance: Floats
    tau: float

    @property
    def taus(self) -> Floats:
        """The bar of each row, shape (m,)."""
        return np.full(len(self.chance), self.tau)


def run_fold(study: Study, fold: Fold, kind: str, tick: Tick) -> tuple[Forecast, dict[str, Any]]:
    """Fit every part on the fold's past and predict its bars.

    Returns
    -------
    forecast, notes
        The notes of the fits, with the spans of the fold.
    """
    examples, config = study.examples, study.config
    split = study.split(fold)
    model, notes = fit_candidate(kind, examples, split, config, tick)
    line = fit_line(
        model.logits(examples, split.inner),
        examples.y[split.inner],
        study.uniqueness(split.inner),
        config.calibration.method,
    )
    table = ConfidenceTable.from_predictions(line.apply(model.logits(examples, split.inner)))
    regime, regime_notes = fit_regime(study.bars, study.regime_features, fold.fence + 1, config)
    rows = study.predictable(fold.test)
    p_up = line.apply(model.logits(examples, rows))
    lean = lean_of(p_up, config.sides)
    until = fold.test.stop
    belief = regime.belief(study.bars[:until], study.regime_features[:until])[rows]
    forecast = Forecast(fold.number, fold.fence, rows, p_up, table.rank_of_lean(p_up, lean), lean, belief)
    notes |= {"calibration": line._asdict(), "regime": regime_notes["table"], "training_rows": len(split.train)}
    return forecast, notes


def fit_fold(fold: Fold, shared: tuple[Study, str]) -> tuple[Forecast, dict[str, Any]]:
    """Do what `run_fold` does, on a worker."""
    study, kind = shared
    return run_fold(study, fold, kind, lambda share: None)


def audit_events(study: Study, forecasts: Sequence[Forecast]) -> AuditEvents:
    """Return the trades the folds' models would have proposed at the audited profile's threshold.

    A trade counts if its rank in its own fold's table reaches the threshold and it ended before the
    sealed zone.
    """
    parts = []
    for forecast in forecasts:
        side = np.where(forecast.lean > 0, 0, 1)
        net, end = study.examples.net[forecast.rows, side], study.examples.end[forecast.rows]
        inputs = _inputs(study, forecast)
        fires = (forecast.rank >= study.config.thresholds.audited) & np.isfinite(net) & np.isfinite(inputs).all(axis=1)
        fires &= (end >= 0) & (end < study.stop)
        fold, fence = (np.full(fires.sum(), number) for number in (forecast.number, forecast.fence))
        parts.append(AuditEvents(forecast.rows[fires], end[fires], fold, fence, inputs[fires], net[fires]))
    return AuditEvents(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def audit_forecasts(
    study: Study, forecasts: Sequence[Forecast]
) -> tuple[list[Audit], AuditEvents, list[dict[str, Any]]]:
    """Audit every fold with an auditor, and against a bar, made of the trades of earlier folds alone.

    Returns
    -------
    audits, events, notes
        What each fold's auditor said, and its bar; the events of all folds; what each fold's auditor
        learned from.
    """
    events = audit_events(study, forecasts)
    audits, notes = [], []
    for forecast in forecasts:
        known = events.before(int(forecast.rows[0]) - study.config.embargo)
        chance, tau = np.full(len(forecast.rows), np.nan), float("nan")
        note: dict[str, Any] = {"fold": forecast.number, "events": len(known.row)}
        if len(known.row) >= study.config.auditor.least_events:
            auditor: FittedAuditor = fit_auditor(known, study.auditor_inputs, study.config)
            inputs = _inputs(study, forecast)
            complete = np.isfinite(inputs).all(axis=1)
            chance[complete] = auditor.probability(inputs[complete])
            tau = break_even(known)
            note |= auditor.notes | {"tau": tau}
        audits.append(Audit(chance, tau))
        notes.append(note)
    return audits, events, notes


def _inputs(study: Study, forecast: Forecast) -> NDArray[np.float32]:
    opinions: dict[str, NDArray[Any]] = {"p_up": forecast.p_up, "rank": forecast.rank, "lean": forecast.lean}
    return audit_inputs(study.auditor_inputs, opinions, forecast.belief, study.features[forecast.rows])


def pack(forecast: Forecast) -> dict[str, NDArray[Any]]:
    """Return a forecast as plain arrays."""
    return {name: np.asarray(value) for name, value in forecast._asdict().items()}


def unpack(arrays: dict[str, NDArray[Any]]) -> Forecast:
    """Return the forecast that plain arrays describe."""
    number, fence, *columns = (arrays[name] for name in Forecast._fields)
    return Forecast(int(number), int(fence), *columns)
