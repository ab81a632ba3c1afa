"""The predictor: bars of features in, one calibrated probability out, the same bits in backtest and live."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from engine.bars import Floats
from engine.errors import ModelMismatch, UsageError
from models.calibration import DIGITS as DIGITS
from models.calibration import at_the_door
from models.network import FILE as STREAMING_FILE
from models.network import KIND as STREAMING
from models.threads import in_threads

if TYPE_CHECKING:
    from models.cache import PredictionCache

BATCH = 32  # fastest of 16..1024 on a transformer, and the one shape every prediction is made in
INPUT, OUTPUTS = "window", ("logit", "p")
GRAPH = "predictor.onnx"


class Door(Protocol):
    """What every predictor answers, whatever its kind: see `Predictor`, and `models.streaming.StreamingPredictor`."""

    def probabilities(self, matrix: NDArray[np.float32], rows: NDArray[np.int64]) -> Floats: ...
    def outputs(
        self, matrix: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...


def predictor_file(kind: str) -> str:
    """Return the file of a bundle that holds its predictor.

    Examples
    --------
    >>> predictor_file("transformer"), predictor_file("streaming")
    ('predictor.onnx', 'predictor.safetensors')
    """
    return STREAMING_FILE if kind == STREAMING else GRAPH


def open_predictor(
    kind: str, content: bytes, window: int, features: int, name: str = "", cache: PredictionCache | None = None
) -> Door:
    """Return the predictor that a file's bytes hold.

    Parameters
    ----------
    kind : str
        As the manifest names it; all but ``streaming`` are graphs over a window.
    content : bytes
        Of the file.
    window, features : int
        Bars that an answer rests on, and columns of a bar.
    name : str
        Whose file it is, for messages.
    cache : PredictionCache, optional
        Where a graph's probabilities are kept; the streaming network answers sooner than a cache is looked into.

    Raises
    ------
    ModelMismatch
        If the file holds no predictor of this shape.
    """
    where = name + predictor_file(kind)
    if kind == STREAMING:
        from models.streaming import StreamingPredictor

        return StreamingPredictor(content, window, features, where)
    return Predictor(content, window, features, where, cache)


class Predictor:
    """An ONNX graph behind one door: always asked in batches of 32 windows, the last one padded.

    Parameters
    ----------
    graph : bytes
        ONNX model: input ``window`` float32 (32, L, F) of raw features, outputs ``logit`` and ``p`` of shape (32,).
    window : int
        L, bars of a window.
    features : int
        F, columns of a window.
    name : str
        Whose graph it is, for messages.
    cache : PredictionCache, optional
        Where probabilities worked out before are kept; without one every question is answered anew.

    Notes
    -----
    A session runs on one thread and is asked from several, so the bits of a prediction depend
    neither on the machine's number of cores nor on which rows are asked for together.
    """

    def __init__(
        self,
        graph: bytes,
        window: int,
        features: int,
        name: str = GRAPH,
        cache: PredictionCache | None = None,
    ) -> None:
        self.window = window
        self.features = features
        self.name = name
        self._graph = graph
        self._cache = cache
        self._session: Any = None

    def probabilities(self, matrix: NDArray[np.float32], rows: NDArray[np.int64]) -> Floats:
        """Return the calibrated probability at each row asked for, rounded to 6 decimals.

        Parameters
        ----------
        matrix : float32 array of shape (n, F)
            Features of every bar, oldest first.
        rows : int64 array of shape (m,)
            Bars to predict at; each needs L - 1 bars before it.

        Returns
        -------
        float64 array of shape (m,)
        """
        rows = np.asarray(rows, np.int64)
        self._check(matrix, rows)
        if self._cache is None:
            return self._asked(matrix, rows)
        return self._cache.probabilities(self.sha256, self.window, (matrix, rows), self._asked)

    @cached_property
    def sha256(self) -> str:
        """The graph's sha256: a manifest's name for its predictor."""
        return hashlib.sha256(self._graph).hexdigest()

    def _asked(self, matrix: NDArray[np.float32], rows: NDArray[np.int64]) -> Floats:
        return at_the_door(self.outputs(matrix, rows)[1])

    def outputs(
        self, matrix: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return raw logits and calibrated probabilities as the graph gives them, float32 of shape (m,) each."""
        rows = np.asarray(rows, np.int64)
        self._check(matrix, rows)
        if len(rows) == 0:
            return np.empty(0, np.float32), np.empty(0, np.float32)
        session = self.session
        flat = np.ascontiguousarray(matrix, np.float32).ravel()
        windows = sliding_window_view(flat, self.window * self.features)[:: self.features]
        starts = np.pad(rows - (self.window - 1), (0, -len(rows) % BATCH), mode="edge")
        logit, p = np.empty(len(starts), np.float32), np.empty(len(starts), np.float32)
        shape = (BATCH, self.window, self.features)

        def predict(first: int, end: int) -> None:
            for i in range(first, end, BATCH):
                batch = slice(i, i + BATCH)
                logit[batch], p[batch] = session.run(OUTPUTS, {INPUT: windows[starts[batch]].reshape(shape)})

        in_threads(predict, len(starts), BATCH)
        return logit[: len(rows)], p[: len(rows)]

    @property
    def session(self) -> Any:
        """The inference session, started when first needed."""
        if self._session is None:
            self._session = self._start()
        return self._session

    def __getstate__(self) -> dict[str, Any]:
        """Leave the session behind: another process starts its own."""
        return {**self.__dict__, "_session": None}

    def _start(self) -> Any:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.log_severity_level = 4
        try:
            session = ort.InferenceSession(self._graph, options, providers=["CPUExecutionProvider"])
        except _refusals() as error:
            text = str(error).splitlines()[0][:200]
            raise ModelMismatch(f"{self.name} is no graph this ONNX Runtime can run ({text}); retrain") from None
        asked = {node.name: (node.type, list(node.shape)) for node in session.get_inputs()}
        given = {node.name: (node.type, list(node.shape)) for node in session.get_outputs()}
        shape = [BATCH, self.window, self.features]
        if asked != {INPUT: ("tensor(float)", shape)}:
            raise ModelMismatch(
                f"{self.name} must take one float input {INPUT!r} of shape {shape}, takes {asked}; retrain"
            )
        if any(given.get(name) != ("tensor(float)", [BATCH]) for name in OUTPUTS):
            raise ModelMismatch(
                f"{self.name} must give float outputs {OUTPUTS} of shape [{BATCH}], gives {given}; retrain"
            )
        return session

    def _check(self, matrix: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
        if matrix.ndim != 2 or matrix.shape[1] != self.features:
            raise UsageError(f"features must have shape (n, {self.features}), had {matrix.shape}")
        if len(rows) and not self.window - 1 <= rows.min() <= rows.max() < len(matrix):
            raise UsageError(
                f"rows must lie in {self.window - 1}..{len(matrix) - 1}, as a window has {self.window} bars;"
                f" was {rows.min()}..{rows.max()}"
            )


def _refusals() -> tuple[type[Exception], ...]:
    """Return ONNX Runtime's exceptions; they share no base below Exception."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = (
        "Fail",
        "InvalidArgument",
        "InvalidProtobuf",
        "InvalidGraph",
        "NotImplemented",
        "RuntimeException",
        "NoModel",
    )
    return tuple(getattr(state, name) for name in names)
