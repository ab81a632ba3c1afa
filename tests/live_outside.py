"""A folder as a bot at an exchange leaves it: ledger, account, fills some way off the simulated prices."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from live.account import AccountBook, Standing
from live.clock import now
from live.settings import Settings, read_settings
from tests.live_desk import BARS, open_ledger, trade_on

KEY, SECRET = "key-that-opens-the-account", "secret-that-signs-orders"
ADDRESS = "json://user:password-of-the-notifier@127.0.0.1"


def settings_in(folder: Path, mode: str = "testnet", **more: str) -> Settings:
    """Settings of a bot whose ledgers are in a folder."""
    lines = {
        "STRATEGY_PROFILE": "SNIPER", "BOT_MODE": mode, "BOT_SYMBOL": BARS.symbol, "BOT_API_KEY": KEY,
        "BOT_API_SECRET": SECRET, "BOT_NOTIFY": ADDRESS, "BOT_LEDGER": str(folder / "bot.db"), **more,
    }  # fmt: skip
    path = folder / "outside.env"
    path.write_text("".join(f"{name}={text}\n" for name, text in lines.items()))
    return read_settings(path, {})


def live_folder(folder: Path, beyond_bp: float = 2.0, skipped: int = 0, late_s: float = 1.0) -> Settings:
    """Let the test's bot trade its bars, with fills a bit worse than simulated; leave out the fills of some trades."""
    settings = settings_in(folder)
    settings.folder.mkdir()
    with open_ledger(settings.folder / f"{BARS.symbol}.db", mode="testnet") as ledger:
        trade_on(ledger)
        trades = ledger.trades()
        length = BARS.timeframe_ns
        for number, trade in enumerate(trades[skipped:]):
            wish = int(trade["wish_time"].astype(np.int64))
            side, worse = int(trade["side"]), 1 + int(trade["side"]) * beyond_bp / 1e4
            name = f"c{number}"
            filled = wish + length + int(late_s * 1e9)
            sent = (None, filled, "send", name, "entry", wish, side, 1.0, "market", None, 0, None)
            entry = (f"t{number}", filled, filled, f"o{number}", name, "entry", wish, side, 1.0)
            ledger.file.add("intents", sent)
            ledger.file.add("acks", (None, filled, name, f"o{number}", "filled", 1.0, None, None))
            ledger.file.add("exchange_fills", (*entry, float(trade["entry_price"]) * worse, 0.001, "USDT"))
            left = int(trade["exit_time"].astype(np.int64))
            row = (f"x{number}", left, left, f"p{number}", f"{name}x", "stop", wish, -side, 1.0)
            ledger.file.add("exchange_fills", (*row, float(trade["exit_price"]), 0.001, "USDT"))
        ledger.file.add("events", (None, 10**18, None, "refused", "long ago"))
        at = int(now().astype(np.int64))
        ledger.file.add("events", (None, at, None, "refused", "<script>alert(1)</script> the exchange said no"))
    clock = itertools.count(int(BARS.open_time[40].astype(np.int64)), 3600 * 10**9)
    book = AccountBook(settings.folder, lambda: next(clock))
    book.begin("binance", "testnet", settings.keys.fingerprint)
    for worth in (10_000.0, 10_100.0, 10_050.0):
        book.worth(worth)
    book.put("", Standing("REDUCING", "day loss", "5.1 % since midnight"))
    book.note("", "state", "REDUCING: day loss")
    book.close()
    return settings
