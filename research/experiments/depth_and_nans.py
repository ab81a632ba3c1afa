"""A11: a validation loss of .5211 instead of .5220, and whether a deeper network was worth its NaNs.

First the noise: two depths of the same network from several seeds, compared on the same rows; a difference that another
seed makes is a tie. Then the NaNs: encoders of PyTorch with the norm before or after each block, with and without
clipped gradients, shallow and deep, at a usual and a rough learning rate; steps without a finite loss are counted, and
the largest gradient.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from engine.bars import Floats
from research.config import TrainConfig
from research.experiments.bench import Told, hear, judged_rows
from research.experiments.finding import CONFIRMED, REFUTED, UNDECIDED, Column, Finding
from research.experiments.lab import Lab
from research.experiments.rivals import traded_lines
from research.fit_logistic import moments
from research.hardware import repeatable
from research.measures import block_se
from research.study import Study

CLAIM = "validation .5220 to .5211 is not worth the NaNs of a deeper network"
CLAIMED = 0.5220 - 0.5211
DEPTHS, SEEDS = (2, 3), (0, 1, 2, 3, 4)  # layers of the notes' two candidates
WIDTH, HEADS, FORWARD, BATCH = 32, 2, 64, 128  # what a CPU can train dozens of times
RATES, LAYERS, STEPS = (7e-4, 2e-2), (1, 4), (150, 25)  # ours and thirty times it; steps full and quick
CLIP = 1.0
COLUMNS = (
    Column("layers", "d"),
    Column("norm"),
    Column("clip"),
    Column("rate", ".4f"),
    Column("steps", "d"),
    Column("not finite", "d"),
    Column("largest gradient", ".1f"),
    Column("worst loss", ".3f"),
    Column("last loss", ".3f"),
)


class Course(NamedTuple):
    """How a short training went: steps without a finite loss, the largest gradient, the worst and the last loss."""

    failed: int
    gradient: float
    worst: float
    last: float


def verdict(noise: float, safe_failures: int) -> str:
    """Return the verdict from the noise of a difference between two trainings, and failures of the safe recipe.

    Refuted when the noise is smaller than the notes' difference, which then was one; confirmed when it is a tie and
    norms before the blocks with clipped gradients never fail; undecided when they fail too.
    """
    if noise < CLAIMED:
        return REFUTED
    return CONFIRMED if safe_failures == 0 else UNDECIDED


class Plain(nn.Module):
    """PyTorch's own encoder over a window, the last bar's state to one logit."""

    def __init__(self, features: int, window: int, layers: int, first: bool) -> None:
        super().__init__()
        self.embed = nn.Linear(features, WIDTH)
        self.position = nn.Parameter(torch.randn(window, WIDTH) * 0.02)
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, FORWARD, 0.1, batch_first=True, norm_first=first)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, 1)

    def forward(self, windows: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(windows) + self.position)[:, -1]).squeeze(-1)


def course(study: Study, terms: tuple[int, bool, bool, float], steps: int, seed: int) -> Course:
    """Train some steps and return how it went; the terms are layers, norm first, clipped, rate."""
    layers, first, clipped, rate = terms
    examples, rng = study.examples, np.random.default_rng(seed)
    rows = study.final_fold().train
    mean, deviation = moments(examples.matrix[rows])
    failed, largest, losses = 0, 0.0, [0.0]
    with repeatable(seed, study.config.threads):
        network = Plain(examples.matrix.shape[1], study.config.window, layers, first).train()
        optimiser = torch.optim.Adam(network.parameters(), lr=rate)
        for _ in range(steps):
            some = rng.choice(rows, BATCH, replace=False)
            x = torch.from_numpy(((examples.windows(some) - mean) / deviation).astype(np.float32))
            y = torch.from_numpy(examples.y[some].astype(np.float32))
            optimiser.zero_grad()
            loss = nn.functional.binary_cross_entropy_with_logits(network(x), y)
            if not torch.isfinite(loss):
                failed += 1
                continue
            loss.backward()  # type: ignore[no-untyped-call]
            norm = float(nn.utils.clip_grad_norm_(network.parameters(), CLIP if clipped else math.inf))
            largest = max(largest, norm if math.isfinite(norm) else largest)
            optimiser.step()
            losses.append(float(loss.detach()))
    return Course(failed, largest, max(losses), float(np.mean(losses[-10:])))


def depth_config(lab: Lab, layers: int) -> TrainConfig:
    """Return the streaming network of a depth; it reads every bar once and so trains often enough on a CPU."""
    epochs = lab.pick(lab.config.streaming.epochs, 2)
    band = 4 * (63 // layers // 4) + 4  # about the same reach at every depth: the same rows are judged
    return replace(
        lab.config,
        candidates=("logistic", "streaming"),
        streaming=replace(lab.config.streaming, layers=layers, band=band, epochs=epochs),
    )


def common_losses(told: list[Told]) -> tuple[np.ndarray, list[Floats]]:
    """Return the rows that all were judged on, and each one's losses there."""
    rows = told[0].rows
    for one in told[1:]:
        rows = np.intersect1d(rows, one.rows)
    return rows, [one.losses[np.searchsorted(one.rows, rows)] for one in told]


