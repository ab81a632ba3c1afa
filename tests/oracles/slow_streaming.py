"""The streaming network, slow and obvious: one answer, from one stretch of bars, in double precision."""

from __future__ import annotations

import numpy as np

from models.network import Network


def slow_answer(network: Network, bars: np.ndarray) -> tuple[float, float]:
    """Return logit and probability at the last of some bars, every layer computed at every bar it needs."""
    n = Network(*(np.asarray(part, np.float64) for part in network))
    heads, band = n.fall.shape
    x = np.clip((bars.astype(np.float64) - n.mean) / n.deviation, -5.0, 5.0) @ n.embed.T + n.embed_bias
    for i in range(len(n.norms)):
        normed = layer_norm(x, n.norms[i, 0], n.norms[i, 1])
        query, key, value = np.split(normed @ n.attend[i].T + n.attend_bias[i], 3, axis=1)
        told = np.zeros_like(x)
        for t in range(len(x)):
            first = max(0, t - band + 1)
            for h, part in enumerate(np.split(np.arange(x.shape[1]), heads)):
                scores = key[first : t + 1, part] @ query[t, part] / np.sqrt(len(part))
                scores += n.fall[h, t - np.arange(first, t + 1)]
                weights = np.exp(scores - scores.max())
                told[t, part] = weights / weights.sum() @ value[first : t + 1, part]
        x = x + told @ n.mix[i].T + n.mix_bias[i]
        hidden = gelu(layer_norm(x, n.norms[i, 2], n.norms[i, 3]) @ n.widen[i].T + n.widen_bias[i])
        x = x + hidden @ n.narrow[i].T + n.narrow_bias[i]
    logit = layer_norm(x[-1], *n.norm) @ n.head + n.line[0]
    return float(logit), float(1.0 / (1.0 + np.exp(-(n.line[1] * logit + n.line[2]))))


def layer_norm(x: np.ndarray, gain: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Standardise each bar over its own numbers."""
    away = x - x.mean(axis=-1, keepdims=True)
    return away / np.sqrt((away * away).mean(axis=-1, keepdims=True) + 1e-5) * gain + bias


def gelu(x: np.ndarray) -> np.ndarray:
    """Hendrycks & Gimpel 2016, tanh form."""
    return 0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))
