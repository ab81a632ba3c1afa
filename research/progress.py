"""How far a training is, for people who wait."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

PLAIN_S = 10.0
Progress = Callable[[str, float, float], None]  # what is under way, work done, work in all
WORK = {"logistic": 0.05, "trees": 0.15, "streaming": 0.5, "resnet": 0.5, "transformer": 1.0}  # of one fit
WORK |= {"supcon": 2.0, "ensemble": 3.0}


class Steps:
    """Counts the work of a training and tells whoever asked.

    Parameters
    ----------
    progress : callable or None
        Called with a text, the work done and the work in all.
    """

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress
        self.done = 0.0
        self.total = 0.0
        self.text = ""
        self.weight = 0.0

    def plan(self, work: float) -> None:
        """Say how much work is still to come."""
        self.total = self.done + work

    def begin(self, text: str, weight: float) -> None:
        """Begin a step of some weight."""
        self.text, self.weight = text, weight
        self.tick(0.0)

    def tick(self, share: float) -> None:
        """Say that a share of the step under way is done."""
        if self.progress is not None:
            now = self.done + share * self.weight
            self.progress(self.text, now, max(self.total, now))

    def end(self) -> None:
        """End the step under way."""
        self.tick(1.0)
        self.done += self.weight


def plain_lines(write: Callable[[str], object], every_s: float = PLAIN_S) -> Progress:
    """Return a progress that writes text, share done and time left as plain lines, one in ``every_s`` seconds.

    Examples
    --------
    >>> plain_lines(print, every_s=0.0)("fold 1 of 6", 1.0, 4.0)
    fold 1 of 6: 25%, about 0 min left
    """
    begin = said = monotonic()

    def tell(text: str, done: float, total: float) -> None:
        nonlocal said
        now = monotonic()
        if now - said < every_s or total <= 0:
            return
        said = now
        left = f", about {(now - begin) / done * (total - done) / 60:.0f} min left" if done > 0 else ""
        write(f"{text}: {done / total:.0%}{left}")

    return tell


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show a bar with the time that is left while the body runs; on a pipe, a line every ten seconds.

    Examples
    --------
    >>> with progress_bar() as tell:
    ...     tell("fold 1 of 6", 1.0, 6.0)
    """
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    if not console.is_terminal:
        yield plain_lines(lambda line: sys.stderr.write(f"{line}\n"))
        return
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda text, done, total: bar.update(task, description=text, completed=done, total=total)
