"""Replay: the real bot over recorded bars is the backtest, trade for trade, through kills and restarts."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.bars import Bars, format_time
from engine.errors import DataError, SettingsError, UsageError
from engine.run import run
from engine.synthetic import random_bars
from live import door
from live.replay import Pace, ReplayReport, replay, replay_file
from live.schema import NOT_KEPT
from live.settings import Settings
from models.bundle import load_bundle
from strategies import make_strategy
from tests.bundles import make_bundle
from tests.live_desk import facts

BARS = random_bars(1500, seed=11, gaps=0.004)
FIRST = 1200
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Path:
    """A small real bundle of these bars, both sides."""
    return make_bundle(tmp_path_factory.mktemp("bundles"), BARS, sides=("long", "short"), hold=6)


@pytest.fixture
def settings(toy: Path, tmp_path: Path) -> Settings:
    return Settings("reckless", str(toy), "replay", "rank", tmp_path / "bot.db", None, BARS.open_time[FIRST], {})


def whole(settings: Settings, bars: Bars = BARS, first: int = FIRST):
    """The backtest of the same bot."""
    bundle = load_bundle(settings.bundle)
    strategy = make_strategy(settings.profile, bundle, settings.confidence)
    return run(strategy, bars, bundle.rules(**settings.terms), since=first)


def rows(path: Path, query: str) -> list[tuple]:
    database = sqlite3.connect(path)
    found = database.execute(query).fetchall()
    database.close()
    return found


def agree(report: ReplayReport, settings: Settings) -> int:
    """Hold the ledger against the backtest by other means than the report's own; return how many trades there were."""
    backtest = whole(settings)
    assert report.difference is None
    equity = rows(settings.ledger, "SELECT equity FROM accounts ORDER BY open_time")
    np.testing.assert_array_equal(np.array(equity)[:, 0], backtest.result.equity)
    names = [name for name in backtest.result.trades.dtype.names if name not in NOT_KEPT]
    trades = rows(settings.ledger, f"SELECT {', '.join(names)} FROM trades ORDER BY exit_time")
    assert trades == [tuple(plain(trade[name]) for name in names) for trade in backtest.result.trades]
    p_up = rows(settings.ledger, "SELECT p_up, audit, confidence FROM decisions ORDER BY open_time")
    evidence = backtest.signals.evidence
    said = np.column_stack([evidence.p_up, evidence.audit, backtest.signals.confidence])
    np.testing.assert_array_equal(np.array(p_up, np.float64), said)
    return len(trades)


def plain(value):
    return int(value.astype(np.int64)) if isinstance(value, np.datetime64) else value.item()


@pytest.mark.parametrize("confidence", ["rank", "probability"])
@pytest.mark.parametrize("profile", ["sniper", "audited", "reckless"])
def test_the_bot_is_the_backtest_for_every_profile_and_mode_through_a_restart(settings, profile, confidence):
    mine = replace(settings, profile=profile, confidence=confidence)
    replay(mine, BARS[: FIRST + random.Random(f"{profile}{confidence}").randrange(1, 299)])
    report = replay(mine, BARS)
    trades = agree(report, mine)
    assert report.decided == 300
    assert trades >= {"sniper": 2, "audited": 2, "reckless": 10}[profile] or confidence == "probability"


def test_a_replay_from_the_first_bar_warms_up_on_the_way(settings):
    mine = replace(settings, replay_from=None)
    report = replay(mine, BARS[:120])
    assert (report.decided, report.difference) == (120, None)
    assert rows(mine.ledger, "SELECT count(*) FROM decisions WHERE p_up IS NOT NULL")[0][0] > 10


def test_a_finished_replay_has_nothing_to_do(settings):
    replay(settings, BARS[: FIRST + 20])
    before = facts(settings.ledger)
    report = replay(settings, BARS[: FIRST + 20])
    assert (report.bars, report.decided, report.left, report.agrees) == (0, 20, 0, True)
    assert facts(settings.ledger) == before


