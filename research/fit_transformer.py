"""The Transformer's training, and what every network over a window shares once it is fitted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.bars import Floats
from research.config import TrainConfig
from research.events import Examples, Split
from research.fit_logistic import moments
from research.hardware import Hardware, hardware_of, own_share, repeatable
from research.learning import BATCH, Learning
from research.loader import batches
from research.losses import binary_loss, focal_loss, recovered_logit
from research.networks import Encoder, Scaler, Sizes
from research.weights import Rows


@runtime_checkable
class Neural(Protocol):
    """A fitted network over a window: what the export needs of it."""

    @property
    def kind(self) -> str: ...
    @property
    def network(self) -> nn.Module: ...
    def log_odds(self, windows: Tensor) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class NeuralModel:
    """A fitted encoder.

    Parameters
    ----------
    network : Encoder
        In evaluation mode, scaler inside.
    sizes : Sizes
        Its shape.
    gamma : float
        Of the focal loss it was trained with; 0 when it was the cross-entropy.
    threads : int
        Threads of a prediction.
    kind : str
        ``transformer``, or ``supcon`` for an encoder taught by contrast.
    """

    network: Encoder
    sizes: Sizes
    gamma: float
    threads: int
    kind: str = "transformer"

    def logits(self, examples: Examples, rows: Rows) -> Floats:
        """Return the raw log-odds at each row, shape (len(rows),)."""
        return told(self.log_odds, examples, rows, self.threads)

    def log_odds(self, windows: Tensor) -> Tensor:
        """Return log-odds of the truth, the focal loss undone."""
        out: Tensor = self.network(windows)
        return recovered_logit(out, self.gamma) if self.gamma else out

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything learned as arrays."""
        return {name: value.numpy() for name, value in self.network.state_dict().items()}

    @staticmethod
    def restore(state: dict[str, NDArray[Any]], config: TrainConfig, kind: str = "transformer") -> NeuralModel:
        """Return the model that ``state`` described."""
        features = len(state["scaler.mean"])
        network = Encoder(sizes_of(config, features), Scaler(torch.zeros(features), torch.ones(features)), 0.5)
        network.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in state.items()})
        return served(network, config, kind)


def told(answer: Callable[[Tensor], Tensor], examples: Examples, rows: Rows, threads: int) -> Floats:
    """Return what a network says at each row, one batch of windows in memory at a time."""
    out = np.empty(len(rows))
    with repeatable(0, threads), torch.no_grad():
        for first in range(0, len(rows), BATCH):
            windows = torch.from_numpy(examples.windows(rows[first : first + BATCH]))
            out[first : first + BATCH] = answer(windows).numpy()
    return out


def sizes_of(config: TrainConfig, features: int) -> Sizes:
    """Return the shape a configuration asks for."""
    s = config.transformer
    shape = (s.width, s.layers, s.heads, s.feedforward, s.dropout, s.patch, s.patch_step)
    return Sizes(config.window, features, *shape)


def fit_transformer(
    examples: Examples,
    split: Split,
    config: TrainConfig,
    tick: Callable[[float], None] | None = None,
    other_seed: int = 0,
) -> tuple[NeuralModel, dict[str, Any]]:
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
    s, hardware = config.transformer, hardware_of(config.compute)
    rows, weights = split.train[:: s.stride], split.weights[:: s.stride]
    gamma = s.gamma if s.loss == "focal" else 0.0
    with repeatable(config.seed + other_seed, config.threads, exact=hardware.device.type == "cpu"):
        network = fresh_encoder(examples, rows, weights, config)
        lesson = Lesson(hardware, network, examples, (examples.y, weights), rows, (s.batch, config.compute.workers))
        learning = Learning(network, s, lesson.steps, "transformer", config.compute.curves)

        def loss(out: Tensor, y: Tensor) -> Tensor:
            return focal_loss(out, y, gamma) if gamma else binary_loss(out, y)

        def inner_loss() -> float:
            return judged_loss(
                hardware,
                lambda x: recovered_logit(network(x), gamma) if gamma else network(x),
                examples,
                (split.inner, examples.y, split.inner_weights),
            )

        notes = learning.run(lambda: lesson.losses(loss), inner_loss, tick)
    return served(network.cpu(), config), notes | {"training_rows": len(rows)}


