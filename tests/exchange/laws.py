"""Whether a limit was exceeded: every order that leaves is held against the exchange's own books, not the bot's.

The bot's files are read for two things only: what it wrote down of its states, and which bar it decided on last.
Each law is the weakest that its limit promises, so that a breach is one: what the bot could not know yet is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from live.limits import ERRORS, ORDERS
from live.schema_orders import UNEXPLAINED
from tests.exchange.market import milliseconds

if TYPE_CHECKING:
    from tests.exchange.world import World

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
CLOCK_MS = 65_000  # after this the bot has asked for the time again
AGAIN_MS = 5_000  # one that was turned away unread is sent again
EDGE_MS = 10_000  # around a time that the bot's clock decides
ASKS = ("/order", "/algoOrder", "/orderList/oco")
NO_REFUSAL = (-1003, -1007, -1008, -1021, -4116)  # asks to wait, or leaves open whether it was done
SILENCING = {ORDERS, ERRORS, UNEXPLAINED, "failed"}  # halts after which nothing is sent; any other keeps the exits
STATES = """SELECT state, cause, until FROM states
    WHERE number IN (SELECT max(number) FROM states GROUP BY symbol, cause) AND state <> 'ACTIVE'"""


class Breach(AssertionError):
    """A limit was exceeded."""


class Witness:
    """Hears every request before the exchange does what it asks."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.orders = 0  # that left
        self.breach: Breach | None = None
        self.skew_since = (0, 0)  # how far off the bot's clock is, and since when
        self.worths: list[tuple[int, float]] = [(world.exchange.now, world.worth())]
        self.entries: list[tuple[int, float]] = []  # when one left, and what the account was worth
        self.turn = self.turn_began = 0
        self.unanswered = 0  # when an order last left without an answer
        self._refused: list[int] = []  # the turns of refusals in a row
        self._answers: list[tuple[int, bool]] = []  # turn and success of what was asked but the time

    def begin_turn(self) -> None:
        """The bot is about to take a turn."""
        self.turn += 1
        now = self.turn_began = self.world.exchange.now
        self.worths.append((now, self.world.worth()))
        if self.skew_since[0] != self.world.exchange.skew:
            self.skew_since = (self.world.exchange.skew, now)

    def anew(self) -> None:
        """The bot starts: what it only remembers is gone, and it asks for the time."""
        self._refused, self._answers = [], []
        self.skew_since = (self.world.exchange.skew, 0)

    def resumed(self) -> None:
        """A person decided: what was counted until now does not count any more."""
        self._refused, self._answers, self.entries = [], [], []

    def asked(self, method: str, path: str, params: dict[str, str]) -> None:
        """Hold an order or a cancel that has just left against every limit."""
        if method not in ("POST", "DELETE") or not path.endswith(ASKS):
            return
        try:
            self._may_act(method, f"{method} {path}", params)
            if method == "POST":
                self.orders += 1
                self._may_send(params)
                if self._enters(params):
                    self._may_enter(params)
        except Breach as breach:  # ccxt would take it for a fault of its own
            self.breach = self.breach or breach

    def told(self, method: str, path: str, status: int, answer: Any) -> None:
        """Remember what came of a request; 0 is no answer."""
        if not path.endswith("/time"):
            self._answers.append((self.turn, status == 200))
        if method != "POST" or not path.endswith(ASKS):
            return
        if status == 0:
            self.unanswered = self.world.exchange.now
        if status == 200:
            self._refused = []
        elif status == 400 and answer["code"] not in NO_REFUSAL and "Duplicate" not in answer["msg"]:
            self._refused.append(self.turn)

    @property
    def halted(self) -> bool:
        """Whether the bot wrote down that it enters and leaves nothing, and nobody asked it to close."""
        return bool(self._halts())

    @property
    def silent(self) -> bool:
        """Whether it sends nothing at all, protection included: a person was told."""
        return bool(self._halts() & SILENCING)

    def _halts(self) -> set[str]:
        states = self.states()
        return set() if "flatten" in states else {cause for cause, state in states.items() if state == "HALTED"}

    def states(self) -> dict[str, str]:
        """What keeps the bot from being active, by cause."""
        now = self.world.exchange.now
        rows = self.world.rows(STATES, "account.db")
        return {cause: state for state, cause, until in rows if until is None or now + EDGE_MS < until // 10**6}

    def _may_act(self, method: str, what: str, params: dict[str, str]) -> None:
        """Halted, it takes back entries that rest and keeps the exits of what is held; silent, not even those."""
        if not self.halted or (method == "DELETE" and (not self.silent or self._is_entry(params))):
            return
        if self.silent or self._enters(params):  # an exit that the price has passed, or that is refused, goes at market
            raise Breach(f"{what} was sent while the bot is halted: {self.states()}")

    def _is_entry(self, params: dict[str, str]) -> bool:
        """Whether what is cancelled would have been an entry."""
        asked = {params.get(key) for key in ("origClientOrderId", "clientAlgoId", "orderId", "algoId")}
        orders = [o for o in self.world.desk.orders if {o.client_id, str(o.id)} & asked]
        return bool(orders) and all(self._entered(o) for o in orders)

    def _entered(self, order: Any) -> bool:
        return not (order.reduce_only or order.close_position) if self.world.perpetual else order.side > 0

    def _enters(self, params: dict[str, str]) -> bool:
        if self.world.perpetual:
            return params.get("reduceOnly", "") != "true"
        return params["side"] == "BUY"

    def _may_send(self, params: dict[str, str]) -> None:
        """Twice as many orders as are allowed in an hour are the last, and so is a refusal too many."""
        flattening = "flatten" in self.states()
        sent, most, limits = self._sent(), 2 * self.world.limits.max_orders_per_hour, self.world.limits
        if sent >= most + (params.get("type") == "LIMIT") and not flattening:  # a target follows its stop unasked
            raise Breach(f"order number {sent + 1} of an hour was sent, at {most} nothing may be")
        earlier = [turn for turn in self._refused if turn < self.turn]
        if len(earlier) >= limits.max_errors and not flattening:
            raise Breach(f"an order was sent after {len(earlier)} refusals in a row, limit {limits.max_errors}")

    def _may_enter(self, params: dict[str, str]) -> None:
        world, limits, now = self.world, self.world.limits, self.world.exchange.now
        market = world.desk.markets["BTCUSDT"]
        bid, ask = map(float, market.quotes())
        worth, states = world.worth(), self.states()
        if states:
            raise Breach(f"an entry was sent in {states}")
        if 2 * (ask - bid) / (ask + bid) > limits.max_spread:
            raise Breach(f"an entry was sent at a spread of {2 * (ask - bid) / (ask + bid):.2%}")
        skew, since = self.skew_since
        if abs(skew) / 1000 > limits.max_skew_s and self.turn_began - since > CLOCK_MS:
            raise Breach(f"an entry was sent though the clock is {skew / 1000:+g} s off, limit {limits.max_skew_s:g}")
        late = now - self._next_close() - abs(skew) - AGAIN_MS
        if late > limits.stale_s * 1000:
            raise Breach(f"an entry was sent on bars that are {late / 1000:.1f} s late, limit {limits.stale_s:g}")
        if self._sent() >= limits.max_orders_per_hour:
            raise Breach(f"an entry was sent after {self._sent()} orders in an hour")
        if self._silences() >= limits.max_errors:
            raise Breach(f"an entry was sent after {self._silences()} turns without an answer")
        held = abs(world.size) * float(market.price or 0)
        share = (held + float(params["quantity"]) * (bid if params["side"] == "SELL" else ask)) / worth
        if share > limits.max_exposure * 1.002:
            raise Breach(f"an entry leads to {share:.1%} of the account, limit {limits.max_exposure:.1%}")
        self._may_lose(worth)
        self.entries.append((now, worth))

    def _may_lose(self, worth: float) -> None:
        """No entry after a loss beyond a limit; what the account was worth at an entry the bot has seen."""
        now, limits = self.world.exchange.now, self.world.limits
        midnight = now // DAY_MS * DAY_MS
        before = [time for time, _ in self.entries if time < midnight]
        day = [w for time, w in self.worths if (before[-1] if before else 0) <= time <= midnight]
        begun = min(day) if day else self.worths[0][1]
        if worth < begun * (1 - limits.max_day_loss) * 0.9999:
            raise Breach(f"an entry was sent after a loss of {1 - worth / begun:.2%} in a day")
        peak = max((w for _, w in self.entries), default=worth)
        if worth < peak * (1 - limits.max_drawdown) * 0.9999:
            raise Breach(f"an entry was sent {1 - worth / peak:.2%} below the highest worth")

    def _sent(self) -> int:
        """Orders that the exchange took in the last hour; the algo service's second names are none."""
        since = self.world.exchange.now - HOUR_MS + 2 * EDGE_MS
        return sum(o.time >= since and not o.client_id.startswith("algo_") for o in self.world.desk.orders)

    def _next_close(self) -> int:
        """When the bar after the last one decided on closes, in ms."""
        last = self.world.rows("SELECT max(open_time) FROM decisions")[0][0]
        return milliseconds(last // 10**6) + 120_000

    def _silences(self) -> int:
        """The last turns in a row, but this, in which nothing that was asked was answered."""
        turns: dict[int, bool] = {}
        for turn, good in self._answers:
            if turn < self.turn:
                turns[turn] = turns.get(turn, False) or good
        answered = [turn for turn, good in turns.items() if good]
        return sum(turn > (answered[-1] if answered else 0) for turn in turns)
