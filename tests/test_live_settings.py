"""The bot's settings: every mistake at once, with its line; nothing secret shown."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from engine.errors import SettingsError
from live.settings import SETTINGS, read_settings

EXAMPLE = Path(__file__).resolve().parents[1] / ".env.example"
LEAST = "STRATEGY_PROFILE=SNIPER\n"


@pytest.fixture
def env(tmp_path: Path):
    """Write a settings file and return its path."""

    def write(text: str) -> Path:
        path = tmp_path / "bot.env"
        path.write_text(text, "utf-8")
        return path

    return write


def refusal(path: Path | None, environment: dict[str, str] | None = None) -> list[str]:
    """The lines of the one error, less the file's folder."""
    with pytest.raises(SettingsError) as caught:
        read_settings(path, environment or {})
    folder = f"{path.parent}/" if path else ""
    return [line.strip().replace(folder, "") for line in str(caught.value).splitlines()]


def test_the_example_works_as_it_is():
    settings = read_settings(EXAMPLE, {})
    assert (settings.profile, settings.mode, settings.confidence, settings.terms) == ("sniper", "replay", "rank", {})


def test_the_example_names_every_setting_and_no_other():
    assert re.findall(r"^([A-Z_]+)=", EXAMPLE.read_text(), re.MULTILINE) == list(SETTINGS)


def test_the_example_says_in_one_line_what_each_setting_does():
    lines = EXAMPLE.read_text().splitlines()
    for row, line in enumerate(lines):
        assert not re.match(r"[A-Z_]+=", line) or lines[row - 1].startswith("# "), line


def test_the_example_states_the_defaults(env):
    assert read_settings(EXAMPLE, {}) == read_settings(env(LEAST), {})


def test_every_setting_arrives_where_it_is_used(env):
    path = env(
        "strategy_profile=x\n".upper().replace("X", "reckless")
        + "BOT_BUNDLE=btcusdt-1h\nBOT_CONFIDENCE=Probability\nBOT_LEDGER=a/b.db\nBOT_SYMBOL=BTCUSDT\n"
        + "BOT_REPLAY_FROM=2024-01-31T08:00\nBOT_EXPOSURE=0.5\nBOT_CASH=5e3\nBOT_FEE=0\nBOT_MAKER_FEE=-0.0001\n"
        + "BOT_SLIPPAGE=0.0003\n"
    )
    got = read_settings(path, {})
    assert (got.profile, got.bundle, got.confidence) == ("reckless", "btcusdt-1h", "probability")
    assert (got.ledger, got.symbol, got.replay_from) == (Path("a/b.db"), "BTCUSDT", np.datetime64("2024-01-31T08:00"))
    terms = {"exposure": 0.5, "cash": 5000.0, "fee": 0.0, "maker_fee": -0.0001, "slippage": 0.0003}
    assert got.terms == terms


def test_the_environment_overrides_the_file(env):
    path = env(LEAST + "BOT_CASH=half\n")  # the overridden line is not even read
    got = read_settings(path, {"BOT_CASH": "77", "STRATEGY_PROFILE": "audited", "PATH": "/bin", "CASH": "1"})
    assert (got.profile, got.terms) == ("audited", {"cash": 77.0})


def test_every_mistake_is_listed_at_once_with_its_line(env):
    path = env(
        "# remark\nSTRATEGY_PROFILE=snipr\n\nBOT_EXPOSURE=half\nBOT_FEE=0.5\nBOT_FEE=0.1\nBOT_MODE=tesnet\n"
        "BOT_REPLAY_FROM=now\nexposure=1\ngarbage\nBOT_CONFIDENCE=sure\nBOT_CASH=nan\nBOT_DRYRUN=1\n"
    )
    lines = refusal(path, {"BOT_MODUS": "x", "BOT_SLIPPAGE": "-1"})
    assert lines[:12] == [
        "fix these lines:",
        "bot.env:2 STRATEGY_PROFILE='snipr' is not one of SNIPER, AUDITED, RECKLESS; did you mean SNIPER?",
        "bot.env:4 BOT_EXPOSURE='half' is not a number; write one such as 0.95, with a point",
        "bot.env:5 BOT_FEE='0.5' must be in [0, 0.1)",
        "bot.env:6 BOT_FEE was already set in line 5; keep one of them",
        "bot.env:7 BOT_MODE='tesnet' is not one of replay, paper, testnet, live; did you mean testnet?",
        "bot.env:8 BOT_REPLAY_FROM='now' is not a time; write it in UTC as 2024-01-31 or 2024-01-31T08:00",
        "bot.env:9 exposure is not a setting; did you mean BOT_EXPOSURE?",
        "bot.env:10 is not a setting; write NAME=value, or # in front of a remark",
        "bot.env:11 BOT_CONFIDENCE='sure' is not one of rank, probability",
        "bot.env:12 BOT_CASH='nan' is not a number; write one such as 0.95, with a point",
        f"bot.env:13 BOT_DRYRUN is not a setting; known: {', '.join(SETTINGS)}",
    ]
    assert lines[12:] == [
        "environment BOT_MODUS is not a setting; did you mean BOT_MODE?",
        "environment BOT_SLIPPAGE='-1' must be in [0, 0.1)",
    ]