def fresh_encoder(examples: Examples, rows: Rows, weights: Floats, config: TrainConfig) -> Encoder:
    """Return an encoder that has learned nothing but the moments and the base rate of its training rows."""
    scaler = Scaler(*(torch.from_numpy(one) for one in moments(examples.matrix[rows])))
    base = float(np.average(examples.y[rows], weights=weights))
    return Encoder(sizes_of(config, examples.matrix.shape[1]), scaler, min(max(base, 0.01), 0.99))


class Lesson:
    """The training rows in batches, each pass in a new order.

    Parameters
    ----------
    hardware : Hardware
        Where steps are taken.
    network : nn.Module
        Called with windows.
    examples : Examples
        Whose windows.
    y_and_weights : (float array of shape (n,), float array of shape (m,))
        Labels of every bar, and weights of the training rows.
    rows : int64 array of shape (m,)
        The training rows.
    batch_and_workers : (int, int)
        Rows of a step, and processes that gather ahead.
    """

    def __init__(
        self,
        hardware: Hardware,
        network: nn.Module,
        examples: Examples,
        y_and_weights: tuple[Floats, Floats],
        rows: Rows,
        batch_and_workers: tuple[int, int],
    ) -> None:
        self.hardware, self.learner, self.examples, self.rows = hardware, hardware.learner(network), examples, rows
        self.y, weights = y_and_weights
        self.weight = np.zeros(len(self.y))
        self.weight[rows] = weights / weights.mean()
        self.batch, self.workers = batch_and_workers

    @property
    def steps(self) -> int:
        """Batches of a pass."""
        return math.ceil(len(self.rows) / self.batch)

    def losses(self, loss: Callable[[Tensor, Tensor], Tensor]) -> Iterator[Tensor]:
        """Yield the mean loss of each batch of one pass."""
        order = torch.randperm(len(self.rows)).numpy()
        some = (self.rows[own_share(order[i : i + self.batch])] for i in range(0, len(order), self.batch))
        for batch in batches(self.examples, self.y, self.weight, some, self.workers):
            windows, y, weight = (self.hardware.tensor(part) for part in batch)
            with self.hardware.forward():
                out = self.learner(windows)
            yield (loss(out.float(), y) * weight).mean()


def judged_loss(
    hardware: Hardware,
    answer: Callable[[Tensor], Tensor],
    examples: Examples,
    judged: tuple[Rows, Floats, Floats],
) -> float:
    """Return the weighted cross-entropy of log-odds on some rows.

    Parameters
    ----------
    hardware : Hardware
        Where the network lives.
    answer : callable
        From windows to log-odds.
    examples : Examples
        Whose windows.
    judged : (int64 array of shape (m,), float64 array of shape (n,), float64 array of shape (m,))
        Rows, labels of every bar, and weights of the rows.
    """
    rows, y, weights = judged
    total = 0.0
    with torch.no_grad():
        for first in range(0, len(rows), BATCH):
            some = rows[first : first + BATCH]
            out = answer(hardware.tensor(examples.windows(some))).cpu()
            losses = binary_loss(out.double(), torch.from_numpy(y[some])).numpy()
            total += float(losses @ weights[first : first + BATCH])
    return total / float(weights.sum())


def served(network: Encoder, config: TrainConfig, kind: str = "transformer") -> NeuralModel:
    """Return the model of a fitted encoder."""
    gamma = config.transformer.gamma if kind == "transformer" and config.transformer.loss == "focal" else 0.0
    sizes = sizes_of(config, network.scaler.mean.shape[0])
    return NeuralModel(network.eval(), sizes, gamma, config.threads, kind)
