"""What every test may use: the real market data, where it is at hand."""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # two test processes with two threads each wait by spinning
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from pathlib import Path

import pytest

from tests.exchange.fixtures import loopback_exchange  # noqa: F401

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real market data, or a skip that says what is missing."""
    if not SHARED.is_dir():
        pytest.skip("needs the real market data in ../shared/data, which is not here")
    return SHARED
