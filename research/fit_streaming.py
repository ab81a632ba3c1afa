"""The streaming predictor's training: a loss at every labelled bar of long stretches, each walked through once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.bars import Floats
from research.config import TrainConfig
from research.events import Examples, Split
from research.fit_logistic import moments
from research.hardware import repeatable
from research.learning import Learning
from research.losses import binary_loss
from research.networks import Scaler
from research.streaming_network import StreamingEncoder, StreamSizes
from research.weights import Rows

STRETCH = 2048  # bars a prediction; part of what makes two predictions equal


@dataclass(frozen=True, eq=False)
class StreamingModel:
    """A fitted banded encoder.

    Parameters
    ----------
    network : StreamingEncoder
        In evaluation mode, scaler inside.
    sizes : StreamSizes
        Its shape.
    threads : int
        Threads of a prediction.
    """

    kind = "streaming"
    network: StreamingEncoder
    sizes: StreamSizes
    threads: int

    def logits(self, examples: Examples, rows: Rows) -> Floats:
        """Return the raw log-odds at each row, shape (len(rows),)."""
        with repeatable(0, self.threads), torch.no_grad():
            return answers(self.network, self.sizes, examples, rows)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything learned as arrays."""
        return {name: value.numpy() for name, value in self.network.state_dict().items()}

    @staticmethod
    def restore(state: dict[str, NDArray[Any]], config: TrainConfig) -> StreamingModel:
        """Return the model that ``state`` described."""
        features = len(state["scaler.mean"])
        sizes = stream_sizes(config, features)
        network = StreamingEncoder(sizes, Scaler(torch.zeros(features), torch.ones(features)), 0.5)
        network.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in state.items()})
        return StreamingModel(network.eval(), sizes, config.threads)


def stream_sizes(config: TrainConfig, features: int) -> StreamSizes:
    """Return the shape a configuration asks for."""
    s = config.streaming
    return StreamSizes(features, s.width, s.layers, s.heads, s.feedforward, s.band, s.dropout)


def answers(network: nn.Module, sizes: StreamSizes, examples: Examples, rows: Rows) -> Floats:
    """Return the log-odds at some rows, stretch by stretch of the bars they lie among."""
    out = np.empty(len(rows))
    matrix = known_bars(examples)
    for first in np.unique(rows // STRETCH) * STRETCH:
        there = (rows >= first) & (rows < first + STRETCH)
        bars = stretches(matrix, np.array([first]), STRETCH, sizes.reach - 1)
        out[there] = network(bars)[0].double().numpy()[rows[there] - first + sizes.reach - 1]
    return out


def known_bars(examples: Examples) -> Tensor:
    """Return the features of every bar; 0 where one is not known, which no answer that counts rests on."""
    return torch.from_numpy(np.nan_to_num(examples.matrix, nan=0.0, posinf=0.0, neginf=0.0))


def stretches(matrix: Tensor, first: NDArray[np.int64], length: int, lead: int) -> Tensor:
    """Return the bars of stretches and the lead before each, shape (len(first), lead + length, F).

    Beyond either end of the history its last bar stands again; no answer that counts rests on it.
    """
    rows = first[:, None] + np.arange(-lead, length)
    return matrix[torch.from_numpy(rows.clip(0, len(matrix) - 1))]


def fit_streaming(
    examples: Examples,
    split: Split,
    config: TrainConfig,
    tick: Callable[[float], None] | None = None,
    other_seed: int = 0,
) -> tuple[StreamingModel, dict[str, Any]]:
    """Fit on the training rows; the inner validation says which epoch is kept.

    Returns
    -------
    model, notes
        The notes hold each epoch's inner loss, the epoch kept, parameters, and steps lost to a
        loss that was not finite.

    Raises
    ------
    DataError
        If more than one step in twenty has no finite loss: the features or the rate are wrong.
    """
    features = examples.matrix.shape[1]
    sizes = stream_sizes(config, features)
    with repeatable(config.seed + other_seed, config.threads):
        scaler = Scaler(*(torch.from_numpy(one) for one in moments(examples.matrix[split.train])))
        base = float(np.average(examples.y[split.train], weights=split.weights))
        network = StreamingEncoder(sizes, scaler, min(max(base, 0.01), 0.99))
        lesson = _Lesson(examples, split, config)
        learning = Learning(network, config.streaming, lesson.steps, "streaming", config.compute.curves, fused=True)
        notes = learning.run(lambda: lesson.losses(network), lambda: _inner_loss(network, sizes, examples, split), tick)
    notes |= {"training_rows": len(split.train)}
    return StreamingModel(network.eval(), sizes, config.threads), notes


class _Lesson:
    """The training rows as stretches of bars, cut anew in every epoch."""

    def __init__(self, examples: Examples, split: Split, config: TrainConfig) -> None:
        s = config.streaming
        self.matrix, self.length, self.lead = known_bars(examples), s.chunk, config.reach_of("streaming") - 1
        self.first, self.last, self.batch = int(split.train[0]), int(split.train[-1]), s.batch
        self.y, self.weight = np.zeros((2, len(self.matrix)), np.float32)
        self.y[split.train], self.weight[split.train] = examples.y[split.train], split.weights

    @property
    def steps(self) -> int:
        """Most batches of an epoch."""
        return math.ceil(len(self._labelled(self.length - 1)) / self.batch)

    def losses(self, network: nn.Module) -> Iterator[Tensor]:
        """Yield the loss of each batch of one pass; a stretch with few labels moves the network less."""
        mean_weight = float(self.weight.sum()) / self.steps
        for bars, y, weight in self.batches():
            losses = binary_loss(network(bars)[:, self.lead :], y)
            yield (losses * weight).sum() / mean_weight

    def _labelled(self, offset: int) -> Rows:
        """Return where the stretches begin that hold anything to learn."""
        begin = np.arange(self.first - offset, self.last + 1, self.length)
        return begin[[bool(self.weight[max(b, 0) : b + self.length].any()) for b in begin]]

    def batches(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield bars with their lead, labels and weights, in a new order and cut at new places."""
        offset = int(torch.randint(self.length, (1,)))
        begin = self._labelled(offset)
        begin = begin[torch.randperm(len(begin)).numpy()]
        for i in range(0, len(begin), self.batch):
            first = begin[i : i + self.batch]
            rows = first[:, None] + np.arange(self.length)
            inside = (rows >= 0) & (rows < len(self.y))
            rows = rows.clip(0, len(self.y) - 1)
            weight = torch.from_numpy(self.weight[rows] * inside)
            yield stretches(self.matrix, first, self.length, self.lead), torch.from_numpy(self.y[rows]), weight


def _inner_loss(network: nn.Module, sizes: StreamSizes, examples: Examples, split: Split) -> float:
    """Return the cross-entropy on the inner validation."""
    with torch.no_grad():
        told = torch.from_numpy(answers(network, sizes, examples, split.inner))
    losses = binary_loss(told, torch.from_numpy(examples.y[split.inner])).numpy()
    return float(np.average(losses, weights=split.inner_weights))
