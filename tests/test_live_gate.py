"""The gate before money: all that is missing, at once; a proof holds for one bundle and one code."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from engine.errors import SettingsError
from live import gate, verify
from live.check import Check
from models.bundle import load_bundle
from models.folder import write_bundle
from tests.live_exchange import BARS, FIRST, broker_of, open_ms, settings_of, toy_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return toy_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def settings(bundle, tmp_path):
    made = settings_of(bundle, tmp_path, "live")
    return replace(made, confirm=gate.account_name(made))


@pytest.fixture
def passes(monkeypatch):
    """Verify as it is but for its length; the laws that fail can be set."""
    tried, failing = [], []

    def verified(what, bars, progress=None, leaks=False):
        tried.append(len(bars))
        return [Check("nothing looks ahead", 1, *failing)]

    monkeypatch.setattr(verify, "verify", verified)
    return tried, failing


def bars():
    return BARS


def test_a_bot_that_lacks_nothing_may_start_and_is_proved_once(settings, passes):
    assert gate.missing(settings, bars) == []
    assert gate.missing(settings, bars) == []
    assert passes[0] == [len(BARS)]
    kept = json.loads((settings.folder / gate.PROOF).read_text())
    assert kept["bundle"] == load_bundle(settings.bundle).hash


def test_another_code_or_bundle_is_proved_anew(settings, passes, monkeypatch):
    gate.missing(settings, bars)
    monkeypatch.setattr(gate, "code_hash", lambda: "other")
    assert gate.missing(settings, bars) == []
    assert len(passes[0]) == 2


def test_what_is_missing_is_said_at_once(settings, passes, bundle, tmp_path):
    manifest = replace(load_bundle(bundle).manifest, released=False)
    files = {name: (bundle / name).read_bytes() for name in manifest.files}
    draft = write_bundle(tmp_path / "drafts" / "toy", manifest, files)
    passes[1].append("row 7 moved")
    with pytest.raises(SettingsError) as caught:
        gate.refuse_if_missing(replace(settings, confirm="", bundle=str(draft)), bars)
    account = gate.account_name(settings)
    assert str(caught.value).splitlines() == [
        "BOT_MODE=live does not start; missing:",
        f"  LIVE_CONFIRM is empty; to trade money there, set LIVE_CONFIRM={account}",
        f"  bundle toy is a draft; judge it, then `tradsys release {draft}`",
        "  verify: nothing looks ahead: row 7 moved",
    ]
    assert not (settings.folder / gate.PROOF).exists()


def test_a_confirmation_of_another_account_is_none(settings, passes):
    (said,) = gate.missing(replace(settings, confirm="binance-00000000"), bars)
    assert said.startswith("LIVE_CONFIRM is binance-00000000; to trade money there, set LIVE_CONFIRM=binance-")
    assert settings.keys.secret not in said


def test_a_bundle_that_was_changed_does_not_trade(settings, passes, bundle, tmp_path):
    import shutil

    shutil.copytree(bundle, tmp_path / "toy")
    with (tmp_path / "toy" / "regime.json").open("a") as file:
        file.write(" ")
    (said,) = gate.missing(replace(settings, bundle=str(tmp_path / "toy")), bars)
    assert said.startswith("the bundle's files do not hold: ")


def test_the_proof_is_tried_on_the_markets_own_bars(loopback_exchange, settings, monkeypatch):
    monkeypatch.setattr(gate, "PROVED_ON", 100)
    loopback_exchange.load(BARS)
    loopback_exchange.advance_to(open_ms(BARS, FIRST))
    broker = broker_of(loopback_exchange)
    got = gate.recent_bars(broker, settings)
    broker.close()
    assert got.open_time[-1] == BARS.open_time[FIRST - 1]
    assert len(got) >= load_bundle(settings.bundle).memory + 100


@pytest.mark.slow
def test_the_real_proof_passes_on_a_sound_bundle(settings):
    assert gate.missing(settings, bars) == []
