"""The Sharpe block of the report card in one call."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from engine.inference.bootstrap import sharpe_interval
from engine.inference.deflated import Deflated, Trials, deflate
from engine.inference.interval import Draws, Floats, Interval
from engine.inference.sharpe import (
    Sample,
    min_record,
    min_record_2012,
    min_record_2025,
    psr,
    psr_2012,
    psr_2025,
    sample,
)

ONE_TRIAL = Trials(1)


@dataclass(frozen=True, slots=True)
class Assessment:
    """What a daily track record proves about the Sharpe ratio behind it.

    Parameters
    ----------
    sharpe : Interval
        Annualised Sharpe ratio and its bootstrap interval.
    psr : float or None
        Probability that the true ratio is above zero: the smaller of the two forms.
    psr_2012, psr_2025 : float or None
        The two forms.
    min_days : float or None
        Days a record must have before such a ratio is more than zero at 95 %: the larger of the two
        forms. None when the ratio is not positive.
    min_days_2012, min_days_2025 : float or None
        The two forms.
    deflated : Deflated
        The probability that is left after counting the trials.
    luck : float or None
        Annualised Sharpe ratio to be expected from the best of the effective trials if all are worthless.
    record : Sample
        Size, Sharpe ratio per day and shape of the returns.
    days_per_year : float
        What annualised means.
    """

    sharpe: Interval
    psr: float | None
    psr_2012: float | None
    psr_2025: float | None
    min_days: float | None
    min_days_2012: float | None
    min_days_2025: float | None
    deflated: Deflated
    luck: float | None
    record: Sample
    days_per_year: float

    @property
    def long_enough(self) -> bool:
        """Whether the record is as long as such a Sharpe ratio needs."""
        return self.min_days is not None and self.record.n >= self.min_days

    @property
    def why(self) -> str:
        """Why something is unknown; empty when everything is known."""
        return self.record.why or self.sharpe.why or self.deflated.why


def assess(
    daily_returns: Floats,
    days_per_year: float,
    trials: Trials | None = None,
    draws: Draws | None = None,
) -> Assessment:
    """Judge a daily track record.

    Parameters
    ----------
    daily_returns : float64 array of shape (n,)
        Net returns per UTC day as fractions, flat days included.
    days_per_year : float
        365 for markets that never close, 252 for stocks.
    trials : Trials or None
        Everything tried on the same data (:func:`engine.inference.deflated.trials_of`); None means one
        trial, for which the deflated Sharpe ratio is PSR(0).
    draws : Draws or None
        How to resample.

    Returns
    -------
    Assessment
        Numbers that cannot be known are None and ``why`` says why.

    Examples
    --------
    >>> import numpy as np
    >>> found = assess(np.random.default_rng(2).normal(0.002, 0.02, 365), 365, Trials(31))
    >>> found.deflated.value < found.psr
    True
    >>> assess(np.zeros(90), 365).why
    'the 90 values never move'
    """
    record = sample(daily_returns)
    interval = sharpe_interval(daily_returns, days_per_year, draws)
    deflated = deflate(record, trials or ONE_TRIAL)
    luck = deflated.benchmark_effective
    ratio, n, shape = record.sharpe, record.n, record.shape
    if ratio is None or shape is None:
        return Assessment(interval, None, None, None, None, None, None, deflated, luck, record, days_per_year)
    yearly = math.sqrt(days_per_year)
    return Assessment(
        sharpe=replace(interval, value=ratio * yearly),
        psr=psr(ratio, n, 0.0, shape),
        psr_2012=psr_2012(ratio, n, 0.0, shape),
        psr_2025=psr_2025(ratio, n, 0.0, shape),
        min_days=min_record(ratio, 0.0, shape),
        min_days_2012=min_record_2012(ratio, 0.0, shape),
        min_days_2025=min_record_2025(ratio, 0.0, shape),
        deflated=deflated,
        luck=None if luck is None else luck * yearly,
        record=record,
        days_per_year=days_per_year,
    )