def test_every_decision_keeps_its_evidence_and_the_reason_for_doing_nothing(settings):
    mine = replace(settings, profile="audited")
    replay(mine, BARS[: FIRST + 60])
    found = rows(mine.ledger, "SELECT side, reason, proposed, belief, gates FROM decisions")
    reasons = {row[1] for row in found}
    assert reasons >= {"below threshold", "wish"} or reasons >= {"below threshold", "vetoed by auditor"}
    assert all((row[0] != 0) == (row[1] == "wish") for row in found)
    assert all(set(json.loads(row[4])) == {"regime", "auditor"} for row in found)


def test_terms_of_the_settings_replace_the_bundles(settings):
    mine = replace(settings, terms={"fee": 0.0, "cash": 500.0, "exposure": 0.5})
    report = replay(mine, BARS[: FIRST + 40])
    assert report.agrees
    assert rows(mine.ledger, "SELECT cash FROM accounts ORDER BY open_time LIMIT 1") == [(500.0,)]


def test_terms_that_do_not_go_together_name_the_settings(settings):
    with pytest.raises(SettingsError, match=r"BOT_EXPOSURE=1 does not go with bundle toy: exposure must be above 0"):
        replay(replace(settings, terms={"exposure": 1.0}), BARS)


def test_another_market_or_a_late_start_is_refused(settings):
    with pytest.raises(
        SettingsError, match="BOT_SYMBOL is BTCUSDT, the recording is of RANDOM-11; bring the right one"
    ):
        replay(replace(settings, symbol="BTCUSDT"), BARS)
    with pytest.raises(SettingsError, match="BOT_REPLAY_FROM is 2030-01-01T00:00, after the recording's last bar"):
        replay(replace(settings, replay_from=np.datetime64("2030-01-01", "ns")), BARS)
    with pytest.raises(DataError, match="holds no bars"):
        replay(settings, BARS[:0])
    with pytest.raises(UsageError, match="was trained on 1h bars"):
        replay(replace(settings, replay_from=None), random_bars(50, timeframe="15m"))


def test_a_rewritten_past_is_noticed_at_the_start(settings):
    replay(settings, BARS[: FIRST + 10])
    volume = BARS.volume.copy()
    volume[FIRST - 900] += 1.0  # a bar that only warmed up
    columns = {name: getattr(BARS, name) for name in ("open", "high", "low", "close")}
    other = Bars(BARS.open_time, **columns, volume=volume, timeframe_ns=BARS.timeframe_ns, symbol=BARS.symbol)
    with pytest.raises(DataError, match=r"volume of bar .* was .* when it was decided on and is .* now"):
        replay(settings, other)
    assert rows(settings.ledger, "SELECT kind FROM errors") == [("DataError",)]


def test_bars_seen_in_training_are_marked(settings):
    report = replay(settings, BARS[: FIRST + 5])
    in_sample = int(load_bundle(settings.bundle).in_sample(BARS[FIRST : FIRST + 5]).sum())
    assert report.in_sample == in_sample
    assert ("IN-SAMPLE" in str(report)) == (in_sample > 0)
    assert "IN-SAMPLE: 7 of these bars were seen in training" in str(replace(report, in_sample=7))


def test_a_difference_from_the_backtest_is_said(settings):
    report = replay(settings, BARS[: FIRST + 5])
    assert "backtest of these bars: the same wishes, trades and equity, bit for bit" in str(report)
    assert "DIFFERS: equity" in str(replace(report, difference="equity"))


def test_settings_come_from_the_file_and_progress_is_told(settings, tmp_path, monkeypatch):
    monkeypatch.setattr("live.replay.SHOW_EVERY_S", 0.0)
    env, told = tmp_path / "bot.env", []
    env.write_text(f"STRATEGY_PROFILE=RECKLESS\nBOT_BUNDLE={settings.bundle}\nBOT_LEDGER=never.db\n")
    report = replay_file(BARS[:30], env, tmp_path / "other.db", told.append)
    assert (report.ledger, report.bars) == (tmp_path / "other.db", 30)
    assert not Path("never.db").exists()
    assert [pace.done for pace in told] == list(range(1, 31))


def test_progress_says_when_it_will_be_done():
    assert str(Pace(200, 1000, 0.5)) == "replay: 200 of 1,000 bars, 400 bars/s, 2 s left"
    assert str(Pace(0, 1000, 0.5)) == "replay: 0 of 1,000 bars, 0 bars/s, starting"


