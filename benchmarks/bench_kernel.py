"""The trade kernel against vectorbt, backtesting.py and the same loop in C: equal trades first, then time.

One thread; medians of processor time, engines taken in turn. vectorbt's first call compiles for some seconds and is
not counted.
"""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path

import numpy as np

if "--rust" not in sys.argv:  # there nothing of ours is installed
    from benchmarks.measure import Job, Row, equal, missing, once, timed
    from engine.barriers import label_barriers
    from engine.rules import BACKTESTING_PY, VECTORBT, Rules
    from engine.score import score
    from engine.signals import Signals
    from engine.simulate import simulate
    from engine.synthetic import random_bars

SIZES = {True: (10_000,), False: (100_000, 1_000_000)}
ROUNDS = {10_000: 5, 100_000: 15, 1_000_000: 5}
NEVER = 10**9
C_SOURCE = Path(__file__).with_name("kernel.c")


def market(n):
    """About 3.5 trades per 100 bars, each some 10 bars long."""
    bars = random_bars(n, seed=1, timeframe="1m", volatility=0.0005)
    rng = np.random.default_rng(2)
    side = (rng.choice([-1, 1], n) * (rng.random(n) < 0.05)).astype(np.int8)
    spread = bars.high - bars.low
    atr = np.convolve(spread, np.full(14, 1 / 14))[:n]
    return bars, Signals(side, atr)


def rules_of(fills, hold, fee=0.00005):
    return Rules(k_up=3.0, k_down=2.0, hold=hold, fee=fee, maker_fee=fee, slippage=0.0, exposure=0.5, fills=fills)


def vectorbt_book(bars, signals):
    import pandas as pd
    import vectorbt as vbt

    wished, atr = np.r_[0, signals.side[:-1]], np.r_[np.nan, signals.atr[:-1]]
    columns = {name: pd.Series(getattr(bars, name)) for name in ("open", "high", "low", "close")}
    return partial(
        vbt.Portfolio.from_signals,
        **columns,
        entries=pd.Series(wished > 0),
        short_entries=pd.Series(wished < 0),
        exits=False,
        short_exits=False,
        price=columns["open"],
        sl_stop=pd.Series(2.0 * atr / bars.open),
        tp_stop=pd.Series(3.0 * atr / bars.open),
        stop_entry_price="price",
        upon_opposite_entry="ignore",
        fees=0.00005,
        init_cash=10_000.0,
        size=0.5,
        size_type="percent",
        engine="numba",
        freq="1min",
    )


def against_vectorbt(bars, signals, rounds):
    book, rules = vectorbt_book(bars, signals), rules_of(VECTORBT, NEVER)
    theirs, ours = book().trades.records, simulate(bars, signals, rules).trades
    closed = theirs[theirs["status"] == 1]
    equal(
        closed["entry_idx"],
        ours["entry_bar"],
        closed["exit_idx"],
        ours["exit_bar"],
        closed["exit_price"],
        ours["exit_price"],
    )

    def figures(portfolio):
        return (
            portfolio.total_return(),
            portfolio.sharpe_ratio(),
            portfolio.max_drawdown(),
            portfolio.trades.win_rate(),
        )

    figures(book())
    times = timed(
        {
            "orders": book,
            "figures": lambda: figures(book()),
            "our orders": lambda: simulate(bars, signals, rules),
            "our figures": lambda: score(simulate(bars, signals, rules)),
        },
        rounds,
    )
    size, big, what = f"{len(bars):,} bars", len(bars) >= 1_000_000, f"one run, {len(ours):,} equal trades"
    figured, numba = "with figures: ours 20, theirs 4", "vectorbt numba"
    return [
        Row(what, size, times["our orders"], numba, times["orders"], 28.0 if big else None),
        Row(figured, size, times["our figures"], numba, times["figures"], None if big else 60.0),
    ]


