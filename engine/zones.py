"""The three zones of a market's history, fixed before anything is learned from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.bars import Bars, format_time
from engine.errors import DataError, unknown

Span = tuple[np.datetime64, np.datetime64]
ZONES = ("development", "validation", "test")
SHARES = (0.70, 0.15)  # of the bars; the rest is the sealed test


@dataclass(frozen=True, slots=True)
class Zones:
    """Where models learn, where they are chosen, and where they are judged once.

    Parameters
    ----------
    development, validation, test : (datetime64, datetime64)
        Open times of the first and last bar of each zone, inclusive.
    embargo_bars : int
        Bars left out between two zones: at least the model's window plus the longest trade, so that
        no label of one zone and no input of the next share a bar.

    Examples
    --------
    >>> from engine.synthetic import random_bars
    >>> bars = random_bars(1000)
    >>> zones = make_zones(bars, window=32, hold=24)
    >>> [zones.rows(bars, name) for name in ("development", "validation", "test")]
    [slice(0, 700, None), slice(756, 850, None), slice(906, 1000, None)]
    """

    development: Span
    validation: Span
    test: Span
    embargo_bars: int

    def rows(self, bars: Bars, zone: str) -> slice:
        """Return the rows of a zone; the test zone has no end, later bars are just as unseen."""
        if zone not in ZONES:
            raise unknown("zone", zone, ZONES)
        first, last = getattr(self, zone)
        end = len(bars) if zone == "test" else int(np.searchsorted(bars.open_time, last, side="right"))
        return slice(bars.since(first), max(bars.since(first), end))


def make_zones(bars: Bars, window: int, hold: int) -> Zones:
    """Divide bars in time order: 70 % development, 15 % validation, 15 % test, with an embargo between.

    Parameters
    ----------
    bars : Bars
        The whole history at hand.
    window : int
        Bars a prediction looks back on.
    hold : int
        Bars the longest trade, and so the label, looks ahead.

    Raises
    ------
    DataError
        If a zone would hold fewer bars than the embargo itself.
    """
    n, embargo = len(bars), window + hold
    cut = [int(n * SHARES[0]), int(n * (SHARES[0] + SHARES[1]))]
    starts = (0, cut[0] + embargo, cut[1] + embargo)
    ends = (cut[0], cut[1], n)
    if any(end - start < embargo for start, end in zip(starts, ends, strict=True)):
        raise DataError(
            f"{n} bars are too few to divide: a window of {window} and trades of {hold} bars need at least"
            f" {int(np.ceil(2 * embargo / (1 - sum(SHARES))))}; bring more history or a shorter window"
        )
    spans = [(bars.open_time[start], bars.open_time[end - 1]) for start, end in zip(starts, ends, strict=True)]
    return Zones(spans[0], spans[1], spans[2], embargo)


def describe_span(span: Span) -> str:
    """Return a zone's span as tables print it."""
    return f"{format_time(span[0])} .. {format_time(span[1])}"
