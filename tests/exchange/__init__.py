"""An exchange on loopback: Binance's spot and USDT-M REST and user streams as ccxt speaks them, on recorded bars.

The client is ccxt itself, unchanged: its session's wire leads to 127.0.0.1, and its clock is the exchange's::

    from tests.exchange.wire import Killed, connect, make_client
    from tests.exchange.fixtures import serving        # the fixture, as a context

    def test_something(loopback_exchange):
        exchange = loopback_exchange
        exchange.load(bars)                                # spot; prices walk through the bars
        exchange.load(bars, perpetual=True, taker=Decimal("0.0005"))   # terms: see records.Terms
        exchange.deposit(10_000)                           # USDT, spot; perpetual=True for the futures wallet
        client = make_client(exchange)                     # a ccxt.binance; keyword arguments as ccxt takes them
        exchange.advance_to(bars.open_time[50])            # datetime64 or ms; `advance(ms)` too
        client.create_order("BTC/USDT", "market", "buy", 0.1, None, {"clientOrderId": "mine"})
        exchange.faults.plan("reset_after", "POST /api/v3/order")      # accepted, answer lost

`connect(client, exchange)` does the same for a ccxt client that somebody else made (synchronous ccxt; hosts are
those of the real exchange). ``make_client(exchange, cut=f)`` calls ``f(number, "POST /api/v3/order", "before" or
"after")`` around every request; let it raise `Killed` to die there. `serving()` is the fixture as a context.

**Bars.** ``exchange.load(bars)`` per symbol (``bars.symbol``, as BTCUSDT) and timeframe; the finest is walked. The
clock starts at the first bar's open. A bar is walked open, low, high, close (``low_first=False``: high before
low), at 0, 1/4, 1/2 of its time and 1 ms before its end. Orders touched on the way fill at their level; an open
beyond it fills at the open: the walk of `engine.barriers`. Candles of klines include the forming one.
``exchange.revise(symbol, open_time, row, start=, end=)`` serves another version of a bar meanwhile (row None: none).
``exchange.pay_funding(symbol, times, rates)`` sets funding rates.

**What is as at Binance on purpose.** A client order id may be used again once its order does not stand any more
(so a market order sent twice is filled twice); -2010 or -4116 only while it stands. Conditionals of perpetuals go
through ``algoOrder`` (else -4120) and become an ordinary order under another name when they trigger
(``actualOrderId``); a reduce-only one that finds nothing to reduce is REJECTED then. The first fill of an OCO leg,
also a partial one, ends the other leg. What is left of a market order that fills in part EXPIRES.

**Faults.** ``exchange.faults.plan(kind, on, nth, times, ...)``: see `faults.Faults.plan`; ``faults.partial(0.4)``
for fills in part; ``exchange.skew`` (ms) puts clients' clocks behind; ``exchange.revise``; ``faults.clear()``.
What happened: ``exchange.requests``, ``faults.struck``, and the truth in ``exchange.spot`` and ``exchange.perp``
(``orders``, ``standing``, ``trades``, ``free``, ``locked``; ``wallet``, ``size``, ``entry``). Hold
``exchange.lock`` while reading it when other threads trade.

**Without a server.** ``Exchange()`` alone works too: while it has no ``url``, the wire asks `gate.ask` directly, which
is the same exchange at a third of the time; property tests and fault schedules do that.

**The bot in it.** `trader.Trader` puts a whole bot together over this exchange, as `live.start` does but with a
strategy that needs no bundle (``python -m tests.exchange.trader`` is that bot in a process of its own);
`world.World` adds a market, money and the laws: ``watch`` at every moment, ``check`` once all is quiet;
`laws.Witness` holds every order that leaves against the limits. `front_door` is ``tradsys live`` in a process.

There is no liquidation, no hedge mode, no margin trading; leverage is 1 unless set.
"""
