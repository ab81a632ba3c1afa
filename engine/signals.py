"""What the models say at each bar, and what a strategy wishes because of it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.bars import Bars, Floats

Sides = NDArray[np.int8]
Verdicts = NDArray[np.bool_]

WISH, NO_EVIDENCE, BELOW_THRESHOLD, FIRST_VETO = 0, 1, 2, 3


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What the models say at the close of each bar; NaN where nothing can be said.

    Parameters
    ----------
    p_up : float64 array of shape (n,)
        Calibrated probability that a long trade entered at the next open is right (upper barrier first).
    lean : int8 array of shape (n,)
        The side the predictor would take: 1 long, -1 short. Always 1 in a long-only bundle.
    rank : float64 array of shape (n,)
        Percentile, for the lean side, of the probability among the validation zone's predictions, in [0, 1].
    belief : float64 array of shape (n, k)
        Probability of each regime given the bars so far; columns by ascending volatility.
    audit : float64 array of shape (n,)
        The auditor's probability that a trade to the lean side earns more than its costs.
    atr : float64 array of shape (n,)
        Average true range in price units; the barriers' unit.
    tau : float64 array of shape (n,) or None
        The auditor's bar at each row when it was recorded; None: the bundle's own threshold holds.
    watch : float64 array of shape (n, watches) or None
        What the bundle's watches say, in [0, 1]; None: it has none.
    """

    p_up: Floats
    lean: Sides
    rank: Floats
    belief: Floats
    audit: Floats
    atr: Floats
    tau: Floats | None = None
    watch: Floats | None = None

    def __len__(self) -> int:
        return len(self.p_up)

    def __getitem__(self, rows: slice) -> Evidence:
        columns: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        columns = {name: None if column is None else column[rows] for name, column in columns.items()}
        return Evidence(**columns)

    @property
    def probability(self) -> Floats:
        """Calibrated probability that the lean side is right, shape (n,)."""
        return np.where(self.lean > 0, self.p_up, 1.0 - self.p_up)


@dataclass(frozen=True, slots=True, eq=False)
class Signals:
    """The wishes of one strategy, one per bar, each with the evidence and verdicts behind it.

    Parameters
    ----------
    side : int8 array of shape (n,)
        The wish decided at each close: 1 enter long, -1 enter short, 0 nothing.
    atr : float64 array of shape (n,)
        ATR at each close in price units.
    evidence : Evidence or None
        None for controls that need no model.
    confidence : float64 array of shape (n,)
        In the strategy's declared mode, for the lean side.
    proposed : int8 array of shape (n,)
        What the predictor alone would wish at this threshold; ``side`` is ``proposed`` or 0.
    gates : dict of str to bool array of shape (n,)
        Each gate's verdict on every bar (True = allowed), whether or not anything was proposed.
    reason : uint8 array of shape (n,)
        0 a wish, 1 no evidence (warm-up or gap), 2 below the threshold, 3+i vetoed by gate i (the first that said no).
    """

    side: Sides
    atr: Floats
    evidence: Evidence | None = None
    confidence: Floats = field(default_factory=lambda: np.empty(0))
    proposed: Sides = field(default_factory=lambda: np.empty(0, np.int8))
    gates: dict[str, Verdicts] = field(default_factory=dict)
    reason: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))

    def __len__(self) -> int:
        return len(self.side)

    def __getitem__(self, rows: slice) -> Signals:
        return Signals(
            side=self.side[rows],
            atr=self.atr[rows],
            evidence=None if self.evidence is None else self.evidence[rows],
            confidence=self.confidence[rows],
            proposed=self.proposed[rows],
            gates={name: verdict[rows] for name, verdict in self.gates.items()},
            reason=self.reason[rows],
        )

    def why(self, row: int) -> str:
        """Return in words why the wish of a row is what it is."""
        code = int(self.reason[row]) if len(self.reason) else (WISH if self.side[row] else BELOW_THRESHOLD)
        if code >= FIRST_VETO:
            return f"vetoed by {list(self.gates)[code - FIRST_VETO]}"
        return ("wish", "no evidence", "below threshold")[code]


class Strategy(Protocol):
    """Anything that turns closed bars into wishes.

    ``memory`` bars decide: for every t, ``signals(bars[t - memory + 1 : t + 1])`` ends with the same
    decision, bit for bit, as ``signals(bars)`` has at t. ``since`` says from which row on the caller
    wants decisions; rows before it may be left without evidence.
    """

    @property
    def name(self) -> str: ...
    @property
    def memory(self) -> int: ...
    def signals(self, bars: Bars, since: int = 0) -> Signals: ...
