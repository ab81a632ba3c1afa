"""The market contract in plain Python: money, one bar after the other, nothing clever.

The kernel computes whole trades and jumps; this lives through every bar and knows only what that bar brings.
"""

from __future__ import annotations

from math import isfinite
from types import SimpleNamespace


def ways_out(bar, trade, rules, age):
    """Yield (name, level) of whatever would end the trade in this bar, in the order it would."""
    long, fills = trade.side > 0, rules.fills
    stopped = bar.low <= trade.stop if long else bar.high >= trade.stop
    reached = bar.high >= trade.target if long else bar.low <= trade.target
    late = bar.open <= trade.stop if long else bar.open >= trade.stop
    lucky = bar.open >= trade.target if long else bar.open <= trade.target
    stop = ("stop", bar.open if late and fills.stop_gap_at_open else nearest(bar, trade.stop))
    target = ("target", bar.open if lucky and fills.target_gap_at_open else nearest(bar, trade.target))
    clock = [("time", bar.open)] if age == rules.hold else []
    if fills.time_exit_first:
        yield from clock
    if age > 0 or fills.entry_bar_live:
        if late:
            yield stop
        if lucky and fills.open_comes_first:
            yield target
        inside = [stop] * stopped + [target] * reached
        up_then_down = [target] * reached + [stop] * stopped if long else inside
        yield from up_then_down if fills.high_first else inside if fills.stop_first else inside[::-1]
    yield from clock


def nearest(bar, level):
    """Return the price nearest a level that the bar traded at."""
    return sorted((bar.low, level, bar.high))[1]


def unsure(bar, trade):
    """Whether both barriers lie inside the bar and its open beyond neither."""
    low, high = sorted((trade.stop, trade.target))
    return bar.low <= low < bar.open < high <= bar.high


def slow_market(bars, side, atr, rules, funding=None):
    """Return (equity at each close, finished trades as dicts) of wishes under rules."""
    cash, units, trade, wish, equity, trades = rules.cash, 0.0, None, None, [], []
    for i in range(len(bars)):
        bar = SimpleNamespace(**{name: float(getattr(bars, name)[i]) for name in ("open", "high", "low", "close")})
        reachable = not rules.fills.wish_lapses_at_gap or (i > 0 and bars.follows[i])
        if funding is not None and trade:
            cash -= units * float(funding[i]) * bar.open
        if wish and reachable and not trade:
            way, size = wish
            price = bar.open * (1 + way * rules.slippage)
            units = way * rules.exposure * cash / price
            cash -= units * price + abs(units) * price * rules.fee
            trade = SimpleNamespace(side=way, entry_bar=i, entry_price=price, age=0)
            trade.target, trade.stop = bar.open + way * rules.k_up * size, bar.open - way * rules.k_down * size
        if trade:
            leaving = next(ways_out(bar, trade, rules, trade.age), None)
            if leaving is None and cash + units * bar.close <= 0:
                leaving = ("liquidated", bar.close)
            if leaving:
                reason, level = leaving
                maker = reason == "target"
                price = level if maker else level * (1 - trade.side * rules.slippage)
                cash += units * price - abs(units) * price * (rules.maker_fee if maker else rules.fee)
                both = reason in ("stop", "target") and unsure(bar, trade)
                trades.append(vars(trade) | {"exit_bar": i, "exit_price": price, "reason": reason, "ambiguous": both})
                trade, units = None, 0.0
            else:
                trade.age += 1
        wish = None
        if not trade and side[i] and isfinite(atr[i]) and atr[i] > 0 and cash > 0:
            wish = (int(side[i]), float(atr[i]))
        equity.append(cash + units * bar.close)
    return equity, trades
