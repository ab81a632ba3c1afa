"""The answers of `live.control` as lines a person reads."""

from __future__ import annotations

from collections.abc import Iterator

from live.control import Row

HEADER = (
    f"{'entered':<17}{'left':<17}{'side':<6}{'simulated in':>13}{'out':>11} {'by':<11}{'real in':>11}{'out':>11}"
    f" {'by':<10}{'return':>8}"
)


def status_lines(told: Row) -> Iterator[str]:
    """Say how the bot and its symbols stand."""
    running = f"running as process {told['pid']}" if told["pid"] else "not running"
    worth = f", worth {told['equity']:,.2f}" if told["equity"] is not None else ""
    yield f"{told['mode']} bot, {running}{worth}"
    for each in told["symbols"]:
        yield f"{each['symbol']}  {each['state']}" + (f"  {'; '.join(each['why'])}" if each["why"] else "")
        if each["last_bar"] is None:
            yield "  no bar decided on yet"
            continue
        yield f"  {each['bars']:,} bars to {each['last_bar']}, {each['trades']:,} trades, simulated {_held(each)}"
        if each["exchange_units"] or each["standing_orders"]:
            orders = ", ".join(_order(order) for order in each["standing_orders"]) or "no orders"
            yield f"  at the exchange {each['exchange_units']:.8g}, {orders}"
        if each["last_event"]:
            yield f"  last event  {each['last_event']}"


def _held(each: Row) -> str:
    wish = {1: ", wishes long", -1: ", wishes short"}.get(each["wish"], "")
    if not each["side"]:
        return f"equity {each['equity']:,.2f}, flat{wish}"
    side = "long" if each["side"] > 0 else "short"
    return (
        f"equity {each['equity']:,.2f}, {side} {each['units']:.6g} from {each['entry_price']:.6g},"
        f" target {each['target']:.6g}, stop {each['stop']:.6g}"
    )


def _order(order: Row) -> str:
    price = f" at {order['price']:.10g}" if order["price"] else ""
    return f"{order['leg']}: {'buy' if order['side'] > 0 else 'sell'} {order['quantity']:.8g}{price}"


def trade_lines(told: list[Row]) -> Iterator[str]:
    """Say what each trade was in the simulation, and what its fills were."""
    if not told:
        yield "no finished trade yet"
        return
    yield HEADER
    for row in told:
        real_in, real_out = (f"{row[name]:.6g}" if row[name] else "-" for name in ("exchange_entry", "exchange_exit"))
        yield (
            f"{row['entered']:<17}{row['left']:<17}{row['side']:<6}{row['entry_price']:>13.6g}{row['exit_price']:>11.6g}"
            f" {row['reason']:<11}{real_in:>11}{real_out:>11} {row['exchange_reason'] or '-':<10}{row['return']:>+8.2%}"
        )


def explain_lines(told: Row) -> Iterator[str]:
    """Say what was decided at a bar, from what, and what came of it."""
    decision, candle = told["decision"], told["candle"]
    side = {1: "long", -1: "short"}.get(decision["side"], "nothing")
    yield f"decided at the close of {told['bar']}: {side} ({decision['reason']})"
    prices = ", ".join(f"{name} {candle[name]:.10g}" for name in ("open", "high", "low", "close", "volume"))
    yield f"  candle       {prices}"
    if decision["p_up"] is not None:
        yield f"  predictor    p up {decision['p_up']:.4f}, confidence {_number(decision['confidence'])}"
    if decision["belief"]:
        yield f"  regime       {', '.join(_number(share) for share in decision['belief'])} (by rising volatility)"
    if decision["audit"] is not None:
        yield f"  auditor      p(right) {decision['audit']:.4f}"
    if decision["gates"]:
        said = (f"{name} {'allows' if allowed else 'says no'}" for name, allowed in decision["gates"].items())
        yield f"  gates        {', '.join(said)}"
    for order in told["orders"]:
        yield f"  {order['act']:<12} {_order(order)} ({order['client_id']})"
    for fill in told["fills"]:
        what = "bought" if fill["side"] > 0 else "sold"
        fee = f"fee {fill['fee']:.8g} {fill['fee_currency']}"
        yield f"  {'fill':<12} {fill['leg']}: {what} {fill['quantity']:.8g} at {fill['price']:.10g}, {fee}"
    for event in told["events"]:
        yield f"  {event['kind']}: {event['message']}"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"
