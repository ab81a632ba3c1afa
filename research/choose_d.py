"""How often a price is differenced: the fewest times after which it looks stationary, asked of training bars alone.

The test is the augmented Dickey-Fuller's, with as many lags as Akaike's criterion takes: with one lag, as in the
book, a random walk "rejects" its unit root too early. It rejects fractional alternatives long before they are
stationary, so what comes of it is shown beside the opposite test (KPSS, whose null is stationarity), the same on
later bars, and how much of the level is left.

What is tested is the *open* window, whose weights do not sum to 0: it keeps that share of the level and of its unit
root. The features' closed window has none left whatever the order (differenced 0 times it is a return over the whole
window), so of it the tests can say nothing about d; they are shown for it all the same.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from engine.bars import Bars, Floats
from engine.catalogue import FFD_ORDERS
from engine.errors import DataError
from engine.features import clear_run
from engine.indicators.fractional import ffd_weights, fractional_difference
from engine.readings import FFD_WIDTH
from research.progress import Progress

LEVEL = 0.05  # of the test
ORDERS = tuple(k / 20 for k in range(21))  # 0, 0.05, ... 1
LEAST_ROWS = 500


class Stationarity(NamedTuple):
    """What two opposite tests say of a series.

    Parameters
    ----------
    adf, adf_p : float
        Dickey-Fuller's statistic and p-value; small: no unit root.
    lags : int
        That Akaike's criterion took.
    kpss_p : float
        KPSS's p-value, between 0.01 and 0.1; small: not stationary.
    rows : int
        Values tested.
    """

    adf: float
    adf_p: float
    lags: int
    kpss_p: float
    rows: int

    def __str__(self) -> str:
        return f"ADF {self.adf:+.2f} (p {self.adf_p:.3g}, {self.lags} lags), KPSS p {self.kpss_p:.2g}, n {self.rows:,}"


@dataclass(frozen=True, slots=True)
class Differencing:
    """How often a log price is differenced, and what was left of it.

    Parameters
    ----------
    d : float
        The smallest order tried whose unit root is rejected on the training bars; 1 where none is.
    width : int
        Bars of the window.
    left : float
        What the open window's weights sum to: the share of the level it would keep. The closed one's sum to 0.
    train, test : Stationarity
        On the training bars, and on those after them (None where there are too few).
    level_correlation : float
        With the log price, on the training bars.
    served, served_correlation : Stationarity, float
        The same of the closed window, which the features serve, on the training bars.
    tried : tuple of (float, float)
        Every order tried and its p-value.
    """

    d: float
    width: int
    left: float
    train: Stationarity
    test: Stationarity | None
    level_correlation: float
    served: Stationarity
    served_correlation: float
    tried: tuple[tuple[float, float], ...]

    @property
    def feature(self) -> str | None:
        """The registered feature of the nearest order that is not below; None above all of them."""
        return next((f"ffd_{order}" for order in sorted(FFD_ORDERS) if order >= round(100 * self.d)), None)

    def __str__(self) -> str:
        lines = [
            f"d {self.d:.2f} over {self.width} bars keeps {self.left:.3f} of the level;"
            f" correlation with the log price {self.level_correlation:+.3f}; feature: {self.feature or 'none so high'}",
            f"  train  {self.train}",
            f"  test   {self.test or 'too few bars'}",
            f"  closed {self.served}; correlation {self.served_correlation:+.3f}",
            "  tried  " + ", ".join(f"{d:.2f}: p {p:.3g}" for d, p in self.tried),
        ]
        return "\n".join(lines)


def choose_d(
    bars: Bars,
    stop: int,
    width: int = FFD_WIDTH,
    orders: Sequence[float] = ORDERS,
    progress: Progress | None = None,
) -> Differencing:
    """Return the fewest times a log price is differenced until its unit root is rejected, on bars before ``stop``.

    Parameters
    ----------
    bars : Bars
        The history; windows across a gap are left out.
    stop : int
        First row that is no training row; nothing from it on takes part in the choice.
    width : int
        Bars of the window, the same for every order.
    orders : sequence of float
        Tried in ascending order until one rejects.
    progress : callable, optional
        Told a text, the orders tried and their number.

    Raises
    ------
    DataError
        If there are fewer than 500 whole windows to test on.
    """
    log_close, whole = np.log(bars.close), clear_run(bars) >= width
    train, tried = whole & (np.arange(len(bars)) < stop), []
    if train.sum() < LEAST_ROWS:
        raise DataError(
            f"{int(train.sum())} of the first {stop} bars of {bars.symbol} end a whole window of {width};"
            f" {LEAST_ROWS} are needed to test on: bring more history or a shorter window"
        )
    for done, d in enumerate(sorted(orders)):
        if progress is not None:
            progress(f"differencing {d:.2f} times", done, len(orders))
        series = fractional_difference(log_close, d, width)
        found = stationarity(series[train])
        tried.append((float(d), found.adf_p))
        if found.adf_p < LEVEL:
            break
    later, served = series[whole & ~train], fractional_difference(log_close, d, width, closed=True)[train]
    return Differencing(
        d=float(d),
        width=width,
        left=float(ffd_weights(d, width).sum()),
        train=found,
        test=stationarity(later) if len(later) >= LEAST_ROWS else None,
        level_correlation=float(np.corrcoef(series[train], log_close[train])[0, 1]),
        served=stationarity(served),
        served_correlation=float(np.corrcoef(served, log_close[train])[0, 1]),
        tried=tuple(tried),
    )


def show_choice(what: str, width: int, as_json: bool, data_root: Path) -> None:
    """Run ``tradsys difference``: choose on the development zone, look at validation, leave the rest sealed."""
    from dataclasses import asdict

    from engine.history.find import find_bars
    from engine.jsons import dumps
    from engine.zones import make_zones
    from research.config import TrainConfig
    from research.progress import progress_bar

    bars, config = find_bars(what, data_root), TrainConfig()
    zones = make_zones(bars, config.window, config.barriers.hold)
    development, validation = (zones.rows(bars, zone) for zone in ("development", "validation"))
    with progress_bar() as progress:
        found = choose_d(bars.upto(validation.stop), development.stop, width, progress=progress)
    told = {**asdict(found), "train": found.train._asdict(), "served": found.served._asdict()}
    told |= {"test": found.test and found.test._asdict(), "feature": found.feature}
    sys.stdout.write((dumps(told) if as_json else f"{bars.symbol} {bars.timeframe}: {found}") + "\n")


def stationarity(series: Floats) -> Stationarity:
    """Return what Dickey-Fuller's test (Akaike's lags) and KPSS say of a series."""
    from statsmodels.tsa.stattools import adfuller, kpss

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # KPSS warns where its p-value is at an end of its table
        found = adfuller(series, autolag="AIC", result_object=True)
        kpss_p = kpss(series, nlags="auto")[1]
    return Stationarity(float(found.statistic), float(found.pvalue), int(found.lags), float(kpss_p), len(series))
