"""A bundle that reads what is beside its bars: every road joins it, every other refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.bars import DAY_NS
from engine.errors import DataError, UsageError
from engine.history.context import with_context
from engine.history.external import External
from engine.history.store import Store
from engine.synthetic import random_bars
from live.parity import against_backtest
from live.replay import replay
from live.settings import Settings
from live.start import Surroundings, opened
from live.verify import verify
from models.bundle import load_bundle
from research.config import TrainConfig
from research.road import named_markets
from strategies.workbench import compare_bundle, find_market
from tests.bundles import make_bundle
from tests.live_exchange import VenueClock, broker_of, live_on, open_ms

BARS = replace(random_bars(2600, seed=12), symbol="BTCUSDT")
FEATURES = ("ret_1", "rsi_14", "vix_level", "funding_8h", "x4_ma_dist_20")
FIRST = 2450


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A store with the bars, a volatility index known at 21:00 of every day, and funding."""
    root = tmp_path_factory.mktemp("data")
    at = BARS.open_time[0] + np.arange(0, len(BARS), 8) * np.timedelta64(DAY_NS // 24, "ns")
    rng = np.random.default_rng(1)
    Store(root).keep(BARS, "made up")
    Store(root).keep_values(External("BTCUSDT-funding", at, {"rate": 1e-4 * rng.standard_normal(len(at))}), "made up")
    known = at[::3] + np.timedelta64(21, "h")
    Store(root).keep_values(External("VIX", known, {"close": 20 * np.exp(rng.standard_normal(len(known)) / 5)}), "made")
    return root


@pytest.fixture(scope="module")
def bundle(data, tmp_path_factory) -> Path:
    config = TrainConfig(features=FEATURES)
    (bars,) = named_markets("any", "BTCUSDT-1h", config, data)
    assert list(bars.context) == ["funding_8h", "vix_level"]
    return make_bundle(tmp_path_factory.mktemp("bundles"), bars, features=FEATURES, hold=6)


def settings_of(bundle: Path, folder: Path) -> Settings:
    return Settings("reckless", str(bundle), "replay", "rank", folder / "bot.db", None, BARS.open_time[FIRST], {})


def test_the_bundles_market_comes_with_what_it_reads(bundle, data):
    opened = load_bundle(bundle)
    for what in ("BTCUSDT-1h", None):
        market = find_market(opened, what, data)
        assert market.fingerprint() == opened.manifest.data["fingerprint"]
    assert len(compare_bundle(opened, market, zone="all").rows) > 8


def test_bars_to_which_nothing_was_joined_are_refused(bundle):
    with pytest.raises(UsageError, match="bundle toy reads vix_level, funding_8h beside its bars, which nobody joined"):
        compare_bundle(bundle, BARS, zone="all")


def test_a_market_without_the_series_is_refused_with_the_way_to_get_it(bundle, tmp_path):
    Store(tmp_path).keep(BARS, "made up")
    with pytest.raises(UsageError, match="vix_level beside BTCUSDT needs VIX or VIX-1d, which is not stored here"):
        find_market(load_bundle(bundle), "BTCUSDT-1h", tmp_path)


def test_every_law_holds_and_the_bot_goes_on_after_a_restart(bundle, data):
    market = find_market(load_bundle(bundle), None, data)
    broken = [check for check in verify(bundle, market) if not check.passed]
    assert not broken, broken


def test_the_ledger_keeps_what_was_known_and_refuses_another_past(bundle, data, tmp_path):
    market = find_market(load_bundle(bundle), None, data)
    settings = settings_of(bundle, tmp_path)
    assert replay(settings, market[: FIRST + 30]).agrees
    revised = market.context["vix_level"].copy()
    revised[FIRST + 10] += 0.01
    with pytest.raises(DataError, match=r"vix_level of bar .* was .* when it was decided on and is .* now; the feed"):
        replay(settings, market.beside({**market.context, "vix_level": revised}))
    report = replay(settings, market[: FIRST + 60])
    assert report.agrees
    assert report.decided == 60


def test_other_context_is_another_decision(bundle, data):
    """What is beside the bars reaches the model, and no remembered answer stands for another market's."""
    opened = load_bundle(bundle)
    market = find_market(opened, None, data)
    other = market.beside({name: column[::-1].copy() for name, column in market.context.items()})
    here, there = (opened.evidence(bars).p_up for bars in (market, other))
    both = np.isfinite(here) & np.isfinite(there)
    assert both.any()
    assert (here[both] != there[both]).any()


@pytest.fixture
def venue(loopback_exchange):
    loopback_exchange.load(BARS)
    loopback_exchange.advance_to(open_ms(BARS, FIRST + 1) + 200)
    return loopback_exchange


def outside_of(venue, data):
    return Surroundings(broker_of(venue), VenueClock(venue), lambda *said: None, data, data)


def test_live_bars_are_joined_as_they_close_and_the_ledger_is_the_backtest(bundle, data, venue, tmp_path):
    settings = replace(settings_of(bundle, tmp_path), mode="paper", symbol="BTCUSDT", poll_s=60.0, replay_from=None)
    outside = outside_of(venue, data)
    for stop, decided in ((FIRST + 6, 5), (FIRST + 14, 13)):  # stopped and started again between
        with opened(settings, outside) as runner:
            live_on(runner, venue, open_ms(BARS, stop))
            desk = runner.desks[0]
            assert desk.bot.ledger.decided() == decided
            seen = desk.bot.ledger.seen()
            again = with_context(seen.beside({}), seen.context, data)
            assert seen.fingerprint() == again.fingerprint()
            assert against_backtest(desk.bot.strategy, desk.rules, desk.bot.ledger, seen) is None
    assert np.isfinite(seen.context["vix_level"]).all()
    outside.broker.close()


def test_a_live_bot_without_the_series_does_not_start(bundle, venue, tmp_path):
    settings = replace(settings_of(bundle, tmp_path), mode="paper", symbol="BTCUSDT", replay_from=None)
    outside = outside_of(venue, tmp_path)
    said = "vix_level beside BTCUSDT needs VIX or VIX-1d, which is not stored here"
    with pytest.raises(UsageError, match=said), opened(settings, outside):
        pass
    outside.broker.close()
