"""The terms on which a wish becomes a trade: barriers, costs, size, and how prices fill."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from engine.errors import UsageError

LONGEST_HOLD = 2**31 - 1  # bars: what a kernel adds to a row without running over


class FillRules(NamedTuple):
    """How prices inside a bar fill orders; the defaults are this project's market contract.

    Parameters
    ----------
    entry_bar_live : bool
        Barriers are live from the bar of the entry on.
    stop_first : bool
        When stop and target are both touched inside a bar, the stop is assumed to come first.
    stop_gap_at_open : bool
        A bar that opens beyond the stop fills at its open; if not, at its price nearest the stop.
    target_gap_at_open : bool
        A bar that opens beyond the target fills at its open, which is better than the target; if not, at
        its price nearest the target.
    open_comes_first : bool
        A bar that opens beyond the target has filled there, whatever its range touches afterwards.
    time_exit_first : bool
        The time exit, at a bar's open, precedes that bar's barriers.
    wish_lapses_at_gap : bool
        A wish is dropped when the next bar does not directly follow: nobody could trade the missing open.
    high_first : bool
        Every bar's high is assumed to come before its low: when both barriers are touched inside a bar, a
        long's target and a short's stop come first, whatever ``stop_first`` says.
    """

    entry_bar_live: bool = True
    stop_first: bool = True
    stop_gap_at_open: bool = True
    target_gap_at_open: bool = True
    open_comes_first: bool = True
    time_exit_first: bool = True
    wish_lapses_at_gap: bool = True
    high_first: bool = False


VECTORBT = FillRules(
    entry_bar_live=False, open_comes_first=False, time_exit_first=False, wish_lapses_at_gap=False
)  # one order per bar: an entry bar has no exit; its stop is looked at before its target's gap
BACKTESTING_PY = FillRules(open_comes_first=False, wish_lapses_at_gap=False)
FREQTRADE = BACKTESTING_PY._replace(stop_gap_at_open=False, target_gap_at_open=False)
PYBROKER = VECTORBT._replace(stop_gap_at_open=False, target_gap_at_open=False)
NAUTILUS = FillRules(wish_lapses_at_gap=False, high_first=True)  # its bars are walked open, high, low, close
PRESETS = {
    "market": FillRules(),
    "vectorbt": VECTORBT,
    "backtesting.py": BACKTESTING_PY,
    "pybroker": PYBROKER,
    "nautilus-bar": NAUTILUS,
    "freqtrade": FREQTRADE,
}  # each proved on the package itself, trade for trade: docs/fill-rules.md


@dataclass(frozen=True, slots=True)
class Rules:
    """Barriers, costs and size of every trade; all costs are fractions of notional per side.

    Parameters
    ----------
    k_up, k_down : float
        Take profit and stop, in ATRs from the open of the entry bar (mirrored for shorts).
    hold : int
        The trade is closed at the open after this many bars.
    fee : float
        Taker fee of entries, stops and time exits.
    maker_fee : float
        Fee of the take profit, a resting limit order that pays no slippage.
    slippage : float
        How far entries, stops and time exits fill from the price that was seen.
    exposure : float
        Share of equity put into a trade. Below ``1 / (1 + fee + slippage)``: a full-equity
        order could not pay its own costs, and an exchange would refuse it.
    cash : float
        Equity at the start.
    fills : FillRules
        How prices inside a bar fill orders.

    Raises
    ------
    UsageError
        Naming the term and what is allowed.

    Examples
    --------
    >>> round(Rules(fee=0.001, slippage=0.0002).round_trip, 6)
    0.0024
    """

    k_up: float = 1.5
    k_down: float = 1.5
    hold: int = 24
    fee: float = 0.001
    maker_fee: float = 0.001
    slippage: float = 0.0002
    exposure: float = 0.95
    cash: float = 10_000.0
    fills: FillRules = field(default_factory=FillRules)

    def __post_init__(self) -> None:
        """Refuse terms no market offers."""
        highest = 1.0 / (1.0 + max(self.fee, 0.0) + max(self.slippage, 0.0))
        for name, good, allowed in (
            ("k_up", self.k_up > 0, "above 0"),
            ("k_down", self.k_down > 0, "above 0"),
            ("hold", 1 <= self.hold <= LONGEST_HOLD, f"at least 1 bar and at most {LONGEST_HOLD}"),
            ("fee", 0 <= self.fee < 0.1, "in [0, 0.1)"),
            ("maker_fee", -0.01 < self.maker_fee < 0.1, "in (-0.01, 0.1)"),
            ("slippage", 0 <= self.slippage < 0.1, "in [0, 0.1)"),
            ("exposure", 0 < self.exposure <= highest, f"above 0 and at most 1/(1+fee+slippage) = {highest:.5f}"),
            ("cash", self.cash > 0, "above 0"),
        ):
            if not good:
                raise UsageError(f"{name} must be {allowed}, was {getattr(self, name)}")

    @property
    def round_trip(self) -> float:
        """Cost of an entry and a taker exit together, as a fraction of notional."""
        return 2.0 * (self.fee + self.slippage)
