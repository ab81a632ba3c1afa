"""Gradient-boosted trees served from XGBoost's own JSON, without XGBoost: milliseconds to load, microseconds a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.bars import Floats
from engine.errors import ModelMismatch
from models.calibration import sigmoid
from models.manifest import parse_json
from models.threads import in_threads

TOGETHER = 64  # trees walked side by side: a row's next node in one does not wait for its next in another
STEP_ROWS = 64  # rows a thread takes at the least


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """The trees of a binary classifier, laid flat; a node's right child lies directly after its left.

    A leaf is its own left child and nothing lies right of it, so that every walk may take ``depth`` steps.

    Parameters
    ----------
    names : tuple of str
        Feature names stored by XGBoost; empty if there are none.
    features : int
        Columns of a row.
    margin : float
        Log-odds before any tree.
    depth : int
        Steps from a root to the farthest leaf.
    roots : uint32 array of shape (trees,)
        First node of each tree.
    feature : uint32 array of shape (nodes,)
        Column a node asks for; 0 at a leaf.
    split : float32 array of shape (nodes,)
        Rows below it go left; NaN at a leaf.
    left : uint32 array of shape (nodes,)
        Where rows below the split go; a leaf itself.
    missing_left : bool array of shape (nodes,)
        Whether rows without a value go left; True at a leaf.
    leaf : float32 array of shape (nodes,)
        Output of a leaf; 0 elsewhere.
    """

    names: tuple[str, ...]
    features: int
    margin: float
    depth: int
    roots: NDArray[np.uint32]
    feature: NDArray[np.uint32]
    split: NDArray[np.float32]
    left: NDArray[np.uint32]
    missing_left: NDArray[np.bool_]
    leaf: NDArray[np.float32]

    def probability(self, rows: NDArray[np.float32]) -> Floats:
        """Return P(class 1) of each row of an (n, features) float32 matrix, shape (n,); NaN is a missing value."""
        rows = np.ascontiguousarray(rows, np.float32)
        margins = np.zeros(len(rows), np.float32)
        nodes = (self.feature, self.split, self.left, self.missing_left, self.leaf)

        def add(first: int, end: int) -> None:
            add_leaves(margins[first:end], rows[first:end], self.roots, nodes, self.depth)

        in_threads(add, len(rows), STEP_ROWS)
        return sigmoid(margins.astype(np.float64) + self.margin)


@njit(cache=True, nogil=True)
def add_leaves(out, rows, roots, nodes, depth):  # type: ignore[no-untyped-def]
    """Add to ``out`` the leaves each row falls into, tree by tree in float32, as XGBoost adds them."""
    feature, split, left, missing_left, leaf = nodes
    at = np.empty(TOGETHER, np.uint32)
    for i in range(len(rows)):
        for first in range(0, len(roots), TOGETHER):
            trees = min(TOGETHER, len(roots) - first)
            at[:trees] = roots[first : first + trees]
            for _ in range(depth):
                for j in range(trees):
                    node = at[j]
                    x = rows[i, feature[node]]
                    right = not missing_left[node] if np.isnan(x) else x >= split[node]
                    at[j] = left[node] + np.uint32(right)
            for j in range(trees):
                out[i] += leaf[at[j]]


def parse_trees(raw: bytes, where: str) -> Trees:
    """Return the trees of an XGBoost model file (JSON, version 3 or later, ``binary:logistic``).

    Raises
    ------
    ModelMismatch
        For another booster or objective, categorical splits, and anything a tree cannot be.
    """
    page = parse_json(raw, where)
    try:
        learner = page["learner"]
        kind = (learner["gradient_booster"]["name"], learner["objective"]["name"])
        if page["version"][0] < 3 or kind != ("gbtree", "binary:logistic"):
            raise ModelMismatch(
                f"{where} holds {kind} of XGBoost {page['version']}; retrain with gbtree, binary:logistic, 3 or later"
            )
        width = int(learner["learner_model_param"]["num_feature"])
        base = float(learner["learner_model_param"]["base_score"].strip("[]"))
        layouts = [_layout(tree, width, where) for tree in learner["gradient_booster"]["model"]["trees"]]
        names = tuple(learner.get("feature_names") or ())
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ModelMismatch(f"{where} is no XGBoost model ({type(error).__name__}: {error}); retrain") from None
    if not 0.0 < base < 1.0 or (names and len(names) != width):
        raise ModelMismatch(f"{where} has base score {base} and {len(names)} names for {width} features; retrain")
    return _join(layouts, names, width, float(np.log(base / (1.0 - base))))


def _layout(tree: dict[str, Any], width: int, where: str) -> list[tuple[int, float, int, bool, int]]:
    """Return a tree's nodes breadth first, each with its depth: every node is reached once or the file is refused."""
    left, right = tree["left_children"], tree["right_children"]
    split, threshold = tree["split_indices"], tree["split_conditions"]
    missing, kinds = tree["default_left"], tree["split_type"]
    queue: list[tuple[int, int]] = [(0, 0)]
    out: list[tuple[int, float, int, bool, int]] = []
    for node, depth in queue:
        if node < 0 or len(queue) > len(left):
            raise ModelMismatch(f"{where} has a tree whose branches do not end; retrain")
        if left[node] < 0:
            out.append((-1, float(threshold[node]), len(out), True, depth))
            continue
        if kinds[node] != 0 or not 0 <= split[node] < width:
            raise ModelMismatch(
                f"{where} splits on a category or on feature {split[node]} of {width}; retrain on numbers"
            )
        out.append((int(split[node]), float(threshold[node]), len(queue), bool(missing[node]), depth))
        queue += [(left[node], depth + 1), (right[node], depth + 1)]
    return out


def _join(
    layouts: list[list[tuple[int, float, int, bool, int]]], names: tuple[str, ...], width: int, margin: float
) -> Trees:
    sizes = np.array([len(layout) for layout in layouts], np.int64)
    roots = np.cumsum(sizes) - sizes
    nodes = [
        (feature, value, left + root, missing, depth)
        for layout, root in zip(layouts, roots.tolist(), strict=True)
        for feature, value, left, missing, depth in layout
    ]
    feature, value, left, missing, depth = zip(*nodes, strict=True) if nodes else ((), (), (), (), ())
    column, number = np.array(feature, np.int64), np.array(value, np.float32)
    ends = column < 0
    return Trees(
        names=names,
        features=width,
        margin=margin,
        depth=max(depth, default=0),
        roots=roots.astype(np.uint32),
        feature=np.where(ends, 0, column).astype(np.uint32),
        split=np.where(ends, np.float32(np.nan), number),
        left=np.array(left, np.uint32),
        missing_left=np.array(missing, np.bool_),
        leaf=np.where(ends, number, np.float32(0.0)),
    )
