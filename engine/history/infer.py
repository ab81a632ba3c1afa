"""What a file does not say about its bars: timeframe, kind of market, symbol."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from engine.bars import DAY_NS, UNIT_NS, format_timeframe, parse_timeframe
from engine.errors import DataError, UsageError

Stamps = NDArray[np.int64]

THREE_WEEKS_NS = 21 * DAY_NS  # long enough that a market open at weekends must have shown it
FEW_ROWS = 10  # so few rows may all lie next to a closure or an outage
FIRST_MONDAY_NS = 4 * DAY_NS  # 1970-01-05


def weekday(stamps: Stamps) -> Stamps:
    """Return the UTC weekday of each stamp, 0 = Monday."""
    return (stamps - FIRST_MONDAY_NS) // DAY_NS % 7


def never_at_weekends(stamps: Stamps) -> bool:
    """Return whether more than three weeks of stamps hold no Saturday and no Sunday."""
    if len(stamps) == 0 or int(stamps.max()) - int(stamps.min()) <= THREE_WEEKS_NS:
        return False
    return not bool((weekday(stamps) >= 5).any())


def infer_sessions(stamps: Stamps, timeframe_ns: int) -> bool:
    """Return whether the market closes: daily or finer bars, three weeks long, never at a weekend."""
    return timeframe_ns <= DAY_NS and never_at_weekends(stamps)


def infer_timeframe(stamps: Stamps, label: str) -> int:
    """Return the timeframe of a file in nanoseconds: the most common step between its rows.

    Parameters
    ----------
    stamps : int64 array of shape (n,)
        Open times in nanoseconds, strictly increasing.
    label : str
        Name of the file, for messages.

    Raises
    ------
    DataError
        When there is one row only, when no step is the most common one and divides the others,
        or when the most common step is no timeframe (such as the 31 days of monthly bars).
    """
    if len(stamps) < 2:
        raise DataError(f"{label} has a single row, which does not tell its timeframe; state the timeframe, such as 1h")
    steps, counts = np.unique(np.diff(stamps), return_counts=True)
    best = int(steps[np.argmax(counts)])  # the shortest of equally common steps
    clear = counts.max() * 2 > counts.sum() or not (steps % best).any()
    if not clear or not _is_timeframe(best):
        order = np.argsort(-counts, kind="stable")[:3]
        shares = ", ".join(f"{_step_text(steps[i])} ({counts[i] / counts.sum():.0%})" for i in order)
        raise DataError(f"{label} does not tell its timeframe: its rows are {shares} apart; state the timeframe")
    return best


def check_stated_timeframe(stamps: Stamps, timeframe_ns: int, label: str) -> None:
    """Refuse a stated timeframe that no two rows support: closes would be stamped too early or too late."""
    steps = np.diff(stamps)
    if len(stamps) > FEW_ROWS and not (steps == timeframe_ns).any():
        lengths, counts = np.unique(steps, return_counts=True)
        usual = lengths[np.argmax(counts)]
        common, stated = _step_text(usual), format_timeframe(timeframe_ns)
        remedy = f"state {common} and resample" if usual < timeframe_ns else f"state {common}"
        raise DataError(
            f"{label} was stated to be {stated}, but no two rows are {stated} apart and most are {common}; {remedy}"
        )


def infer_symbol(file_name: str) -> str:
    """Return the symbol in a file's name: what stands before the timeframe, else the whole stem.

    Examples
    --------
    >>> infer_symbol("BTCUSDT-1h-2024-01.zip"), infer_symbol("BTC_USDT-5m.feather"), infer_symbol("SPY.csv.gz")
    ('BTCUSDT', 'BTC_USDT', 'SPY')
    """
    stem = re.sub(r"(\.(csv|gz|zip|txt|tsv|parquet|pq|feather|arrow))+$", "", file_name, flags=re.IGNORECASE)
    found = re.match(r"(.+?)[-_ ][1-9][0-9]{0,2}(m|h|d|w|mo|M|H|D|W)(?![A-Za-z0-9])", stem)
    return (found[1] if found else stem).strip() or "UNNAMED"


def check_symbol(symbol: str) -> str:
    """Return a symbol that somebody states; refuse what can be none.

    Raises
    ------
    UsageError
        Saying what a symbol is made of.

    Examples
    --------
    >>> check_symbol("BTC/USDT:USDT"), check_symbol("^GSPC")
    ('BTC/USDT:USDT', '^GSPC')
    """
    made = re.fullmatch(r"[\w^][\w.=^+:/ -]{0,63}", symbol)
    if not made or ".." in symbol or not any(letter.isalnum() for letter in symbol):
        raise UsageError(f"--symbol {symbol!r} is no name of a market; write letters and digits, such as BTCUSDT")
    return symbol


def stated_or_inferred(stamps: Stamps, timeframe: str | None, label: str) -> int:
    """Return the timeframe in nanoseconds: the stated one when the rows support it, else the inferred one."""
    if timeframe is None:
        return infer_timeframe(stamps, label)
    timeframe_ns = parse_timeframe(timeframe)
    check_stated_timeframe(stamps, timeframe_ns, label)
    return timeframe_ns


def _is_timeframe(step_ns: int) -> bool:
    whole_minutes = step_ns % UNIT_NS["m"] == 0
    tiles = DAY_NS % step_ns == 0 if step_ns < DAY_NS else step_ns % DAY_NS == 0 and step_ns <= UNIT_NS["w"]
    return whole_minutes and tiles


def _step_text(step_ns: np.int64) -> str:
    return format_timeframe(int(step_ns))
