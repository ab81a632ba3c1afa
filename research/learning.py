"""The one loop in which every network learns: rising and falling rate, clipped steps, failed ones counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine.errors import DataError, UsageError
from research.hardware import agreed, rank
from research.settings import Learned

CLIP = 1.0  # norm of the gradient: above it, steps of a noisy market destroy a pre-norm encoder too
MOST_FAILED = 0.05  # share of steps whose loss is not finite before the training is called broken
BATCH = 512  # rows a prediction; part of what makes two predictions equal


class Learning:
    """Optimiser, schedule and counters of one training.

    Parameters
    ----------
    network : nn.Module
        What learns, on its device.
    recipe : Learned
        Epochs, rate, decay and warm-up.
    steps : int
        Most steps of an epoch.
    section : str
        Of the configuration, for messages.
    curves : str
        Folder for TensorBoard; empty writes nothing.
    fused : bool
        One kernel for the optimiser's step: faster for small networks, other last bits.
    """

    def __init__(
        self,
        network: nn.Module,
        recipe: Learned,
        steps: int,
        section: str,
        curves: str = "",
        fused: bool = False,
    ) -> None:
        self.network, self.recipe, self.section = network, recipe, section
        self.failed, self.done = 0, 0
        groups = [
            {"params": [p for p in network.parameters() if p.ndim >= 2], "weight_decay": recipe.decay},
            {"params": [p for p in network.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=recipe.rate, fused=fused or None)
        total = steps * recipe.epochs
        rise = max(1, int(total * recipe.warmup))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser,
            lambda step: (
                (step + 1) / rise
                if step < rise
                else 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - rise) / max(1, total - rise))))
            ),
        )
        self.writer = Curves(curves, section)

    def run(
        self,
        epoch: Callable[[], Iterable[Tensor]],
        inner_loss: Callable[[], float],
        tick: Callable[[float], None] | None = None,
    ) -> dict[str, Any]:
        """Learn until the inner loss has stood still, and leave the best epoch's weights in the network.

        Parameters
        ----------
        epoch : callable
            Gives the loss of each batch of one pass.
        inner_loss : callable
            How good the network is after a pass, on rows it does not learn from.
        tick : callable, optional
            Told the finished share.

        Returns
        -------
        dict
            Each epoch's inner loss, the epoch kept, parameters, and steps lost to a loss that was not finite.

        Raises
        ------
        DataError
            If more than one step in twenty has no finite loss: the features or the rate are wrong.
        """
        best, curve, kept = math.inf, [], self.network.state_dict()
        with closing(self.writer):
            for number in range(self.recipe.epochs):
                self.network.train()
                for loss in epoch():
                    self.step(loss)
                self.network.eval()
                curve.append(agreed(inner_loss()))
                self.writer.add(number, inner_loss=curve[-1], rate=self.schedule.get_last_lr()[0], failed=self.failed)
                if tick is not None:
                    tick((number + 1) / self.recipe.epochs)
                if curve[-1] < best:
                    best, kept = curve[-1], {name: value.clone() for name, value in self.network.state_dict().items()}
                elif number - int(np.argmin(curve)) >= self.recipe.patience:
                    break
        self.network.load_state_dict(kept)
        notes: dict[str, Any] = {"epoch": int(np.argmin(curve)) + 1, "inner_losses": curve, "failed_steps": self.failed}
        return notes | {"parameters": sum(p.numel() for p in self.network.parameters())}

    def step(self, loss: Tensor) -> None:
        """Follow one batch's gradient; a loss that is not finite, in any process, moves nothing and is counted."""
        self.done += 1
        if not agreed(float(torch.isfinite(loss)), smallest=True):
            self.failed += 1
            if self.failed > max(3.0, MOST_FAILED * self.done):
                raise DataError(
                    f"{self.failed} of {self.done} training steps had no finite loss; lower {self.section}.rate"
                )
            return
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        self.optimiser.step()
        self.schedule.step()


class Curves:
    """TensorBoard's curves of one training, in a new numbered folder; nothing where no folder is named.

    Raises
    ------
    UsageError
        If a folder is named and TensorBoard is not installed.
    """

    def __init__(self, folder: str, name: str) -> None:
        self.writer: Any = None
        if not folder or rank() != 0:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UsageError("compute.curves needs TensorBoard: pip install tensorboard") from None
        number = 1 + len(list(Path(folder).glob(f"{name}-*")))
        self.writer = SummaryWriter(str(Path(folder) / f"{name}-{number}"))

    def add(self, epoch: int, **values: float) -> None:
        """Write the values of one epoch."""
        if self.writer is not None:
            for name, value in values.items():
                self.writer.add_scalar(name, value, epoch)

    def close(self) -> None:
        """Write what is still in memory."""
        if self.writer is not None:
            self.writer.close()
