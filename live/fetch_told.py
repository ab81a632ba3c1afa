"""What a fetch tells: how far it is, and what it did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from engine.bars import format_time
from engine.history.growth import Change
from engine.history.rows import as_times
from engine.wording import counted
from live.clock import seconds

QUIET_S = 2.0
SHOWN = 10  # gaps and changes told before the rest is counted
Tell = Callable[[str], object]
Span = tuple[str, str]


@dataclass
class Outcome:
    """What a fetch did to one series.

    Parameters
    ----------
    name : str
        The series.
    rows : int
        It has now.
    fresh : int
        Of them new.
    first, last : str
        Earliest and latest, UTC.
    gaps : list of (first, last)
        Missing bars that were asked for again and are not there.
    missing : int
        How many bars they are.
    changes : tuple of Change
        Stored rows that came again with other values; they were replaced if that was asked for,
        otherwise the fetch stopped there.
    gone : list of str
        Stored rows that the exchange does not have any more; they are kept.
    stopped : bool
        Whether changes ended the fetch.
    """

    name: str
    rows: int = 0
    fresh: int = 0
    first: str = ""
    last: str = ""
    gaps: list[Span] = field(default_factory=list)
    missing: int = 0
    changes: tuple[Change, ...] = ()
    gone: list[str] = field(default_factory=list)
    stopped: bool = False

    def lines(self) -> Iterator[str]:
        """Yield what happened, in words."""
        if not self.rows:
            yield f"{self.name}: the exchange has nothing from there on; nothing was stored"
            return
        yield f"{self.name}: {counted(self.rows, 'row')} {self.first} .. {self.last}, {self.fresh} new"
        if self.gaps:
            missing = f"{counted(len(self.gaps), 'gap')} ({counted(self.missing, 'bar')} missing)"
            yield f"  {missing}, asked for again and not there:"
            yield from _some([f"    {first} .. {last}" for first, last in self.gaps])
        if self.gone:
            yield f"  stored, but the exchange has them no more (kept): {', '.join(_some(self.gone))}"
        if self.changes:
            yield "  came again with other values" + (", and replaced the stored ones:" if not self.stopped else ":")
            yield from _some([f"    {change}" for change in self.changes])
        if self.stopped:
            yield "  stopped there, nothing was changed; look at them, then take the exchange's version with --replace"


class Progress:
    """Says how far a series is and how long the rest will take, once that takes more than two seconds."""

    def __init__(self, name: str, begin: int, tell: Tell) -> None:
        self.name, self.begin, self.tell, self.started = name, begin, tell, seconds()

    def __call__(self, reached: int, end: int) -> None:
        """Tell that a time was reached, of those up to an end."""
        took = seconds() - self.started
        if took > QUIET_S and reached > self.begin:
            share = min((reached - self.begin) / max(end - self.begin, 1), 1.0)
            at = format_time(as_times(np.array([reached]))[0])
            self.tell(f"{self.name}: {at}, {share:.0%}, {took / share - took:.0f} s left")


def _some(lines: list[str]) -> list[str]:
    more = [f"    and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return lines[:SHOWN] + more
