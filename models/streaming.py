"""The streaming predictor: every bar of a history in one pass, or one bar at a time, to the same last bit.

A causal Transformer whose layers look back on a band of bars each, so that an answer depends on a known number of
bars (`reach`) and on nothing before them. Nothing is computed twice: where a windowed model reads its whole window
again at each bar, this one keeps the keys and values of the band. A history is one walk over its bars; a bot's next
bar is one step of the same walk.
"""

from __future__ import annotations

from itertools import pairwise
from threading import Lock
from typing import Any

import numpy as np

from engine.bars import Floats
from engine.errors import ModelMismatch, UsageError
from models.attention import COLUMNS, advance
from models.calibration import at_the_door
from models.network import FILE, Floats32, Network, Ring, Rows, empty_ring, open_network
from models.threads import in_threads

STEPS = 256  # bars a live ring takes before its band is moved to the front


class Stream:
    """One bar in, one answer out: what a bot asks at each close.

    Parameters
    ----------
    network : Network
        Everything learned.

    Notes
    -----
    An answer means nothing before ``network.reach`` bars in a row have been shown; whoever shows bars across a gap
    begins to count anew.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self._ring: Ring = empty_ring(network, STEPS)

    def show(self, bars: Floats32) -> Floats32:
        """Return logit and calibrated probability at each of the next bars, float32 of shape (n, 2).

        Parameters
        ----------
        bars : float32 array of shape (n, F)
            Raw features, oldest first; a single bar has n = 1.
        """
        out = np.empty((len(bars), 2), np.float32)
        for first in range(0, len(bars), STEPS):
            advance(bars[first : first + STEPS], self.network, self._ring, out[first : first + STEPS])
        return out


class StreamingPredictor:
    """The streaming network behind the door of every predictor.

    Parameters
    ----------
    content : bytes
        ``predictor.safetensors``: the arrays of `models.network.Network`.
    window : int
        Bars that decide, as the manifest says; the network's reach.
    features : int
        F, columns of a bar.
    name : str
        Whose file it is, for messages.

    Raises
    ------
    ModelMismatch
        If the arrays are not those of a network of this reach and width.

    Notes
    -----
    A bar asked about is answered from exactly ``window`` bars. Asked about the last bar alone, again and again as
    bars arrive, it goes on from where it stands as long as the bars behind are, byte for byte, those it was shown.
    """

    def __init__(self, content: bytes, window: int, features: int, name: str = FILE) -> None:
        self.window = window
        self.features = features
        self.name = name
        self.network = open_network(content, name)
        if (self.network.reach, len(self.network.mean)) != (window, features):
            raise ModelMismatch(
                f"{name} looks back on {self.network.reach} bars of {len(self.network.mean)} features, its manifest"
                f" says {window} bars of {features}; retrain"
            )
        self._begin()

    def _begin(self) -> None:
        self._stream, self._shown, self._turn = Stream(self.network), b"", Lock()

    def probabilities(self, matrix: Floats32, rows: Rows) -> Floats:
        """Return the calibrated probability at each row asked for, rounded to 6 decimals.

        Parameters
        ----------
        matrix : float32 array of shape (n, F)
            Features of every bar, oldest first.
        rows : int64 array of shape (m,)
            Bars to predict at; each needs ``window - 1`` bars before it.

        Returns
        -------
        float64 array of shape (m,)
        """
        return at_the_door(self.outputs(matrix, rows)[1])

    def outputs(self, matrix: Floats32, rows: Rows) -> tuple[Floats32, Floats32]:
        """Return raw logits and calibrated probabilities, float32 of shape (m,) each."""
        matrix, rows = np.ascontiguousarray(matrix, np.float32), np.asarray(rows, np.int64)
        self._check(matrix, rows)
        if len(rows) == 0:
            return np.empty(0, np.float32), np.empty(0, np.float32)
        if len(rows) == 1:
            told = self._next(matrix[rows[0] - self.window + 1 : rows[0] + 1])
            return told[:, 0], told[:, 1]
        out = np.empty((len(rows), 2), np.float32)

        def answer(first: int, end: int) -> None:
            self._walk(matrix, rows[first:end], out[first:end])

        in_threads(answer, len(rows), COLUMNS)
        return out[:, 0], out[:, 1]

    def _walk(self, matrix: Floats32, rows: Rows, out: Floats32) -> None:
        """Answer rows in ascending order, walking on from one to the next unless it is nearer to begin anew."""
        breaks = np.flatnonzero(np.diff(rows) >= self.window) + 1
        for first, end in pairwise([0, *breaks.tolist(), len(rows)]):
            begin = int(rows[first]) - self.window + 1
            bars = matrix[begin : int(rows[end - 1]) + 1]
            told = np.empty((len(bars), 2), np.float32)
            advance(bars, self.network, empty_ring(self.network, COLUMNS), told)
            out[first:end] = told[rows[first:end] - begin]

    def _next(self, bars: Floats32) -> Floats32:
        """Answer the last of ``window`` bars, by one step if those before it are the ones shown last."""
        with self._turn:
            if bars[:-1].tobytes() != self._shown:
                self._stream.show(bars[:-1])
            told = self._stream.show(bars[-1:])
            self._shown = bars[1:].tobytes()
        return told

    def _check(self, matrix: Floats32, rows: Rows) -> None:
        if matrix.ndim != 2 or matrix.shape[1] != self.features:
            raise UsageError(f"features must have shape (n, {self.features}), had {matrix.shape}")
        if len(rows) and not self.window - 1 <= rows.min() <= rows.max() < len(matrix):
            raise UsageError(
                f"rows must lie in {self.window - 1}..{len(matrix) - 1}, as an answer rests on {self.window} bars;"
                f" was {rows.min()}..{rows.max()}"
            )
        if (np.diff(rows) <= 0).any():
            raise UsageError("rows must be asked for in ascending order, each once")

    def __getstate__(self) -> dict[str, Any]:
        """Leave the ring behind: another process begins its own."""
        return {name: value for name, value in self.__dict__.items() if name[0] != "_"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Begin a ring of one's own."""
        self.__dict__.update(state)
        self._begin()
