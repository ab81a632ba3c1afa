"""What is known beside the bars: kept with them, and joined when it was known, never before."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from engine.bars import Bars
from engine.errors import DataError
from engine.history.resample import resample
from engine.invariance import FUTURES, with_future
from engine.synthetic import random_bars

BARS = random_bars(300, seed=1)
SEEN = {"fear": np.linspace(10.0, 40.0, 300), "carry": np.where(np.arange(300) < 50, np.nan, 0.0001)}


def same(a, b):
    return list(a.context) == list(b.context) and all(
        np.array_equal(a.context[name], b.context[name], equal_nan=True) for name in a.context
    )


# --- context stays with its bars -----------------------------------------------------------------------


def test_context_is_cut_with_the_bars_and_read_only():
    bars = BARS.beside(SEEN)
    assert list(bars.context) == ["carry", "fear"]
    assert same(bars[40:60], BARS[40:60].beside({name: column[40:60] for name, column in SEEN.items()}))
    assert len(bars.upto(7).context["fear"]) == 7
    with pytest.raises(ValueError, match="read-only"):
        bars.context["fear"][0] = 1.0
    with pytest.raises(TypeError):
        bars.context["fear"] = SEEN["fear"]
    SEEN["fear"][0] += 1.0  # the caller's own array is still his, and no longer ours
    assert bars.context["fear"][0] == 10.0
    SEEN["fear"][0] -= 1.0


def test_bars_without_context_are_what_they_were():
    assert BARS.context == {}
    assert BARS.beside(SEEN).beside({}).fingerprint() == BARS.fingerprint()


def test_other_context_is_another_fingerprint():
    prints = [
        BARS.fingerprint(),
        BARS.beside(SEEN).fingerprint(),
        BARS.beside({"fear": SEEN["fear"]}).fingerprint(),
        BARS.beside({"greed": SEEN["fear"]}).fingerprint(),
        BARS.beside({"fear": SEEN["fear"] + 1e-12}).fingerprint(),
    ]
    assert len(set(prints)) == len(prints)
    assert BARS.beside(dict(reversed(SEEN.items()))).fingerprint() == prints[1]


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (np.zeros(299), "context fear has 299 rows and open_time 300"),
        (np.zeros((300, 2)), "context fear must be one-dimensional"),
        (np.where(np.arange(300) == 8, np.inf, 0.0), r"context fear\[8\] of 300 .* is infinite; state .* as NaN"),
    ],
)
def test_context_that_does_not_fit_is_refused(column, said):
    with pytest.raises(DataError, match=said):
        BARS.beside({"fear": column})


def test_bars_travel_to_other_processes_with_their_context():
    sent = BARS.beside(SEEN)[10:200]
    arrived = pickle.loads(pickle.dumps(sent))
    assert arrived.fingerprint() == sent.fingerprint()
    assert not arrived.close.flags.writeable
    assert (arrived.symbol, arrived.timeframe_ns, arrived.sessions) == (sent.symbol, sent.timeframe_ns, sent.sessions)


@pytest.mark.parametrize("how", FUTURES)
def test_another_future_is_another_context_after_the_bar_alone(how):
    bars = BARS.beside(SEEN)
    changed = with_future(bars, 100, how, seed=1)
    assert isinstance(changed, Bars)
    assert same(changed.upto(101), bars.upto(101))
    if how in ("noise", "another path"):
        assert not np.isclose(changed.context["fear"][101:], bars.context["fear"][101:]).any()


def test_coarser_bars_have_no_context():
    assert resample(BARS.beside(SEEN), "4h").context == {}
