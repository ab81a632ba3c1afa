"""Under a peer's preset we make the peer's trades: same entries, exits and prices, none more, none less."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from engine.rules import PRESETS, FillRules
from tests.peers.market import DOWN, HOLD, MARKETS, UP, our_trades
from tests.peers.packages import PACKAGES, RECORDED, missing, run_peer

FOREVER = 10**9
TOLD = json.loads(RECORDED.read_text())
EVERY_PACKAGE = pytest.mark.parametrize("peer", PACKAGES)


def vectorbt_trades(market, monkeypatch):
    """Return what vectorbt trades; it knows no time exit."""
    import pandas as pd
    import vectorbt as vbt
    from vectorbt.portfolio import nb

    bars = market.bars
    signals = market.signals(bars)
    # its loop as plain Python: compiling it takes 6 s or more in every process
    monkeypatch.setattr(nb, "simulate_from_signals_nb", nb.simulate_from_signals_nb.py_func)
    wished, unit = np.r_[0, signals.side[:-1]], np.r_[np.nan, signals.atr[:-1]]
    columns = {name: pd.Series(getattr(bars, name)) for name in ("open", "high", "low", "close")}
    book = vbt.Portfolio.from_signals(
        **columns,
        entries=pd.Series(wished > 0),
        short_entries=pd.Series(wished < 0),
        exits=False,
        short_exits=False,
        price=columns["open"],
        sl_stop=pd.Series(DOWN * unit / bars.open),
        tp_stop=pd.Series(UP * unit / bars.open),
        stop_entry_price="price",
        upon_opposite_entry="ignore",
        init_cash=10_000.0,
        size=0.5,
        size_type="percent",
    )
    found = book.trades.records
    found = found[found["status"] == 1]
    way = 1 - 2 * found["direction"]
    return np.stack(
        [found[f"{side}_{what}"] for what in ("idx", "price") for side in ("entry", "exit")] + [way], axis=1
    )


def backtesting_trades(market):
    import backtesting
    import pandas as pd

    bars, hold = market.bars, market.hold
    signals = market.signals(bars)

    class Follow(backtesting.Strategy):
        def init(self):
            pass

        def next(self):
            t = len(self.data) - 1
            if self.position:
                if t - self.trades[0].entry_bar >= hold - 1:
                    self.position.close()
            elif signals.side[t] and t + 1 < len(bars):
                way = int(signals.side[t])
                order, opened, unit = self.buy if way > 0 else self.sell, bars.open[t + 1], way * signals.atr[t]
                order(size=1, sl=opened - DOWN * unit, tp=opened + UP * unit)

    columns = {name.title(): getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}
    frame = pd.DataFrame(columns, index=pd.DatetimeIndex(bars.open_time))
    found = backtesting.Backtest(frame, Follow, cash=1e9).run()["_trades"].sort_values("EntryBar")
    columns = ["EntryBar", "ExitBar", "EntryPrice", "ExitPrice"]
    return np.column_stack([found[columns], np.sign(found["Size"])])


def assert_same(ours, theirs):
    assert len(theirs) > 150
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_vectorbt_makes_the_same_trades_under_its_preset(monkeypatch):
    pytest.importorskip("vectorbt", reason="needs vectorbt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas 4 is on its way
        theirs = vectorbt_trades(MARKETS["vectorbt"], monkeypatch)
    assert_same(our_trades("vectorbt", MARKETS["vectorbt"], PRESETS["vectorbt"]), theirs)


@pytest.mark.parametrize("hold", [HOLD, FOREVER])
def test_backtesting_py_makes_the_same_trades_under_its_preset(hold):
    pytest.importorskip("backtesting", reason="needs backtesting.py")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        market = MARKETS["backtesting.py"]._replace(hold=hold)
        theirs = backtesting_trades(market)
    assert_same(our_trades("backtesting.py", market, PRESETS["backtesting.py"]), theirs)


@EVERY_PACKAGE
def test_a_package_made_these_trades_and_its_preset_makes_them(peer):
    assert_same(our_trades(peer, MARKETS[peer], PRESETS[peer]), np.array(TOLD[peer]["trades"]))


@EVERY_PACKAGE
def test_an_installed_package_still_makes_the_trades_that_were_recorded(peer, tmp_path):
    if missing(peer):
        pytest.skip(missing(peer))
    told = run_peer(peer, tmp_path)
    assert {name: told[name] for name in TOLD[peer]} == TOLD[peer]


UNTOLD = {  # flags that a peer's market cannot tell apart
    "vectorbt": {"time_exit_first"},  # it has no time exit
    "backtesting.py": set(),
    "pybroker": set(),
    "nautilus-bar": {  # no bar opens beyond a barrier, none is missing, and the high decides who leads
        "stop_first",
        "stop_gap_at_open",
        "target_gap_at_open",
        "open_comes_first",
        "wish_lapses_at_gap",
    },
    "freqtrade": {"wish_lapses_at_gap"},  # it fills missing bars in before it starts
}


@pytest.mark.parametrize("peer", UNTOLD)
def test_every_flag_of_a_preset_is_told_by_some_trade(peer):
    preset, market = PRESETS[peer], MARKETS[peer]
    ours = our_trades(peer, market, preset)
    turned = {
        name: our_trades(peer, market, preset._replace(**{name: not told})) for name, told in preset._asdict().items()
    }
    same = {name for name, trades in turned.items() if trades.shape == ours.shape and np.allclose(trades, ours)}
    assert same == UNTOLD[peer]


def test_every_preset_is_proved_on_its_peer():
    assert set(PRESETS) - {"market"} == set(MARKETS) == set(UNTOLD)
    assert PRESETS["market"] == FillRules()
