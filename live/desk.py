"""One symbol: its bars, its bot, its ledger, and the hand that makes the account follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.bars import format_time
from engine.errors import BrokerError
from engine.rules import Rules
from live import schema_orders as kinds
from live.account import ACTIVE, FLATTEN, HALTED, PERSON, Standing
from live.bot import Bot
from live.broker import OPEN, Quote
from live.candles import Candles, receipt
from live.follow import Action, Ask, Cancel, Note, View, plan
from live.hand import Hand, Seen
from live.journal import ENTRY, INTENDED, STOP, Journal
from live.limits import ERRORS, ORDERS, SECOND_NS, judge_bars, judge_errors, judge_orders
from live.office import Office
from live.wanted import Wanted, wanted, with_barriers

ROUNDS = 8  # of look, plan, act; what is left is done at the next look
SOONEST_NS, SOON_NS, IDLE_NS = SECOND_NS // 10, SECOND_NS, 30 * SECOND_NS
SHOWN_NS = 5 * SECOND_NS  # by then an exchange shows the candle that has begun
PATIENCE_NS = 20 * SECOND_NS  # exchanges report a fill before the position, or the other way round
HOUR_NS = 3600 * SECOND_NS

Units = Callable[["Desk", float], float]


class Desk:
    """Decides at every close of one symbol, and makes the account follow.

    Parameters
    ----------
    bot : Bot
        Decides, and keeps the ledger.
    candles : Candles
        Its bars.
    office : Office
        What all desks share.
    journal : Journal
        What was sent, and what a person should know.
    hand : Hand or None
        Trades at the exchange; None on paper.
    units : callable
        Returns the units that a price and the account allow.
    """

    def __init__(
        self, bot: Bot, candles: Candles, office: Office, journal: Journal, hand: Hand | None, units: Units
    ) -> None:
        self.bot, self.candles, self.office, self.hand, self.units = bot, candles, office, hand, units
        self.journal, self.symbol = journal, candles.symbol
        self.rules: Rules = bot.rules
        self.quote: Quote | None = None
        self.others: Sequence[Desk] = ()  # of the same account
        self.failed, self.lost = "", False  # lost: not even its position could be closed
        self.parting = False  # the bot is about to stop
        self.loose = False  # something rests that may be filled unseen, or a position has no exits yet
        self.silent = 0
        self.next_look = 0
        self._guess = (0, 0.0)
        self._next_ask = 0  # a bar that does not come is asked for less and less often
        self._unexplained_since: int | None = None

    @property
    def next_due(self) -> int:
        """When there is something to do, by the exchange's clock."""
        close = max(self.candles.next_close, self._next_ask)
        if self.failed:
            return self.next_look
        return min(close, self.next_look) if self.hand is not None else close

    def step(self) -> None:
        """Do what is due: decide on bars that closed, and look after orders.

        Raises
        ------
        BrokerError
            From the exchange; the step is done again later.
        DataError
            If the bars cannot be traded on.
        """
        decided, trouble = 0, None
        if not self.failed and self.office.now() >= max(self.candles.next_close, self._next_ask):
            try:
                decided = self._close_in_time()
            except BrokerError as why:  # without candles orders are looked after all the same
                trouble = why
        if self.hand is not None and self.bot.account is not None and (decided or self.office.now() >= self.next_look):
            self.follow(self.hand)
        if trouble is not None:
            raise trouble

    def _close_in_time(self) -> int:
        """Decide on what closed, and judge how late it is; return how many bars."""
        decided = self.close()
        waited = self.office.now() - self.candles.next_close
        self._next_ask = 0 if decided else self.office.now() + min(max(waited // 10, SOONEST_NS), IDLE_NS)
        self.office.put(self.symbol, judge_bars(self.office.limits, self.office.now(), self.candles.next_close))
        return decided

    def close(self) -> int:
        """Decide on every bar that closed since the last look, in order; return how many."""
        news = self.candles.look()
        for bar, change in news.changed:
            self._note(kinds.CANDLE_CHANGED, f"{change}; what was decided on it stands", bar)
        first = int(self.bot.ledger.identity.first_bar.astype("int64"))
        warm = [row for row in news.fresh if row.open_time < first]
        if warm and self.candles.bars is None:
            self.candles.take(warm)
        fresh = [row for row in news.fresh if row.open_time >= first]
        for row in fresh:
            self.bot.on_close(self.candles.take([row]), receipt(row))
        return len(fresh)

    @property
    def price(self) -> float:
        """The last price seen."""
        if self.quote is not None:
            return 0.5 * (self.quote.bid + self.quote.ask)
        return float(self.candles.bars.close[-1]) if self.candles.bars is not None else 0.0

    def heard(self) -> None:
        """Judge how often in a row the exchange said nothing or no."""
        for standing in judge_errors(self.office.limits, self.hand.refused if self.hand else 0, self.silent):
            self.office.put(self.symbol, standing)

    def begin_anew(self) -> None:
        """Look at once, with a clean slate: a person decided."""
        self.next_look, self.silent, self._unexplained_since = 0, 0, None
        if self.hand is not None:
            self.hand.refused = 0

    @property
    def bot_time(self) -> int:
        """Open time of the last bar decided on; 0 before the first."""
        return 0 if self.bot.account is None else int(self.bot.account.time)

    @property
    def flattening(self) -> bool:
        """Whether a person wants the position gone."""
        return self.office.book.holds(self.symbol, FLATTEN)

    def want(self) -> Wanted:
        """Return what should stand now."""
        if self.bot.account is None or self.flattening:
            return Wanted(leg=FLATTEN if self.flattening else Wanted().leg)
        want = wanted(self.bot.account, self.rules)
        return with_barriers(want, self._opened() or self._stand_in(), self.rules)

    def look(self, hand: Hand) -> Seen:
        """Return what stands at the exchange, and write down what explains it."""
        seen = hand.look()
        for other in self.others if hand.terms.base and not hand.terms.perpetual else ():
            hand.journal.pay_fees_of(other.symbol, other.journal, self.price)
        return seen

    def follow(self, hand: Hand) -> None:
        """Look at the exchange, and do what is missing, until all is as wanted."""
        self.next_look = self.office.now() + self.office.poll_ns
        for _ in range(ROUNDS):
            seen = self.look(hand)
            if not self._explained(hand, seen):
                return
            self._judge(hand)
            if self._stopped and not self.flattening:
                self._take_back(hand)
                return
            actions = self._plan(hand)
            for note in actions:
                if isinstance(note, Note):
                    self._note(note.kind, note.message, note.wish_time)
            doing = [action for action in actions if not isinstance(action, Note)]
            if not doing:
                self._settled(hand)
                return
            for action in doing:
                hand.act(action)
            if all(isinstance(action, Ask) for action in doing):
                break  # it was asked for just now: a while later there may be news
        self.next_look = self.office.now() + SOON_NS

    @property
    def _stopped(self) -> bool:
        """Whether nothing at all may be sent: orders were too many, or refused one after the other."""
        return bool(self.office.book.halted_by(self.symbol) & {ORDERS, ERRORS})

    def _take_back(self, hand: Hand) -> None:
        """Cancel entries that rest: nobody would look after what they buy."""
        for order in [o for o in hand.journal.orders.values() if o.purpose == ENTRY and o.status == OPEN]:
            hand.act(Cancel(order.client_id))

    def _plan(self, hand: Hand) -> list[Action]:
        """What to do next."""
        journal, want = hand.journal, self.want()
        if not journal.orders and not journal.net and want.side == 0:
            return []
        if want.side:
            journal.forget(want.wish_time)
        self.quote = quote = hand.broker.quote(self.symbol)
        entries = [o for o in journal.orders.values() if o.purpose == ENTRY and o.wish_time == want.wish_time]
        halted = self.parting or (not self.flattening and bool(self.office.book.halted_by(self.symbol)))
        entering = want.enter and not halted and not any(order.standing or order.filled for order in entries)
        entering = entering and not journal.noted(kinds.MISSED, want.wish_time)
        price = quote.ask if want.side > 0 else quote.bid
        view = View(
            bot=self.bot.ledger.identity.id,
            net=journal.net,
            orders=tuple(journal.orders.values()),
            quote=quote,
            units=self.units(self, price) if entering else 0.0,
            now=self.office.now(),
            closed=self._closed(),
            opened=self._opened(),
            last_fill=journal.last_fill,
        )
        barred = self._barred(hand, want, quote)
        manner = self.office.manner._replace(barred=barred, slippage=self.rules.slippage, halted=halted)
        standing = {order.purpose for order in view.orders if order.standing}
        self.loose = ENTRY in standing or bool(journal.net and want.side and STOP not in standing)
        return plan(want, view, manner, hand.terms)

    def _barred(self, hand: Hand, want: Wanted, quote: Quote) -> str:
        """Why there must be no entry now."""
        standing, most = self.office.book.standing(self.symbol), self.office.limits.max_spread
        if hand.journal.noted(kinds.MISSED, want.wish_time):
            return "missed before"
        if standing.state != ACTIVE:
            return f"{standing.state}, {standing.cause}"
        return f"the spread is {quote.spread:.2%}, limit {most:.2%}" if quote.spread > most else ""

    def _explained(self, hand: Hand, seen: Seen) -> bool:
        """Whether what stands follows from the ledger; what does not for a while stops the symbol."""
        if hand.begin(seen, self.price):
            self._unexplained_since = None
            return True
        now, what = self.office.now(), "; ".join(hand.unexplained(seen))
        since = self._unexplained_since = self._unexplained_since or now
        known = self.flattening and self.office.book.clear(self.symbol, kinds.UNEXPLAINED)
        if now - since < PATIENCE_NS and hand.journal.begun and not known:
            self.next_look = now + SOON_NS
            for other in self.others:  # a fill there may have been paid for with what is traded here
                other.next_look = 0
        elif self.flattening:
            hand.take_over(seen, self.price)
            self._unexplained_since = None
            return True
        elif not self.office.book.holds(self.symbol, kinds.UNEXPLAINED):
            todo = f"`tradsys live adopt {self.symbol}` leaves it alone, `tradsys live flatten {self.symbol}` closes it"
            self.office.put(self.symbol, Standing(HALTED, kinds.UNEXPLAINED, f"{what}; {todo}"))
            self._note(kinds.UNEXPLAINED, what, None)
            self._take_back(hand)
        return False

    def _judge(self, hand: Hand) -> None:
        """Hold orders, and what they rest on, against the limits."""
        self.heard()
        self.office.put(self.symbol, judge_bars(self.office.limits, self.office.now(), self.candles.next_close))
        sent = judge_orders(self.office.limits, hand.journal.sent_since(self.office.now() - HOUR_NS))
        if sent is not None:
            self.office.put(self.symbol, sent)

    def _settled(self, hand: Hand) -> None:
        """Choose the next look; a flattened position stays flat until a person resumes."""
        orders, want = hand.journal.orders.values(), self.want()
        standing = [order for order in orders if order.standing]
        waits = want.enter and self._opened() is None and not hand.journal.noted(kinds.MISSED, want.wish_time)
        unsettled = waits or any(o.purpose == ENTRY or o.status == INTENDED for o in standing)
        idle = not standing and want.side == 0
        wait = SOON_NS if unsettled else IDLE_NS if idle else self.office.poll_ns
        self.next_look = self.office.now() + wait
        if waits:
            self.candles.look()  # for the open of this bar
        if self.flattening:
            self.office.put(self.symbol, Standing(HALTED, PERSON, "flattened"))
            for cause in (FLATTEN, kinds.UNEXPLAINED):
                self.office.book.clear(self.symbol, cause)

    def _opened(self) -> float | None:
        """Open of the bar that is forming."""
        return self.candles.opened(self._closed())

    def _stand_in(self) -> float | None:
        """A price for an open that the exchange does not show, so that what is held gets its exits meanwhile."""
        closed = self._closed()
        if self._guess[0] != closed and self.quote and self.journal.net and self.office.now() - closed > SHOWN_NS:
            self._guess = (closed, 0.5 * (self.quote.bid + self.quote.ask))
        return self._guess[1] if self._guess[0] == closed else None

    def _closed(self) -> int:
        """When the last bar closed."""
        return self.bot_time + self.candles.timeframe_ns

    def _note(self, kind: str, message: str, bar: int | None) -> None:
        """Write down what a person should know, once, and tell."""
        if self.journal.note(kind, message, bar):
            at = f" ({format_time(self.bot.last_bar)})" if self.bot.last_bar is not None else ""
            self.office.tell(self.symbol, kind, f"{message}{at}")
