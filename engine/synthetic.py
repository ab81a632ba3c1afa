"""Markets made by dice: for tests, controls and examples."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from engine.bars import Bars, parse_timeframe


def random_bars(
    n: int,
    seed: int = 0,
    timeframe: str = "1h",
    volatility: float = 0.01,
    drift: float = 0.0,
    gaps: float = 0.0,
) -> Bars:
    """Return n bars of a random walk with changing volatility: a market without any edge.

    Parameters
    ----------
    n : int
        Number of bars.
    seed : int
        Same seed, same bars.
    timeframe : str
        Such as ``1h``.
    volatility : float
        Standard deviation of one bar's log return, on average.
    drift : float
        Mean log return of one bar.
    gaps : float
        Share of bars that are missing from the grid, in [0, 1).

    Returns
    -------
    Bars
        Each bar is built from 16 small steps, so its high and low are those of a real path.

    Examples
    --------
    >>> random_bars(3, seed=1).timeframe
    '1h'
    """
    rng = np.random.default_rng(seed)
    steps = 16
    log_vol = np.zeros(n)
    for i in range(1, n):
        log_vol[i] = 0.97 * log_vol[i - 1] + 0.1 * rng.standard_normal()
    scale = volatility * np.exp(log_vol) / np.sqrt(steps)
    moves = rng.standard_normal((n, steps)) * scale[:, None] + drift / steps
    path = np.cumsum(moves.ravel()).reshape(n, steps)
    begin = np.r_[0.0, path[:-1, -1]]
    jump = 0.05 * volatility * rng.standard_normal(n)  # opens rarely equal the last close
    log_open = begin + jump
    log_close = path[:, -1]
    log_high = np.maximum(path.max(axis=1), np.maximum(log_open, log_close))
    log_low = np.minimum(path.min(axis=1), np.minimum(log_open, log_close))
    step_ns = parse_timeframe(timeframe)
    slots = np.arange(n, dtype=np.int64)
    if gaps > 0.0:
        slots = np.cumsum(1 + (rng.random(n) < gaps) * rng.integers(1, 6, n))
    start = np.datetime64("2020-01-01", "ns").astype(np.int64)
    return Bars(
        open_time=(start + slots * step_ns).astype("datetime64[ns]"),
        open=100.0 * np.exp(log_open),
        high=100.0 * np.exp(log_high),
        low=100.0 * np.exp(log_low),
        close=100.0 * np.exp(log_close),
        volume=np.exp(rng.standard_normal(n) + 5.0 + log_vol),
        timeframe_ns=step_ns,
        symbol=f"RANDOM-{seed}",
    )


def random_context(bars: Bars, names: Iterable[str], seed: int = 0) -> Bars:
    """Return bars with random walks beside them under some names, where they carry nothing of that name.

    Examples
    --------
    >>> list(random_context(random_bars(3), ["vix_level"]).context)
    ['vix_level']
    """
    rng = np.random.default_rng(seed)
    walks = {name: np.cumsum(rng.standard_normal(len(bars))) for name in names}
    return bars.beside({**walks, **bars.context})
