"""What a report may contain: one type per block of the page, every block optional.

Conventions, in every block:

* Times are UTC, as ``datetime64`` arrays or as whole seconds since 1970. Bars are stamped with their open.
* Returns, rates, shares and costs are fractions (0.01 is 1 %); only names that end in ``_bp`` are basis points.
* ``None`` or NaN means *not known*; the page prints a dash for it and never a number.
* ``Numbers`` may be numpy arrays: they are packed when the page is written. The columns of one block are of
  one length, row by row the same bar, trade, bin or curve point.
* A block that is absent is left out of the page, unless ``missing`` says why it cannot be shown.
* Names of profiles, grid strategies and controls link the blocks: equal names get equal colours everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Required, TypedDict

from engine.report.evidence import Calibration, CostSensitivity, GateWorth, Luck, Months, Thresholds
from engine.report.series import Equity, Kind, Price, Trades

Tone = Literal["good", "open", "bad"]


class Costs(TypedDict, total=False):
    """What every trade of the page paid, fractions of notional per side (``engine.rules.Rules``)."""

    fee: float
    maker_fee: float
    slippage: float
    round_trip: float


class Verdict(TypedDict, total=False):
    """The report card's verdict on one profile.

    Attributes
    ----------
    name : str
        The profile.
    word : str
        The verdict in capitals, such as ``NOT PROVEN``.
    sentence : str
        Why, in one sentence of plain words.
    tone : {"good", "open", "bad"}
        ``good`` only for what the report card calls proven; ``open`` for not proven or too few trades;
        ``bad`` for a loss that is not luck, or a leak alarm.
    """

    name: Required[str]
    word: Required[str]
    sentence: str
    tone: Tone


class Header(TypedDict, total=False):
    """What was tested, on what, at which costs, and whether it may be believed.

    Attributes
    ----------
    bundle, market, timeframe : str
        Such as ``btcusdt-1h``, ``BTCUSDT``, ``1h``.
    zone : str
        Name of the zone scored: development, validation, test, or a description of the span.
    first, last : int
        Open times of the first and last bar scored.
    bars : int
        Number of bars scored.
    mode : {"rank", "probability"}
        How confidence is read.
    costs : Costs
    barriers : str
        Target, stop and time exit of every trade, in words.
    exposure : float
        Share of equity put into a trade.
    note : str
        What else a reader must know before comparing rows.
    funding : str
        Whether funding is charged, and on how much of the bars; absent where nobody owes any.
    in_sample : bool
        True when any bar scored lies at or before the model's latest fence: the page is then marked loudly.
    seen : str
        What the bundle was fitted on, seen from these bars: they themselves, or another market at their time.
    in_sample_until : int
        Latest fence of the bundle; bars up to it are shaded in the charts.
    looks : int
        How often the sealed test zone has been looked at, this time included.
    trials : int
        Trials in the ledger: the honest denominator of every figure of the page.
    fingerprint, code : str
        Of the data and of the code, shortened as the reader should see them.
    verdicts : sequence of Verdict
        One per profile, in the order of the page.
    """

    bundle: str
    market: str
    timeframe: str
    zone: str
    first: int
    last: int
    bars: int
    mode: str
    costs: Costs
    barriers: str
    exposure: float
    note: str
    funding: str
    in_sample: bool
    seen: str
    in_sample_until: int
    looks: int
    trials: int
    fingerprint: str
    code: str
    verdicts: Sequence[Verdict]


class Row(TypedDict, total=False):
    """One line of the comparison table; a pair ``*_low, *_high`` is a 95 % confidence interval.

    Attributes
    ----------
    name : str
    kind : {"profile", "grid", "control"}
        Profiles come first, then the gate grid, then controls and buy & hold.
    setting : str
        What the strategy is made of, in a few words: ``confidence 0.95, regime gate``.
    rank : int
        By the lower bound of the paired difference. Never shown under 30 trades or in-sample, whatever is given.
    in_sample : bool or float
        Anything but 0 when some bars of this row are in-sample for its model; a share of bars will do.
    trades : int
        Closed trades.
    total_return : float
        Net, over the whole span.
    sharpe, sharpe_low, sharpe_high : float
        Yearly Sharpe ratio of daily net returns, flat days included.
    max_drawdown : float
        Deepest fall of equity from its peak, positive or negative; shown as a loss.
    win_rate, win_low, win_high : float
        Share of trades that earned more than their costs.
    break_even : float
        Win rate at which these barriers and costs neither earn nor lose.
    expectancy_bp, expectancy_low_bp, expectancy_high_bp : float
        Mean net result of a trade, basis points of its notional.
    fees : float
        All fees paid, as a fraction of the starting equity.
    funding : float
        Funding paid, as a fraction of the starting equity; negative where more was received, None where none is known.
    exposure : float
        Share of bars with a position.
    """

    name: Required[str]
    kind: Required[Kind]
    setting: str
    rank: int | None
    in_sample: bool | float
    trades: int | None
    total_return: float | None
    sharpe: float | None
    sharpe_low: float | None
    sharpe_high: float | None
    max_drawdown: float | None
    win_rate: float | None
    win_low: float | None
    win_high: float | None
    break_even: float | None
    expectancy_bp: float | None
    expectancy_low_bp: float | None
    expectancy_high_bp: float | None
    fees: float | None
    funding: float | None
    exposure: float | None


class Card(TypedDict):
    """The printed report card of one strategy, shown as it is."""

    name: str
    text: str


class Report(TypedDict, total=False):
    """A whole report.

    Attributes
    ----------
    title : str
        Name of the page and of its browser tab.
    header, table, equity, price, trades, calibration, thresholds, costs, luck, gates, months, cards
        The blocks, in the order of the page.
    missing : dict of str to str
        Block name to the reason why it cannot be shown; said in its place.
    """

    title: str
    header: Header
    table: Sequence[Row]
    equity: Equity
    price: Price
    trades: Sequence[Trades]
    calibration: Sequence[Calibration]
    thresholds: Sequence[Thresholds]
    costs: CostSensitivity
    luck: Sequence[Luck]
    gates: Sequence[GateWorth]
    months: Sequence[Months]
    cards: Sequence[Card]
    missing: dict[str, str]
