"""Fractional differencing of many bars: ours, a pandas loop as in the book, and plain numba, equal before timed."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from numba import njit

from benchmarks.measure import Job, Row, once, timed
from engine.indicators.fractional import ffd_weights, fractional_difference, return_weights, weighed
from engine.readings import FFD_WIDTH

D = 0.4


def log_prices(n: int):
    return 9.0 + 0.001 * np.cumsum(np.random.default_rng(1).standard_normal(n))


def pandas_loop(series: pd.Series, weights) -> pd.Series:
    """One window at a time, one ``loc`` each way: how mlfinlab and the book write it."""
    column, out = weights[::-1].reshape(-1, 1), pd.Series(dtype="float64", index=series.index)
    for place in range(len(weights) - 1, len(series)):
        begin, end = series.index[place - len(weights) + 1], series.index[place]
        if not np.isfinite(series.loc[end]):
            continue
        out[end] = np.dot(column.T, series.loc[begin:end].to_numpy()[:, None])[0, 0]
    return out


@njit(fastmath=True)
def numba_direct(values, weights):
    """A dot product per bar, vectorised; the window is cut out first: indices that may wrap cost 17 times as much."""
    out, oldest_first = np.full(len(values), np.nan), weights[::-1].copy()
    for i in range(len(weights) - 1, len(values)):
        window, total = values[i - len(weights) + 1 : i + 1], 0.0
        for k in range(len(weights)):
            total += window[k] * oldest_first[k]
        out[i] = total
    return out


def run(quick: bool) -> list[Row]:
    rows, n, few = [], 200_000 if quick else 1_000_000, 500
    values = log_prices(n)
    for width in (100, 1000):
        weights = ffd_weights(D, width)
        expected = numba_direct(values, weights)
        np.testing.assert_allclose(fractional_difference(values, D, width), expected, atol=1e-12)
        short = pd.Series(values[: width - 1 + few])
        np.testing.assert_allclose(pandas_loop(short, weights), expected[: len(short)], atol=1e-12)
        pandas_s = min(once(partial(pandas_loop, short, weights)) for _ in range(3)) / few * (n - width + 1)
        ours = {"ours": partial(fractional_difference, values, D, width)}
        times = timed({**ours, "numba": partial(numba_direct, values, weights)}, 3)
        what, size, long = f"FFD, {width} weights", f"{n:,} bars", width > 250
        note = f"extrapolated from {few} bars"
        rows.append(Row(what, size, times["ours"], "pandas loop", pandas_s, 500.0 if long else None, note=note))
        rows.append(Row(what, size, times["ours"], "numba", times["numba"], 3.0 if long else None))
    returns, weights = np.diff(values), return_weights(D, FFD_WIDTH)
    served = timed({"ours": partial(weighed, returns, weights), "numba": partial(numba_direct, returns, weights)}, 3)
    note = "ours are the same bits wherever history is cut"
    rows.append(
        Row(f"FFD as served, {FFD_WIDTH} bars", f"{n:,} bars", served["ours"], "numba", served["numba"], note=note)
    )
    return rows


def jobs() -> dict[str, Job]:
    values = log_prices(200_000)
    return {
        "FFD, 1000 weights, 200k bars": partial(fractional_difference, values, D, 1000),
        "FFD as served, 200k bars": partial(weighed, np.diff(values), return_weights(D, FFD_WIDTH)),
    }
