"""Several candidates as one: the mean of their log-odds, or weights learned where none of them had seen the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.bars import Floats
from research.calibrate import Line, fit_line
from research.candidates import Model, fit_candidate, restore_candidate
from research.config import TrainConfig
from research.events import Examples, Split
from research.splits import inner_split, purged_folds
from research.weights import Rows

Tick = Callable[[float], None]


@dataclass(frozen=True, eq=False)
class EnsembleModel:
    """Fitted members and how much each is heard.

    Parameters
    ----------
    members : tuple of Model
        Fitted on the same rows.
    slopes : float64 array of shape (K,)
        What a member's raw log-odds count: weight times the slope of its own calibration.
    offset : float
        Added to the sum.
    """

    kind = "ensemble"
    members: tuple[Model, ...]
    slopes: Floats
    offset: float

    def logits(self, examples: Examples, rows: Rows) -> Floats:
        """Return the raw log-odds at each row, shape (len(rows),)."""
        out = np.full(len(rows), self.offset)
        for slope, member in zip(self.slopes, self.members, strict=True):
            out += slope * member.logits(examples, rows)
        return out

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything learned as arrays, a member's under its kind."""
        own: dict[str, NDArray[Any]] = {"slopes": self.slopes, "offset": np.array(self.offset)}
        return own | {f"{m.kind}:{name}": value for m in self.members for name, value in m.state().items()}

    @staticmethod
    def restore(state: dict[str, NDArray[Any]], config: TrainConfig) -> EnsembleModel:
        """Return the model that ``state`` described."""
        members = []
        for kind in config.ensemble.members:
            own = {name.split(":", 1)[1]: value for name, value in state.items() if name.startswith(f"{kind}:")}
            members.append(restore_candidate(kind, own, config))
        return EnsembleModel(tuple(members), state["slopes"], float(state["offset"]))


def fit_ensemble(
    examples: Examples, split: Split, config: TrainConfig, tick: Tick | None = None, other_seed: int = 0
) -> tuple[EnsembleModel, dict[str, Any]]:
    """Fit every member on the training rows, and the weights on log-odds of rows that no member had seen.

    Returns
    -------
    model, notes
        The notes hold each member's weight and notes, and for stacking the rows foreseen out of fold.
    """
    e = config.ensemble
    fits = len(e.members) * (1 + (e.folds if e.weighing == "stacked" else 0))
    done = 0

    def fit(kind: str, where: Split) -> tuple[Model, Line, dict[str, Any]]:
        nonlocal done
        begun = done
        share = None if tick is None else lambda part: tick((begun + part) / fits)
        model, notes = fit_candidate(kind, examples, where, config, share, other_seed)
        done += 1
        if tick is not None:
            tick(done / fits)
        y, unique = examples.y[where.inner], examples.uniqueness(where.inner)
        return model, fit_line(model.logits(examples, where.inner), y, unique, config.calibration.method), notes

    weights, intercept, foreseen = np.full(len(e.members), 1.0 / len(e.members)), 0.0, 0
    if e.weighing == "stacked":
        rows, logits = out_of_fold(examples, split, config, lambda kind, where: fit(kind, where)[:2])
        weights, intercept = stack(logits, examples.y[rows], examples.uniqueness(rows), e.ridge)
        foreseen = len(rows)
    fitted = [fit(kind, split) for kind in e.members]
    lines = [line for _, line, _ in fitted]
    slopes = weights * np.array([line.a for line in lines])
    offset = intercept + float(weights @ np.array([line.b for line in lines]))
    notes: dict[str, Any] = {"weights": dict(zip(e.members, weights.tolist(), strict=True)), "foreseen": foreseen}
    notes |= {"members": dict(zip(e.members, (note for *_, note in fitted), strict=True))}
    return EnsembleModel(tuple(model for model, *_ in fitted), slopes, offset), notes


def out_of_fold(
    examples: Examples, split: Split, config: TrainConfig, fit: Callable[[str, Split], tuple[Model, Line]]
) -> tuple[Rows, Floats]:
    """Return the training rows that could be foreseen and each member's calibrated log-odds there.

    The training rows are cut into runs; each run is foreseen by members that learned from the others, purged and
    embargoed, stopped and calibrated on the last part of what they learned from. A fit whose labels are all
    alike foresees nothing.

    Returns
    -------
    rows : int64 array of shape (m,)
    logits : float64 array of shape (m, K)
    """
    everything, members = split.train, config.ensemble.members
    logits = np.full((len(everything), len(members)), np.nan)
    ends = examples.end[everything]
    for taught, held in purged_folds(everything + 1, ends, config.ensemble.folds, config.embargo):
        train, inner = inner_split(everything[taught], examples.end, config.folds.inner, config.embargo)
        part = examples.split(train, inner)
        for k, kind in enumerate(members):
            model, line = fit(kind, part)
            logits[held, k] = line.a * model.logits(examples, everything[held]) + line.b
    known = np.isfinite(logits).all(axis=1)
    return everything[known], logits[known]


def stack(logits: Floats, y: Floats, unique: Floats, ridge: float) -> tuple[Floats, float]:
    """Return weights of at least 0 and an intercept that lose least, held to equal weights by a ridge.

    Parameters
    ----------
    logits : float64 array of shape (m, K)
        Of members that had not seen these rows.
    y, unique : float64 arrays of shape (m,)
        Outcomes, and what each label counts among those it overlaps with; the sum is n_eff.
    ridge : float
        Strength, in independent labels.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> z = rng.standard_normal((20_000, 3))
    >>> y = (rng.random(20_000) < 1 / (1 + np.exp(-z[:, 0]))).astype(float)
    >>> stack(z, y, np.ones(20_000), 1.0)[0].round(1).tolist()
    [1.0, 0.0, 0.0]
    """
    from scipy.optimize import minimize

    members = logits.shape[1]
    equal = np.full(members, 1.0 / members)

    def loss(at: Floats) -> tuple[float, Floats]:
        weights, z = at[:-1], logits @ at[:-1] + at[-1]
        surprise = np.logaddexp(0.0, z) - y * z
        pull = unique * (1.0 / (1.0 + np.exp(-z)) - y)
        slope = np.r_[logits.T @ pull + ridge * (weights - equal), pull.sum()]
        return float(unique @ surprise + 0.5 * ridge * np.sum((weights - equal) ** 2)), slope

    bounds = [(0.0, None)] * members + [(None, None)]
    found = minimize(loss, np.r_[equal, 0.0], jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500})
    return np.asarray(found.x[:-1], np.float64), float(found.x[-1])
