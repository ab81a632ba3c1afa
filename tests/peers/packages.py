"""The peers that need an environment of their own: installed by ``make peers``, run from there.

Each pins libraries that do not fit ours: PyBroker wants an older optuna, NautilusTrader an older pandas, freqtrade
twenty packages nobody here uses. What they traded is recorded, so the presets are proved where they are not
installed too, and where they are, that they still trade so.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.peers.market import MARKETS, Peculiar, write_market

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".venv" / "peers"
RECORDED = Path(__file__).with_name("recorded.json")
RUST = ("vectorbt-rust", "vectorbt[rust]==1.2.0")  # for benchmarks alone: its trades are those of vectorbt
PACKAGES = {
    "pybroker": ("lib-pybroker==2.0.2", "pybroker_trades.py"),
    "nautilus-bar": ("nautilus_trader==1.221.0", "nautilus_trades.py"),
    "freqtrade": ("freqtrade==2026.9", "freqtrade_trades.py"),
}


def interpreter(peer: str) -> Path:
    return HOME / peer / "bin" / "python"


def missing(peer: str) -> str | None:
    """Return why a peer cannot be run here; None if it can."""
    if interpreter(peer).exists():
        return None
    return f"{package_of(peer)} is not installed in .venv/peers/{peer}: `make peers` does"


def run_peer(peer: str, folder: Path, market: Peculiar | None = None) -> dict:
    """Return a peer's version, what it trades on its market, and the processor seconds that took it."""
    write_market(market or MARKETS[peer], folder / "market.npz")
    command = [interpreter(peer), Path(__file__).with_name(PACKAGES[peer][1]), folder / "market.npz"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def package_of(peer: str) -> str:
    return RUST[1] if peer == RUST[0] else PACKAGES[peer][0]


def install(peer: str) -> bool:
    """Install a peer beside the others; return whether that worked."""
    package = package_of(peer)
    if missing(peer):
        subprocess.run([sys.executable, "-m", "venv", HOME / peer], check=True)
    command = [interpreter(peer), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]
    return subprocess.run(command).returncode == 0


def main() -> None:
    """Install what installs; with --record, write down anew what the installed ones trade."""
    record = "--record" in sys.argv
    kept = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    for peer in (*PACKAGES, RUST[0]):
        if missing(peer):
            sys.stdout.write(f"{package_of(peer)} {'is installed' if install(peer) else 'does not install here'}\n")
        if record and peer in PACKAGES and not missing(peer):
            with tempfile.TemporaryDirectory() as folder:
                told = run_peer(peer, Path(folder))
                kept[peer] = {name: told[name] for name in ("version", "trades")}
    if record:
        lines = ",\n".join(f"{json.dumps(peer)}: {json.dumps(told)}" for peer, told in kept.items())
        RECORDED.write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
