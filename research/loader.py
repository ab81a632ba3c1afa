"""Windows in batches: one gather a batch from memory, or the same batches through a DataLoader from disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from research.weights import Rows

if TYPE_CHECKING:
    from research.events import Examples

Floats32 = NDArray[np.float32]


class Batch(NamedTuple):
    """What one step learns from.

    Parameters
    ----------
    windows : float32 array of shape (B, L, F)
        Raw features.
    y, weight : float32 arrays of shape (B,)
        Labels, and what each counts.
    """

    windows: Floats32
    y: Floats32
    weight: Floats32


def gather(matrix: Floats32, rows: Rows, window: int) -> Floats32:
    """Return the windows that end at some bars, shape (len(rows), L, F): whole stretches of memory, copied once.

    Parameters
    ----------
    matrix : float32 array of shape (n, F)
        In memory or mapped from a file; nothing but the windows asked for is read.
    rows : int64 array of shape (m,)
        Bars; each needs L - 1 bars before it.
    window : int
        L.

    Examples
    --------
    >>> gather(np.arange(8, dtype=np.float32).reshape(4, 2), np.array([1, 3]), 2).tolist()
    [[[0.0, 1.0], [2.0, 3.0]], [[4.0, 5.0], [6.0, 7.0]]]
    """
    features = matrix.shape[1]
    first = np.asarray(rows) - (window - 1)
    if len(first) and (first.min() < 0 or first.max() > len(matrix) - window):
        raise IndexError(f"rows must lie in {window - 1}..{len(matrix) - 1}, as a window has {window} bars")
    flat = np.ascontiguousarray(matrix).reshape(-1)
    taken: Floats32 = sliding_window_view(flat, window * features)[::features][first]
    return taken.reshape(len(first), window, features)


def batches(
    examples: Examples, y: NDArray[Any], weight: NDArray[Any], order: Iterable[Rows], workers: int = 0
) -> Iterator[Batch]:
    """Yield the batches of one pass, the same ones however they are gathered.

    Parameters
    ----------
    examples : Examples
        Whose windows.
    y, weight : float arrays of shape (n,)
        Of every bar.
    order : iterable of int64 arrays
        Rows of each batch.
    workers : int
        Processes that gather ahead of the step; 0: this one.
    """
    source = Source(examples.matrix, examples.window, y, weight)
    if workers == 0:
        yield from (source.__getitems__(rows) for rows in order)
        return
    import torch
    from torch.utils.data import DataLoader

    apart = torch.Generator()  # or the loader would throw the training's dice
    yield from DataLoader(
        source, batch_sampler=_Listed(order), num_workers=workers, collate_fn=_as_it_is, generator=apart
    )


class Source:
    """A set of examples as torch's DataLoader asks for it: whole batches by their rows.

    Parameters
    ----------
    matrix : float32 array of shape (n, F)
        In memory or mapped from a file.
    window : int
        Bars of a window.
    y, weight : float arrays of shape (n,)
        Of every bar.
    """

    def __init__(self, matrix: Floats32, window: int, y: NDArray[Any], weight: NDArray[Any]) -> None:
        self.matrix, self.window, self.y, self.weight = matrix, window, y, weight

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, row: int) -> Batch:
        return self.__getitems__(np.array([row]))

    def __getitems__(self, rows: Rows) -> Batch:
        """Return a batch in one gather."""
        rows = np.asarray(rows)
        windows = gather(self.matrix, rows, self.window)
        return Batch(windows, self.y[rows].astype(np.float32), self.weight[rows].astype(np.float32))


class _Listed:
    """Rows of each batch, in the shape that DataLoader calls a batch sampler."""

    def __init__(self, order: Iterable[Rows]) -> None:
        self.order = list(order)

    def __iter__(self) -> Iterator[Rows]:
        return iter(self.order)

    def __len__(self) -> int:
        return len(self.order)


def _as_it_is(batch: Batch) -> Batch:
    return batch


def on_disk(path: Path, parts: Iterable[Floats32], features: int) -> Floats32:
    """Write the features of a history longer than memory part by part; return them mapped, ready for `gather`.

    Parameters
    ----------
    path : Path
        A ``.npy`` file, replaced when it is complete.
    parts : iterable of float32 arrays of shape (any, F)
        In time order.
    features : int
        F.

    Returns
    -------
    float32 array of shape (n, F)
        Read-only; pages come from the file when they are asked for.
    """
    import os

    draft = path.with_name(f".{path.name}.draft")
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = 0
    with draft.open("wb") as file:
        np.lib.format.write_array_header_2_0(file, _header(0, features))
        for part in parts:
            rows += len(part)
            file.write(np.ascontiguousarray(part, "<f4").tobytes())
        file.seek(0)
        np.lib.format.write_array_header_2_0(file, _header(rows, features))
    os.replace(draft, path)
    mapped: Floats32 = np.load(path, mmap_mode="r")
    return mapped


def _header(rows: int, features: int) -> dict[str, Any]:
    return {"descr": "<f4", "fortran_order": False, "shape": (rows, features)}
