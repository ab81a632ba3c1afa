"""The auditor: a second opinion on whether a trade of the predictor's choosing earns more than it costs.

Meta-labelling after Lopez de Prado 2018, ch. 3.6. It may only say no.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.bars import Floats
from engine.errors import ModelMismatch
from models.calibration import at_the_door
from models.trees import parse_trees

OWN_INPUTS = ("p_up", "rank", "lean")  # with belief_0, belief_1, ... what the other parts say; the rest are features


class Auditor:
    """P(the trade earns more than its costs), from XGBoost's own JSON.

    Parameters
    ----------
    raw : bytes
        The model file.
    names : sequence of str
        Its inputs in order: ``p_up``, ``rank``, ``lean``, ``belief_0`` (calmest regime) and so on, and
        names of features, meant at the bar of the decision.
    where : str
        Whose model it is, for messages.
    """

    def __init__(self, raw: bytes, names: Sequence[str], where: str = "auditor.json") -> None:
        self.names = tuple(names)
        self.trees = parse_trees(raw, where)
        self._raw = raw
        if self.trees.features != len(self.names) or self.trees.names not in ((), self.names):
            stored = list(self.trees.names) or self.trees.features
            raise ModelMismatch(
                f"{where} was trained on inputs {stored}, its manifest lists {list(self.names)}; retrain"
            )

    def probability(self, rows: NDArray[np.float32]) -> Floats:
        """Return P(earns more than its costs) of each row of an (n, inputs) float32 matrix, (n,), to 6 decimals."""
        return at_the_door(self.trees.probability(rows))

    def contributions(self, rows: NDArray[np.float32]) -> Floats:
        """Return what each input adds to the log-odds, (n, inputs + 1), the last column being the same for all rows.

        Exact Shapley values by XGBoost itself, which is imported here and nowhere on the way to a decision.
        """
        import xgboost

        booster: Any = xgboost.Booster(model_file=bytearray(self._raw))
        matrix = xgboost.DMatrix(rows, feature_names=list(self.trees.names) or None)
        return np.asarray(booster.predict(matrix, pred_contribs=True), np.float64)


def feature_inputs(names: Sequence[str]) -> tuple[str, ...]:
    """Return which of an auditor's inputs are features.

    Examples
    --------
    >>> feature_inputs(["p_up", "belief_2", "rsi_14"])
    ('rsi_14',)
    """
    return tuple(name for name in names if name not in OWN_INPUTS and not re.fullmatch(r"belief_\d+", name))


def audit_inputs(
    names: Sequence[str], opinions: Mapping[str, NDArray[Any]], belief: Floats, features: Floats
) -> NDArray[np.float32]:
    """Return the rows an auditor judges, float32 of shape (n, inputs): one maker for training and serving.

    Parameters
    ----------
    names : sequence of str
        The auditor's inputs in order.
    opinions : dict
        ``p_up``, ``rank`` and ``lean``, shape (n,) each.
    belief : float64 array of shape (n, k)
        Regime belief.
    features : float64 array of shape (n, number of feature inputs)
        The columns ``feature_inputs(names)``, in that order.
    """
    own = {**opinions, **{f"belief_{i}": belief[:, i] for i in range(belief.shape[1])}}
    own |= {name: features[:, i] for i, name in enumerate(feature_inputs(names))}
    missing = [name for name in names if name not in own]
    if missing:
        raise ModelMismatch(f"auditor asks for {missing[0]!r}, the regime model has {belief.shape[1]} states; retrain")
    return np.stack([np.asarray(own[name], np.float32) for name in names], axis=1)
