"""Watches: what a bundle may keep an eye on beside its models, so that a gate can say no.

A bundle lists them in its manifest under ``regime.watches``; most list none. ``supervisor`` watches what is known
beside the bars, such as a volatility index: where its value stands among its own last ones. ``volatility`` watches
the chance that the market moves more in the next bars than in the last ones (``volatility.onnx``).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import njit

from engine.bars import Bars, Floats
from engine.errors import ModelMismatch
from engine.indicators.windows import frozen
from engine.readings import missing_context
from models.folder import read_file
from models.predictor import Predictor
from models.volatility import FILE, INPUTS, foreseen_volatility, volatility_memory

if TYPE_CHECKING:
    from models.manifest import Manifest

SUPERVISOR, VOLATILITY = "supervisor", "volatility"
LONGEST = 100_000  # bars of a supervisor's window


class Watch(NamedTuple):
    """One thing watched.

    Parameters
    ----------
    gate : str
        ``supervisor`` or ``volatility``: the name of the gate that asks.
    bars : int
        The supervisor's window, or how many bars the volatility is foreseen.
    most : float
        Largest value at which a trade is allowed, in [0, 1].
    profiles : tuple of str
        Profiles in which the gate stands.
    column : str
        What the supervisor reads beside the bars.
    """

    gate: str
    bars: int
    most: float
    profiles: tuple[str, ...]
    column: str = ""

    @property
    def memory(self) -> int:
        """Bars that its value depends on."""
        return self.bars if self.gate == SUPERVISOR else volatility_memory(self.bars)

    def page(self) -> dict[str, Any]:
        """Return what the manifest says of it."""
        told = {"bars": self.bars, "most": self.most, "profiles": list(self.profiles)}
        return told | ({"column": self.column} if self.gate == SUPERVISOR else {})


def watches_of(manifest: Manifest) -> tuple[Watch, ...]:
    """Return what a bundle watches, in the order of the manifest.

    Raises
    ------
    ModelMismatch
        If the manifest describes no watch that this code knows.
    """
    listed = manifest.regime.get("watches", {})
    if not isinstance(listed, Mapping):
        raise ModelMismatch(f"bundle {manifest.name}: regime.watches must be an object; retrain or restore the file")
    return tuple(_watch(manifest.name, gate, page) for gate, page in listed.items())


def _watch(bundle: str, gate: str, page: Any) -> Watch:
    known = {"bars", "most", "profiles"} | ({"column"} if gate == SUPERVISOR else set())
    good = gate in (SUPERVISOR, VOLATILITY) and isinstance(page, Mapping) and set(page) == known
    good = good and type(page["bars"]) is int and 2 <= page["bars"] <= LONGEST
    good = good and isinstance(page["most"], int | float) and 0.0 <= page["most"] <= 1.0
    good = good and isinstance(page["profiles"], list | tuple) and all(isinstance(p, str) for p in page["profiles"])
    if not good:
        raise ModelMismatch(f"bundle {bundle}: regime.watches.{gate} is no watch this code knows; retrain")
    return Watch(gate, page["bars"], float(page["most"]), tuple(page["profiles"]), str(page.get("column", "")))


def watched(manifest: Manifest, folder: Path, bars: Bars, since: int = 0) -> Floats | None:
    """Return what each watch says at each close, shape (n, watches); None where a bundle watches nothing.

    Raises
    ------
    UsageError
        If the bars do not carry what a supervisor reads.
    """
    watches = watches_of(manifest)
    if not watches:
        return None
    columns = []
    for watch in watches:
        if watch.gate == SUPERVISOR:
            if watch.column not in bars.context:
                raise missing_context([watch.column], bars.symbol)
            columns.append(trailing_rank(frozen(bars.context[watch.column]), watch.bars))
        else:
            graph = _opened(read_file(folder, manifest, FILE))
            columns.append(foreseen_volatility(graph, bars, watch.bars, since)[1])
    return np.stack(columns, axis=1)


@lru_cache(maxsize=4)
def _opened(graph: bytes) -> Predictor:
    return Predictor(graph, 1, len(INPUTS), FILE)


@njit(cache=True, nogil=True)
def trailing_rank(values: Floats, window: int) -> Floats:
    """Return the share of the last values, each bar's own among them, that lie below it.

    Parameters
    ----------
    values : float64 array of shape (n,)
        NaN where nothing was known.
    window : int
        Bars looked back on.

    Returns
    -------
    float64 array of shape (n,)
        In [0, 1); NaN where the value is not known, or fewer than half of the window are.

    Examples
    --------
    >>> trailing_rank(np.array([1.0, 3.0, 2.0, 5.0]), 4).tolist()
    [nan, 0.5, 0.3333333333333333, 0.75]
    """
    out = np.full(len(values), np.nan)
    for t in range(len(values)):
        known, below = 0, 0
        if np.isnan(values[t]):
            continue
        for i in range(max(t - window + 1, 0), t + 1):
            known += not np.isnan(values[i])
            below += values[i] < values[t]
        if 2 * known >= window:
            out[t] = below / known
    return out