def test_without_recorded_bars_there_is_nothing_to_run(tmp_path):
    env = tmp_path / "bot.env"
    env.write_text("STRATEGY_PROFILE=SNIPER\n")
    with pytest.raises(UsageError, match="needs recorded bars: name them with --replay, such as nasdaq-1d"):
        door.run(None, env, tmp_path)


def start(env: Path, bars: Path) -> subprocess.Popen:
    """The bot in a process of its own, as the front door runs it."""
    code = (
        "import sys; from pathlib import Path; from live.door import run\n"
        "run(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("BOT_", "STRATEGY_"))}
    command = [sys.executable, "-c", code, str(bars), str(env), str(env.parent)]
    return subprocess.Popen(command, cwd=ROOT, env=clean, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(process: subprocess.Popen, ledger: Path, decided: int) -> None:
    """Until so many bars are in the ledger."""
    for _ in range(6000):
        assert process.poll() is None, process.communicate()
        try:
            if rows(ledger, "SELECT count(*) FROM decisions")[0][0] >= decided:
                return
        except sqlite3.OperationalError:
            pass  # not there yet
        time.sleep(0.01)
    raise AssertionError("the bot never came so far")


def test_killed_at_random_and_stopped_politely_it_ends_as_if_nothing_had_happened(settings, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {name: getattr(BARS, name) for name in ("open", "high", "low", "close", "volume")}
    file, env = tmp_path / "RANDOM-11_1h.parquet", tmp_path / "bot.env"
    pq.write_table(pa.table({"timestamp": BARS.open_time, **columns}), file)
    env.write_text(
        f"STRATEGY_PROFILE=RECKLESS\nBOT_BUNDLE={settings.bundle}\nBOT_LEDGER={settings.ledger}\n"
        f"BOT_REPLAY_FROM={str(settings.replay_from)[:16]}\n"
    )
    dice = random.Random(4)
    for least in (dice.randrange(1, 80), dice.randrange(80, 160)):
        process = start(env, file)
        wait_for(process, settings.ledger, least)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    process = start(env, file)
    wait_for(process, settings.ledger, 170)
    process.terminate()
    said, wrong = process.communicate()
    assert process.returncode == 0, wrong
    assert all(line.startswith("replay: ") for line in wrong.splitlines())  # how far it is, on a slow machine
    assert "stopped by SIGTERM" in said
    assert "start again to continue" in said
    decided = rows(settings.ledger, "SELECT count(*) FROM decisions")[0][0]
    assert 170 <= decided < 300
    symbol = rows(settings.ledger, "SELECT symbol FROM bot")[0][0]
    named = Bars(BARS.open_time, **columns, timeframe_ns=BARS.timeframe_ns, symbol=symbol)
    report = replay(settings, named)
    assert report.decided == 300
    assert report.bars == 300 - decided
    assert agree(report, settings) >= 10
    assert rows(settings.ledger, "SELECT count(*) FROM starts")[0][0] == 4


def test_a_draft_is_not_shown_over_its_sealed_bars_and_verify_may_still_replay_them(settings, toy, tmp_path):
    from models.folder import write_bundle

    manifest = replace(load_bundle(toy).manifest, released=False)
    files = {name: (toy / name).read_bytes() for name in manifest.files}
    draft = write_bundle(tmp_path / "drafts" / "toy", manifest, files)
    sealed, first = BARS.since(manifest.zones.test[0]), format_time(manifest.zones.test[0])
    env = tmp_path / "bot.env"
    env.write_text(f"STRATEGY_PROFILE=RECKLESS\nBOT_BUNDLE={draft}\nBOT_LEDGER={tmp_path / 'seen.db'}\n")
    said = f"BOT_BUNDLE toy is a draft and these bars reach into its sealed test zone (from {first})"
    with pytest.raises(SettingsError, match=re.escape(said)):
        replay_file(BARS[: sealed + 1], env)
    assert not (tmp_path / "seen.db").exists()
    assert replay_file(BARS[sealed - 30 : sealed], env).bars == 30
    mine = replace(settings, bundle=str(draft), replay_from=BARS.open_time[sealed])
    assert replay(mine, BARS[: sealed + 3]).bars == 3
