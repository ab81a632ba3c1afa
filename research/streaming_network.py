"""The causal banded Transformer: a stretch of bars in, the log-odds at every one of them out."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.network import reach
from research.networks import Scaler


class StreamSizes(NamedTuple):
    """The shape of a banded encoder.

    Parameters
    ----------
    features, width, layers, heads, feedforward : int
        Of a bar, and of the encoder.
    band : int
        Bars each layer looks back on, its own included.
    dropout : float
        While learning.
    """

    features: int
    width: int
    layers: int
    heads: int
    feedforward: int
    band: int
    dropout: float

    @property
    def reach(self) -> int:
        """Bars that decide an answer."""
        return reach(self.layers, self.band)

    @property
    def parameters(self) -> int:
        """Number of learned values, by the formula."""
        d, hidden = self.width, self.feedforward
        layer = 4 * d * d + 4 * d + 2 * d * hidden + hidden + d + 4 * d
        return self.features * d + d + self.layers * layer + 2 * d + d + 1


def falls(heads: int, band: int) -> Tensor:
    """Return what each head's scores lose with each bar further back, shape (heads, band), newest bar first.

    Slopes are 2^(-8 h / heads): the first head sees the last bars, the last head nearly the whole band
    (ALiBi: Press, Smith & Lewis 2022). No position is learned, so none can be out of range.

    Examples
    --------
    >>> falls(2, 4).tolist()
    [[0.0, -0.0625, -0.125, -0.1875], [0.0, -0.00390625, -0.0078125, -0.01171875]]
    """
    slopes = 2.0 ** (-8.0 * torch.arange(1, heads + 1) / heads)
    return -slopes[:, None] * torch.arange(band)


class BandedAttention(nn.Module):
    """Self-attention over the last ``band`` bars, computed in blocks of a band against two."""

    fall: Tensor

    def __init__(self, sizes: StreamSizes) -> None:
        super().__init__()
        self.heads, self.band = sizes.heads, sizes.band
        self.query, self.key, self.value, self.out = (nn.Linear(sizes.width, sizes.width) for _ in range(4))
        ago = self.band + torch.arange(self.band)[:, None] - torch.arange(2 * self.band)
        seen = (ago >= 0) & (ago < self.band)
        fall = falls(self.heads, self.band)[:, ago.clamp(0, self.band - 1)]
        self.register_buffer("fall", fall.masked_fill(~seen, -math.inf), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        blocks, size = -(-length // self.band), width // self.heads
        x = functional.pad(x, (0, 0, 0, blocks * self.band - length))
        q, k, v = (
            part(x).view(batch, blocks, self.band, self.heads, size) for part in (self.query, self.key, self.value)
        )
        q = q.permute(0, 1, 3, 2, 4)
        k, v = (torch.cat([functional.pad(part, (0, 0, 0, 0, 0, 0, 1, 0))[:, :-1], part], 2) for part in (k, v))
        scores = q @ k.permute(0, 1, 3, 4, 2) / math.sqrt(size) + self.fall
        told = torch.softmax(scores, -1) @ v.transpose(2, 3)
        return self.out(told.transpose(2, 3).reshape(batch, blocks * self.band, width)[:, :length])


class BandedLayer(nn.Module):
    """Pre-norm attention and feed-forward."""

    def __init__(self, sizes: StreamSizes) -> None:
        super().__init__()
        self.norm_attention, self.norm_forward = nn.LayerNorm(sizes.width), nn.LayerNorm(sizes.width)
        self.attention = BandedAttention(sizes)
        self.widen, self.narrow = nn.Linear(sizes.width, sizes.feedforward), nn.Linear(sizes.feedforward, sizes.width)
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.norm_attention(x)))
        hidden = functional.gelu(self.widen(self.norm_forward(x)), approximate="tanh")  # its kernel has no erf
        return x + self.dropout(self.narrow(hidden))


class StreamingEncoder(nn.Module):
    """Pre-norm Transformer encoder that answers at every bar from that bar and those before it.

    Parameters
    ----------
    sizes : StreamSizes
        The shape.
    scaler : Scaler
        Fitted on the training bars. It is the only normalisation over time: a mean over the window would
        be one more thing that a bar's answer depends on.
    base_rate : float
        Share of ones among the training labels: where the output starts.

    Notes
    -----
    The first ``reach - 1`` answers of a stretch rest on bars that are not there and mean nothing.
    """

    def __init__(self, sizes: StreamSizes, scaler: Scaler, base_rate: float) -> None:
        super().__init__()
        self.scaler, self.embed = scaler, nn.Linear(sizes.features, sizes.width)
        self.layers = nn.Sequential(*(BandedLayer(sizes) for _ in range(sizes.layers)))
        self.norm, self.head = nn.LayerNorm(sizes.width), nn.Linear(sizes.width, 1)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.constant_(self.head.bias, math.log(base_rate / (1.0 - base_rate)))

    def forward(self, bars: Tensor) -> Tensor:
        """Return log-odds of shape (batch, T) for bars of shape (batch, T, F)."""
        return self.head(self.norm(self.layers(self.embed(self.scaler(bars))))).squeeze(-1)
