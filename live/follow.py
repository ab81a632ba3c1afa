"""What to do next so that the exchange holds what is wanted: a pure function, asked again until it says nothing.

::

    an order whose answer was lost           -> ask for it by its client id, do nothing else
    halted                                   -> cancel entries, keep the exits of what is held; leave at market only
                                                what lost its stop and belongs to no trade that would renew it
    wanted flat, or another trade stands     -> cancel what stands, then leave at market
    wanted a position
        its open is now, nothing was sent    -> enter, or say why not
        the entry took too long              -> cancel it; what was filled is the position
        a position without its two exits     -> cancel wrong ones, then send the bracket
        no position any more                 -> cancel the exit that was left over, stay flat
"""

from __future__ import annotations

import math
from typing import NamedTuple

from live import schema_orders as kinds
from live.broker import LIMIT, MARKET, REJECTED, MarketTerms, OrderRequest, Quote
from live.broker import STOP as STOP_ORDER
from live.journal import ENTRY, INTENDED, STOP, TARGET, UNSENT, Sent
from live.orders import client_order_id
from live.wanted import LATE, Wanted, lots, on_grid, rounded_barriers

UNPROTECTED = "unprotected"


class View(NamedTuple):
    """All that a plan depends on besides what is wanted.

    Parameters
    ----------
    bot : str
        Whose orders: first part of every client id.
    net : float
        The bot's own units, negative when short, after the fills in the ledger.
    orders : tuple of Sent
        Its orders that stand, and all of this trade and the one before.
    quote : Quote
        Best prices now.
    units : float
        Units the account can pay for and may hold.
    now, closed : int
        Our clock, and the close of the bar decided on.
    opened : float or None
        Open of the bar that began there, once something was traded in it.
    last_fill : int
        When something of ours was filled last.
    """

    bot: str
    net: float
    orders: tuple[Sent, ...]
    quote: Quote
    units: float
    now: int
    closed: int
    opened: float | None = None
    last_fill: int = 0


class Manner(NamedTuple):
    """How entries are made.

    Parameters
    ----------
    entry : str
        ``market``, or ``limit``: at the simulated price, cancelled when it takes too long.
    timeout_ns : int
        How long a limit entry may rest.
    late_ns : int
        How long after the close an entry is still that entry.
    slippage : float
        Of the simulation; a limit entry pays no more.
    barred : str
        Why there must be no entry now; empty when there may be.
    halted : bool
        Nothing is entered or left, but what is held keeps its exits.
    """

    entry: str = MARKET
    timeout_ns: int = 30 * 10**9
    late_ns: int = 60 * 10**9
    slippage: float = 0.0
    barred: str = ""
    halted: bool = False


class Ask(NamedTuple):
    """Ask the exchange what became of an order."""

    client_id: str


class Cancel(NamedTuple):
    """Cancel an order."""

    client_id: str


class Send(NamedTuple):
    """Send one order, or the two of a bracket (target first) that share a list id."""

    requests: tuple[OrderRequest, ...]
    legs: tuple[str, ...]
    wish_time: int
    list_id: str = ""


class Note(NamedTuple):
    """Tell a person, once for each trade."""

    kind: str
    message: str
    wish_time: int


Action = Ask | Cancel | Send | Note


def plan(want: Wanted, view: View, manner: Manner, terms: MarketTerms) -> list[Action]:
    """Return what to do next; nothing when all is as wanted.

    Parameters
    ----------
    want : Wanted
        What should stand.
    view : View
        What stands, as far as the ledger knows.
    manner : Manner
        How entries are made.
    terms : MarketTerms
        What orders must look like.
    """
    unanswered = [order for order in view.orders if order.status == INTENDED]
    if unanswered:
        return [Ask(order.client_id) for order in unanswered]
    least = terms._replace(min_notional=0.0) if terms.perpetual else terms  # what reduces may be small
    held = lots(view.net, 0.5 * (view.quote.bid + view.quote.ask), least)
    side = int(math.copysign(1, view.net)) if held else 0
    mine = [order for order in view.orders if order.wish_time == want.wish_time]
    entries = [order for order in mine if order.purpose == ENTRY and order.status != UNSENT]
    of_this_trade = side == want.side and any(order.filled for order in entries)
    if manner.halted:
        return _resting(view, held) or (_keep(want, view, mine if of_this_trade else [], held, terms) if held else [])
    if want.side == 0 or (side and not of_this_trade):
        return _leave(want, view, held, terms)
    old = [Cancel(o.client_id) for o in view.orders if o.standing and o.wish_time != want.wish_time]
    if old:
        return list(old)
    if not entries:
        return _enter(want, view, manner, terms)
    return _timed_out(entries, view, manner) or _protect(want, view, mine, held, terms)


def _resting(view: View, held: float) -> list[Action]:
    """Take back what must not be filled while a symbol is halted: entries, and exits of what is gone."""
    return [Cancel(o.client_id) for o in view.orders if o.standing and (o.purpose == ENTRY or not held)]


def _keep(want: Wanted, view: View, mine: list[Sent], held: float, terms: MarketTerms) -> list[Action]:
    """Keep the exits of what is held while halted; what has no stop and belongs to no simulated trade is closed."""
    if mine:
        return _protect(want, view, mine, held, terms)
    stopped = any(order.standing and order.purpose == STOP for order in view.orders)
    return [] if stopped else _leave(want, view, held, terms)


def named(view: View, symbol: str, wish_time: int, purpose: str) -> tuple[str, str]:
    """Return leg and client id of the next order of a purpose in a trade."""
    before = sum(o.purpose == purpose and o.wish_time == wish_time for o in view.orders)
    leg = f"{purpose}.{before}" if before else purpose
    return leg, client_order_id(view.bot, symbol, wish_time, leg)


