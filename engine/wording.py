"""Numbers in sentences."""

from __future__ import annotations

from collections.abc import Sequence


def counted(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun: ``many`` is ``one`` with an s by default.

    Examples
    --------
    >>> counted(1, "gap"), counted(2, "gap"), counted(0, "veto", "vetoes")
    ('1 gap', '2 gaps', '0 vetoes')
    """
    return f"{count} {one if count == 1 else many or one + 's'}"


def fitted_on(symbol: str, trained: Sequence[str], what: str = "these bars") -> str:
    """Return what parts of a bundle were fitted on: the bars at hand, or other markets at the time of these bars.

    Parameters
    ----------
    symbol : str
        The market at hand.
    trained : sequence of str
        The markets of the bundle; none where they are not known.
    what : str
        Which bars of the market at hand.

    Examples
    --------
    >>> fitted_on("BTCUSDT", ["BTCUSDT"], "40% of these bars")
    'parts of the bundle were fitted on 40% of these bars'
    >>> fitted_on("SOLUSDT", ["BTCUSDT"], "40% of these bars")
    'parts of the bundle were fitted on BTCUSDT at the time of 40% of these bars'
    """
    if not trained or symbol in trained:
        return f"parts of the bundle were fitted on {what}"
    others = trained[0] if len(trained) == 1 else f"{trained[0]} and {counted(len(trained) - 1, 'other market')}"
    return f"parts of the bundle were fitted on {others} at the time of {what}"
