"""The bot's day: every symbol's desk in turn, people's commands, limits; until somebody stops it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from engine.errors import BrokerError, DataError, ModelMismatch, SettingsError, UsageError
from live import schema_orders as kinds
from live.account import ACTIVE, ADOPT, FLATTEN, HALT, HALTED, PERSON, REDUCING, RESUME, Command, Standing
from live.broker import Broker, Retry
from live.clock import Clock
from live.desk import Desk
from live.limits import SECOND_NS, judge_clock
from live.office import Office

LOOP_S = 0.5  # commands are read, and signals heard, this often
CLOSING_S = 0.1  # right after a close the exchange is asked this often
CLOCK_NS, WORTH_NS = 60 * SECOND_NS, 300 * SECOND_NS
PARTING, SILENCES = 20, 3  # looks before a polite stop, half a second apart; of them without an answer
FAILED = "failed"
OURS = (DataError, ModelMismatch, SettingsError, UsageError)  # a symbol that cannot go on; the others can


class ExchangeTime:
    """The exchange's clock, asked now and then and carried on by ours between.

    Parameters
    ----------
    broker : Broker
        Whose clock.
    clock : Clock
        Ours.
    """

    def __init__(self, broker: Broker, clock: Clock) -> None:
        self.broker, self.clock = broker, clock
        self.skew = 0  # ours less theirs
        self._asked: int | None = None

    def now(self) -> int:
        """Return the exchange's time as we know it, in nanoseconds since 1970."""
        return self.clock.now() - self.skew

    def ask(self) -> bool:
        """Ask the exchange, if it is time to; return whether it was asked."""
        before = self.clock.now()
        if self._asked is not None and 0 <= before - self._asked < CLOCK_NS:
            return False
        theirs = self.broker.server_time()
        after = self.clock.now()
        self.skew, self._asked = (before + after) // 2 - theirs, after
        return True


class Account(NamedTuple):
    """The money that all symbols share.

    Parameters
    ----------
    broker : Broker or None
        None on paper, where each simulated account has its own.
    quote : str
        Its currency.
    perpetual : bool
        Whether the exchange adds the positions' profit itself.
    """

    broker: Broker | None
    quote: str
    perpetual: bool

    def worth(self, desks: Sequence[Desk]) -> float:
        """Return what the account is worth: money, and the bot's positions at their last price."""
        if self.broker is None:
            return sum(desk.bot.account.equity for desk in desks if desk.bot.account is not None)
        held = 0.0 if self.perpetual else sum(desk.journal.net * desk.price for desk in desks)
        return self.broker.balance(self.quote).total + held

    def units(self, desks: Sequence[Desk], desk: Desk, price: float, most: float) -> float:
        """Return the units of an entry: the symbol's share of the worth times the exposure, within limit and means."""
        assert self.broker is not None, "no orders on paper"
        worth, rules = self.worth(desks), desk.rules
        desk.office.weigh(worth)  # what was lost since the account was last weighed bars this entry
        others = sum(each.journal.at_stake * each.price for each in desks if each is not desk)
        money = min(worth / len(desks) * rules.exposure, worth * most - others)
        cost = 1.0 + max(rules.fee, 0.0) + rules.slippage
        return max(min(money, self.broker.balance(self.quote).free / cost), 0.0) / price


