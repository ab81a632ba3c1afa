"""Every feature as a pandas one-liner over the whole history: the obvious way, with the endless recursions."""

from __future__ import annotations

import numpy as np
import pandas as pd


def frame_of(bars):
    """Return bars as an analyst holds them."""
    columns = {name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}
    return pd.DataFrame(columns, index=pd.DatetimeIndex(bars.open_time))


def slow_features(frame, names):
    """Return a frame of the named features; what they share (ATRs, returns, averages) is worked out once."""
    o, h, low, c, v = (frame[name] for name in ("open", "high", "low", "close", "volume"))
    last = c.shift()
    true_range = pd.concat([h - low, (h - last).abs(), (low - last).abs()], axis=1).max(axis=1, skipna=False)
    atr = {n: true_range.ewm(alpha=1 / n, adjust=False).mean() for n in (7, 14, 28)}
    if not v.all():  # a bar without volume counts as the quietest of the last 24
        v = v.where(v > 0).fillna(v.where(v > 0).rolling(24, min_periods=1).min())
    ret, change, volume, span = np.log(c / last), c.diff(), np.log(v), np.log(h / low)
    gain, loss = (x.clip(lower=0).ewm(alpha=1 / 14, adjust=False).mean() for x in (change, -change))
    line = c.ewm(span=12, adjust=False).mean() - c.ewm(span=26, adjust=False).mean()
    signal = line.ewm(span=9, adjust=False).mean()
    index = frame.index
    hour = 2 * np.pi * (index - index.normalize()) / pd.Timedelta("1D")
    week = (2 * np.pi * index.day_of_week + hour) / 7
    ways = {
        **{f"ret_{k}": lambda k=k: np.log(c / c.shift(k)) for k in (1, 3, 6, 12, 24, 48)},
        **{f"vol_{k}": lambda k=k: ret.rolling(k).std(ddof=0) for k in (12, 24, 48)},
        "parkinson_24": lambda: np.sqrt((span**2).rolling(24).mean() / (4 * np.log(2))),
        "atr_pct_14": lambda: atr[14] / c,
        "atr_ratio": lambda: np.log(atr[7] / atr[28]),
        "rsi_14": lambda: 100 * gain / (gain + loss),
        "macd_line": lambda: line / atr[14],
        "macd_signal": lambda: signal / atr[14],
        "macd_hist": lambda: (line - signal) / atr[14],
        **{f"ma_dist_{k}": lambda k=k: (c - c.rolling(k).mean()) / atr[14] for k in (20, 50, 100)},
        **{f"high_dist_{k}": lambda k=k: (c - h.rolling(k).max()) / atr[14] for k in (20, 50)},
        **{f"low_dist_{k}": lambda k=k: (c - low.rolling(k).min()) / atr[14] for k in (20, 50)},
        "boll_20": lambda: (c - c.rolling(20).mean()) / (2 * c.rolling(20).std(ddof=0)),
        "volume_z_24": lambda: (volume - volume.rolling(24).mean()) / volume.rolling(24).std(ddof=0),
        "body": lambda: (c - o) / atr[14],
        "upper_wick": lambda: (h - np.maximum(o, c)) / atr[14],
        "lower_wick": lambda: (np.minimum(o, c) - low) / atr[14],
        "log_range": lambda: np.log(span.clip(lower=1e-5)),
        **{f"ffd_{k}": lambda k=k: slow_ffd(np.log(c), k / 100, 256) for k in (20, 30, 40, 50)},
        "hour_sin": lambda: np.sin(hour),
        "hour_cos": lambda: np.cos(hour),
        "week_sin": lambda: np.sin(week),
        "week_cos": lambda: np.cos(week),
    }
    return pd.DataFrame({name: ways[name]() for name in names}, index=index)


def slow_ffd(x, d, width):
    """Return log prices differenced d times, the oldest of each window standing for all before it."""
    weights = [1.0]
    for k in range(1, width):
        weights.append(-weights[-1] * (d - k + 1) / k)
    weights[-1] -= sum(weights)
    return x.rolling(width).apply(lambda part: np.dot(weights, part[::-1]), raw=True)


def slow_cusum(moves, thresholds):
    """Return the last event of the filter as [(side, bars since)], or [] where there was none."""
    up = down = 0.0
    fired = []
    for i, (move, threshold) in enumerate(zip(moves, thresholds, strict=True)):
        if np.isnan(move) or np.isnan(threshold):
            continue
        up, down = max(0.0, up + move), min(0.0, down + move)
        if up > threshold:
            up, fired = 0.0, [(1, len(moves) - 1 - i)]
        elif down < -threshold:
            down, fired = 0.0, [(-1, len(moves) - 1 - i)]
    return fired


def first_of_block_before(bars, t, block=512):
    """Return the row at which what is read at t was begun: the first of the last block before t's that has bars."""
    blocks = bars.slots[: t + 1] // block
    earlier = blocks[blocks < blocks[t]]
    return int(np.searchsorted(blocks, earlier[-1])) if len(earlier) else 0


def anchored(bars, t, block, indicator):
    """Return what an endless indicator says at t when begun at the first bar of the block before t's."""
    part = slice(first_of_block_before(bars, t, block), t + 1)
    return indicator(bars.high[part], bars.low[part], bars.close[part])[-1]


def begun(values, period, rate):
    """Return an average that begins as the plain mean of its first period and then forgets at a rate."""
    out = []
    for n in range(1, len(values) + 1):
        out.append(np.mean(values[:n]) if n <= period else out[-1] + rate * (values[n - 1] - out[-1]))
    return np.array(out)


def slow_macd(close):
    """Return MACD line and signal from the first bar on, as textbooks begin them."""
    line = begun(close, 12, 2 / 13) - begun(close, 26, 2 / 27)
    return line, np.r_[np.full(25, np.nan), begun(line[25:], 9, 2 / 10)]
