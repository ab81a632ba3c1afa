"""What the streaming predictor has learned, as named arrays, and the ring of what it has read last."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import ModelMismatch
from models.tensors import Floats32 as Floats32
from models.tensors import read_tensors, write_tensors

KIND, FILE = "streaming", "predictor.safetensors"
GROUP = 4  # of what the kernels take at a time: head width, feed-forward and band are multiples of it

Rows = NDArray[np.int64]


class Network(NamedTuple):
    """Everything learned, float32; L layers of width d and feed-forward width h over F features.

    Parameters
    ----------
    mean, deviation : arrays of shape (F,)
        Of the training bars.
    embed, embed_bias : arrays of shape (d, F), (d,)
        From features to a bar's state.
    norms : array of shape (L, 4, d)
        Gain and bias before the attention, gain and bias before the feed-forward.
    attend, attend_bias : arrays of shape (L, 3 d, d), (L, 3 d)
        Query, key and value.
    mix, mix_bias : arrays of shape (L, d, d), (L, d)
        From the heads' answers to the state.
    widen, widen_bias : arrays of shape (L, h, d), (L, h)
        Into the feed-forward.
    narrow, narrow_bias : arrays of shape (L, d, h), (L, d)
        And back.
    norm : array of shape (2, d)
        Gain and bias of the last norm.
    head : array of shape (d,)
        From the state to the logit.
    line : array of shape (3,)
        Bias of the logit, then slope and intercept of the calibration.
    fall : array of shape (heads, band)
        What is added to a head's score of a bar so many bars ago (ALiBi: Press et al. 2022).
    """

    mean: Floats32
    deviation: Floats32
    embed: Floats32
    embed_bias: Floats32
    norms: Floats32
    attend: Floats32
    attend_bias: Floats32
    mix: Floats32
    mix_bias: Floats32
    widen: Floats32
    widen_bias: Floats32
    narrow: Floats32
    narrow_bias: Floats32
    norm: Floats32
    head: Floats32
    line: Floats32
    fall: Floats32

    @property
    def reach(self) -> int:
        """Bars that an answer depends on: a band for the last layer, and a band less one for each before it."""
        return len(self.norms) * (self.fall.shape[1] - 1) + 1


class Ring(NamedTuple):
    """Keys and values of the latest bars, and the column the next bar goes to.

    Parameters
    ----------
    keys, values : float32 arrays of shape (L, d, columns)
        A column is a bar; at least ``band - 1`` and one more.
    place : int64 array of shape (1,)
        Next column; never below ``band - 1``.
    """

    keys: Floats32
    values: Floats32
    place: NDArray[np.int64]


def empty_ring(network: Network, columns: int) -> Ring:
    """Return a ring for ``columns`` bars at once, as if nothing had come before."""
    layers, width, band = len(network.norms), len(network.head), network.fall.shape[1]
    shape = (layers, width, band - 1 + columns)
    return Ring(np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.array([band - 1], np.int64))


def to_file(network: Network) -> bytes:
    """Return the bytes of ``predictor.safetensors``."""
    return write_tensors(network._asdict())


def reach(layers: int, band: int) -> int:
    """Return how many bars decide an answer: the band of the last layer, and a band less one bar of each before.

    Examples
    --------
    >>> reach(layers=2, band=64)
    127
    """
    return layers * (band - 1) + 1


def open_network(content: bytes, where: str) -> Network:
    """Return the network of a file once every array has the shape that the others make it have."""
    arrays = read_tensors(content, where)
    if set(arrays) != set(Network._fields):
        odd = sorted(set(arrays) ^ set(Network._fields))[0]
        raise ModelMismatch(f"{where}: array {odd!r} is missing or unknown; retrain")
    network = Network(**arrays)
    sides = [array.shape for array in (network.embed, network.norms, network.widen, network.fall)]
    if [len(side) for side in sides] != [2, 3, 3, 2] or min(min(side) for side in sides) < 1:
        raise ModelMismatch(f"{where}: embed, norms, widen and fall have shapes {sides}; retrain")
    (width, features), layers, hidden, (heads, band) = sides[0], sides[1][0], sides[2][1], sides[3]
    shapes = _shapes(features, width, layers, hidden) | {"fall": (heads, band)}
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ModelMismatch(
                f"{where}: {name!r} has shape {arrays[name].shape}, the others make it {shape}; retrain"
            )
    if width % (heads * GROUP) or hidden % GROUP or band % GROUP or not (network.deviation > 0.0).all():
        raise ModelMismatch(
            f"{where}: a head's width, the feed-forward ({hidden}) and the band ({band}) must be multiples of {GROUP},"
            " and deviations positive; retrain"
        )
    return network


def _shapes(features: int, width: int, layers: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of every array of a network but the scores' fall."""
    return {
        "mean": (features,),
        "deviation": (features,),
        "embed": (width, features),
        "embed_bias": (width,),
        "norms": (layers, 4, width),
        "attend": (layers, 3 * width, width),
        "attend_bias": (layers, 3 * width),
        "mix": (layers, width, width),
        "mix_bias": (layers, width),
        "widen": (layers, hidden, width),
        "widen_bias": (layers, hidden),
        "narrow": (layers, width, hidden),
        "narrow_bias": (layers, width),
        "norm": (2, width),
        "head": (width,),
        "line": (3,),
    }
