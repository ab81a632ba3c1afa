"""From settings to a running bot at an exchange: a start and a recovery are the same code."""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from engine.bars import Bars, parse_timeframe
from engine.errors import SettingsError, TradingError
from engine.features import feature_needs
from engine.history.context import with_context
from live import schema_orders as kinds
from live.account import FILE, AccountBook, account_lock
from live.bot import Bot
from live.broker import Broker, MarketTerms, Retry
from live.candles import Candles, nothing_yet
from live.clock import Clock
from live.desk import Desk
from live.funding import Funding
from live.hand import Hand
from live.identity import Identity
from live.journal import Journal
from live.keys import Keys
from live.ledger import Ledger
from live.limits import SECOND_NS
from live.lock import Lock
from live.logs import Tell
from live.office import Office
from live.replay import rules_of
from live.runner import Account, ExchangeTime, Runner
from live.settings import Settings
from live.stop import StopRequest

if TYPE_CHECKING:
    from models.bundle import Bundle

T = TypeVar("T")
UNHANDLED = 3  # exit code
TRIES, WAIT_S = 10, 3.0  # of the first questions to the exchange


class Surroundings(NamedTuple):
    """What is outside of the bot; tests bring their own.

    Parameters
    ----------
    broker : Broker
        The exchange.
    clock : Clock
        The machine's clock.
    tell : callable
        Told symbol, kind and message of what a person should know.
    locks : Path
        Where all bots of this machine look whether an account is taken.
    data : Path
        Folder of the stored series, for what features read beside the bars.
    """

    broker: Broker
    clock: Clock
    tell: Tell
    locks: Path = Path(tempfile.gettempdir())
    data: Path = Path("data")


@contextmanager
def opened(settings: Settings, outside: Surroundings) -> Iterator[Runner]:
    """Open bundle, ledgers and locks, and put every symbol's desk in place.

    Raises
    ------
    SettingsError
        If settings, bundle and exchange do not go together, or another bot is at it.
    BrokerError
        If the exchange cannot be asked.
    """
    broker, folder, paper = outside.broker, settings.folder, settings.mode == "paper"
    with ExitStack() as stack:
        if not paper:
            stack.enter_context(
                closing(account_lock(outside.locks, settings.exchange, settings.mode, settings.keys.fingerprint))
            )
        stack.enter_context(closing(_folder_lock(folder)))
        time = ExchangeTime(broker, outside.clock)
        _patiently(time.ask, outside)
        book = stack.enter_context(closing(AccountBook(folder, time.now, power_safe=not paper)))
        book.begin(settings.exchange, settings.mode, "" if paper else settings.keys.fingerprint)
        terms = [_patiently(partial(broker.terms, symbol), outside) for symbol in settings.symbols]
        _check_markets(terms, paper)
        office = Office(
            book, time.now, settings.limits, settings.manner, int(settings.poll_s * SECOND_NS), outside.tell
        )
        account = Account(None if paper else broker, terms[0].quote, terms[0].perpetual)
        desks: list[Desk] = []
        for each in terms:
            desks.append(_desk(settings, outside, each, office, stack))
            desks[-1].units = lambda desk, price: account.units(desks, desk, price, settings.limits.max_exposure)
        for desk in desks:
            desk.others = [other for other in desks if other is not desk]
        book.note("", kinds.STARTED, f"{settings.mode}, {', '.join(settings.symbols)}")
        yield Runner(desks, office, time, account)


def _folder_lock(folder: Path) -> Lock:
    """Make the folder of the ledgers, and hold it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # what is earned and how is nobody else's
        return Lock(folder / FILE)
    except OSError as why:
        raise SettingsError(
            f"BOT_LEDGER: {folder} cannot be a folder of ledgers ({why.strerror}); set another BOT_LEDGER"
        ) from None


def _desk(settings: Settings, outside: Surroundings, terms: MarketTerms, office: Office, stack: ExitStack) -> Desk:
    """One symbol's desk, going on from its ledger."""
    from models.bundle import load_bundle
    from strategies import make_strategy

    bundle = load_bundle(settings.bundle)  # one each: a streaming predictor remembers whose bars it was shown
    _check_sides(bundle, terms, settings)
    strategy = make_strategy(settings.profile, bundle, settings.confidence)
    path = settings.folder / f"{terms.symbol}.db"
    length = parse_timeframe(bundle.manifest.market.timeframe)
    candles = Candles(outside.broker, terms.symbol, length, strategy.memory, None)
    known = partial(with_context, names=feature_needs(bundle.feature_names), data_root=outside.data)
    candles.beside = _with_funding(candles, known) if terms.perpetual else known
    candles.beside(nothing_yet(length, terms.symbol))  # a series that is not stored is missed now, not at the close
    first = _first_bar(path)
    if first is None:
        fresh = _patiently(candles.look, outside).fresh
        if not fresh:
            raise SettingsError(f"{terms.symbol} has no closed {bundle.manifest.market.timeframe} bars; name another")
        first = np.datetime64(fresh[-1].open_time, "ns")
    identity = Identity(
        mode=settings.mode,
        symbol=terms.symbol,
        timeframe=bundle.manifest.market.timeframe,
        sessions=bundle.manifest.market.sessions,
        bundle=bundle.manifest.name,
        bundle_hash=bundle.hash,
        profile=settings.profile,
        confidence=settings.confidence,
        memory=strategy.memory,
        rules=rules_of(settings, bundle),
        first_bar=first,
    )
    ledger = stack.enter_context(Ledger(path, identity, power_safe=settings.mode != "paper"))
    candles.bars = ledger.seen(strategy.memory)
    journal = Journal(ledger.file, "" if terms.perpetual else terms.base, office.now)
    hand = None
    if settings.mode != "paper":
        hand = Hand(outside.broker, journal, terms, outside.clock, _begun(ledger, office))
    return Desk(Bot(strategy, identity.rules, ledger), candles, office, journal, hand, lambda _desk, _price: 0.0)


