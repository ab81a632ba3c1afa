"""The Transformer's training: one gather a batch, one clear loop, every failed step counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.bars import Floats
from engine.errors import DataError
from research.config import TrainConfig
from research.events import Examples, Split
from research.fit_logistic import moments
from research.losses import binary_loss, focal_loss, recovered_logit
from research.networks import Encoder, Scaler, Sizes
from research.weights import Rows

CLIP = 1.0  # norm of the gradient: above it, steps of a noisy market destroy a pre-norm encoder too
MOST_FAILED = 0.05  # share of steps whose loss is not finite before the training is called broken
BATCH = 512  # rows a prediction; part of what makes two predictions equal


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
    """

    kind = "transformer"
    network: Encoder
    sizes: Sizes
    gamma: float
    threads: int

    def logits(self, examples: Examples, rows: Rows) -> Floats:
        """Return the raw log-odds at each row, shape (len(rows),)."""
        out = np.empty(len(rows))
        with repeatable(0, self.threads), torch.no_grad():
            for first in range(0, len(rows), BATCH):
                windows = torch.from_numpy(examples.windows(rows[first : first + BATCH]))
                out[first : first + BATCH] = self.log_odds(windows).numpy()
        return out

    def log_odds(self, windows: Tensor) -> Tensor:
        """Return log-odds of the truth, the focal loss undone."""
        told: Tensor = self.network(windows)
        return recovered_logit(told, self.gamma) if self.gamma else told

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything learned as arrays."""
        return {name: value.numpy() for name, value in self.network.state_dict().items()}

    @staticmethod
    def restore(state: dict[str, NDArray[Any]], config: TrainConfig) -> NeuralModel:
        """Return the model that ``state`` described."""
        features = len(state["scaler.mean"])
        network = Encoder(sizes_of(config, features), Scaler(torch.zeros(features), torch.ones(features)), 0.5)
        network.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in state.items()})
        return _served(network, config, features)


def sizes_of(config: TrainConfig, features: int) -> Sizes:
    """Return the shape a configuration asks for."""
    s = config.transformer
    return Sizes(config.window, features, s.width, s.layers, s.heads, s.feedforward, s.dropout)


@contextmanager
def repeatable(seed: int, threads: int) -> Iterator[None]:
    """Run torch so that the same seed gives the same numbers, and leave no trace in its global state."""
    before, exact = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True)
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)
            torch.use_deterministic_algorithms(exact)


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
    rows, weights = split.train[:: config.transformer.stride], split.weights[:: config.transformer.stride]
    features = examples.matrix.shape[1]
    with repeatable(config.seed + other_seed, config.threads):
        scaler = Scaler(*(torch.from_numpy(one) for one in moments(examples.matrix[rows])))
        base = float(np.average(examples.y[rows], weights=weights))
        network = Encoder(sizes_of(config, features), scaler, min(max(base, 0.01), 0.99))
        run = _Run(network, config, math.ceil(len(rows) / config.transformer.batch))
        best, curve, kept = math.inf, [], network.state_dict()
        for epoch in range(config.transformer.epochs):
            run.epoch(examples, rows, weights / weights.mean())
            curve.append(run.inner_loss(examples, split))
            if tick is not None:
                tick((epoch + 1) / config.transformer.epochs)
            if curve[-1] < best:
                best, kept = curve[-1], {name: value.clone() for name, value in network.state_dict().items()}
            elif epoch - int(np.argmin(curve)) >= config.transformer.patience:
                break
        network.load_state_dict(kept)
    notes = {"epoch": int(np.argmin(curve)) + 1, "inner_losses": curve, "failed_steps": run.failed}
    notes |= {"parameters": sum(p.numel() for p in network.parameters()), "training_rows": len(rows)}
    return _served(network, config, features), notes


class _Run:
    """Optimiser, schedule and counters of one training."""

    def __init__(self, network: Encoder, config: TrainConfig, steps: int) -> None:
        s = config.transformer
        decays = [p for p in network.parameters() if p.ndim >= 2]
        rest = [p for p in network.parameters() if p.ndim < 2]
        self.network, self.settings, self.failed, self.done = network, s, 0, 0
        groups = [{"params": decays, "weight_decay": s.decay}, {"params": rest, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=s.rate)
        total = steps * s.epochs
        rise = max(1, int(total * s.warmup))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser,
            lambda step: (
                (step + 1) / rise
                if step < rise
                else 0.5 * (1.0 + math.cos(math.pi * (step - rise) / max(1, total - rise)))
            ),
        )
        self.gamma = s.gamma if s.loss == "focal" else 0.0

    def epoch(self, examples: Examples, rows: Rows, weights: Floats) -> None:
        """Pass once over the rows in a new order."""
        self.network.train()
        order = torch.randperm(len(rows)).numpy()
        for first in range(0, len(rows), self.settings.batch):
            some = order[first : first + self.settings.batch]
            y = torch.from_numpy(examples.y[rows[some]].astype(np.float32))
            weight = torch.from_numpy(weights[some].astype(np.float32))
            self._step(torch.from_numpy(examples.windows(rows[some])), y, weight)

    def _step(self, windows: Tensor, y: Tensor, weight: Tensor) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        told = self.network(windows)
        losses = focal_loss(told, y, self.gamma) if self.gamma else binary_loss(told, y)
        loss = (losses * weight).mean()
        self.done += 1
        if not torch.isfinite(loss):
            self.failed += 1
            if self.failed > max(3.0, MOST_FAILED * self.done):
                raise DataError(
                    f"{self.failed} of {self.done} training steps had no finite loss; lower transformer.rate"
                )
            return
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        self.optimiser.step()
        self.schedule.step()

    def inner_loss(self, examples: Examples, split: Split) -> float:
        """Return the cross-entropy on the inner validation, the focal loss undone."""
        self.network.eval()
        total = 0.0
        with torch.no_grad():
            for first in range(0, len(split.inner), BATCH):
                rows = split.inner[first : first + BATCH]
                told = self.network(torch.from_numpy(examples.windows(rows)))
                told = recovered_logit(told, self.gamma) if self.gamma else told
                losses = binary_loss(told.double(), torch.from_numpy(examples.y[rows])).numpy()
                total += float(losses @ split.inner_weights[first : first + BATCH])
        return total / float(split.inner_weights.sum())


def _served(network: Encoder, config: TrainConfig, features: int) -> NeuralModel:
    gamma = config.transformer.gamma if config.transformer.loss == "focal" else 0.0
    return NeuralModel(network.eval(), sizes_of(config, features), gamma, config.threads)