def rust_run(path):
    """Print what vectorbt's rust engine traded and its least processor seconds: this runs in its own environment."""
    from time import process_time

    import pandas as pd
    import vectorbt as vbt

    data = dict(np.load(path))
    columns = {name: pd.Series(data[name]) for name in ("open", "high", "low", "close")}

    def book():
        return vbt.Portfolio.from_signals(
            **columns, entries=pd.Series(data["wished"] > 0), short_entries=pd.Series(data["wished"] < 0), exits=False,
            short_exits=False, price=columns["open"], sl_stop=pd.Series(data["sl"]), tp_stop=pd.Series(data["tp"]),
            stop_entry_price="price", upon_opposite_entry="ignore", fees=0.00005, init_cash=10_000.0, size=0.5,
            size_type="percent", engine="rust", freq="1min",
        )  # fmt: skip

    trades, spent = book().trades.records, []
    for _ in range(5):
        begun = process_time()
        len(book().orders.records)
        spent.append(process_time() - begun)
    closed = trades[trades["status"] == 1]
    found = {name: closed[name].tolist() for name in ("entry_idx", "exit_idx", "exit_price")}
    sys.stdout.write(json.dumps({"seconds": min(spent), **found}))


def against_rust(bars, signals, folder, rounds):
    """vectorbt's rust engine on the same wishes, from the environment that ``make peers`` makes."""
    from tests.peers.packages import RUST, interpreter

    rules, n, peer = rules_of(VECTORBT, NEVER), len(bars), "vectorbt rust"
    ours, least = simulate(bars, signals, rules).trades, 10.0 if len(bars) >= 1_000_000 else None
    seconds = timed({"ours": lambda: simulate(bars, signals, rules)}, rounds)["ours"]
    what, size, python = f"one run, {len(ours):,} equal trades", f"{n:,} bars", interpreter(RUST[0])
    if not python.exists():
        return Row(what, size, seconds, peer, least=least, note="not installed: `make peers` does")
    atr = np.r_[np.nan, signals.atr[:-1]]
    columns = {name: getattr(bars, name) for name in ("open", "high", "low", "close")}
    wished = np.r_[0, signals.side[:-1]]
    np.savez(Path(folder, "run.npz"), **columns, wished=wished, sl=2.0 * atr / bars.open, tp=3.0 * atr / bars.open)
    command = [python, "-W", "ignore", __file__, "--rust", Path(folder, "run.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return Row(what, size, seconds, peer, least=least, note=done.stderr.strip().splitlines()[-1])
    told = json.loads(done.stdout)
    equal(
        told["entry_idx"], ours["entry_bar"], told["exit_idx"], ours["exit_bar"], told["exit_price"], ours["exit_price"]
    )
    return Row(what, size, seconds, peer, told["seconds"], least)


def against_backtesting_py(bars, signals):
    import pandas as pd
    from backtesting import Backtest, Strategy

    n, hold, rules = len(bars), 60, rules_of(BACKTESTING_PY, 60, fee=0.0)
    side, opens, atr = signals.side.tolist(), bars.open.tolist(), signals.atr.tolist()

    class Follow(Strategy):
        def init(self):
            self.t = 0

        def next(self):
            t = len(self.data) - 1
            if self.position:
                if t - self.trades[0].entry_bar >= hold - 1:
                    self.position.close()
            elif side[t] and t + 1 < n:
                order, unit = self.buy if side[t] > 0 else self.sell, side[t] * atr[t]
                order(size=1, sl=opens[t + 1] - 2.0 * unit, tp=opens[t + 1] + 3.0 * unit)

    columns = {name.title(): getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}
    frame = pd.DataFrame(columns, index=pd.DatetimeIndex(bars.open_time))
    found = {}
    spent = once(lambda: found.update(Backtest(frame, Follow, cash=1e9).run()))
    theirs = found["_trades"].sort_values("EntryBar")
    ours = simulate(bars, signals, rules).trades
    equal(
        theirs["EntryBar"],
        ours["entry_bar"],
        theirs["ExitBar"],
        ours["exit_bar"],
        theirs["ExitPrice"],
        ours["exit_price"],
    )
    times = timed({"ours": lambda: score(simulate(bars, signals, rules))}, 9)
    what = f"with figures, {len(ours):,} equal trades"
    return Row(what, f"{n:,} bars", times["ours"], "backtesting.py", spent, 1000.0 if n >= 100_000 else None)


class CTerms(ctypes.Structure):
    _fields_ = [(name, ctypes.c_double) for name in ("k_up", "k_down", "fee", "maker_fee", "slippage", "exposure")] + [
        (name, ctypes.c_int64) for name in ("hold", "longest_step_ns")
    ]


def against_c(bars, signals, folder, rounds):
    """The kernel alone, buffers at hand, against C with the contract's rules built in."""
    from engine.terms import TRADE, Account, Books, Tape, prices_of, readonly, terms_of
    from engine.trading import trade_through

    library = Path(folder, "kernel.so")
    build = ["cc", "-O3", "-march=native", "-ffp-contract=off", "-shared", "-fPIC", "-o", library, C_SOURCE]
    subprocess.run(build, check=True)
    run_c = ctypes.CDLL(str(library)).trade_through
    run_c.restype = ctypes.c_int64

    n, rules = len(bars), rules_of(Rules().fills, 60)
    time, side = readonly(bars.open_time.view(np.int64)), readonly(signals.side)
    ours, theirs = (Books(np.empty(n, TRADE), np.empty(n), np.zeros(n, np.int8)) for _ in range(2))
    tape = Tape(time, readonly(bars.close), side, readonly(signals.atr), readonly(np.empty(0)))
    prices, terms, begin = prices_of(bars), terms_of(rules, bars), Account(rules.cash, rules.cash)
    ignored = ctypes.c_int64()
    c_terms = CTerms(*(getattr(terms, name) for name, _ in CTerms._fields_))
    columns = (time, *prices, tape.close, side, tape.atr)
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in columns]
    books = [ctypes.c_void_p(array.ctypes.data) for array in theirs]
    in_c = partial(
        run_c,
        ctypes.c_int64(n),
        *pointers,
        ctypes.byref(c_terms),
        ctypes.c_double(rules.cash),
        *books,
        ctypes.byref(ignored),
    )
    in_numba = partial(trade_through, tape, prices, terms, rules.fills, begin, ours)
    k = in_c()
    assert in_numba()[1:3] == (k, ignored.value)
    assert all((ours.trades[:k][name] == theirs.trades[:k][name]).all() for name in TRADE.names)
    assert (ours.equity == theirs.equity).all()
    times = timed({"c": in_c, "ours": in_numba}, rounds)
    return Row(
        f"kernel alone, {k:,} equal trades", f"{n:,} bars", times["ours"], "C -O3 -march=native", times["c"], 1 / 1.15
    )


def run(quick: bool) -> list[Row]:
    warnings.simplefilter("ignore")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for n in SIZES[quick]:
            bars, signals = market(n)
            if shutil.which("cc"):
                rows.append(against_c(bars, signals, folder, ROUNDS[n]))
            rows += against_vectorbt(bars, signals, ROUNDS[n])
            rows.append(against_rust(bars, signals, folder, ROUNDS[n]))
            if missing("backtesting"):
                seconds = once(partial(simulate, bars, signals, rules_of(BACKTESTING_PY, 60)))
                rows.append(Row("one run", f"{n:,} bars", seconds, "backtesting.py", note=missing("backtesting")))
            elif n <= 100_000:
                rows.append(against_backtesting_py(bars, signals))
    return rows


def jobs() -> dict[str, Job]:
    bars, signals = market(100_000)
    rules = rules_of(Rules().fills, 60)
    result = simulate(bars, signals, rules)
    return {
        "simulate, 100k bars": partial(simulate, bars, signals, rules),
        "score, 100k bars": partial(score, result),
        "label_barriers, 100k bars": partial(label_barriers, bars, signals.atr, rules),
    }


if __name__ == "__main__":
    rust_run(sys.argv[2])
