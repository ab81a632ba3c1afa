"""The questions of a sweep: every confidence threshold with every pair of barriers and every holding time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

from engine.errors import UsageError
from engine.rules import LONGEST_HOLD, Rules

DIGITS = 10  # 0.5:0.99:50 means 0.57, not 0.5700000000000001
MOST_VALUES = 10_000
ALLOWED: dict[str, tuple[str, Callable[[float], bool]]] = {
    "threshold": ("in [0, 1]", lambda value: 0.0 <= value <= 1.0),
    "k_up": ("above 0 ATR", lambda value: value > 0.0),
    "k_down": ("above 0 ATR", lambda value: value > 0.0),
    "hold": (
        f"whole, at least 1 bar and at most {LONGEST_HOLD}",
        lambda value: 1 <= value <= LONGEST_HOLD and float(value).is_integer(),
    ),
}


class Combo(NamedTuple):
    """One question: how sure to be, where to take the profit and the loss, how long to wait."""

    threshold: float
    k_up: float
    k_down: float
    hold: int

    def rules(self, rules: Rules) -> Rules:
        """Return rules with this combo's barriers; costs, size and fills stay."""
        return replace(rules, k_up=self.k_up, k_down=self.k_down, hold=self.hold)


@dataclass(frozen=True, slots=True)
class Grid:
    """Every threshold with every target, stop and holding time; results have this shape.

    Parameters
    ----------
    threshold : sequence of float
        Least confidence, in [0, 1].
    k_up, k_down : sequence of float
        Take profit and stop, in ATRs.
    hold : sequence of int
        Bars until the time exit.

    Raises
    ------
    UsageError
        If an axis is empty, does not rise from value to value, or holds what no market offers.

    Examples
    --------
    >>> grid = Grid(threshold=(0.5, 0.75), k_up=(1.0, 1.5, 2.0), k_down=(1.0,), hold=(12, 24))
    >>> grid.shape, len(grid), grid[1, 2, 0, 0]
    ((2, 3, 1, 2), 12, Combo(threshold=0.75, k_up=2.0, k_down=1.0, hold=12))
    """

    threshold: Sequence[float] = (0.0,)
    k_up: Sequence[float] = (1.5,)
    k_down: Sequence[float] = (1.5,)
    hold: Sequence[int] = (24,)

    def __post_init__(self) -> None:
        """Check each axis once; keep plain numbers."""
        for axis in fields(self):
            values = [float(value) for value in getattr(self, axis.name)]
            allowed, good = ALLOWED[axis.name]
            for value in values:
                if not (math.isfinite(value) and good(value)):
                    raise UsageError(f"{axis.name} must be {allowed}, was {value:g}")
            if not values:
                raise UsageError(f"{axis.name} holds no value; name at least one")
            if any(after <= before for before, after in itertools.pairwise(values)):
                raise UsageError(f"{axis.name} must rise from value to value, was {_shown(values)}")
            kind = int if axis.name == "hold" else float
            object.__setattr__(self, axis.name, tuple(kind(value) for value in values))

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Values on each axis: threshold, k_up, k_down, hold."""
        return len(self.threshold), len(self.k_up), len(self.k_down), len(self.hold)

    def __len__(self) -> int:
        return math.prod(self.shape)

    def __getitem__(self, place: tuple[int, ...]) -> Combo:
        """Return the combo at a place of the grid."""
        t, u, d, h = place
        return Combo(self.threshold[t], self.k_up[u], self.k_down[d], self.hold[h])

    def around(self, place: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        """Return the places within one step in every direction, the place itself left out.

        Examples
        --------
        >>> len(list(Grid(k_up=(1, 2, 3), k_down=(1, 2, 3)).around((0, 1, 1, 0))))
        8
        """
        near = [range(max(0, at - 1), min(size, at + 2)) for at, size in zip(place, self.shape, strict=True)]
        for found in ((t, u, d, h) for t in near[0] for u in near[1] for d in near[2] for h in near[3]):
            if found != tuple(place):
                yield found


def parse_axis(name: str, text: str) -> tuple[float, ...]:
    """Return the values an option asks for: one, a list, or a range ``FROM:TO:COUNT`` with both ends.

    Parameters
    ----------
    name : str
        Of the option, for the message.
    text : str
        Such as ``0.75``, ``6,12,24`` or ``1:3:5``.

    Raises
    ------
    UsageError
        If it is none of these; the values themselves are checked by `Grid`.

    Examples
    --------
    >>> parse_axis("--k-up", "1:3:5"), parse_axis("--hold", "6,12,24")
    ((1.0, 1.5, 2.0, 2.5, 3.0), (6.0, 12.0, 24.0))
    """
    parts = text.split(":")
    try:
        if len(parts) == 1:
            return tuple(float(part) for part in text.split(","))
        first, last, count = float(parts[0]), float(parts[1]), int(parts[2])
        if len(parts) == 3 and 2 <= count <= MOST_VALUES and math.isfinite(last - first):
            step = (last - first) / (count - 1)
            return tuple(round(first + i * step, DIGITS) for i in range(count))
    except (ValueError, IndexError):
        pass
    raise UsageError(
        f"{name} {text!r} was not understood; write a value, a list such as 0.5,0.75 or a range FROM:TO:COUNT"
        f" such as 0.5:0.99:50 (COUNT from 2 to {MOST_VALUES})"
    )


def _shown(values: Sequence[float]) -> str:
    head = ", ".join(f"{value:g}" for value in values[:6])
    return head + (", ..." if len(values) > 6 else "")
