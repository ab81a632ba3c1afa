"""The bot seen from outside: what it says, shows and reports, and that no key is ever in it."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from engine.barriers import STOP, TARGET, TIME
from engine.errors import SettingsError, UsageError
from engine.inference.shift import cusum, stability_index
from live.dashboard import Dashboard
from live.drift import Bands, drift_lines, drift_report, won_before_costs
from live.keys import Keys
from live.logs import log_line, voice
from live.metrics import exposition
from live.notify import Notifier
from live.replay import run_live
from live.scene import scene
from live.verbs import live_app
from tests.browser import Browser, find_chromium
from tests.exchange import venue as venue_keys
from tests.exchange.trader import FIRST, MARKET
from tests.exchange.world import world
from tests.live_desk import BARS, open_ledger, trade_on
from tests.live_outside import ADDRESS, KEY, SECRET, live_folder, settings_in

ROOT = Path(__file__).resolve().parents[1]
SECRETS = (KEY, SECRET, "password-of-the-notifier")


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    return live_folder(tmp_path_factory.mktemp("bot"))


# --- logs ----------------------------------------------------------------------------------------------


def test_a_log_line_is_one_line_in_both_forms():
    plain = log_line("text", "", "failed", "first\nsecond")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ account failed: first second", plain)
    told = json.loads(log_line("json", "BTCUSDT", "failed", 'a "quoted"\nmessage'))
    assert (told["symbol"], told["kind"], told["message"]) == ("BTCUSDT", "failed", 'a "quoted"\nmessage')


def test_keys_are_left_out_of_what_is_said_and_passed_on(capsys):
    heard = []
    voice("json", Keys(KEY, SECRET), lambda *said: heard.append(said))("X", "failed", f"signature {SECRET} of {KEY}")
    assert heard == [("X", "failed", "signature *** of ***")]
    assert not any(secret in capsys.readouterr().err for secret in SECRETS)


# --- notifications -------------------------------------------------------------------------------------


@pytest.fixture
def mailbox():
    """A server on loopback that keeps what apprise sends to json:// addresses."""
    letters: list[dict] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            letters.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200 if letters[-1]["message"] != "lost" else 500)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    server.letters = letters
    yield server
    server.shutdown()
    server.server_close()


def test_news_arrive_in_order_and_a_lost_one_is_told(mailbox):
    told = []
    notifier = Notifier([f"json://127.0.0.1:{mailbox.server_port}"], "live bot BTCUSDT", told.append)
    for message in ("first", "lost", "third"):
        notifier("BTCUSDT", "state", message)
    notifier.close()
    assert [letter["message"] for letter in mailbox.letters] == ["first", "lost", "third"]
    assert mailbox.letters[0]["title"] == "live bot BTCUSDT: BTCUSDT state"
    assert told == ["notification lost: live bot BTCUSDT: BTCUSDT state"]


def test_the_bot_does_not_wait_for_an_address_that_is_silent(mailbox):
    told = []
    notifier = Notifier(["json://127.0.0.1:9"], "bot", told.append)
    begin = time.perf_counter()
    for _ in range(300):
        notifier("X", "state", "y")
    assert time.perf_counter() - begin < 0.5
    notifier.close(wait_s=0.1)
    assert any("others wait already" in line for line in told)


def test_an_address_that_is_none_is_named_by_number_only():
    with pytest.raises(SettingsError) as refusal:
        Notifier(["json://localhost", f"nonsense-{SECRET}"], "bot", print)
    assert str(refusal.value).startswith("BOT_NOTIFY: address 2 of 2 is none that apprise knows")
    assert SECRET not in str(refusal.value)


# --- measures ------------------------------------------------------------------------------------------


def test_measures_are_prometheus_text(outside):
    text = exposition(outside)
    line = re.compile(r'tradsys_\w+(\{(\w+="([^"\\]|\\.)*",?)*\})? -?[\d.e+-]+|# (HELP|TYPE) tradsys_\w+ .+')
    assert all(line.fullmatch(each) for each in text.splitlines())
    assert f'tradsys_state{{symbol="{BARS.symbol}",state="REDUCING"}} 1.0' in text
    assert "tradsys_account_equity 10050.0" in text
    assert f'tradsys_events_total{{symbol="{BARS.symbol}",kind="refused"}} 2.0' in text
    assert 'tradsys_up{mode="testnet"} 0.0' in text


