"""Boosted trees on the last bar and a few bars before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.bars import Floats
from research.config import TrainConfig
from research.events import Examples, Split
from research.weights import Rows

LEAST_TREES = 10  # fewer leave so few different probabilities that a rank says nothing

if TYPE_CHECKING:
    from xgboost import Booster


@dataclass(frozen=True, eq=False)
class TreeModel:
    """Fitted trees.

    Parameters
    ----------
    booster : xgboost.Booster
        Cut at the best round.
    lags : tuple of int
        Which bars it sees, 0 the last.
    """

    kind = "trees"
    booster: Booster
    lags: tuple[int, ...]

    def logits(self, examples: Examples, rows: Rows) -> Floats:
        """Return the raw log-odds at each row, shape (len(rows),)."""
        from xgboost import DMatrix

        margin = self.booster.predict(DMatrix(examples.lagged(rows, self.lags), nthread=1), output_margin=True)
        return np.asarray(margin, np.float64)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything learned as arrays."""
        return {"json": np.frombuffer(bytes(self.booster.save_raw("json")), np.uint8)}

    @staticmethod
    def restore(state: dict[str, NDArray[Any]], config: TrainConfig) -> TreeModel:
        """Return the model that ``state`` described."""
        from xgboost import Booster

        booster = Booster()
        booster.load_model(bytearray(state["json"].tobytes()))
        return TreeModel(booster, config.trees.lags)


def fit_trees(examples: Examples, split: Split, config: TrainConfig) -> tuple[TreeModel, dict[str, Any]]:
    """Fit on the training rows; the inner validation says when to stop.

    Returns
    -------
    model, notes
        The notes say how many trees were kept.
    """
    from xgboost import DMatrix, train

    s, y = config.trees, examples.y
    seen, judged = (
        DMatrix(examples.lagged(rows, s.lags), y[rows], weight=weights, nthread=config.threads)
        for rows, weights in ((split.train, split.weights), (split.inner, split.inner_weights))
    )
    terms = {
        "objective": "binary:logistic",
        "base_score": float(np.average(y[split.train], weights=split.weights)),
        "max_depth": s.depth,
        "eta": s.rate,
        "min_child_weight": s.least_weight,
        "lambda": s.ridge,
        "subsample": s.rows,
        "colsample_bytree": s.columns,
        "tree_method": "hist",
        "seed": config.seed,
        "nthread": config.threads,
        "verbosity": 0,
    }
    booster = train(
        terms, seen, s.rounds, evals=[(judged, "inner")], early_stopping_rounds=s.patience, verbose_eval=False
    )
    kept = min(max(booster.best_iteration + 1, LEAST_TREES), booster.num_boosted_rounds())
    return TreeModel(booster[:kept], s.lags), {"trees": kept, "inner_loss": float(booster.best_score)}
