"""Numbers in sentences."""

from __future__ import annotations


def counted(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun: ``many`` is ``one`` with an s by default.

    Examples
    --------
    >>> counted(1, "gap"), counted(2, "gap"), counted(0, "veto", "vetoes")
    ('1 gap', '2 gaps', '0 vetoes')
    """
    return f"{count} {one if count == 1 else many or one + 's'}"
