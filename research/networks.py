"""The Transformer encoder: a window of bars in, the log-odds of the upper barrier out."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Sizes(NamedTuple):
    """The shape of an encoder.

    Parameters
    ----------
    window, features : int
        Bars of a window and features of a bar.
    width, layers, heads, feedforward : int
        Of the encoder.
    dropout : float
        While learning.
    patch, patch_step : int
        Bars of a token, and bars from one token to the next; 0: every bar is a token.
    """

    window: int
    features: int
    width: int
    layers: int
    heads: int
    feedforward: int
    dropout: float
    patch: int = 0
    patch_step: int = 8

    @property
    def tokens(self) -> int:
        """Tokens of a window; the last one ends with its last bar."""
        return (self.window - self.patch) // self.patch_step + 1 if self.patch else self.window

    @property
    def parameters(self) -> int:
        """Number of learned values, by the formula."""
        d, hidden = self.width, self.feedforward
        layer = 4 * d * d + 4 * d + 2 * d * hidden + hidden + d + 4 * d
        embed = (2 * self.features * max(self.patch, 1) + 1) * d
        return embed + self.tokens * d + self.layers * layer + 2 * d + d + 1


class Scaler(nn.Module):
    """Development moments as buffers: raw features in, standard ones out, winsorised at five deviations."""

    LIMIT = 5.0
    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.float())
        self.register_buffer("deviation", deviation.float())

    def forward(self, window: Tensor) -> Tensor:
        return ((window - self.mean) / self.deviation).clamp(-self.LIMIT, self.LIMIT)


class WindowNorm(nn.Module):
    """Beside each standard feature, the same one relative to its own window: past bars only."""

    FLOOR = 0.1  # a feature that stands still in a window is not blown up

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=1, keepdim=True)
        spread = torch.sqrt((centred * centred).mean(dim=1, keepdim=True))
        return torch.cat([x, centred / (spread + self.FLOOR)], dim=2)


class Attention(nn.Module):
    """Self-attention, written out so that training, export and the formula are one thing."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor, asking: Tensor) -> Tensor:
        batch, length, width = x.shape
        size = width // self.heads
        q = self.query(asking).view(batch, asking.shape[1], self.heads, size).transpose(1, 2)
        k = self.key(x).view(batch, length, self.heads, size).permute(0, 2, 3, 1)
        v = self.value(x).view(batch, length, self.heads, size).transpose(1, 2)
        weights = torch.softmax(q @ k / math.sqrt(size), dim=-1)
        return self.out((weights @ v).transpose(1, 2).reshape(batch, asking.shape[1], width))


class EncoderLayer(nn.Module):
    """Pre-norm attention and feed-forward; the last layer computes the last token alone."""

    def __init__(self, sizes: Sizes, last: bool) -> None:
        super().__init__()
        self.last = last
        self.norm_attention, self.norm_forward = nn.LayerNorm(sizes.width), nn.LayerNorm(sizes.width)
        self.attention = Attention(sizes.width, sizes.heads)
        self.widen, self.narrow = (
            nn.Linear(sizes.width, sizes.feedforward),
            nn.Linear(sizes.feedforward, sizes.width),
        )
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm_attention(x)
        asking = normed[:, -1:] if self.last else normed
        x = (x[:, -1:] if self.last else x) + self.dropout(self.attention(normed, asking))
        hidden = functional.gelu(self.widen(self.norm_forward(x)))  # erf form: ONNX Runtime fuses it
        return x + self.dropout(self.narrow(hidden))


class Patches(nn.Module):
    """Neighbouring bars as one token (Nie et al. 2023): a convolution as wide as a patch, counted from the last bar."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.spare = (sizes.window - sizes.patch) % sizes.patch_step  # oldest bars that fill no patch
        self.mix = nn.Conv1d(2 * sizes.features, sizes.width, sizes.patch, sizes.patch_step)

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x[:, self.spare :].transpose(1, 2)).transpose(1, 2)


class Encoder(nn.Module):
    """Pre-norm Transformer encoder with learned positions; the last token's state gives one logit.

    Parameters
    ----------
    sizes : Sizes
        The shape.
    scaler : Scaler
        Fitted on the training bars; part of the network, so that raw features go in.
    base_rate : float
        Share of ones among the training labels: where the output starts.
    """

    def __init__(self, sizes: Sizes, scaler: Scaler, base_rate: float) -> None:
        super().__init__()
        self.scaler, self.relate = scaler, WindowNorm()
        self.embed = Patches(sizes) if sizes.patch else nn.Linear(2 * sizes.features, sizes.width)
        self.position = nn.Parameter(torch.randn(sizes.tokens, sizes.width) * 0.02)
        self.layers = nn.Sequential(*(EncoderLayer(sizes, i == sizes.layers - 1) for i in range(sizes.layers)))
        self.norm, self.head = nn.LayerNorm(sizes.width), nn.Linear(sizes.width, 1)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.constant_(self.head.bias, math.log(base_rate / (1.0 - base_rate)))

    def represent(self, window: Tensor) -> Tensor:
        """Return the last token's state, shape (batch, width): what the head sees."""
        x = self.embed(self.relate(self.scaler(window))) + self.position
        state: Tensor = self.norm(self.layers(x)[:, -1])
        return state

    def forward(self, window: Tensor) -> Tensor:
        return self.head(self.represent(window)).squeeze(-1)