@pytest.mark.parametrize("mode", ["TESTNET", "live"])
def test_a_mode_says_all_that_it_needs(env, mode):
    said = refusal(env(LEAST + f"BOT_MODE={mode}\nBOT_POLL_S=0\n"))
    needed = ("BOT_SYMBOL", "BOT_API_KEY", "BOT_API_SECRET")
    assert said[1:4] == [f"bot.env {name} is missing; BOT_MODE={mode.lower()} needs it" for name in sorted(needed)]
    assert said[4] == "bot.env:3 BOT_POLL_S='0' must be seconds, from 0.5 to 60"


def test_what_an_exchange_needs_arrives(env):
    path = env(
        LEAST + "BOT_MODE=live\nBOT_EXCHANGE=binanceusdm\nBOT_SYMBOL=BTCUSDT, ETHUSDT\nBOT_API_KEY=abc\n"
        "BOT_API_SECRET=very secret\nBOT_ENTRY=limit\nBOT_ENTRY_TIMEOUT_S=7\nBOT_MAX_ORDERS_PER_HOUR=9\n"
        "BOT_MAX_DAY_LOSS=0.01\nBOT_STALE_S=45\nLIVE_CONFIRM=me\n"
    )
    got = read_settings(path, {})
    assert (got.symbols, got.exchange, got.confirm) == (("BTCUSDT", "ETHUSDT"), "binanceusdm", "me")
    assert (got.keys.key, got.keys.secret) == ("abc", "very secret")
    assert (got.manner.entry, got.manner.timeout_ns) == ("limit", 7 * 10**9)
    assert (got.limits.max_orders_per_hour, got.limits.max_day_loss, got.limits.stale_s) == (9, 0.01, 45.0)
    assert "secret" not in repr(got)
    assert "abc" not in repr(got)


@pytest.mark.parametrize("symbols", ["BTC/USDT", "BTCUSDT,BTCUSDT", "BTCUSDT;ETHUSDT"])
def test_symbols_are_written_as_the_exchange_does(env, symbols):
    assert refusal(env(LEAST + f"BOT_SYMBOL={symbols}\n"))[1].startswith(f"bot.env:2 BOT_SYMBOL={symbols!r} ")


@pytest.mark.parametrize("exposure", ["0", "1.01", "-0.5", "inf", "0,95", "95%", "1_0"])
def test_an_exposure_no_market_offers_is_refused(env, exposure):
    assert refusal(env(LEAST + f"BOT_EXPOSURE={exposure}\n"))[1].startswith(f"bot.env:2 BOT_EXPOSURE={exposure!r} ")


def test_a_secret_in_an_unknown_setting_is_never_shown(env):
    secret = "abcdef0123456789"
    text = "\n".join(refusal(env(f"{LEAST}BINANCE_SECRET={secret}\n{secret}\n"), {"BOT_PASSWORD": secret}))
    assert "BINANCE_SECRET" in text
    assert "BOT_PASSWORD" in text
    assert secret not in text


def test_a_profile_must_be_chosen(env):
    wanted = "STRATEGY_PROFILE is missing; add STRATEGY_PROFILE= and one of SNIPER, AUDITED, RECKLESS"
    assert refusal(env("STRATEGY_PROFILE=\n")) == ["fix these lines:", f"bot.env {wanted}"]


def test_a_file_that_is_not_there_is_named(tmp_path):
    wanted = "no.env is not there; copy .env.example to no.env and edit it"
    assert refusal(tmp_path / "no.env") == [wanted]


def test_where_there_is_no_file_at_all_the_example_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=r"^there is no .env, copy .env.example to .env and fix these lines:\n"):
        read_settings(None, {})


def test_without_a_file_the_environment_is_enough(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STRATEGY_PROFILE", "AUDITED")
    assert read_settings().profile == "audited"
    (tmp_path / ".env").write_text("BOT_CASH=5\n")
    assert read_settings().terms == {"cash": 5.0}


def test_a_file_with_windows_line_ends_and_mark_is_read(tmp_path):
    path = tmp_path / "w.env"
    path.write_bytes(b"\xef\xbb\xbfSTRATEGY_PROFILE='sniper' # mine\r\nexport BOT_SYMBOL=A$B\r\n\r\nBOT_CASH=x\r\n")
    assert refusal(path)[1].startswith("w.env:4 BOT_CASH='x' is not a number")


def test_a_file_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "w.env"
    path.write_bytes(b"\xff\xfe\x00S")
    assert refusal(path)[0].startswith("w.env cannot be read as UTF-8 text")
