"""A disk that is full, said by the kernel: the bot ends with one line, its protection stays, and it goes on later."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.live_exchange import BARS, FIRST, backtest, rows, settings_of, toy_bundle

ROOM = 2**20  # bytes of the small disk
PATIENCE_S = 60.0

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: limits and mounts of a running process")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return toy_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def begun(loopback_exchange, bundle, tmp_path):
    """An exchange at the open that the backtest enters at, and where the ledgers will be."""
    trades = backtest(settings_of(bundle, tmp_path), BARS, FIRST).result.trades
    loopback_exchange.load(BARS)
    loopback_exchange.deposit(10_000)
    loopback_exchange.advance_to(trades["entry_time"][0] + np.timedelta64(1, "s"))
    (tmp_path / "disk").mkdir()
    return loopback_exchange, tmp_path / "disk"


@contextmanager
def small_disk(place: Path):
    """Mount a disk of a megabyte, or skip."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", place], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"needs a right to mount: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@contextmanager
def bot(exchange, bundle: Path, place: Path):
    """`tradsys live` in a process of its own."""
    env = place.parent / "bot.env"
    env.write_text(
        f"STRATEGY_PROFILE=RECKLESS\nBOT_BUNDLE={bundle}\nBOT_MODE=testnet\nBOT_SYMBOL=BTCUSDT\nBOT_LEDGER={place}/bot\n"
        "BOT_API_KEY=loopback-key\nBOT_API_SECRET=loopback-secret\n"
    )
    command = [sys.executable, "-m", "tests.exchange.front_door", exchange.url, str(env)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(process, what) -> None:
    """Wait for something while a process lives."""
    end = time.monotonic() + PATIENCE_S
    while not what():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end, "the bot takes too long"
        time.sleep(0.005)


def fill_up(ballast: Path) -> None:
    """Take all the room there is."""
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(1024)):
            pass


def protected(exchange) -> bool:
    """Whether a bracket stands."""
    return len(exchange.spot.standing) == 2


def safe(exchange) -> bool:
    """Whether both exits stand, or one of them has sold all that was held while the bot did not look."""
    held = [order for order in exchange.spot.orders if order.list_id >= 0]
    return protected(exchange) or sorted(order.status for order in held) == ["EXPIRED", "FILLED"]


def ended(process) -> str:
    """Wait for a process that must say why and end with an error: 1 if a symbol's file broke, 3 if the account's."""
    said = process.communicate(timeout=PATIENCE_S)[1]
    assert process.returncode in (1, 3), said
    assert "Traceback" not in said
    return said


def goes_on(exchange, bundle: Path, place: Path) -> None:
    """Start the bot again; it must explain what stands and send nothing that stands already."""
    before = [(order.client_id, order.status) for order in exchange.spot.orders]
    begun = len(exchange.requests)
    with bot(exchange, bundle, place) as process:
        wait_until(process, lambda: len(exchange.requests) > begun + 40)
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=PATIENCE_S)[1]
    assert process.returncode == 0, said
    assert [(order.client_id, order.status) for order in exchange.spot.orders] == before
    ledger = place / "bot" / "BTCUSDT.db"
    assert {int(row[0]) for row in rows(ledger, "SELECT trade_id FROM exchange_fills")} == {
        trade.id for trade in exchange.spot.trades
    }
    standing = {order.client_id for order in exchange.spot.standing}
    last = dict(rows(ledger, "SELECT client_id, status FROM acks ORDER BY number"))
    assert {name for name, status in last.items() if status == "open"} == standing
    query = "SELECT state FROM states WHERE cause = 'failed' ORDER BY number DESC LIMIT 1"
    assert rows(place / "bot" / "account.db", query) in ([], [("ACTIVE",)])


def test_a_disk_that_fills_while_a_position_stands(begun, bundle):
    exchange, place = begun
    with small_disk(place):
        with bot(exchange, bundle, place) as process:
            wait_until(process, lambda: protected(exchange))
            ballast = place / "ballast"
            fill_up(ballast)
            exchange.advance(600_000)
            said = ended(process)
        assert "cannot be used (database or disk is full); make room or set another BOT_LEDGER" in said
        assert safe(exchange)
        ballast.unlink()
        goes_on(exchange, bundle, place)


def test_a_file_that_may_not_grow_while_a_position_stands(begun, bundle):
    exchange, place = begun
    with bot(exchange, bundle, place) as process:
        wait_until(process, lambda: protected(exchange))
        largest = max(path.stat().st_size for path in (place / "bot").iterdir())
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
        exchange.advance(600_000)
        said = ended(process)
    assert "cannot be used (disk I/O error); make room or set another BOT_LEDGER" in said
    assert safe(exchange)
    goes_on(exchange, bundle, place)
