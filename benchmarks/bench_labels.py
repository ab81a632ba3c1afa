"""Triple-barrier labels against the textbook's loop over events in pandas; equal labels first.

The loop is timed on some hundred events and stated per event: all of them would take minutes.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.bench_kernel import market
from benchmarks.measure import Job, Row, once, timed
from engine.barriers import label_barriers
from engine.rules import Rules

HOLD, EVENTS = 60, 300
RULES = Rules(k_up=3.0, k_down=2.0, hold=HOLD)


def textbook_labels(frame, atr, begun):
    """Return which barrier was touched first after each event: Lopez de Prado's snippets 3.2 and 3.3 on high and low.

    ``frame`` has a time index; an event's path runs from the bar after it, by time, and first touches are times.
    """
    import pandas as pd

    spans = pd.Series(frame.index[begun + HOLD], index=frame.index[begun + 1])
    entry = frame["open"].loc[spans.index]
    up, down = entry + RULES.k_up * atr[begun], entry - RULES.k_down * atr[begun]
    out = spans.to_frame("t1")
    out["pt"] = out["sl"] = pd.NaT
    for loc, t1 in spans.items():
        path = frame.loc[loc:t1]
        out.loc[loc, "sl"] = path.index[path["low"] <= down[loc]].min()
        out.loc[loc, "pt"] = path.index[path["high"] >= up[loc]].min()
    lost, won = out["sl"].notna(), out["pt"].notna() & ~(out["pt"] > out["sl"])
    both = won & (out["pt"] == out["sl"])  # in one bar the stop, unless the open was beyond the target
    won &= ~both | (frame["open"].reindex(out["pt"]).to_numpy() >= up.to_numpy())
    return np.where(won, 1, np.where(lost, -1, 0))


def run(quick: bool) -> list[Row]:
    import pandas as pd

    n = 10_000 if quick else 100_000
    bars, signals = market(n)
    index = pd.DatetimeIndex(bars.open_time)
    frame = pd.DataFrame({name: getattr(bars, name) for name in ("open", "high", "low")}, index=index)
    events = np.random.default_rng(3).choice(np.arange(100, n - 200), 50 if quick else EVENTS, replace=False)
    ours, theirs = label_barriers(bars, signals.atr, RULES).outcome, []
    spent = once(lambda: theirs.append(textbook_labels(frame, signals.atr, events)))
    np.testing.assert_array_equal(theirs[0], ours[events])
    seconds = timed({"ours": partial(label_barriers, bars, signals.atr, RULES)}, 5)["ours"]
    what = "one label, H = 60, equal outcomes"
    return [Row(what, f"of {n:,} bars", seconds / n, "the textbook's loop in pandas", spent / len(events), 10_000.0)]


def jobs() -> dict[str, Job]:
    return {}
