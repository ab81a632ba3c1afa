"""Learning by contrast: an encoder that brings windows of one outcome together, then a linear probe on it, frozen."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.bars import Floats
from research.calibrate import fit_line
from research.config import TrainConfig
from research.events import Examples, Split
from research.fit_logistic import moments
from research.fit_transformer import NeuralModel, fresh_encoder, served
from research.hardware import Hardware, hardware_of, own_share, repeatable
from research.learning import BATCH, Learning
from research.losses import supcon_loss
from research.measures import cross_entropy
from research.networks import Encoder
from research.splits import Fold
from research.study import Study
from research.weights import Rows


class Contrast(nn.Module):
    """An encoder and the projector in which windows are compared while it learns."""

    def __init__(self, encoder: Encoder, projection: int) -> None:
        super().__init__()
        width = encoder.head.in_features
        self.encoder = encoder
        self.project = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, projection))
        encoder.head.requires_grad_(False)  # the probe's, later

    def forward(self, windows: Tensor) -> Tensor:
        """Return a direction for each window, shape (batch, projection)."""
        return functional.normalize(self.project(self.encoder.represent(windows)), dim=1)


class Probe(NamedTuple):
    """A logistic regression on an encoder's states.

    Parameters
    ----------
    slope : float64 array of shape (width,)
        Of the states as they are.
    intercept : float
        Log-odds of a state of zeros.
    penalty : float
        Strength C that lost least on the inner validation.
    loss : float
        There.
    """

    slope: Floats
    intercept: float
    penalty: float
    loss: float


def fit_supcon(
    examples: Examples,
    split: Split,
    config: TrainConfig,
    tick: Callable[[float], None] | None = None,
    other_seed: int = 0,
    random_encoder: bool = False,
) -> tuple[NeuralModel, dict[str, Any]]:
    """Fit in two steps: the encoder by contrast, then a logistic probe on it, which stands in for the head.

    The inner validation chooses epoch and penalty by the probe's cross-entropy: the metric of every other candidate.

    Parameters
    ----------
    examples, split, config, tick, other_seed
        As for every candidate.
    random_encoder : bool
        Probe an encoder that has learned nothing: what the first step is worth is the difference.

    Returns
    -------
    model, notes
        The notes hold the probe's loss after each epoch, its penalty, and the contrastive loss of the kept epoch
        beside log(batch - 1), which is that of an encoder that has learned nothing.
    """
    s, hardware = config.supcon, hardware_of(config.compute)
    rows, weights = split.train[:: s.stride], split.weights[:: s.stride]
    with repeatable(config.seed + other_seed, config.threads, exact=hardware.device.type == "cpu"):
        encoder = fresh_encoder(examples, rows, weights, config)
        contrast = Contrast(encoder, s.projection)
        lesson = _Lesson(hardware, contrast, examples, rows, config)
        probes: list[Probe] = []

        def inner_loss() -> float:
            probes.append(fit_probe(hardware, encoder.eval(), examples, (rows, weights), split, s.penalties))
            return probes[-1].loss

        notes: dict[str, Any] = {"random_encoder": random_encoder}
        if random_encoder:
            inner_loss()
        else:
            learning = Learning(contrast, s, lesson.steps, "supcon", config.compute.curves)
            notes |= learning.run(lesson.losses, inner_loss, tick)
            notes |= {"contrast": lesson.means[notes["epoch"] - 1], "nothing_learned": math.log(s.batch - 1)}
    kept = probes[notes.get("epoch", 1) - 1]
    with torch.no_grad():
        encoder.head.weight.copy_(torch.from_numpy(kept.slope)[None])
        encoder.head.bias.fill_(kept.intercept)
    notes |= {"penalty": kept.penalty, "probe_loss": kept.loss, "training_rows": len(rows)}
    return served(encoder.requires_grad_(True).cpu(), config, "supcon"), notes


def fit_contrastive(study: Study, fold: Fold, rows: Rows, seed: int = 0, random_encoder: bool = False) -> Floats:
    """Return probabilities of the upper barrier at some rows, from an encoder by contrast and a probe of one fold.

    Parameters
    ----------
    study : Study
        Bars, labels and settings; ``config.supcon`` and ``config.transformer`` shape the encoder.
    fold : Fold
        What is learned from, and the inner rows that choose and calibrate.
    rows : int64 array of shape (m,)
        Bars to foresee.
    seed : int
        Added to the configuration's.
    random_encoder : bool
        The control: the same probe on an encoder that has learned nothing.

    Returns
    -------
    float64 array of shape (m,)
        Calibrated on the fold's inner rows, as every candidate's.
    """
    examples, split = study.examples, study.split(fold)
    model, _ = fit_supcon(examples, split, study.config, None, seed, random_encoder)
    inner = split.inner
    line = fit_line(
        model.logits(examples, inner), examples.y[inner], study.uniqueness(inner), study.config.calibration.method
    )
    return line.apply(model.logits(examples, rows))


class _Lesson:
    """Batches of as many windows of the one outcome as of the other, each pass in a new order."""

    def __init__(
        self, hardware: Hardware, network: Contrast, examples: Examples, rows: Rows, config: TrainConfig
    ) -> None:
        self.hardware, self.learner, self.examples = hardware, hardware.learner(network), examples
        self.sides = [rows[examples.y[rows] == label] for label in (0.0, 1.0)]
        self.half, self.temperature = config.supcon.batch // 2, config.supcon.temperature
        self.steps = math.ceil(len(rows) / config.supcon.batch)
        self.means: list[float] = []

    def losses(self) -> Iterator[Tensor]:
        """Yield the contrastive loss of each batch of one pass."""
        orders = [np.resize(side[torch.randperm(len(side)).numpy()], self.steps * self.half) for side in self.sides]
        seen = []
        for first in range(0, self.steps * self.half, self.half):
            some = own_share(np.concatenate([order[first : first + self.half] for order in orders]))
            y = self.hardware.tensor(self.examples.y[some])
            with self.hardware.forward():
                z = self.learner(self.hardware.tensor(self.examples.windows(some)))
            shared = self.hardware.tensor(sharing(some + 1, self.examples.end[some]))
            loss = supcon_loss(z.float(), y, self.temperature, shared)
            seen.append(float(loss.detach()))
            yield loss
        self.means.append(float(np.nanmean(seen)))


def sharing(start: Rows, end: Rows) -> Any:
    """Return which labels share a bar with which, bool array of shape (n, n).

    Examples
    --------
    >>> sharing(np.array([1, 3, 9]), np.array([4, 5, 9])).astype(int).tolist()
    [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    """
    return (start[:, None] <= end) & (start <= end[:, None])


def fit_probe(
    hardware: Hardware,
    encoder: Encoder,
    examples: Examples,
    taught: tuple[Rows, Floats],
    split: Split,
    penalties: tuple[float, ...],
) -> Probe:
    """Fit the logistic probe on the states of a frozen encoder; the inner validation chooses the penalty."""
    from sklearn.linear_model import LogisticRegression

    rows, weights = taught
    x, inner = (states(hardware, encoder, examples, some) for some in (rows, split.inner))
    mean, deviation = moments(x)
    best: Probe | None = None
    for penalty in penalties:
        fitted = LogisticRegression(C=penalty, max_iter=2000, tol=1e-6)
        fitted.fit((x - mean) / deviation, examples.y[rows], sample_weight=weights)
        slope = fitted.coef_[0] / deviation
        intercept = float(fitted.intercept_[0] - slope @ mean)
        p = 1.0 / (1.0 + np.exp(-(inner @ slope + intercept)))
        loss = float(np.average(cross_entropy(examples.y[split.inner], p), weights=split.inner_weights))
        if best is None or loss < best.loss:
            best = Probe(slope, intercept, penalty, loss)
    assert best is not None
    return best


def states(hardware: Hardware, encoder: Encoder, examples: Examples, rows: Rows) -> Floats:
    """Return what the head of an encoder sees at each row, shape (len(rows), width)."""
    out = np.empty((len(rows), encoder.head.in_features))
    with torch.no_grad():
        for first in range(0, len(rows), BATCH):
            windows = hardware.tensor(examples.windows(rows[first : first + BATCH]))
            out[first : first + BATCH] = encoder.represent(windows).cpu().numpy()
    return out
