"""Series that are fetched: page by page, each kept before the next is asked for, so a kill costs a page at most."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace as altered
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.bars import format_timeframe, parse_timeframe
from engine.errors import UsageError
from engine.history.rows import Rows, exact_time
from engine.history.series import VALUES, Series
from engine.history.store import Store, plain_name
from live.clock import stamp
from live.fetch_source import Source
from live.fetch_told import Outcome, Progress, Tell

OVERLAP = 3  # rows asked for again on every page, which must come again bit for bit
SETTLE_NS = 5 * 10**9  # a candle is left to settle this long after its close
SAME_AGAIN = 3  # times a page without news is asked for before the exchange is taken at its word
FUNDING = "funding"
Stamps = NDArray[np.int64]


class Fetch:
    """One series from one market of one exchange.

    Parameters
    ----------
    source : Source
        The exchange.
    store : Store
        Where the series is kept.
    market : str
        In ccxt's words: ``BTC/USDT``, ``BTC/USDT:USDT``.
    timeframe : str
        Such as ``1h``, or ``funding``.
    symbol : str
        Name of the market in the store.
    """

    def __init__(self, source: Source, store: Store, market: str, timeframe: str, symbol: str = "") -> None:
        self.source, self.store, self.market, self.timeframe = source, store, market, timeframe
        found = source.market(market)
        symbol = symbol or market_symbol(found, timeframe)
        self.step = 0 if timeframe == FUNDING else parse_timeframe(timeframe)
        about = Series("", symbol, source=f"{source.name} {market}", exchange=source.name, market=market)
        if timeframe == FUNDING:
            if not found.get("swap"):
                raise UsageError(f"{market} is no perpetual and pays no funding; perpetuals are written BTC/USDT:USDT")
            self.about = altered(about, name=plain_name(symbol), kind=VALUES, columns=("rate",))
        else:
            self.timeframe = format_timeframe(self.step)
            self.asked = source.timeframe(self.step, timeframe)
            self.about = altered(about, name=f"{plain_name(symbol)}-{self.timeframe}", timeframe=self.timeframe)
        self.outcome = Outcome(self.about.name)

    def run(self, since: np.datetime64 | None, replace: bool = False, tell: Tell = lambda _: None) -> Outcome:
        """Fetch what is missing: before the stored rows back to ``since``, after them, and once more the gaps.

        Parameters
        ----------
        since : datetime64 or None
            Where the series is to begin; None to go on from the stored rows.
        replace : bool
            Whether rows that came with other values replace the stored ones.
        tell : callable
            Is told how far it is.

        Raises
        ------
        UsageError
            When there is nothing to go on from, or the series belongs to something else.
        DataError
            When the stored series is damaged, or the exchange's candles are no bars.
        BrokerUnreachable, BrokerRefused
            From the exchange; what was fetched is kept.
        """
        stored = self._times()
        begin = None if since is None else int(since.astype("datetime64[ns]").astype(np.int64))
        if not len(stored) and begin is None:
            raise UsageError(
                f"there is no series {self.about.name} to go on from; say where it begins: --since 2019-01-01"
            )
        spans: list[tuple[int, int | None]] = [(int(stored[-OVERLAP:][0]) if len(stored) else begin or 0, None)]
        if begin is not None and len(stored) and begin < stored[0] - self.step:
            spans.insert(0, (begin, int(stored[:OVERLAP][-1])))
        for first, last in spans:
            if not self._walk((first, last), stored, replace, tell):
                break
        else:
            if self.step:
                self._ask_gaps_again(replace, tell)
        return self._told()

    def _walk(self, span: tuple[int, int | None], stored: Stamps, replace: bool, tell: Tell) -> bool:
        """Take pages until the span ends; False when a row came with other values that nobody asked for."""
        progress = Progress(self.about.name, span[0], tell)
        for page, now in self._pages(*span):
            self._miss(stored, page)
            if not self._take(page, replace):
                return False
            progress(int(page.times[-1]), span[1] or now)
        return True

    def _pages(self, since: int, until: int | None) -> Iterator[tuple[Rows, int]]:
        """Yield pages of final rows, each beginning with the last ones of the page before."""
        newest, idle = -1, 0
        while True:
            now = self.source.now()
            latest = min(now - self.step - (SETTLE_NS if self.step else 0), until or now)
            if since > latest or newest + max(self.step, 1) > latest:
                return
            page = self._page(since)
            final = page.at(page.times <= latest)
            if len(final) and final.times[-1] > newest:
                yield final, now
                newest, idle, since = int(final.times[-1]), 0, int(final.times[-OVERLAP:][0])
            elif len(page) and page.times[-1] > newest:
                return  # what comes next is not final, or behind the end
            elif len(page) and idle < SAME_AGAIN:
                idle += 1
            else:
                since, idle = since + self.source.reach(self.step), 0

    def _page(self, since: int) -> Rows:
        if self.timeframe == FUNDING:
            return self.source.funding(self.market, since)
        return self.source.candles(self.market, self.asked, since)

    def _take(self, page: Rows, replace: bool) -> bool:
        added = self.store.add(self.about, page, replace, stamp())
        self.outcome.fresh += added.fresh
        self.outcome.changes += added.changes
        self.outcome.stopped = bool(added.changes) and not replace
        return not self.outcome.stopped

    def _miss(self, stored: Stamps, page: Rows) -> None:
        """Note stored rows within a page that it does not have."""
        within = stored[(stored >= page.times[0]) & (stored <= page.times[-1])]
        self.outcome.gone += [exact_time(time) for time in np.setdiff1d(within, page.times)]

    def _ask_gaps_again(self, replace: bool, tell: Tell) -> None:
        times = self._times()
        if not len(times):
            return
        known = {first for first, _ in self.store.series(self.about.name).absent}
        new = [gap for gap in gaps_between(times, self.step) if exact_time(gap[0]) not in known]
        for number, gap in enumerate(new, 1):
            tell(f"{self.about.name}: gap {number} of {len(new)} is asked for again")
            for page, _ in self._pages(*gap):
                if not self._take(page, replace):
                    return
        left = gaps_between(self._times(), self.step)
        absent = tuple((exact_time(first), exact_time(last)) for first, last in left)
        if absent != self.store.series(self.about.name).absent:
            self.store.amend(self.about.name, absent=absent)
        self.outcome.gaps = list(absent)
        self.outcome.missing = sum((last - first) // self.step + 1 for first, last in left)

    def _times(self) -> Stamps:
        if self.about.name.casefold() not in (name.casefold() for name in self.store.names()):
            return np.empty(0, np.int64)
        if self.step:
            return self.store.load(self.about.name).open_time.view(np.int64)
        return self.store.load_values(self.about.name).known_at.view(np.int64)

    def _told(self) -> Outcome:
        if len(self._times()):
            series = self.store.seal(self.about.name)
            self.outcome.rows, self.outcome.first, self.outcome.last = series.rows, series.first, series.last
        return self.outcome


def gaps_between(times: Stamps, step_ns: int) -> list[tuple[int, int]]:
    """Return first and last missing time of every hole in a market that never closes.

    Examples
    --------
    >>> gaps_between(np.array([0, 10, 40]), 10)
    [(20, 30)]
    """
    rows = np.flatnonzero(np.diff(times) > step_ns)
    return [(int(times[row]) + step_ns, int(times[row + 1]) - step_ns) for row in rows]


def market_symbol(market: dict[str, Any], timeframe: str) -> str:
    """Return the store's name of a market: ``BTCUSDT``, its perpetual ``BTCUSDT.P``, its ``BTCUSDT-funding``.

    Examples
    --------
    >>> swap = {"base": "BTC", "quote": "USDT", "swap": True, "symbol": "BTC/USDT:USDT"}
    >>> market_symbol(swap, "1h"), market_symbol(swap, "funding")
    ('BTCUSDT.P', 'BTCUSDT-funding')
    """
    pair = f"{market['base']}{market['quote']}"
    if timeframe == FUNDING:
        return f"{pair}-{FUNDING}"
    if market.get("swap"):
        return f"{pair}.P"
    return f"{pair}.{market['symbol'].split('-', 1)[1]}" if "-" in market["symbol"] else pair


def stored_fetch(store: Store, name: str, open_named: Callable[[str, str], Source]) -> Fetch:
    """Return the fetch that goes on with a stored series.

    Raises
    ------
    UsageError
        When the series was imported and names no exchange.
    """
    series = store.series(name)
    if not series.exchange:
        raise UsageError(
            f"series {series.name} was imported and names no exchange; fetch it once by market and exchange"
        )
    source = open_named(series.exchange, series.market)
    return Fetch(source, store, series.market, series.timeframe or FUNDING, series.symbol)