def _with_funding(candles: Candles, known: Callable[[Bars], Bars]) -> Callable[[Bars], Bars]:
    """Know beside the bars of a perpetual what its holders pay, too."""
    funding = Funding(candles.broker, candles.symbol)
    return lambda bars: funding.beside(known(bars), None if candles.bars is None else candles.bars.open_time[-1])


def _first_bar(path: Path) -> np.datetime64 | None:
    """The first bar that an existing ledger was begun at."""
    if not path.exists():
        return None
    with suppress(sqlite3.Error):  # whatever is wrong with the file, the ledger itself will say
        database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            rows = database.execute("SELECT first_bar FROM bot").fetchall()
        finally:
            database.close()
        if rows:
            return np.datetime64(rows[0][0], "ns")
    return None


def _begun(ledger: Ledger, office: Office) -> int:
    """When the bot first looked at the exchange: older fills are not its own."""
    rows = ledger.file.select("SELECT at FROM adoptions ORDER BY number LIMIT 1")
    return int(rows[0][0]) if rows else office.now()


def _check_markets(terms: Sequence[MarketTerms], paper: bool) -> None:
    """Refuse symbols whose money or holdings cannot be told apart."""
    quotes, bases = {each.quote for each in terms}, [each.base for each in terms]
    if len(quotes) > 1:
        raise SettingsError(f"BOT_SYMBOL: all must be paid in one currency, these are in {', '.join(sorted(quotes))}")
    if len(set(bases)) < len(bases) and not paper and not terms[0].perpetual:
        raise SettingsError("BOT_SYMBOL: two of them hold the same currency; run a bot with another account for one")


def _check_sides(bundle: Bundle, terms: MarketTerms, settings: Settings) -> None:
    """Refuse a bundle that wishes for shorts where there are none, or of a market that closes."""
    if bundle.manifest.market.sessions:
        raise SettingsError(f"BOT_BUNDLE {bundle.manifest.name} is of a market that closes; these never do")
    if "short" in bundle.manifest.market.sides and not terms.perpetual and settings.mode != "paper":
        raise SettingsError(
            f"bundle {bundle.manifest.name} also goes short and {settings.exchange} is a spot market;"
            " set BOT_EXCHANGE=binanceusdm"
        )


def _patiently(ask: Callable[[], T], outside: Surroundings) -> T:
    """Ask until there is an answer, for half a minute."""
    for attempt in range(1, TRIES):
        try:
            return ask()
        except Retry as why:
            if attempt == 1:
                outside.tell("", kinds.WAITING, f"no answer yet ({why}); asking for {TRIES * WAIT_S:.0f} s")
            outside.clock.sleep(max(why.wait_s, WAIT_S))
    return ask()


def run_bot(settings: Settings, outside: Surroundings) -> int:
    """Run the bot until it is asked to stop; return the exit code.

    What nobody foresaw is written down, told, and ends the process; protective orders stay at the exchange.

    Returns
    -------
    int
        0 stopped by a signal, 1 no symbol could go on, 3 an unforeseen error.
    """
    with opened(settings, outside) as runner, StopRequest() as stop:
        try:
            code = runner.run(lambda: stop.received)
        except Exception as why:
            return _unforeseen(runner, why, outside.tell, settings.keys)
        runner.office.book.note("", kinds.STOPPED, stop.received or "no symbol could go on")
        return code


def _unforeseen(runner: Runner, why: Exception, tell: Tell, keys: Keys) -> int:
    """Write down and tell what nobody foresaw, keys left out."""
    place = traceback.extract_tb(why.__traceback__)[-1]
    where = "" if isinstance(why, TradingError) else f" in {place.name}, line {place.lineno}"
    said = keys.scrub(f"{type(why).__name__}{where}: {why}")
    for desk in runner.desks:
        with suppress(TradingError):
            desk.bot.ledger.note(RuntimeError(said), desk.bot.last_bar)
    with suppress(TradingError):
        runner.office.book.note("", kinds.FAILED, said)
    tell("", kinds.FAILED, f"{said}; protective orders stay where they are")
    if where:
        sys.stderr.write(keys.scrub("".join(traceback.format_exception(why))))
    return UNHANDLED
