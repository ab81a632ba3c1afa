"""What holders of a perpetual pay each other: every published rate, beside the bar at whose open it is paid."""

from __future__ import annotations

import numpy as np

from engine.bars import Bars, Floats
from live.broker import Broker

FUNDING = "funding_paid"  # a column beside the bars, so the ledger keeps what was paid on
STAMPED_NS = 60 * 10**9  # exchanges stamp a payment some milliseconds after the minute it was due


class Funding:
    """Funding of one market as its exchange publishes it.

    A rate is paid at the first open at or after the moment it was due. It is asked for when that bar has closed, and
    has then been public for a whole bar.

    Parameters
    ----------
    broker : Broker
        The exchange.
    symbol : str
        The market.
    """

    def __init__(self, broker: Broker, symbol: str) -> None:
        self.broker, self.symbol = broker, symbol
        self._known: dict[int, float] = {}
        self._asked = 0

    def beside(self, bars: Bars, after: np.datetime64 | None) -> Bars:
        """Return bars with the rate that is paid at each open.

        Parameters
        ----------
        bars : Bars
            Closed bars.
        after : datetime64[ns] or None
            Open time of the bar before them: what was due by then is paid already. None: one bar before them.

        Raises
        ------
        Retry, Refused
            From the exchange.
        """
        rates = np.zeros(len(bars))
        if len(bars):
            opens = bars.open_time.view(np.int64)
            paid = int(opens[0]) - bars.timeframe_ns if after is None else int(after.astype(np.int64))
            self._ask(paid, int(opens[-1]))
            due = sorted((time // STAMPED_NS * STAMPED_NS, rate) for time, rate in self._known.items())
            for time, rate in due:
                if paid < time <= opens[-1]:
                    rates[np.searchsorted(opens, time)] += rate
        return bars.beside({**bars.context, FUNDING: rates})

    def _ask(self, since: int, until: int) -> None:
        """Know every rate of a span; once it was asked for late enough, for good."""
        if self._asked < until + STAMPED_NS:
            now = self.broker.server_time()
            self._known = dict(self.broker.funding(self.symbol, since))
            self._asked = now


def rates_of(bars: Bars) -> Floats | None:
    """Return the rate paid at each open, as `engine.run.run` takes it; None where nobody pays any.

    Bars that only warm a memory up may carry none: nothing is held there.
    """
    return bars.context.get(FUNDING)
