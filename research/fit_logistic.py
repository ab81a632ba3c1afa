"""The linear baseline: a logistic regression on the last bar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.bars import Floats
from research.config import TrainConfig
from research.events import Examples, Split
from research.measures import cross_entropy
from research.weights import Rows

LIMIT = 5.0  # standard features are winsorised here, as in research.networks.Scaler


@dataclass(frozen=True, eq=False)
class LinearModel:
    """A fitted logistic regression with its scaler.

    Parameters
    ----------
    mean, deviation, slope : float64 arrays of shape (F,)
        Of the training bars, and the coefficients of standard features.
    intercept : float
        Log-odds of an average bar.
    """

    kind = "logistic"
    mean: Floats
    deviation: Floats
    slope: Floats
    intercept: float

    def logits(self, examples: Examples, rows: Rows) -> Floats:
        """Return the raw log-odds at each row, shape (len(rows),)."""
        out: Floats = _standard(examples.lagged(rows, (0,)), self.mean, self.deviation) @ self.slope + self.intercept
        return out

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything learned as arrays."""
        return {
            "mean": self.mean,
            "deviation": self.deviation,
            "slope": self.slope,
            "intercept": np.array(self.intercept),
        }

    @staticmethod
    def restore(state: dict[str, NDArray[Any]], _: TrainConfig) -> LinearModel:
        """Return the model that ``state`` described."""
        return LinearModel(state["mean"], state["deviation"], state["slope"], float(state["intercept"]))


def fit_logistic(examples: Examples, split: Split, config: TrainConfig) -> tuple[LinearModel, dict[str, Any]]:
    """Fit on the training rows; the inner validation chooses the penalty.

    Returns
    -------
    model, notes
        The notes say which penalty was chosen and what each lost.
    """
    from sklearn.linear_model import LogisticRegression

    mean, deviation = moments(examples.lagged(split.train, (0,)))
    x = _standard(examples.lagged(split.train, (0,)), mean, deviation)
    best, tried = None, {}
    for penalty in config.logistic.penalties:
        fitted = LogisticRegression(C=penalty, max_iter=2000, tol=1e-8)
        fitted.fit(x, examples.y[split.train], sample_weight=split.weights)
        model = LinearModel(mean, deviation, fitted.coef_[0].astype(np.float64), float(fitted.intercept_[0]))
        p = 1.0 / (1.0 + np.exp(-model.logits(examples, split.inner)))
        tried[penalty] = float(np.average(cross_entropy(examples.y[split.inner], p), weights=split.inner_weights))
        if best is None or tried[penalty] < best[0]:
            best = (tried[penalty], penalty, model)
    assert best is not None
    return best[2], {"penalty": best[1], "inner_losses": {str(key): value for key, value in tried.items()}}


def moments(x: NDArray[Any]) -> tuple[Floats, Floats]:
    """Return mean and deviation of each column; 1 where a column stands still."""
    mean, deviation = x.astype(np.float64).mean(axis=0), x.astype(np.float64).std(axis=0)
    return mean, np.where(deviation > 1e-12, deviation, 1.0)


def _standard(x: NDArray[Any], mean: Floats, deviation: Floats) -> Floats:
    return np.clip((x - mean) / deviation, -LIMIT, LIMIT)
