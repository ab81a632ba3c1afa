"""The streaming predictor as it is served: the arrays of its kernels, scaler and calibration among them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.network import Network, to_file
from research.calibrate import Line
from research.fit_streaming import StreamingModel
from research.streaming_network import falls


def to_streaming(model: StreamingModel, line: Line) -> bytes:
    """Return ``predictor.safetensors`` of a fitted model.

    Parameters
    ----------
    model : StreamingModel
        Fitted.
    line : Line
        Its calibration.
    """
    return to_file(network_of(model, line))


def network_of(model: StreamingModel, line: Line) -> Network:
    """Return the arrays that the kernels read, as the fitted network has them."""
    state, sizes = model.state(), model.sizes

    def layers(*names: str) -> NDArray[np.float32]:
        """Return parts of each layer one below the other, one layer after the other."""
        return np.stack([np.concatenate([state[f"layers.{i}.{n}"] for n in names]) for i in range(sizes.layers)])

    asked = [f"attention.{part}" for part in ("query", "key", "value")]
    norms = [f"{norm}.{part}" for norm in ("norm_attention", "norm_forward") for part in ("weight", "bias")]
    arrays = {
        "mean": state["scaler.mean"],
        "deviation": state["scaler.deviation"],
        "embed": state["embed.weight"],
        "embed_bias": state["embed.bias"],
        "norms": np.stack([layers(norm) for norm in norms], axis=1),
        "attend": layers(*(f"{part}.weight" for part in asked)),
        "attend_bias": layers(*(f"{part}.bias" for part in asked)),
        "norm": np.stack([state["norm.weight"], state["norm.bias"]]),
        "head": state["head.weight"][0],
        "line": np.array([state["head.bias"][0], line.a, line.b]),
        "fall": falls(sizes.heads, sizes.band).numpy(),
    }
    for name, part in (("mix", "attention.out"), ("widen", "widen"), ("narrow", "narrow")):
        arrays |= {name: layers(f"{part}.weight"), f"{name}_bias": layers(f"{part}.bias")}
    return Network(**{name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()})
