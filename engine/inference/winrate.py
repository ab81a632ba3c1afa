"""How many trades must win, and what a count of winners proves."""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import UsageError
from engine.rules import Rules

FEW_TRADES, SOME_TRADES = 30, 100


@dataclass(frozen=True, slots=True)
class WinRate:
    """A win rate with its exact interval and the rate at which the trades would pay for themselves.

    Parameters
    ----------
    value : float or None
        Winners over trades; None without trades.
    low, high : float or None
        Clopper-Pearson interval: it holds its confidence for every true rate and every number of trades.
    wins, trades : int
        Counts.
    break_even : float or None
        Win rate at which barriers and costs leave nothing; None when not given or never reached.
    p_value : float or None
        Chance of at least so many winners if the true rate were the break-even rate.
    why : str
        Why something is None; empty when everything is known.
    """

    value: float | None
    low: float | None
    high: float | None
    wins: int
    trades: int
    break_even: float | None = None
    p_value: float | None = None
    why: str = ""

    @property
    def few(self) -> bool:
        """Whether there are too few trades (under 30) to rank anything by."""
        return self.trades < FEW_TRADES

    @property
    def low_sample(self) -> bool:
        """Whether there are fewer trades (under 100) than a verdict needs."""
        return self.trades < SOME_TRADES


def win_rate(wins: int, trades: int, break_even: float | None = None, level: float = 0.95) -> WinRate:
    """Return a win rate with its exact confidence interval and its p-value against break-even.

    Parameters
    ----------
    wins, trades : int
        Winners among trades that do not overlap.
    break_even : float or None
        From :func:`break_even` or :func:`break_even_of`.
    level : float
        Confidence in (0, 1).

    Raises
    ------
    UsageError
        If there are more winners than trades, or fewer than none.

    Examples
    --------
    >>> found = win_rate(19, 24, break_even=0.538)
    >>> round(found.low, 3), round(found.high, 3), round(found.p_value, 2)
    (0.578, 0.929, 0.01)
    """
    if not 0 <= wins <= trades:
        raise UsageError(f"wins must be in [0, {trades}], was {wins}")
    if trades == 0:
        return WinRate(None, None, None, 0, 0, break_even, None, "there are no trades")
    from scipy.special import betainc, betaincinv

    tail = (1.0 - level) / 2.0
    low = float(betaincinv(wins, trades - wins + 1, tail)) if wins > 0 else 0.0
    high = float(betaincinv(wins + 1, trades - wins, 1.0 - tail)) if wins < trades else 1.0
    luck, why = None, "no break-even rate is given, or none exists"
    if break_even is not None:
        bounded = min(max(break_even, 0.0), 1.0)
        luck, why = (float(betainc(wins, trades - wins + 1, bounded)) if wins > 0 else 1.0), ""
    return WinRate(wins / trades, low, high, wins, trades, break_even, luck, why)


def break_even(up: float, down: float, cost_win: float = 0.0, cost_loss: float = 0.0) -> float | None:
    """Return the share of trades that must reach the target before the others pay for the costs.

    Parameters
    ----------
    up, down : float
        Distance of target and stop from the entry, as fractions of the price.
    cost_win, cost_loss : float
        Round-trip cost of a trade that ends at the target and of one that ends at the stop, as
        fractions of notional.

    Returns
    -------
    float or None
        ``(down + cost_loss) / (up - cost_win + down + cost_loss)``: for equal barriers b and costs c
        it is (b + c) / (2 b). None when the costs eat the target: no win rate pays.

    Examples
    --------
    >>> round(break_even(0.0105, 0.0105, 0.0008, 0.0008), 3)
    0.538
    """
    gain, loss = up - cost_win, down + cost_loss
    return loss / (gain + loss) if gain > 0.0 and loss >= 0.0 else None


def break_even_of(rules: Rules, atr: float) -> float | None:
    """Return the break-even win rate of a market's terms.

    Parameters
    ----------
    rules : Rules
        Barriers in ATRs and costs per side; the target pays the maker fee, all else taker fee and slippage.
    atr : float
        Average true range as a fraction of the price.

    Notes
    -----
    A trade that ends by time earns something in between; the formula is about the two barriers.

    Examples
    --------
    >>> round(break_even_of(Rules(fee=0.0004, maker_fee=0.0004, slippage=0.0), 0.007), 3)
    0.538
    """
    entry = rules.fee + rules.slippage
    return break_even(rules.k_up * atr, rules.k_down * atr, entry + rules.maker_fee, 2.0 * entry)
