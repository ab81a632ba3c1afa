"""The real bot over recorded bars: the loop, ledger and restart of trading with money, held against the backtest."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from engine.bars import Bars, format_time
from engine.errors import DataError, SettingsError, UsageError
from engine.rules import Rules
from engine.terms import Account
from live.bot import Bot
from live.check import Plain
from live.clock import seconds
from live.feed import ReplayFeed
from live.identity import Identity
from live.ledger import Ledger
from live.parity import against_backtest
from live.settings import Settings, read_settings
from live.stop import StopRequest

if TYPE_CHECKING:
    from models.bundle import Bundle

SHOW_EVERY_S = 0.5


class Pace(NamedTuple):
    """How far a replay is: bars done and to do, and seconds since it began."""

    done: int
    total: int
    elapsed_s: float

    def __str__(self) -> str:
        rate = self.done / self.elapsed_s if self.elapsed_s > 0 else 0.0
        left = f"{(self.total - self.done) / rate:.0f} s left" if rate else "starting"
        return f"replay: {self.done:,} of {self.total:,} bars, {rate:,.0f} bars/s, {left}"


Progress = Callable[[Pace], None]


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What a replay did, and whether the backtest says the same.

    Parameters
    ----------
    what : str
        Strategy, market, bundle.
    ledger : Path
        Where all of it is written.
    bars, decided : int
        Bars decided on in this call, and in the ledger in all.
    left : int
        Bars of the recording still to decide on; above 0 only if stopped.
    elapsed_s : float
        Seconds spent on them.
    last_bar : datetime64[ns] or None
        The last bar decided on.
    account : Account or None
        After it.
    trades : int
        Finished trades in the ledger.
    stopped_by : str or None
        Signal that ended the replay early.
    in_sample : int
        How many of the bars in the ledger some part of the bundle was fitted on.
    difference : str or None
        The first thing in which the ledger and a backtest of the same bars differ; None if nothing.
    """

    what: str
    ledger: Path
    bars: int
    decided: int
    left: int
    elapsed_s: float
    last_bar: np.datetime64 | None
    account: Account | None
    trades: int
    stopped_by: str | None
    in_sample: int
    difference: str | None

    @property
    def agrees(self) -> bool:
        """Whether trades, equity and wishes are the backtest's, bit for bit."""
        return self.difference is None

    @property
    def bars_per_s(self) -> float:
        """Decisions per second."""
        return self.bars / self.elapsed_s if self.elapsed_s > 0 else 0.0

    def __str__(self) -> str:
        lines = [f"{self.what}: {self.bars:,} bars in {self.elapsed_s:.1f} s ({self.bars_per_s:,.0f} bars/s)"]
        if self.account is not None and self.last_bar is not None:
            held = self.account.holding
            position = f"{'long' if held.side > 0 else 'short'} {held.units:.6g} from {held.entry_price:.6g}"
            lines.append(
                f"stands at {format_time(self.last_bar)} after {self.decided:,} bars: {self.trades:,} trades,"
                f" equity {self.account.equity:,.2f}, {position if held.side else 'flat'}"
            )
        if self.stopped_by:
            lines.append(f"stopped by {self.stopped_by}, {self.left:,} bars to go; start again to continue")
        if self.in_sample:
            lines.append(
                f"IN-SAMPLE: {self.in_sample:,} of these bars were seen in training; results on them prove nothing"
            )
        same = "the same wishes, trades and equity, bit for bit" if self.agrees else f"DIFFERS: {self.difference}"
        lines += [f"backtest of these bars: {same}", f"ledger: {self.ledger}"]
        return "\n".join(lines)


def replay_file(
    bars: Bars, env_file: Path | None = None, ledger: Path | None = None, progress: Progress | None = None
) -> ReplayReport:
    """Run the bot that a settings file describes over recorded bars; continues where its ledger ends.

    Parameters
    ----------
    bars : Bars
        The recording.
    env_file : Path, optional
        Settings: see `live.settings.read_settings`.
    ledger : Path, optional
        Instead of ``BOT_LEDGER``.
    progress : callable, optional
        Called about twice a second with a `Pace`.

    Raises
    ------
    SettingsError, UsageError, ModelMismatch, DataError
        See `replay`; also if the bundle is a draft and the bars reach into its sealed test zone.
    """
    settings = read_settings(env_file)
    return _shown(settings if ledger is None else replace(settings, ledger=ledger), bars, progress)


def _shown(settings: Settings, bars: Bars, progress: Progress | None) -> ReplayReport:
    """A replay whose trades and equity somebody sees: not over the sealed bars of a draft."""
    from models.bundle import load_bundle

    bundle = load_bundle(settings.bundle)
    if bundle.manifest.sealed(bars).any():
        raise SettingsError(
            f"BOT_BUNDLE {bundle.manifest.name} is a draft and these bars reach into its sealed test zone (from"
            f" {format_time(bundle.manifest.zones.test[0])}): release it first (tradsys release) or end the recording"
            " before"
        )
    return replay(settings, bars, progress, bundle)