def _leave(want: Wanted, view: View, held: float, terms: MarketTerms) -> list[Action]:
    """Cancel what stands; when nothing does, leave at market."""
    standing = [Cancel(o.client_id) for o in view.orders if o.standing]
    if standing or not held:
        return list(standing)
    trade = max((o.wish_time for o in view.orders if o.purpose == ENTRY and o.filled), default=view.closed)
    return [_close(want.leg if want.side == 0 else LATE, trade, view, held, terms)]


def _close(purpose: str, trade: int, view: View, held: float, terms: MarketTerms) -> Send:
    leg, name = named(view, terms.symbol, trade, purpose)
    side = -int(math.copysign(1, view.net))
    return Send((OrderRequest(name, terms.symbol, side, held, reduce_only=terms.perpetual),), (leg,), trade)


def _enter(want: Wanted, view: View, manner: Manner, terms: MarketTerms) -> list[Action]:
    """Enter at the open that is now, or say why not."""
    limited = manner.entry == LIMIT
    paid = view.quote.ask if want.side > 0 else view.quote.bid
    price = 0.0
    if limited and view.opened is not None:
        price = on_grid(view.opened * (1.0 + want.side * manner.slippage), terms.tick, up=want.side < 0)
    units = lots(view.units, price or paid, terms)
    late = view.now - view.closed > manner.late_ns
    why = manner.barred
    if not want.enter:
        why = "the bot was not there at its open"
    elif want.side < 0 and not terms.perpetual:
        why = "a spot market cannot be short"
    elif late:
        why = f"the open was {(view.now - view.closed) / 1e9:.0f} s ago"
    elif not units:
        why = why or f"{view.units:g} {terms.base} is less than this market takes"
    if why:
        return [Note(kinds.MISSED, f"no entry: {why}", want.wish_time)]
    if limited and view.opened is None:
        return []  # nothing was traded in this bar yet
    leg, name = named(view, terms.symbol, want.wish_time, ENTRY)
    request = OrderRequest(name, terms.symbol, want.side, units, LIMIT if limited else MARKET, price)
    return [Send((request,), (leg,), want.wish_time)]


def _timed_out(entries: list[Sent], view: View, manner: Manner) -> list[Action]:
    """Cancel an entry that rests too long, or that must not be filled any more."""
    entry = entries[-1]
    if entry.standing and (manner.barred or view.now - entry.at > manner.timeout_ns):
        return [Cancel(entry.client_id)]
    if not entry.standing and not any(order.filled for order in entries) and entry.status != "filled":
        return [Note(kinds.MISSED, f"entry {entry.status} unfilled", entry.wish_time)]
    return []


def _protect(want: Wanted, view: View, mine: list[Sent], held: float, terms: MarketTerms) -> list[Action]:
    """Make the two exits stand for the position there is."""
    exits = [order for order in mine if order.purpose in (TARGET, STOP) and order.standing]
    if not held:
        done = [Cancel(order.client_id) for order in exits]
        ended = view.last_fill < view.closed and any(order.filled for order in mine if order.purpose != ENTRY)
        return list(done) or ([Note(kinds.DIFFERENCE, "ended before the simulation", want.wish_time)] if ended else [])
    levels = rounded_barriers(want, terms.tick) if math.isfinite(want.target) else None
    refused = sum(order.purpose == STOP and order.status == REJECTED for order in mine)
    if _stands(exits, held, levels, refused > 0, terms):
        return []
    if exits:
        return [Cancel(order.client_id) for order in exits]
    if refused > 1:
        return [_close(UNPROTECTED, want.wish_time, view, held, terms)]
    if levels is None:
        return []  # asked again as soon as the open is known
    price = view.quote.bid if want.side > 0 else view.quote.ask
    for purpose, beyond in (
        (STOP, want.side * (price - levels[1]) <= 0),
        (TARGET, want.side * (price - levels[0]) >= 0),
    ):
        if beyond:
            return [_close(purpose, want.wish_time, view, held, terms)]
    return [_bracket(want, view, (held, *levels), refused > 0, terms)]


def _stands(
    exits: list[Sent], held: float, levels: tuple[float, float] | None, stop_alone: bool, terms: MarketTerms
) -> bool:
    """Whether the exits that stand are the ones that should."""
    enough = [order for order in exits if abs(order.remaining - held) < 0.5 * terms.lot]
    stops = [o for o in exits if o.purpose == STOP and (terms.perpetual or o in enough) and o.remaining >= held]
    targets = [o for o in enough if o.purpose == TARGET]
    right = levels is None or all(
        order.price == level for order, level in zip((*targets, *stops), levels[len(targets) != 1 :], strict=False)
    )
    return right and len(stops) == 1 and len(exits) == len(stops) + len(targets) and (stop_alone or len(targets) == 1)


def _bracket(want: Wanted, view: View, exits: tuple[float, float, float], stop_alone: bool, terms: MarketTerms) -> Send:
    """Send target and stop; the stop alone where the two were refused."""
    held, target, stop = exits
    requests, legs = [], []
    for purpose, kind, price in ((TARGET, LIMIT, target), (STOP, STOP_ORDER, stop))[stop_alone:]:
        leg, name = named(view, terms.symbol, want.wish_time, purpose)
        requests.append(OrderRequest(name, terms.symbol, -want.side, held, kind, price, terms.perpetual))
        legs.append(leg)
    paired = terms.has_oco and not stop_alone
    list_id = client_order_id(view.bot, terms.symbol, want.wish_time, f"{legs[-1]} list") if paired else ""
    return Send(tuple(requests), tuple(legs), want.wish_time, list_id)
