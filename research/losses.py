"""What a network is taught to minimise, and how a focal output becomes a probability again."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from engine.bars import Floats


def binary_loss(logits: Tensor, y: Tensor) -> Tensor:
    """Return the binary cross-entropy of each row, from logits."""
    return functional.binary_cross_entropy_with_logits(logits, y, reduction="none")


def focal_loss(logits: Tensor, y: Tensor, gamma: float) -> Tensor:
    """Return the focal loss (1 - p_t)^gamma * -log p_t of each row, from logits (Lin 2017).

    Its minimiser is *not* the probability of the label: a true 0.95 is answered with 0.7498 at
    gamma 2. ``recovered_logit`` undoes that.

    Examples
    --------
    >>> round(float(focal_loss(torch.zeros(1), torch.ones(1), gamma=2.0)), 4)
    0.1733
    """
    entropy = binary_loss(logits, y)
    miss = -torch.expm1(-entropy)  # 1 - p_t, exact where p_t is near 1
    return miss.clamp_min(1e-12) ** gamma * entropy


def recovered_logit(logits: Tensor, gamma: float) -> Tensor:
    """Return the log-odds of the true probability behind a focal-trained logit, in closed form.

    With q the sigmoid of the logit, h(v) = v / phi(v) and
    phi(v) = (1-v)^gamma - gamma (1-v)^(gamma-1) v log v, the truth is h(q) / (h(q) + h(1-q))
    (Charoenphakdee et al., CVPR 2021).

    Examples
    --------
    >>> q = torch.tensor([0.7498], dtype=torch.float64)
    >>> round(float(torch.sigmoid(recovered_logit(torch.logit(q), gamma=2.0))), 3)
    0.95
    """
    return logits - _log_phi(logits, gamma) + _log_phi(-logits, gamma)


def _log_phi(logits: Tensor, gamma: float) -> Tensor:
    """Return log phi of the sigmoid of a logit: (1-v)^(gamma-1) factored out so that nothing underflows."""
    log_v, log_rest = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    return (gamma - 1.0) * log_rest + torch.log(torch.exp(log_rest) - gamma * torch.exp(log_v) * log_v)


def focal_minimiser(truth: Floats, gamma: float) -> Floats:
    """Return the output that minimises the expected focal loss at each true probability, by bisection.

    The slow obvious inverse of ``recovered_logit``, to show what a focal output means.
    """
    low, high = np.full(len(truth), -40.0), np.full(len(truth), 40.0)
    for _ in range(80):
        middle = (low + high) / 2.0
        told = torch.sigmoid(recovered_logit(torch.from_numpy(middle), gamma)).numpy()
        low, high = np.where(told < truth, middle, low), np.where(told < truth, high, middle)
    return 1.0 / (1.0 + np.exp(-(low + high) / 2.0))


def supcon_loss(z: Tensor, y: Tensor, temperature: float, ignored: Tensor | None = None) -> Tensor:
    """Return the supervised contrastive loss (Khosla 2020): rows of one label near each other, far from the rest.

    Near log(n - 1) it has learned nothing; with two labels of m rows each, all collapsed onto two opposite
    points, it stands at its least, log((m - 1) + m exp(-2 / temperature)) (Graf 2021).

    Parameters
    ----------
    z : tensor of shape (n, d)
        Directions, of length 1.
    y : tensor of shape (n,)
        Labels.
    temperature : float
        What similarities are divided by.
    ignored : bool tensor of shape (n, n), optional
        Pairs that count neither as alike nor as different: labels that share a bar are no two observations.

    Examples
    --------
    >>> z = torch.tensor([[1.0, 0.0]] * 16 + [[-1.0, 0.0]] * 16, dtype=torch.float64)
    >>> y = torch.arange(32) // 16
    >>> round(float(supcon_loss(z, y, temperature=0.1)), 4)
    2.7081
    """
    alone = torch.eye(len(z), dtype=torch.bool, device=z.device)
    away = alone if ignored is None else alone | ignored
    likeness = (z @ z.T / temperature).masked_fill(away, -torch.inf)
    surprise = torch.logsumexp(likeness, dim=1, keepdim=True) - likeness
    alike = (y[:, None] == y) & ~away
    partners = alike.sum(dim=1)
    losses = torch.where(alike, surprise, 0.0).sum(dim=1) / partners.clamp_min(1)
    return losses[partners > 0].mean()
