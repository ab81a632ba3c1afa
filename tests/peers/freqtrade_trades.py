"""What freqtrade trades: its backtester behind an exchange that answers from here, in its own interpreter.

One side at a time: with both, it turns a position around within the bar that closed it.
"""

import json
import logging
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from time import process_time

import numpy as np

PAIR = "X/USDT:USDT"
EXACT = 1e-12  # tick of the market: no price is rounded


def follower(market, way):
    """Return a strategy that wishes one side; barriers are percentages of the entry."""
    from freqtrade.strategy import IStrategy

    class Follow(IStrategy):
        INTERFACE_VERSION = 3
        timeframe = "1m"
        can_short = True
        stoploss = -float(market["share"] * market["down"])
        minimal_roi = {"0": float(market["share"] * market["up"])}  # noqa: RUF012
        startup_candle_count = 0
        order_types = {  # noqa: RUF012
            "entry": "market",
            "exit": "market",
            "stoploss": "market",
            "stoploss_on_exchange": False,
        }

        def populate_indicators(self, frame, metadata):
            return frame

        def populate_entry_trend(self, frame, metadata):
            frame["enter_long" if way > 0 else "enter_short"] = (market["side"] == way).astype(int)
            return frame

        def populate_exit_trend(self, frame, metadata):
            return frame

        def custom_exit(self, pair, trade, current_time, current_rate, current_profit, **more):
            lived = (current_time - trade.open_date_utc).total_seconds() / 60
            return "time" if lived >= market["hold"] else None

        def leverage(self, *told, **more):
            return 1.0

    return Follow


def offline(config):
    """Return an exchange that never calls out: one market without limits, fees or liquidations."""
    import ccxt
    from freqtrade.exchange.binance import Binance

    free = {"min": None, "max": None}
    listed = {
        "symbol": PAIR, "base": "X", "quote": "USDT", "settle": "USDT", "active": True, "type": "swap", "swap": True,
        "linear": True, "spot": False, "future": False, "contractSize": 1.0, "info": {},
        "precision": {"price": EXACT, "amount": EXACT},
        "limits": {"amount": free, "price": free, "cost": free, "leverage": {"min": 1, "max": 10}},
    }  # fmt: skip
    answers = {
        "_init_ccxt": ccxt.binanceusdm(), "reload_markets": None, "exchange_has": True, "market_is_tradable": True,
        "get_fee": 0.0, "get_max_leverage": 10.0, "get_maintenance_ratio_and_amt": (0.0, 0.0),
        "calculate_funding_fees": 0.0, "get_contract_size": 1.0, "get_min_pair_stake_amount": 0.0,
        "get_max_pair_stake_amount": 1e12, "get_pair_base_currency": "X", "get_pair_quote_currency": "USDT",
        "get_precision_amount": EXACT, "get_precision_price": EXACT, "get_liquidation_price": None,
        "validate_required_startup_candles": 1,
    }  # fmt: skip
    silent = {name: (lambda *told, _answer=answer, **more: _answer) for name, answer in answers.items()}
    in_ticks = {name: property(lambda self: ccxt.TICK_SIZE) for name in ("precisionMode", "precision_mode_price")}
    exchange = type("Binance", (Binance,), silent | in_ticks)(config, validate=False)
    exchange._markets = {PAIR: listed}
    return exchange


def backtest(market, way, folder):
    import freqtrade.optimize.backtesting as road
    import pandas as pd
    from freqtrade.configuration.config_validation import validate_config_schema
    from freqtrade.enums import CandleType, RunMode
    from freqtrade.resolvers import StrategyResolver

    strategy = follower(market, way)
    StrategyResolver._load_strategy = staticmethod(lambda name, config, extra_dir=None: strategy(config))
    road.migrate_data = lambda *told: None
    config = {
        "runmode": RunMode.BACKTEST, "dry_run": True, "dry_run_wallet": 1e9, "stake_currency": "USDT",
        "stake_amount": 100.0, "max_open_trades": 1, "timeframe": "1m", "fee": 0.0, "strategy": "Follow",
        "exchange": {"name": "binance", "pair_whitelist": [PAIR], "pair_blacklist": []},
        "pairlists": [{"method": "StaticPairList"}], "trading_mode": "futures", "margin_mode": "isolated",
        "entry_pricing": {"price_side": "other"}, "exit_pricing": {"price_side": "other"},
        "user_data_dir": folder, "datadir": folder, "candle_type_def": CandleType.FUTURES,
        "dataformat_ohlcv": "feather", "unfilledtimeout": {"entry": 10, "exit": 10},
        "stoploss": strategy.stoploss, "minimal_roi": strategy.minimal_roi,
    }  # fmt: skip
    config = validate_config_schema(config)
    engine = road.Backtesting(config, offline(config))
    engine._set_strategy(engine.strategylist[0])
    engine.funding_fee_timeframe_secs, engine.futures_data = 10**9, {PAIR: pd.DataFrame()}
    frame = pd.DataFrame({"date": pd.to_datetime(market["time"], utc=True)})
    for name in ("open", "high", "low", "close", "volume"):
        frame[name] = market[name]
    row = {at: i for i, at in enumerate(frame["date"])}
    first, last = (frame["date"].iloc[i].to_pydatetime() for i in (0, -1))
    return [
        [row[t.open_date], row[t.close_date], float(t.open_rate), float(t.close_rate), way]
        for t in engine.backtest({PAIR: frame}, first, last)["results"].itertuples()
        if t.exit_reason != "force_exit"  # the bars ran out
    ]


def trades(market):
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        return [trade for way in (1, -1) for trade in backtest(market, way, Path(folder))]


if __name__ == "__main__":
    asked = dict(np.load(sys.argv[1]))
    trades({name: column[:200] if column.ndim else column for name, column in asked.items()})  # imports, compiles
    begun = process_time()
    told = {
        "version": version("freqtrade"),
        "trades": trades(asked),
        "seconds": process_time() - begun,
    }
    sys.stdout.write(json.dumps(told) + "\n")