# --- the page ------------------------------------------------------------------------------------------


@pytest.fixture
def shown(outside):
    dashboard = Dashboard(outside, 0)
    thread = threading.Thread(target=dashboard.serve, daemon=True)
    thread.start()
    yield dashboard
    dashboard.close()
    thread.join()


def ask(shown, path: str, **headers: str):
    request = urllib.request.Request(shown.address.rstrip("/") + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode(), dict(answer.headers)
    except urllib.error.HTTPError as refusal:
        with closing(refusal):
            return refusal.code, refusal.read().decode(), dict(refusal.headers)


def test_nothing_of_the_bot_is_told_without_the_token(shown):
    for path in ("/scene.json", "/metrics"):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer "}):
            status, text, _ = ask(shown, path, **headers)
            assert (status, BARS.symbol in text) == (401, False)
        status, text, _ = ask(shown, path, Authorization=f"Bearer {shown.token}")
        assert (status, BARS.symbol in text) == (200, True)
    assert ask(shown, "/")[0] == 200
    assert BARS.symbol not in ask(shown, "/")[1]


def test_strangers_names_methods_and_paths_are_refused(shown):
    own = {"Authorization": f"Bearer {shown.token}"}
    assert ask(shown, "/scene.json", Host="evil.example", **own)[0] == 403
    assert ask(shown, "/../settings.py", **own)[0] == 404
    request = urllib.request.Request(f"{shown.address}scene.json", data=b"x", headers=own, method="POST")
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(request, timeout=10)
    refusal.value.close()
    assert refusal.value.code == 501
    assert shown.server.server_address[0] == "127.0.0.1"


def test_the_token_is_kept_for_its_owner_only(shown, outside):
    assert stat.S_IMODE(shown.token_file.stat().st_mode) == 0o600
    with closing(Dashboard(outside, 0).server.socket):
        assert shown.token_file.read_text().strip() == shown.token
    assert len(shown.token) >= 32
    with pytest.raises(UsageError, match=r"--port \d+ cannot be had"):
        Dashboard(outside, shown.server.server_port)


def test_the_page_shows_the_bot_renews_itself_and_runs_no_ledgers_script(shown, outside):
    program = find_chromium()
    if program is None:
        pytest.skip("needs Chromium or Chrome, which is not here")
    with Browser(program) as browser:
        browser.send("Page.navigate", url=shown.link)
        wait(browser, "document.querySelector('[data-symbol]') !== null")
        text = browser.js("document.body.innerText")
        for told in (f"{BARS.symbol}: REDUCING", "day loss: 5.1 % since midnight", "testnet bot, sniper of nasdaq-1d"):
            assert told in text
        assert "<script>alert(1)</script> the exchange said no" in text
        alarms = browser.js("document.getElementById('alarms').innerText")
        assert ("the exchange said no" in alarms, "long ago" in alarms, "long ago" in text) == (True, False, True)
        assert browser.js("document.querySelectorAll('svg path').length") == 2
        banner = "document.getElementById('running')"
        assert browser.js(f"{banner}.innerText").startswith("NOT RUNNING: nothing watches")
        size = "parseFloat(getComputedStyle({}).fontSize)"
        assert browser.js(size.format(banner)) == browser.js(
            f"Math.max(...[...document.querySelectorAll('body *')].map(n => {size.format('n')}))"
        )
        assert ("no alarm" in text, f"{BARS.symbol}: REDUCING when last seen" in text) == (False, True)
        row = "{bar: '', side: 1, reason: '', p_up: .5, confidence: .5, belief: [3.3e-15, .404, .596], vetoes: []}"
        assert browser.js(f"decision({row})[5]") == "0 / 40 / 60 %"
        marks = browser.js("[...document.querySelectorAll('.tick')].map(n => n.innerText)")
        assert ("0 %" in marks, 3 <= len(marks) <= 6, all(mark.endswith(" %") for mark in marks)) == (True, True, True)
        assert browser.js("ticks(-0.00031, 0)") == [pytest.approx([-0.0003, -0.0002, -0.0001, 0]), 2]
        times = browser.js("[...document.querySelectorAll('.times span')].map(n => n.innerText)")
        assert [bool(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", told)) for told in times] == [True] * 3
        growth = browser.js("[...document.querySelectorAll('[data-growth]')].map(n => +n.dataset.growth)")
        assert growth[1] == pytest.approx(0.005)
        book_event(outside, "a new event")
        wait(browser, "document.body.innerText.includes('a new event')")
        assert browser.errors == []
        assert all(url.startswith(shown.address) for url in browser.requests)


def wait(browser, condition: str) -> None:
    for _ in range(100):
        if browser.js(condition):
            return
        time.sleep(0.1)
    raise AssertionError(f"never came: {condition}")


def book_event(settings, message: str) -> None:
    from live.account import AccountBook

    with closing(AccountBook(settings.folder, lambda: 10**18)) as book:
        book.note("", "started", message)


# --- drift ---------------------------------------------------------------------------------------------


def test_fills_within_the_bands_raise_no_alarm(outside, tmp_path):
    (found,) = drift_report(outside, tmp_path)
    assert (found.trades, found.filled, found.missed, found.late) == (31, 31, 0, 0)
    assert found.entry_bp == pytest.approx(2.0, abs=1e-6)
    assert found.exit_bp == pytest.approx(0.0, abs=1e-6)
    assert (found.alarms, found.unwanted) == ([], [])
    assert drift_lines([found])[1].startswith("  fills        entries +2.0 bp, exits ")


@pytest.mark.parametrize(
    ("how", "alarm"),
    [
        ({"beyond_bp": 25.0}, "entry fills cost 25.0 bp beyond the simulation, band 10"),
        ({"beyond_bp": 9.0}, "entry fills went on drifting from the simulated prices from trade 13 on (CUSUM)"),
        ({"skipped": 5}, "5 of 31 simulated trades have no fill, band 10%"),
        ({"late_s": 40.0}, "31 entries came later than 30 s after the close"),
    ],
)
def test_what_is_beyond_its_band_is_an_alarm(tmp_path, how, alarm):
    (found,) = drift_report(live_folder(tmp_path, **how), tmp_path)
    assert alarm in found.alarms


@pytest.mark.parametrize(
    ("reason", "side", "left", "won"),
    [
        (TARGET, 1, 101.0, True),
        (STOP, -1, 101.0, False),
        (TIME, 1, 100.05, True),  # it lost money, for slippage alone was more
        (TIME, 1, 99.6, False),
        (TIME, -1, 99.95, True),
        (TIME, -1, 100.4, False),
    ],
)
def test_a_trade_is_right_as_its_label_is_before_costs(reason, side, left, won):
    row = {"reason": reason, "side": side, "entry_price": 100.0 * (1 + side * 0.001)}
    row["exit_price"] = left * (1 - side * 0.001) if reason == TIME else left
    assert won_before_costs(row, slippage=0.001) is won


def test_a_fill_that_the_simulation_does_not_know_is_an_alarm(tmp_path):
    settings = live_folder(tmp_path)
    with open_ledger(settings.folder / f"{BARS.symbol}.db", mode="testnet") as ledger:
        wish = int(BARS.open_time[0].astype(np.int64))
        ledger.file.add("exchange_fills", ("z", 1, 1, "o", "c", "entry", wish, 1, 1.0, 5.0, 0.0, "USDT"))
    (found,) = drift_report(settings, tmp_path)
    first = str(BARS.open_time[0])[:19]
    assert found.alarms == [f"fills of trades that the simulation does not know: {first}"]


def test_the_verb_exits_1_on_an_alarm_and_tells_machines(tmp_path):
    live_folder(tmp_path, beyond_bp=25.0)
    words = ["drift", "--env", str(tmp_path / "outside.env"), "--data", str(tmp_path)]
    done = CliRunner().invoke(live_app, [*words, "--json"])
    assert (done.exit_code, json.loads(done.stdout)[0]["filled"]) == (1, 31)
    assert CliRunner().invoke(live_app, [*words, "--slippage-bp", "50"]).exit_code == 0


def test_alarms_of_the_night_are_sent(tmp_path, mailbox):
    live_folder(tmp_path, beyond_bp=25.0)
    env = tmp_path / "outside.env"
    env.write_text(env.read_text().replace(ADDRESS, f"json://127.0.0.1:{mailbox.server_port}"))
    done = CliRunner().invoke(live_app, ["drift", "--notify", "--env", str(env), "--data", str(tmp_path)])
    assert done.exit_code == 1
    assert [letter["title"] for letter in mailbox.letters] == [f"tradsys: {BARS.symbol} drift"] * 2
    assert "entry fills cost 25.0 bp" in mailbox.letters[0]["message"]


def test_a_replay_has_no_fills_to_hold_against_anything(tmp_path):
    settings = settings_in(tmp_path, "replay")
    with open_ledger(settings.ledger) as ledger:
        trade_on(ledger)
    (found,) = drift_report(settings, tmp_path, Bands())
    assert (found.alarms, found.filled) == ([], 0)
    assert found.notes[0] == "fills: replay has none"
    assert scene(settings)["account"] == []


@pytest.fixture(scope="module")
def replayed(tmp_path_factory):
    """A real bot's ledger: the shipped bundle over its test zone."""
    settings = settings_in(tmp_path_factory.mktemp("replayed"), "replay", BOT_SYMBOL="", BOT_REPLAY_FROM="2017-08-01")
    run_live("nasdaq-1d", settings, Path("data"))
    return settings


def test_a_ledger_is_replayed_and_its_market_held_against_the_training(replayed, tmp_path):
    (found,) = drift_report(replayed, tmp_path)
    assert (found.symbol, found.replay, found.alarms) == ("NASDAQ", "", [])
    assert 0 < found.predictions < 1.0  # below its band, which knows how bars hang together
    assert len(found.features) == 6
    assert found.features[0][1] > found.features[-1][1] > 0
    assert "  replay       a backtest of these bars wishes and earns the same, bit for bit" in drift_lines([found])


def test_predictions_of_another_distribution_are_an_alarm(replayed, tmp_path):
    shutil.copy(replayed.ledger, tmp_path / "bot.db")
    with closing(sqlite3.connect(tmp_path / "bot.db")) as database:
        database.execute("DROP TRIGGER decisions_keep")
        database.execute("UPDATE decisions SET p_up = p_up + 0.02")
        database.commit()
    (found,) = drift_report(settings_in(tmp_path, "replay", BOT_SYMBOL=""), tmp_path)
    assert [alarm[:64] for alarm in found.alarms] == [
        "predictions are not distributed as in the bundle's validation zo"
    ]


def test_a_ledger_that_is_not_the_backtests_is_an_alarm(replayed, tmp_path):
    copy = tmp_path / "bot.db"
    shutil.copy(replayed.ledger, copy)
    with closing(sqlite3.connect(copy)) as database:
        database.execute("DROP TRIGGER decisions_keep")
        database.execute(
            "UPDATE decisions SET side = 1 - side WHERE open_time = (SELECT max(open_time) FROM decisions)"
        )
        database.commit()
    settings = settings_in(tmp_path, "replay", BOT_SYMBOL="")
    (found,) = drift_report(settings, tmp_path)
    assert found.alarms[0].startswith(
        "the ledger is not what a backtest of its bars does: wish at 2018-12-31T00:00 is 1"
    )


def test_the_cusum_is_the_recursion_of_the_textbook():
    values = np.random.default_rng(3).standard_normal(500) + np.r_[np.zeros(300), np.ones(200)]
    above, below, first = 0.0, 0.0, None
    for i, value in enumerate(values):
        above, below = max(0.0, above + value - 0.5), max(0.0, below - value - 0.5)
        first = i if first is None and max(above, below) > 5 else first
    assert cusum(values).alarm == first
    assert 300 < first < 330
    lengths = [cusum(np.random.default_rng(seed).standard_normal(4000)).alarm or 4000 for seed in range(150)]
    assert np.mean(lengths) == pytest.approx(465, rel=0.2)


def test_the_stability_index_of_equal_populations_is_what_chance_makes():
    rng = np.random.default_rng(5)
    found = [stability_index(rng.standard_normal(3000), rng.standard_normal(400)) for _ in range(200)]
    assert np.mean(found) == pytest.approx(9 * (1 / 3000 + 1 / 400), rel=0.15)
    assert np.isnan(stability_index(np.array([]), np.ones(3)))
    assert stability_index(np.arange(1000.0), np.arange(1000.0)) == pytest.approx(0.0, abs=1e-12)


# --- the bot itself ------------------------------------------------------------------------------------


@pytest.mark.parametrize("venue", ["spot", "perpetual"])
def test_what_is_seen_is_what_stands_at_the_exchange(tmp_path, venue):
    settings = settings_in(tmp_path, BOT_SYMBOL="BTCUSDT", BOT_API_KEY=venue_keys.KEY, BOT_API_SECRET=venue_keys.SECRET)
    settings.folder.mkdir()
    with world(settings.folder, venue) as lived:
        lived.live_until(MARKET.open_time[FIRST + 7] + np.timedelta64(30, "s"))
        lived.check()
        seen = scene(settings)["symbols"][0]
        assert seen["exchange_units"] == pytest.approx(lived.size)
        assert len(seen["standing_orders"]) == len(lived.desk.standing)
        assert seen["last_bar"] == str(MARKET.open_time[FIRST + 6])[:16]
        assert len(seen["simulated"]) == len(seen["decisions"]) == 8
        worth = scene(settings)["account"][-1][1]
        (found,) = drift_report(settings, tmp_path, Bands(slippage_bp=50.0))
        assert found.trades == found.filled > 3
        assert (found.missed, found.late, found.unwanted, found.alarms) == (0, 0, [], [])
        assert worth == pytest.approx(lived.worth(), rel=0.02)
    files = [path.read_bytes() for path in settings.folder.iterdir() if path.suffix != ".token"]
    told = json.dumps(lived.told) + json.dumps(scene(settings)) + exposition(settings)
    for secret in (venue_keys.KEY, venue_keys.SECRET):
        assert not any(secret.encode() in content for content in [*files, told.encode()])


# --- secrets -------------------------------------------------------------------------------------------


def test_no_key_is_in_ledger_page_measures_report_or_settings_text(outside, tmp_path):
    seen = [json.dumps(scene(outside)), exposition(outside), repr(outside), str(drift_report(outside, tmp_path))]
    seen += [
        path.read_bytes().decode("latin-1") for path in outside.folder.iterdir() if path.suffix in (".db", ".token")
    ]
    for secret in SECRETS:
        assert not any(secret in text for text in seen), secret
    assert outside.notify == ADDRESS  # it was there to be leaked


DASHBOARD = (
    "import sys, tradsys; sys.argv[1:] = ['live', 'dashboard', '--port', '0', '--env', sys.argv[1]]; tradsys.main()"
)


def test_neither_key_nor_token_is_in_the_process_list(tmp_path):
    settings = live_folder(tmp_path)
    command = [sys.executable, "-c", DASHBOARD, str(tmp_path / "outside.env")]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    link = child.stdout.readline()
    token = (settings.folder / "dashboard.token").read_text().strip()
    listed = Path(f"/proc/{child.pid}/cmdline").read_text() + Path(f"/proc/{child.pid}/environ").read_text()
    child.terminate()
    out, err = child.communicate()
    assert link.endswith(f"#{token}\n")
    assert not any(secret in listed + out + err for secret in (*SECRETS, token))


# --- deployment ----------------------------------------------------------------------------------------


def test_the_services_are_ones_that_systemd_understands(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze, which is not here")
    units = []
    for name in ("tradsys.service", "tradsys-drift.service", "tradsys-drift.timer"):
        text = (ROOT / "live" / "deploy" / name).read_text()
        units.append(str(tmp_path / name))
        Path(units[-1]).write_text(text.replace("/opt/tradsys/.venv/bin/tradsys", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_deployment_puts_no_secret_where_others_see_it():
    for name in ("tradsys.service", "tradsys-drift.service", "Dockerfile"):
        text = (ROOT / "live" / "deploy" / name).read_text()
        code = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
        assert not re.search(r"BOT_|LIVE_CONFIRM|EnvironmentFile|SECRET", code)
        assert "--env" in code


def test_the_image_copies_what_is_there():
    lines = (ROOT / "live" / "deploy" / "Dockerfile").read_text().splitlines()
    copied = [path for line in lines if line.startswith("COPY ") for path in line.split()[1:-1]]
    assert copied
    assert all((ROOT / path).exists() for path in copied)