def replay(
    settings: Settings, bars: Bars, progress: Progress | None = None, bundle: Bundle | None = None
) -> ReplayReport:
    """Run the bot over recorded bars, from where its ledger ends, and hold the ledger against the backtest.

    Parameters
    ----------
    settings : Settings
        The bot.
    bars : Bars
        The recording; bars before ``replay_from`` warm up.
    progress : callable, optional
        Called about twice a second with a `Pace`.
    bundle : Bundle, optional
        The settings' bundle, if it is open already.

    Raises
    ------
    SettingsError
        If settings, bundle and bars do not go together, or the ledger is another bot's.
    DataError
        If the recording is not the one the ledger began with.
    """
    from models.bundle import load_bundle
    from strategies import make_strategy

    bundle = bundle or load_bundle(settings.bundle)
    strategy = make_strategy(settings.profile, bundle, settings.confidence)
    rules, first = rules_of(settings, bundle), _first_row(settings, bars)
    identity = Identity(
        mode=settings.mode,
        symbol=bars.symbol,
        timeframe=bars.timeframe,
        sessions=bars.sessions,
        bundle=bundle.manifest.name,
        bundle_hash=bundle.hash,
        profile=settings.profile,
        confidence=settings.confidence,
        memory=strategy.memory,
        rules=rules,
        first_bar=bars.open_time[first],
    )
    with Ledger(settings.ledger, identity, power_safe=False) as ledger:
        bot, feed = Bot(strategy, rules, ledger), ReplayFeed(bars, strategy.memory, first)
        bot.recognise(bars)
        begin = feed.begin(bot.last_bar)
        started = seconds()
        done, stopped = follow(bot, feed, len(bars) - begin, progress)
        return ReplayReport(
            what=f"{strategy.name} ({settings.confidence}) on {bars.symbol} {bars.timeframe}, bundle {identity.bundle}",
            ledger=settings.ledger,
            bars=done,
            decided=ledger.decided(),
            left=len(bars) - begin - done,
            elapsed_s=seconds() - started,
            last_bar=bot.last_bar,
            account=bot.account,
            trades=len(ledger.trades()),
            stopped_by=stopped,
            in_sample=int(np.count_nonzero(bundle.in_sample(bars[first : begin + done]))),
            difference=against_backtest(strategy, rules, ledger, bars),
        )


def follow(bot: Bot, feed: ReplayFeed, total: int, progress: Progress | None = None) -> tuple[int, str | None]:
    """Let the bot decide at every close of a feed until it ends or the process is asked to stop.

    Returns
    -------
    done, stopped_by : int, str or None
        Closes decided on, and the signal that asked to stop.
    """
    started = shown = seconds()
    done = 0
    with StopRequest() as stop:
        for window in feed.closes(bot.last_bar):
            if stop.received:
                break
            bot.on_close(window)
            done += 1
            if progress is not None and seconds() - shown > SHOW_EVERY_S:
                shown = seconds()
                progress(Pace(done, total, shown - started))
    return done, stop.received


def rules_of(settings: Settings, bundle: Bundle) -> Rules:
    """Return the bundle's terms with those of the settings; together they must be terms some market offers."""
    try:
        return bundle.rules(**settings.terms)
    except UsageError as mistake:
        names = ", ".join(f"BOT_{name.upper()}={value:g}" for name, value in settings.terms.items())
        raise SettingsError(f"{names} does not go with bundle {bundle.manifest.name}: {mistake}") from None


def _first_row(settings: Settings, bars: Bars) -> int:
    """Row of the first bar to decide on."""
    if len(bars) == 0:
        raise DataError("the recording holds no bars; name another file")
    if settings.symbols and bars.symbol not in settings.symbols:
        raise SettingsError(f"BOT_SYMBOL is {settings.symbol}, the recording is of {bars.symbol}; bring the right one")
    wanted = bars.open_time[0] if settings.replay_from is None else settings.replay_from
    if wanted > bars.open_time[-1]:
        last = format_time(bars.open_time[-1])
        raise SettingsError(
            f"BOT_REPLAY_FROM is {format_time(wanted)}, after the recording's last bar {last}; set an earlier time"
        )
    return bars.since(wanted)


def run_live(what: str, settings: Settings, data_root: Path) -> None:
    """Replay named bars with progress on a terminal, then print the report.

    Raises
    ------
    SettingsError
        If they are sealed; further see `replay`.
    DataError
        If the backtest does not agree with what the bot did.
    """
    from models.bundle import load_bundle
    from strategies.workbench import find_market

    shown, plain = sys.stderr.isatty(), Plain(sys.stderr.write)
    bars = find_market(load_bundle(settings.bundle), what, data_root)
    report = _shown(settings, bars, _show if shown else lambda pace: plain(f"{pace}\n"))
    sys.stderr.write("\r\033[K" if shown else "")
    sys.stdout.write(f"{report}\n")
    if not report.agrees:
        raise DataError(f"the ledger {report.ledger} is not what the backtest says; keep it and report both")


def _show(pace: Pace) -> None:
    sys.stderr.write(f"\r\033[K{pace}")
    sys.stderr.flush()
