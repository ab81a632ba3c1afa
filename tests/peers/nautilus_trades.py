"""What NautilusTrader trades on bars: run by the interpreter it is installed in, with the market's file.

It enters and leaves by the clock at a bar's close, which is the next bar's open on a market without jumps.
"""

import json
import sys
from importlib.metadata import version
from time import process_time

import numpy as np


def trades(market):
    import pandas as pd
    from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
    from nautilus_trader.config import LoggingConfig
    from nautilus_trader.model.currencies import USD
    from nautilus_trader.model.data import BarType
    from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
    from nautilus_trader.model.identifiers import Venue
    from nautilus_trader.model.objects import Money
    from nautilus_trader.persistence.wranglers import BarDataWrangler
    from nautilus_trader.test_kit.providers import TestInstrumentProvider
    from nautilus_trader.trading.strategy import Strategy

    side, unit = market["side"], market["unit"]
    share = TestInstrumentProvider.equity(symbol="X", venue="SIM")
    kind = BarType.from_str("X.SIM-1-MINUTE-LAST-EXTERNAL")
    frame = pd.DataFrame({name: market[name] for name in ("open", "high", "low", "close")})
    frame["volume"] = 1e6
    frame.index = pd.to_datetime(market["time"], utc=True) + pd.Timedelta("1min")
    bars = BarDataWrangler(kind, share).process(frame)
    row = {bar.ts_event: i for i, bar in enumerate(bars)}
    found = []

    class Follow(Strategy):
        def on_start(self):
            self.subscribe_bars(kind)
            self.entered = self.t = -1

        def on_bar(self, bar):
            self.t = t = row[bar.ts_event]
            if not self.portfolio.is_flat(share.id):
                if t - self.entered >= market["hold"]:
                    self.cancel_all_orders(share.id)
                    self.close_all_positions(share.id)
            elif side[t]:
                self.entered, way, price = t, int(side[t]), float(bar.close)
                bracket = self.order_factory.bracket(
                    instrument_id=share.id,
                    order_side=OrderSide.BUY if way > 0 else OrderSide.SELL,
                    quantity=share.make_qty(1),
                    sl_trigger_price=share.make_price(price - way * float(market["down"] * unit[t])),
                    tp_price=share.make_price(price + way * float(market["up"] * unit[t])),
                )
                self.submit_order_list(bracket)

        def on_position_closed(self, event):
            left = row[event.ts_closed]
            by_the_clock = left == self.t  # its bar has been seen, so this is after its close
            way = 1 if event.entry == OrderSide.BUY else -1
            prices = float(event.avg_px_open), float(event.avg_px_close)
            found.append([row[event.ts_opened] + 1, left + by_the_clock, *prices, way])

    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(
        Venue("SIM"),
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        base_currency=USD,
        starting_balances=[Money(1e6, USD)],
    )
    engine.add_instrument(share)
    engine.add_data(bars)
    engine.add_strategy(Follow())
    engine.run()
    return found


if __name__ == "__main__":
    asked = dict(np.load(sys.argv[1]))
    trades({name: column[:200] if column.ndim else column for name, column in asked.items()})  # imports, compiles
    begun = process_time()
    told = {
        "version": version("nautilus_trader"),
        "trades": trades(asked),
        "seconds": process_time() - begun,
    }
    sys.stdout.write(json.dumps(told) + "\n")
