"""The label of the mean-reversion agent: whether a trade against the last move is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from engine.barriers import label_barriers
from engine.bars import Bars, Floats
from engine.errors import UsageError
from research.config import TrainConfig
from research.events import Examples, Fades, was_right


def fade_side(move: NDArray[np.float32], unit: NDArray[np.float32], least_move: float) -> NDArray[np.int8]:
    """Return the side against the last move, 0 where it was too small to be worth one.

    Parameters
    ----------
    move, unit : float32 arrays of shape (n,)
        The last move, and an ATR in the same scale.
    least_move : float
        In ATRs.

    Examples
    --------
    >>> fade_side(np.float32([0.02, -0.03, 0.001]), np.float32([0.01, 0.01, 0.01]), 1.0).tolist()
    [-1, 1, 0]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = move / unit
    return np.where(np.abs(moved) >= np.float32(least_move), -np.sign(moved), 0.0).astype(np.int8)


def with_fades(examples: Examples, bars: Bars, config: TrainConfig, names: Sequence[str], unit: Floats) -> Examples:
    """Return the examples with the outcome of a trade against each bar's last move.

    The trade is the one the kernel walks: barriers, fills and time limit of every other label, its side
    against the move. Where it ends later than the label of a long trade, the row's end is the later one.

    Parameters
    ----------
    examples : Examples
        Of the same bars.
    bars : Bars
        The market.
    config : TrainConfig
        Barriers, costs, and in ``resnet`` what a move is.
    names : sequence of str
        Features of the examples' columns.
    unit : float64 array of shape (n,)
        ATR, the barriers' unit.

    Raises
    ------
    UsageError
        If the features do not hold the move or its unit.
    """
    asked = (config.resnet.move, config.resnet.unit)
    missing = [name for name in asked if name not in names]
    if missing:
        raise UsageError(
            f"the resnet fades {asked[0]} in units of {asked[1]}, but {missing[0]!r} is not among the features;"
            " add it to features, or name others in resnet.move and resnet.unit"
        )
    columns = (names.index(asked[0]), names.index(asked[1]))
    move, scale = (examples.matrix[:, column] for column in columns)
    side = fade_side(move, scale, config.resnet.least_move)
    labels = label_barriers(bars, unit, config.rules, side)
    return replace(examples, end=np.maximum(examples.end, labels.end), fades=Fades(was_right(labels, config), columns))


def joined_fades(parts: Sequence[Fades | None]) -> Fades | None:
    """Return the fades of several markets as one, a market's rows after those of the one before it."""
    known = [part for part in parts if part is not None]
    return Fades(np.concatenate([part.y for part in known]), known[0].columns) if known else None
