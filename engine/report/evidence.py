"""The short blocks of a report: how far its numbers may be believed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Required, TypedDict

from engine.report.series import Numbers


class Calibration(TypedDict, total=False):
    """Claimed against realised probability of one model, in bins, with the band that luck alone explains.

    Attributes
    ----------
    name : str
        The model: predictor, auditor.
    claimed, realised : Numbers
        Mean claimed probability and share of hits in each bin.
    count : Numbers
        Predictions in each bin.
    low, high : Numbers
        The null band: where ``realised`` lies 95 times in 100 if the model is perfectly calibrated.
    base_rate : float
        Share of hits overall.
    ece, ece_null : float
        Expected calibration error, and its 95 % level for a perfectly calibrated model of this size.
    zone : str
        Which bars it was measured on.
    """

    name: Required[str]
    claimed: Required[Numbers]
    realised: Required[Numbers]
    count: Numbers
    low: Numbers
    high: Numbers
    base_rate: float | None
    ece: float | None
    ece_null: float | None
    zone: str


class Mark(TypedDict):
    """A named place on an axis, such as a profile's threshold."""

    name: str
    at: float


class Thresholds(TypedDict, total=False):
    """What each confidence threshold would have earned, on validation.

    Attributes
    ----------
    name : str
        Which gates were on: ``predictor alone``, ``regime gate``.
    threshold : Numbers
        Increasing.
    net_return : Numbers
        Net return over the zone.
    low, high : Numbers
        One standard error, or any band that ``band`` names.
    trades : Numbers
        Number of trades.
    marks : sequence of Mark
        The thresholds served, by profile.
    zone, band : str
    """

    name: Required[str]
    threshold: Required[Numbers]
    net_return: Required[Numbers]
    low: Numbers
    high: Numbers
    trades: Numbers
    marks: Sequence[Mark]
    zone: str
    band: str


class CostCurve(TypedDict, total=False):
    """One strategy at multiples of the assumed costs.

    Attributes
    ----------
    name : str
    expectancy_bp, net_return, sharpe : Numbers
        One value per multiple; the reader chooses among those given. The mean result of a trade comes first: it
        falls in a straight line and can be compared between strategies that trade rarely and often.
    break_even_bp : float
        Round-trip cost at which the strategy earns nothing: its result per trade where only funding is paid.
    """

    name: Required[str]
    expectancy_bp: Numbers
    net_return: Numbers
    sharpe: Numbers
    break_even_bp: float | None


class CostSensitivity(TypedDict, total=False):
    """What is left when costs are not as assumed.

    Attributes
    ----------
    multiple : Numbers
        Multiples of the assumed costs, such as 0, 1, 2, 3.
    round_trip_bp : float
        The assumed cost of entry and exit together.
    curves : sequence of CostCurve
    """

    multiple: Required[Numbers]
    round_trip_bp: float | None
    curves: Required[Sequence[CostCurve]]


class Months(TypedDict):
    """Net return of one strategy by calendar month, without holes.

    Attributes
    ----------
    name : str
    first : str
        First month, ``2020-01``.
    returns : Numbers
        One value per month from ``first`` on; None where a month has no bar.
    """

    name: str
    first: str
    returns: Numbers


class Luck(TypedDict, total=False):
    """One strategy among random entries with the same count, barriers and costs.

    Attributes
    ----------
    name : str
        The strategy.
    measure : str
        What was drawn: ``Sharpe``, ``net return``.
    draws : Numbers
        The measure of each random control, in any order.
    value : float
        The strategy's own.
    share_below : float
        Share of draws below ``value``.
    """

    name: Required[str]
    measure: str
    draws: Required[Numbers]
    value: float | None
    share_below: float | None


class GateWorth(TypedDict, total=False):
    """Paired difference of two strategies that differ in one gate alone.

    Attributes
    ----------
    gate : str
        The gate that differs: ``regime``, ``auditor``.
    strategy, without : str
        The strategy with the gate and the one without it.
    measure : str
        Unit of the difference: ``Sharpe``.
    difference, low, high : float
        With minus without, and its 95 % interval.
    removed : int
        Trades of ``without`` that the gate took out.
    removed_bp : float
        Mean net result of the trades it took out, basis points: a good gate removes losses.
    """

    gate: Required[str]
    strategy: Required[str]
    without: Required[str]
    measure: str
    difference: float | None
    low: float | None
    high: float | None
    removed: int | None
    removed_bp: float | None
