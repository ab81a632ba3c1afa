"""Market data of any exchange that ccxt knows, asked politely and asked again when the network fails."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from engine.bars import COLUMNS, DAY_NS, Bars, parse_timeframe
from engine.errors import DataError, UsageError, unknown
from engine.history.rows import Rows, as_times, rows_of
from live.broker import Refused, Retry
from live.clock import Clock, seconds
from live.keys import Keys
from live.wire import Wire

T = TypeVar("T")
MS = 10**6
TIMEOUT_MS = 20_000
TRIES, LONGEST_WAIT_S = 8, 60.0  # over two minutes of silence before giving up
SHORTEST_PAGE, FUNDING_PAGE_NS = 100, 30 * DAY_NS  # how far to look on where an exchange has no funding for a while


class Source:
    """One exchange's candles and funding rates.

    Parameters
    ----------
    client : ccxt exchange
        Who asks; its own rate limit is kept.
    clock : Clock
        Lets time pass between two tries.
    tell : callable
        Is told about silences.
    """

    def __init__(self, client: Any, clock: Clock | None = None, tell: Callable[[str], object] = lambda _: None) -> None:
        self.name: str = client.id
        self._client, self._clock, self._tell = client, clock or Clock(), tell
        self._wire = Wire(client, Keys())
        self._told: tuple[int, float] | None = None

    def close(self) -> None:
        """Let go of the connections."""
        if session := getattr(self._client, "session", None):
            session.close()

    def now(self) -> int:
        """Return the exchange's time in nanoseconds, or this machine's where the exchange tells none.

        It is asked once; from then on the time that passed here is added, so it is never ahead.
        """
        if not self._client.has.get("fetchTime"):
            return self._clock.now()
        if self._told is None:
            told = int(self._ask(self._client.fetch_time)) * MS
            self._told = told, seconds()
        return self._told[0] + int((seconds() - self._told[1]) * 1e9)

    def market(self, name: str) -> dict[str, Any]:
        """Return ccxt's record of a market.

        Raises
        ------
        UsageError
            When the exchange has no market of this name, with the nearest one.
        """
        self._ask(self._client.load_markets)
        known: dict[str, dict[str, Any]] = self._client.markets
        if name in known:
            return known[name]
        plain = {re.sub(r"[^A-Z0-9]", "", market): market for market in reversed(list(known)) if ":" not in market}
        near = plain.get(re.sub(r"[^A-Z0-9]", "", name.upper()))
        hint = f"; did you mean {near!r}?" if near else ""
        if not near and name:
            base = [market for market in known if market.startswith(name.upper().split("/")[0] + "/")]
            hint = f"; it has {', '.join(base[:5])}" if base else ""
        raise UsageError(
            f"{self.name} has no market {name!r}{hint}; markets are written BTC/USDT, perpetuals BTC/USDT:USDT"
        )

    def timeframe(self, timeframe_ns: int, wanted: str) -> str:
        """Return what the exchange calls a timeframe.

        Raises
        ------
        UsageError
            When it has no such candles.
        """
        names: dict[str, Any] = self._client.timeframes or {}
        for name in names:
            if re.fullmatch(r"[1-9][0-9]{0,3}[mhdw]", name) and parse_timeframe(name) == timeframe_ns:
                return name
        raise unknown("timeframe", wanted, names)

    def candles(self, market: str, timeframe: str, since: int) -> Rows:
        """Return candles that open at or after a time, the forming one too; a page of them.

        Raises
        ------
        DataError
            When they are no bars.
        """
        page = self._ask(self._client.fetch_ohlcv, market, timeframe, -(-since // MS), self._limit())
        page = sorted({tuple(row) for row in page if int(row[0]) * MS >= since}, key=lambda row: row[0])
        table = np.array([[np.nan if cell is None else cell for cell in row[1:6]] for row in page], np.float64)
        times = np.array([int(row[0]) * MS for row in page], np.int64)
        opened, high, low, close, volume = table.reshape(-1, len(COLUMNS)).T.copy()
        length = parse_timeframe(timeframe)
        try:
            return rows_of(Bars(as_times(times), opened, high, low, close, volume, length, market))
        except DataError as why:
            raise DataError(f"{self.name} gave {market} candles that are no bars: {why}") from None

    def funding(self, market: str, since: int) -> Rows:
        """Return funding rates from a time on, each with the moment it was due; a page of them."""
        if not self._client.has.get("fetchFundingRateHistory"):
            raise UsageError(f"{self.name} tells no funding rates of the past; fetch them elsewhere, or import a file")
        page = self._ask(self._client.fetch_funding_rate_history, market, -(-since // MS), self._limit())
        told = sorted({int(row["timestamp"]) * MS: float(row["fundingRate"]) for row in page}.items())
        told = [row for row in told if row[0] >= since]
        return Rows(np.array([row[0] for row in told], np.int64), {"rate": np.array([row[1] for row in told])})

    def reach(self, timeframe_ns: int) -> int:
        """Return how far a page of candles (0: of funding rates) reaches at least, in nanoseconds."""
        return (self._limit() or SHORTEST_PAGE) * timeframe_ns or FUNDING_PAGE_NS

    def _limit(self) -> int | None:
        features = self._client.features or {}
        told = [(features.get(kind) or {}).get("fetchOHLCV") for kind in ("spot", "swap")]
        return next((int(each["limit"]) for each in told if isinstance(each, dict) and each.get("limit")), None)

    def _ask(self, ask: Callable[..., T], *what: Any) -> T:
        for tried in range(1, TRIES + 1):
            try:
                return self._wire.read(ask, *what)
            except Retry as silence:
                if tried == TRIES:
                    raise
                wait = min(max(2.0 ** (tried - 1), silence.wait_s), max(LONGEST_WAIT_S, silence.wait_s))
                self._tell(f"{self.name} did not answer ({silence}); asking again in {wait:.0f} s")
                self._clock.sleep(wait)
            except Refused as no:
                raise Refused(f"{self.name} refused: {no}") from None
        raise AssertionError


def open_source(name: str, market: str = "", tell: Callable[[str], object] = lambda _: None) -> Source:
    """Return an exchange by its name in ccxt; no key is needed.

    Raises
    ------
    UsageError
        When ccxt knows none of this name, or is not installed.
    """
    try:
        import ccxt
    except ImportError:
        raise UsageError("fetching needs ccxt; install it with: pip install 'tradsys[live]'") from None
    if name not in ccxt.exchanges:
        raise _unknown_exchange(name, ccxt.exchanges)
    kinds = {"fetchMarkets": {"types": ["linear", "inverse"] if ":" in market else ["spot"]}}
    options = kinds if name.startswith("binance") else {}
    client = getattr(ccxt, name)({"enableRateLimit": True, "timeout": TIMEOUT_MS, "options": options})
    client.has["fetchCurrencies"] = False  # a page, often a private one, that candles do not need
    return Source(client, tell=tell)


def _unknown_exchange(name: str, known: list[str]) -> UsageError:
    told = str(unknown("exchange", name, known)).split(" (known")[0]
    return UsageError(f"{told}; any of ccxt's {len(known)} may be named, such as binance, bybit, kraken")
