"""Who does the work of a verb: this process, processes beside it or a cluster; and how those who wait are told."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from engine.workers import LOKY, Progress, Workers
from live.check import AGAIN_S, QUIET_S, Plain, Tell
from live.clock import seconds
from live.cluster import check_cluster


@contextmanager
def hired(backend: str | None, address: str | None, count: int) -> Iterator[Workers | None]:
    """Give the workers that options ask for while the body runs; None where they ask for none.

    Raises
    ------
    UsageError
        For a backend nobody knows, or a cluster that does not answer.
    """
    if backend is None and address is None and count == 0:
        yield None
        return
    on_screen = sys.stderr.isatty()
    tell: Tell = (lambda text: sys.stderr.write(f"{text:<78}\r")) if on_screen else Plain(_line)  # type: ignore[assignment,return-value]
    asked = Workers(backend or LOKY, address, count, timed(tell))
    if address is not None:
        check_cluster(asked.backend, address)
    with asked as workers:
        yield workers
    if on_screen:
        sys.stderr.write(f"{'':<78}\r")


def timed(tell: Tell) -> Progress:
    """Return a progress that says, after the first two seconds, how much is done and how long the rest will take.

    Examples
    --------
    >>> timed(print)("400 combos", 1.0, 4.0)
    """
    begin = said = seconds()

    def told(text: str, done: float, total: float) -> None:
        nonlocal begin, said
        now = seconds()
        if done == 0.0:
            begin = now  # of these tasks
        if now - begin > QUIET_S and now - said > AGAIN_S:
            left = f", {(now - begin) / done * (total - done):.0f} s left" if done else ""
            tell(f"{text}: {done:.0f} of {total:.0f} tasks{left}")
            said = now

    return told


def _line(text: str) -> None:
    sys.stderr.write(f"{text}\n")