class Runner:
    """Runs the desks of one account until asked to stop.

    Parameters
    ----------
    desks : sequence of Desk
        One per symbol.
    office : Office
        What they share.
    time : ExchangeTime
        The exchange's clock.
    account : Account
        The money.
    """

    def __init__(self, desks: Sequence[Desk], office: Office, time: ExchangeTime, account: Account) -> None:
        self.desks, self.office, self.time, self.account = list(desks), office, time, account
        self._worth_due = 0
        self._wait_until: dict[str, int] = {}

    @property
    def failed(self) -> list[Desk]:
        """Desks that could not go on."""
        return [desk for desk in self.desks if desk.failed]

    def run(self, stop: Callable[[], str | None]) -> int:
        """Go on until asked to stop, or until no symbol can; return the exit code.

        Returns
        -------
        int
            0 when somebody stopped it, 1 when no symbol is left.
        """
        for desk in self.desks:
            self.office.book.clear(desk.symbol, FAILED)  # a start tries again
        while stop() is None:
            self.turn()
            if not any(self._able(desk) for desk in self.desks):
                return 1
            self.time.clock.sleep(self.pause())
        self._part()
        return 0

    def _able(self, desk: Desk) -> bool:
        """Whether there is anything that a desk can still do: one that failed can be flattened."""
        return not desk.failed or (desk.flattening and desk.hand is not None and not desk.lost)

    def _part(self) -> None:
        """Before a stop, take back entries that rest, and see to it that what is held is protected."""
        for desk in self.desks:
            desk.parting = True
            for _ in range(PARTING if desk.hand is not None and not desk.failed else 0):
                desk.next_look = 0
                self._step(desk)
                if not desk.loose or desk.silent >= SILENCES:
                    break
                self.time.clock.sleep(LOOP_S)

    def due_in(self) -> float:
        """Return how long nothing is due at any desk, in seconds; not above 0 if something is."""
        due = [max(desk.next_due, self._wait_until.get(desk.symbol, 0)) for desk in self.desks if self._able(desk)]
        return (min(due, default=0) - self.time.now()) / SECOND_NS

    def pause(self) -> float:
        """Return how long to sleep, in seconds."""
        wait = self.due_in()
        return min(wait, LOOP_S) if wait > 0 else CLOSING_S

    def turn(self) -> None:
        """Read commands, keep the clock, let every desk do what is due, and weigh the account."""
        for command in self.office.book.asked():
            self.office.book.answer(command.number, self._obey(command))
        self._keep_time()
        for desk in self.desks:
            now = self.time.now()
            if self._able(desk) and now >= max(desk.next_due, self._wait_until.get(desk.symbol, 0)):
                self._step(desk)
        self._weigh()

    def _step(self, desk: Desk) -> None:
        """One desk's turn; what fails here does not reach the others."""
        try:
            desk.step()
            desk.silent = 0
            desk.heard()
        except BrokerError as why:
            desk.silent += 1
            desk.heard()
            wait = why.wait_s if isinstance(why, Retry) else 0.0
            patience = min(0.5 * 2 ** min(desk.silent, 7), self.office.poll_ns / SECOND_NS)  # it may answer again
            back_off = max(wait, patience)
            self._wait_until[desk.symbol] = self.time.now() + int(back_off * SECOND_NS)
            desk.bot.ledger.note(why, desk.bot.last_bar)
        except OURS as why:
            desk.lost, desk.failed = bool(desk.failed), str(why)
            with suppress(*OURS):  # what failed may be the ledger itself
                desk.bot.ledger.note(why, desk.bot.last_bar)
            self.office.put(desk.symbol, Standing(HALTED, FAILED, str(why)))
            self.office.tell(desk.symbol, kinds.FAILED, f"{why}; protective orders stay where they are")

    def _keep_time(self) -> None:
        with suppress(BrokerError):  # the desks will say so
            self.time.ask()
        self.office.put("", judge_clock(self.office.limits, self.time.skew))  # also what was asked at the start

    def _weigh(self) -> None:
        now = self.time.now()
        if now < self._worth_due or not any(desk.bot.account is not None for desk in self.desks):
            return
        self._worth_due = now + WORTH_NS
        try:
            worth = self.account.worth(self.desks)
        except BrokerError:
            return
        self.office.weigh(worth)

    def _obey(self, command: Command) -> str:
        """Do what a person asked for; return what came of it."""
        whose = [desk for desk in self.desks if command.symbol in ("", desk.symbol)]
        if not whose:
            return f"no symbol {command.symbol} here; there are {', '.join(desk.symbol for desk in self.desks)}"
        names = ", ".join(desk.symbol for desk in whose)
        if command.command == HALT:
            for desk in whose:
                self.office.put(desk.symbol, Standing(HALTED, PERSON, command.reason))
            return f"{names}: halted; what is held stays protected"
        if command.command == RESUME:
            return self._resume(command, whose)
        if command.command == ADOPT:
            return "; ".join(self._adopt(desk) for desk in whose)
        for desk in whose:
            self._flatten(desk)
        return f"{names}: " + (
            "exits only, then halted when flat" if self.account.broker else "nothing to close on paper"
        )

    def _resume(self, command: Command, whose: list[Desk]) -> str:
        self.office.book.resume(command.symbol)
        said = []
        for desk in whose:
            desk.begin_anew()
            self._wait_until.pop(desk.symbol, None)
            if desk.failed:
                reason = f"{desk.failed}; it is tried again at the next start"
                self.office.book.put(desk.symbol, Standing(HALTED, FAILED, reason))
            still = self.office.book.standing(desk.symbol)
            said.append(f"{desk.symbol}: {still.state}" + (f" ({still.cause})" if still.state != ACTIVE else ""))
        self.office.book.note(command.symbol, kinds.STATE, f"resumed by a person: {'; '.join(said)}")
        return "; ".join(said)

    def _adopt(self, desk: Desk) -> str:
        if desk.hand is None:
            return f"{desk.symbol}: there is nothing to adopt on paper"
        try:
            said = desk.hand.adopt(desk.look(desk.hand), "a person said so")
        except BrokerError as why:
            return f"{desk.symbol}: {why}; ask again"
        self.office.book.clear(desk.symbol, kinds.UNEXPLAINED)
        desk.begin_anew()
        return f"{desk.symbol}: {said}"

    def _flatten(self, desk: Desk) -> None:
        if desk.hand is not None:
            self.office.put(desk.symbol, Standing(REDUCING, FLATTEN, "a person said so"))
            self._wait_until.pop(desk.symbol, None)
            desk.begin_anew()
