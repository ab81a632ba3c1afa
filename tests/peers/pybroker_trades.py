"""What PyBroker trades: run by the interpreter it is installed in, with the market's file."""

import json
import sys
from importlib.metadata import version
from time import process_time

import numpy as np


def trades(market):
    import pandas as pd
    import pybroker
    from pybroker.common import PriceType

    side, unit, time = market["side"], market["unit"], pd.to_datetime(market["time"])

    def follow(ctx):
        t = ctx.bars - 1
        if side[t] == 0 or ctx.long_pos() or ctx.short_pos():
            return
        if side[t] > 0:
            ctx.buy_shares = 1
        else:
            ctx.sell_shares = 1
        ctx.buy_fill_price = ctx.sell_fill_price = PriceType.OPEN
        ctx.stop_loss = float(market["down"] * unit[t])
        ctx.stop_profit = float(market["up"] * unit[t])
        ctx.hold_bars = int(market["hold"])

    frame = pd.DataFrame({"symbol": "X", "date": time})
    for name in ("open", "high", "low", "close", "volume"):
        frame[name] = market[name]
    pybroker.disable_logging()
    pybroker.disable_progress_bar()
    config = pybroker.StrategyConfig(initial_cash=1e6, exit_on_last_bar=False, round_test_result=False)
    strategy = pybroker.Strategy(frame, time[0], time[-1], config)
    strategy.add_execution(follow, ["X"])
    found = strategy.backtest(calc_bootstrap=False).trades
    row = {at: i for i, at in enumerate(time)}
    return [
        [row[t.entry_date], row[t.exit_date], float(t.entry), float(t.exit), 1 if t.type == "long" else -1]
        for t in found.itertuples()
    ]


if __name__ == "__main__":
    asked = dict(np.load(sys.argv[1]))
    trades({name: column[:200] if column.ndim else column for name, column in asked.items()})  # imports, compiles
    begun = process_time()
    told = {
        "version": version("lib-pybroker"),
        "trades": trades(asked),
        "seconds": process_time() - begun,
    }
    sys.stdout.write(json.dumps(told) + "\n")