def run(lab: Lab) -> Finding:
    """Measure the noise of a difference, then count what fails."""
    seeds, steps = lab.pick(SEEDS, SEEDS[:2]), lab.pick(*STEPS)
    told: dict[int, list[Told]] = {layers: [] for layers in DEPTHS}
    for i, seed in enumerate(seeds):
        for layers in DEPTHS:
            study = lab.study(depth_config(lab, layers))
            told[layers].append(hear(study, "streaming", seed, f"streaming, {layers} layers, seed {seed}"))
        lab.tell(f"seed {seed}", 0.7 * (i + 1) / len(seeds))
    _, losses = common_losses([one for depth in DEPTHS for one in told[depth]])
    gaps = np.array(losses[: len(seeds)]) - np.array(losses[len(seeds) :])
    rows_se, seeds_sd = block_se(gaps.mean(axis=0), 2 * lab.study().block), float(gaps.mean(axis=1).std(ddof=1))
    noise = 1.96 * math.hypot(rows_se, seeds_sd)  # of two single trainings, as the notes compared them
    terms = [
        (n, first, clip, rate) for n in LAYERS for first in (True, False) for clip in (True, False) for rate in RATES
    ]
    study, rows = lab.study(), list[tuple[Any, ...]]()
    failures = {True: 0, False: 0}
    for i, (layers, first, clipped, rate) in enumerate(terms):
        went = course(study, (layers, first, clipped, rate), steps, lab.seed)
        failures[first and clipped] += went.failed
        rows.append((layers, "before" if first else "after", "1" if clipped else "no", rate, steps, *went))
        lab.tell(f"stress {i + 1} of {len(terms)}", 0.7 + 0.3 * (i + 1) / len(terms))
    word = verdict(noise, failures[True])
    standings, trials = traded_lines((one for depth in DEPTHS for one in told[depth]), "A11", "barriers")
    return Finding(
        verdict=word,
        sentence=_sentence(word, float(gaps.mean()), noise, failures, max(row[6] for row in rows)),
        columns=COLUMNS,
        rows=tuple(rows),
        numbers={
            "losses": {str(depth): [one.score.loss for one in told[depth]] for depth in DEPTHS},
            "deeper_gains": float(gaps.mean()),
            "rows_se": rows_se,
            "seeds_sd": seeds_sd,
        },
        n=len(judged_rows(lab.study())),
        n_eff=told[DEPTHS[0]][0].score.n_eff,
        seeds=tuple(lab.seed + seed for seed in seeds),
        standings=standings,
        trials=trials,
    )


def _sentence(word: str, gained: float, noise: float, failures: dict[bool, int], gradient: float) -> str:
    end = {
        CONFIRMED: "a difference of .0009 is a tie",
        REFUTED: "a difference of .0009 is more than noise",
        UNDECIDED: "a difference of .0009 is a tie, but no recipe is safe",
    }
    return (
        f"a third layer gains {gained:+.5f} where two single trainings differ by up to {noise:.5f} through seed and"
        f" rows: {end[word]}; with norms before the blocks and clipped gradients {failures[True]} steps had no finite"
        f" loss, otherwise {failures[False]} (largest gradient {gradient:.0f})"
    )
