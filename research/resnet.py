"""The mean-reversion agent: a 1-D ResNet that judges whether the last move will be undone.

It learns a label of its own (``research.fades``) and speaks through the same door as every other predictor, whose
probability is that of a *long* trade. So its opinion is turned to the side it would take: where the last move was down,
more log-odds for the fade are more for the long side; where it was up, more for the short side. Below the average
fade, and where nothing moved, it has no opinion and says the base rate. A bundle with two sides leans as it fades;
a long-only bundle buys after falls alone, for its ranks put rises that should be faded at the bottom.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from engine.bars import Floats
from engine.errors import DataError
from research.config import TrainConfig
from research.events import Examples, Split
from research.fit_logistic import moments
from research.fit_transformer import Lesson, judged_loss, told
from research.hardware import hardware_of, repeatable
from research.learning import Learning
from research.losses import binary_loss
from research.networks import Scaler, WindowNorm
from research.weights import Rows, sample_weights

KERNELS = (8, 5, 3)  # Wang, Yan & Oates 2017
GROUPS = 4  # of channels that are normalised together: a batch of one is served as it was learned


class Block(nn.Module):
    """Three convolutions beside a short cut."""

    def __init__(self, inputs: int, filters: int) -> None:
        super().__init__()
        widths = (inputs, filters, filters)
        self.convolve = nn.ModuleList(nn.Conv1d(w, filters, k) for w, k in zip(widths, KERNELS, strict=True))
        self.norms = nn.ModuleList(nn.GroupNorm(GROUPS, filters) for _ in KERNELS)
        self.short = nn.Conv1d(inputs, filters, 1)

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for i, (convolve, norm) in enumerate(zip(self.convolve, self.norms, strict=True)):
            out = norm(convolve(functional.pad(out, ((KERNELS[i] - 1) // 2, KERNELS[i] // 2))))
            out = torch.relu(out) if i + 1 < len(KERNELS) else out
        return torch.relu(out + self.short(x))


class FadeNet(nn.Module):
    """Three residual blocks over a window, averaged over time; one number: log-odds beyond those of an average fade.

    Parameters
    ----------
    features, filters : int
        Columns of a bar, and filters of the first block; the others have twice as many.
    dropout : float
        Share of averaged activations dropped while learning.
    scaler : Scaler
        Fitted on the training rows.
    columns : (int, int)
        Features of the move and of its unit.
    least_move : float
        In units: smaller moves get no opinion.
    """

    move: Tensor
    least_move: Tensor

    def __init__(
        self,
        features: int,
        filters: int,
        dropout: float,
        scaler: Scaler,
        columns: tuple[int, int] = (0, 0),
        least_move: float = 0.0,
    ) -> None:
        super().__init__()
        self.scaler, self.relate = scaler, WindowNorm()
        widths = (2 * features, filters, 2 * filters, 2 * filters)
        self.blocks = nn.Sequential(*(Block(a, b) for a, b in pairwise(widths)))
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(widths[-1], 1)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("move", torch.tensor(columns))
        self.register_buffer("least_move", torch.tensor(least_move))

    @property
    def receptive_field(self) -> int:
        """Bars that one activation before the average sees."""
        return len(self.blocks) * sum(kernel - 1 for kernel in KERNELS) + 1

    def forward(self, window: Tensor) -> Tensor:
        x = self.blocks(self.relate(self.scaler(window)).transpose(1, 2))
        return self.head(self.dropout(x.mean(dim=2))).squeeze(-1)

    def for_long(self, window: Tensor, opinion: Tensor) -> Tensor:
        """Return log-odds for a long trade: those of the fade to its side, 0 without an opinion."""
        move, unit = window[:, -1].index_select(1, self.move).unbind(1)
        moved = move / unit
        side = torch.where(moved.abs() >= self.least_move, -torch.sign(moved), torch.zeros_like(moved))
        return side * torch.relu(opinion)


@dataclass(frozen=True, eq=False)
class FadeModel:
    """A fitted mean-reversion agent.

    Parameters
    ----------
    network : FadeNet
        In evaluation mode, scaler inside.
    threads : int
        Threads of a prediction.
    """

    kind = "resnet"
    network: FadeNet
    threads: int

    def logits(self, examples: Examples, rows: Rows) -> Floats:
        """Return the raw log-odds of a long trade at each row, shape (len(rows),)."""
        return told(self.log_odds, examples, rows, self.threads)

    def log_odds(self, windows: Tensor) -> Tensor:
        """Return log-odds for the long side."""
        return self.network.for_long(windows, self.network(windows))

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything learned as arrays."""
        return {name: value.numpy() for name, value in self.network.state_dict().items()}

    @staticmethod
    def restore(state: dict[str, NDArray[Any]], config: TrainConfig) -> FadeModel:
        """Return the model that ``state`` described."""
        features = len(state["scaler.mean"])
        blank = Scaler(torch.zeros(features), torch.ones(features))
        network = FadeNet(features, config.resnet.filters, config.resnet.dropout, blank)
        network.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in state.items()})
        return FadeModel(network.eval(), config.threads)


def fit_resnet(
    examples: Examples,
    split: Split,
    config: TrainConfig,
    tick: Callable[[float], None] | None = None,
    other_seed: int = 0,
) -> tuple[FadeModel, dict[str, Any]]:
    """Fit on the training rows whose last move was worth fading; the inner validation says which epoch is kept.

    Returns
    -------
    model, notes
        The notes hold, beside those of every network, the share of fades that were right: its base rate.

    Raises
    ------
    DataError
        If hardly any move was worth fading, or all fades ended alike.
    """
    s, hardware, fades = config.resnet, hardware_of(config.compute), examples.fades
    assert fades is not None, "the study labels fades when a resnet is asked for"
    rows, inner = (faded[np.isfinite(fades.y[faded])] for faded in (split.train, split.inner))
    rows = rows[:: s.stride]
    if min(len(set(fades.y[some])) for some in (rows, inner)) < 2:
        raise DataError(f"{len(rows)} moves were worth fading, all ending alike; lower resnet.least_move")
    weights, inner_weights = (sample_weights(some + 1, examples.end[some]) for some in (rows, inner))
    base = float(np.average(fades.y[rows], weights=weights))
    average = math.log(base / (1.0 - base))
    with repeatable(config.seed + other_seed, config.threads, exact=hardware.device.type == "cpu"):
        scaler = Scaler(*(torch.from_numpy(one) for one in moments(examples.matrix[rows])))
        features = examples.matrix.shape[1]
        network = FadeNet(features, s.filters, s.dropout, scaler, fades.columns, s.least_move)
        lesson = Lesson(hardware, network, examples, (fades.y, weights), rows, (s.batch, config.compute.workers))
        learning = Learning(network, s, lesson.steps, "resnet", config.compute.curves)
        notes = learning.run(
            lambda: lesson.losses(lambda out, y: binary_loss(out + average, y)),
            lambda: judged_loss(hardware, lambda x: network(x) + average, examples, (inner, fades.y, inner_weights)),
            tick,
        )
    notes |= {"training_rows": len(rows), "fade_base_rate": base, "receptive_field": network.receptive_field}
    return FadeModel(network.cpu().eval(), config.threads), notes
