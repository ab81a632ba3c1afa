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


def textbook_labels(frame, atr, events):
    """Return which barrier was touched first after each event, as in Lopez de Prado's snippets: path by path."""
    import pandas as pd

    out = pd.Series(0, index=events)
    for t in events:
        path = frame.iloc[t + 1 : t + 1 + HOLD]
        entry = path["open"].iloc[0]
        up, down = entry + RULES.k_up * atr[t], entry - RULES.k_down * atr[t]
        gains, losses = path.index[path["high"] >= up], path.index[path["low"] <= down]
        first_gain, first_loss = gains.min() if len(gains) else np.inf, losses.min() if len(losses) else np.inf
        if first_gain < first_loss:
            out.loc[t] = 1
        elif first_loss < np.inf:  # in one bar the stop, unless the open was beyond the target
            out.loc[t] = 1 if first_loss == first_gain and path["open"].loc[first_gain] >= up else -1
    return out.to_numpy()


def run(quick: bool) -> list[Row]:
    import pandas as pd

    n = 10_000 if quick else 100_000
    bars, signals = market(n)
    frame = pd.DataFrame({name: getattr(bars, name) for name in ("open", "high", "low")})
    events = np.random.default_rng(3).choice(np.arange(100, n - 200), 50 if quick else EVENTS, replace=False)
    ours, theirs = label_barriers(bars, signals.atr, RULES).outcome, []
    spent = once(lambda: theirs.append(textbook_labels(frame, signals.atr, events)))
    np.testing.assert_array_equal(theirs[0], ours[events])
    seconds = timed({"ours": partial(label_barriers, bars, signals.atr, RULES)}, 5)["ours"]
    what = "one label, H = 60, equal outcomes"
    return [Row(what, f"of {n:,} bars", seconds / n, "textbook loop in pandas", spent / len(events), 10_000.0)]


def jobs() -> dict[str, Job]:
    return {}
