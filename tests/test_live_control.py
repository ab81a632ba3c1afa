"""What one may ask and tell a bot: from another process, while it runs or not."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from live import desk as desks
from tests.live_exchange import BARS, FIRST, bot, live_on, open_ms, settings_of, toy_bundle

VERBS = ("status", "trades", "explain", "halt", "resume", "flatten", "adopt")
COMMANDS = VERBS[3:]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return toy_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def world(loopback_exchange, bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(desks, "IDLE_NS", 1800 * desks.SECOND_NS)
    loopback_exchange.load(BARS)
    loopback_exchange.deposit(10_000)
    loopback_exchange.advance_to(open_ms(BARS, FIRST + 1) + 200)
    settings = settings_of(bundle, tmp_path, poll_s=1700.0)
    env = tmp_path / "bot.env"
    env.write_text(
        f"STRATEGY_PROFILE=RECKLESS\nBOT_BUNDLE={bundle}\nBOT_MODE=testnet\nBOT_SYMBOL=BTCUSDT\n"
        f"BOT_LEDGER={settings.ledger}\nBOT_API_KEY={settings.keys.key}\nBOT_API_SECRET={settings.keys.secret}\n"
    )
    return loopback_exchange, settings, env


def call(env, *words, code=0):
    """Run a verb as the front door does."""
    from engine.errors import TradingError
    from live.verbs import live_app

    done = CliRunner().invoke(live_app, [*words, "--env", str(env)])
    if isinstance(done.exception, TradingError):
        return str(done.exception)
    assert done.exit_code == code, done.output
    return done.output


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example_and_json(verb):
    from live.verbs import live_app

    shown = CliRunner().invoke(live_app, [verb, "--help"], env={"COLUMNS": "100"}).output
    assert f"Example: tradsys live {verb}" in shown
    assert "--json" in shown


@pytest.mark.parametrize("verb", VERBS)
def test_before_the_first_start_there_is_nothing_to_ask(world, verb):
    said = call(world[2], verb)
    assert "no bot was started with this BOT_LEDGER yet" in said
    assert not (world[1].folder / "account.db").exists()


def test_a_running_bot_is_asked_without_disturbing_it(world):
    venue, settings, env = world
    with bot(settings, venue) as runner:
        live_on(runner, venue, open_ms(BARS, FIRST + 3) + 1_000)
        told = json.loads(call(env, "status", "--json"))
        assert told["pid"]
        (symbol,) = told["symbols"]
        assert (symbol["state"], symbol["bars"], symbol["side"]) == ("ACTIVE", 3, 1)
        assert [order["leg"] for order in symbol["standing_orders"]] == ["target", "stop"]
        shown = call(env, "status")
        assert "testnet bot, running as process" in shown
        assert "BTCUSDT  ACTIVE" in shown
        assert "target: sell" in shown
        live_on(runner, venue, open_ms(BARS, FIRST + 6))
    assert "not running" in call(env, "status")


def test_trades_show_simulated_and_real_prices(world):
    venue, settings, env = world
    with bot(settings, venue) as runner:
        live_on(runner, venue, open_ms(BARS, FIRST + 10))
    told = json.loads(call(env, "trades", "--json"))
    assert len(told) >= 1
    for trade in told:
        assert trade["exchange_entry"] == pytest.approx(trade["entry_price"], rel=0.0005)
        assert trade["exchange_reason"] == trade["reason"]
    assert len(json.loads(call(env, "trades", "--last", "1", "--json"))) == 1
    assert call(env, "trades").count("\n") == len(told) + 1


def test_explain_shows_the_evidence_the_orders_and_the_fills(world):
    venue, settings, env = world
    with bot(settings, venue) as runner:
        live_on(runner, venue, open_ms(BARS, FIRST + 6))
    wished = json.loads(call(env, "status", "--json"))["symbols"][0]["last_bar"]
    told = json.loads(call(env, "explain", "--at", str(BARS.open_time[FIRST + 1])[:16], "--json"))
    assert told["decision"]["side"] == 1
    assert {order["leg"] for order in told["orders"]} >= {"entry", "target", "stop"}
    assert told["fills"][0]["leg"] == "entry"
    shown = call(env, "explain", "--at", str(BARS.open_time[FIRST + 1])[:16])
    assert "long (wish)" in shown
    assert "predictor    p up" in shown
    assert "entry: bought" in shown
    assert f"decided at the close of {wished}" in call(env, "explain")
    assert "opens at 2019-01-01; decisions are from" in call(env, "explain", "--at", "2019-01-01")
    assert "is not a time" in call(env, "explain", "--at", "noon")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_bot_that_is_not_running_obeys_when_it_starts(world, command):
    venue, settings, env = world
    with bot(settings, venue) as runner:
        live_on(runner, venue, open_ms(BARS, FIRST + 2))
    assert f"not running: it will {command} as soon as" in call(env, command, "--reason", "why not")
    with bot(settings, venue) as runner:
        runner.turn()
        assert runner.office.book.answered(1)
        assert runner.office.book.standing("BTCUSDT").state == {"halt": "HALTED", "flatten": "HALTED"}.get(
            command, "ACTIVE"
        )


def test_a_symbol_that_is_not_the_bots_is_refused_with_the_nearest(world):
    venue, settings, env = world
    with bot(settings, venue):
        pass
    for verb in ("halt", "flatten"):
        assert "unknown symbol 'BTCUSD'; did you mean 'BTCUSDT'?" in call(env, verb, "BTCUSD")
    assert "unknown symbol 'X'" in call(env, "trades", "--symbol", "X")


def test_a_running_bot_answers(world, monkeypatch):
    from live import control

    venue, settings, _ = world
    with bot(settings, venue) as runner:
        runner.turn()

        class Turning:
            def now(self):
                return runner.time.now()

            def sleep(self, _seconds):
                runner.turn()

        assert control.tell(settings, "halt", None, "lunch", Turning()) == (
            "BTCUSDT: halted; what is held stays protected"
        )
        assert control.tell(settings, "resume", "BTCUSDT", "", Turning()) == "BTCUSDT: ACTIVE"
        assert "left alone from now on: 0 BTC" in control.tell(settings, "adopt", None, "", Turning())
        assert control.tell(settings, "flatten", None, "", Turning()) == "BTCUSDT: exits only, then halted when flat"
