"""One thing that was tried, and how those who wait are told about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from live.clock import seconds

T = TypeVar("T")
Tell = Callable[[str], None]
PLAIN_S = 10.0
QUIET_S, AGAIN_S = 2.0, 0.5  # nothing is said in the first two seconds; then twice a second


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried.

    Parameters
    ----------
    name : str
        The law.
    tried : int
        How often it was tried; 0 where these bars or this bundle give nothing to try it on.
    failure : str
        The first way in which it was broken; empty when it holds.
    measured : str
        What was found on the way, or why nothing was tried.
    """

    name: str
    tried: int
    failure: str = ""
    measured: str = ""

    @property
    def passed(self) -> bool:
        """Whether the law held."""
        return not self.failure


class Plain:
    """Passes on what is said, one line at a time, at most every ten seconds: for logs and pipes.

    Parameters
    ----------
    write : callable
        Takes a line.
    every_s : float
        Seconds between two lines.
    """

    def __init__(self, write: Callable[[str], object], every_s: float = PLAIN_S) -> None:
        self.write, self.every_s, self.said = write, every_s, seconds()

    def __call__(self, text: str) -> None:
        """Say it, if enough time has passed."""
        if seconds() - self.said >= self.every_s:
            self.said = seconds()
            self.write(text)


def watched(what: str, items: Sequence[T], tell: Tell | None) -> Iterator[T]:
    """Hand out items one by one; beyond two seconds, say how many are done and how long the rest will take.

    Examples
    --------
    >>> list(watched("cuts", [1, 2, 3], None))
    [1, 2, 3]
    """
    begin = said = seconds()
    for done, item in enumerate(items):
        now = seconds()
        if tell is not None and done and now - begin > QUIET_S and now - said > AGAIN_S:
            left = (now - begin) / done * (len(items) - done)
            tell(f"{what}: {done} of {len(items)}, {left:.0f} s left")
            said = now
        yield item
