"""The report's payload and page, without a browser."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest

import engine.report.page as page
from engine.errors import UsageError
from engine.report import render, write_page
from engine.report.blocks import MOST_BARS, equity_block, price_block, trades_block
from engine.report.columns import packed, to_json
from engine.rules import Rules
from engine.signals import Evidence, Signals
from engine.simulate import simulate
from engine.synthetic import random_bars
from tests.report_payload import comparison

TYPES = {"f32": "<f4", "u32": "<u4", "i32": "<i4", "u8": "u1", "i8": "i1"}
SCRIPT = "".join((page.HERE / name).read_text(encoding="utf-8") for name in page.SCRIPTS)


def unpacked(column: object) -> np.ndarray:
    if isinstance(column, list):
        return np.array(column, float)
    ((kind, text),) = column.items()
    return np.frombuffer(base64.b64decode(text), TYPES[kind])


def payload_of(html: str) -> dict:
    return json.loads(re.search(r'id="payload">(.*?)</script>', html, re.S)[1])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.linspace(-1, 1, 50), "f32"),
        (np.arange(100), "u8"),
        (np.arange(100) - 50, "i8"),
        (np.arange(50) + 3_000_000_000, "u32"),
        (np.arange(50) - 2_000_000_000, "i32"),
        (np.arange(50) % 2 == 0, "u8"),
    ],
)
def test_a_long_column_travels_in_the_smallest_type_that_holds_it(values, kind):
    column = packed(values)
    assert list(column) == [kind]
    np.testing.assert_allclose(unpacked(column), values, rtol=1e-7)


def test_integers_no_type_holds_travel_as_a_list():
    assert packed(np.arange(40) * 10**9) == [i * 10**9 for i in range(40)]


def test_times_travel_as_whole_seconds_before_and_after_1970():
    times = np.arange("1969-12-31T23", "1970-01-02T23", dtype="datetime64[h]")
    np.testing.assert_array_equal(unpacked(packed(times.astype("M8[ns]"))), np.arange(48) * 3600 - 3600)


def test_what_is_not_finite_is_not_known():
    assert packed({"a": float("nan"), "b": [np.inf, 1.0], "c": np.array([np.nan])}) == {
        "a": None,
        "b": [None, 1.0],
        "c": [None],
    }


def test_prices_keep_six_significant_digits():
    assert packed([12345.678, 0.000012345678]) == [12345.7, 1.23457e-05]
    long = np.full(50, 54321.9)
    np.testing.assert_allclose(unpacked(packed(long)), long, rtol=1e-6)


def test_no_text_ends_the_script_it_stands_in():
    html = render({"title": "</title><script>", "cards": [{"name": "</script><b>", "text": "<!--<script>&amp; "}]})
    assert html.count("</script>") == 2
    assert not set("<>&") & set(re.search(r'id="payload">(.*?)</script>', html, re.S)[1])
    assert "<title>&lt;/title&gt;&lt;script&gt;</title>" in html
    assert payload_of(html)["cards"][0]["text"] == "<!--<script>&amp; "


def test_placeholders_in_the_payload_stay_text():
    html = render({"cards": [{"name": "{{script}}", "text": "{{style}}"}]})
    assert payload_of(html)["cards"][0]["name"] == "{{script}}"


def test_the_page_names_no_address():
    static = render({})
    assert not re.search(r"https?:|//[a-z0-9-]+\.|@import|url\(|srcset|<iframe|<object|<form", static)
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|importScripts|sendBeacon|eval|innerHTML)\b", SCRIPT)


def test_the_policy_allows_this_script_and_style_by_hash_and_nothing_else():
    policy = re.search(r'Security-Policy" content="(.*?)"', render({}))[1]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert policy.count("'sha256-") == 2


def test_a_block_nobody_knows_is_refused():
    with pytest.raises(UsageError, match="unknown report block 'equities'; did you mean 'equity'"):
        render({"equities": {}})


def test_columns_of_different_lengths_are_refused():
    report = comparison(600)
    report["trades"][1]["p"] = np.zeros(3)
    with pytest.raises(
        UsageError, match=r"report block trades: p has 3 rows and entry_time \d+; they must be the same"
    ):
        render(report)


def test_what_json_cannot_say_is_refused():
    with pytest.raises(UsageError, match="was given a object"):
        to_json({"a": object()})


def test_twelve_strategies_on_fifty_thousand_bars_stay_far_below_five_megabytes():
    report = comparison(50_000)
    report["trades"].append(report["trades"][2])
    assert sum(len(book["ret"]) for book in report["trades"]) > 15_000
    assert len(render(report)) < 4e6


def test_a_page_is_written_whole(tmp_path: Path):
    path = write_page({"title": "x"}, tmp_path / "deep" / "report.html")
    assert path.read_text(encoding="utf-8") == render({"title": "x"})
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_equal_payloads_give_equal_pages():
    assert render(comparison(600)) == render(comparison(600))


def test_merged_bars_keep_every_extreme_and_say_so():
    bars = random_bars(2 * MOST_BARS + 1, seed=3, timeframe="1m")
    block = price_block(bars)
    assert len(block["time"]) == MOST_BARS * 2 // 3 + 1
    np.testing.assert_array_equal(block["high"][:-1], bars.high[: 3 * (len(bars) // 3)].reshape(-1, 3).max(axis=1))
    np.testing.assert_array_equal(block["low"][:-1], bars.low[: 3 * (len(bars) // 3)].reshape(-1, 3).min(axis=1))
    assert (block["open"][0], block["close"][-1]) == (bars.open[0], bars.close[-1])
    assert block["note"].startswith("Each bar drawn is 3 bars of 1m")


def test_a_bar_without_belief_has_no_regime():
    bars = random_bars(4)
    belief = np.array([[np.nan, np.nan], [0.9, 0.1], [0.2, 0.8], [0.5, np.nan]])
    assert price_block(bars, belief, ("calm", "wild"))["regime"]["code"].tolist() == [255, 0, 1, 255]


def test_a_thinned_curve_ends_where_the_equity_ends():
    bars = random_bars(9_001)
    block = equity_block(bars, {"hold": bars.close}, {"hold": "control"})
    assert block["curves"][0]["equity"][-1] == bars.close[-1]
    assert block["time"][-1] == bars.close_time[-1]


def test_every_trade_carries_the_evidence_of_the_bar_that_decided_it():
    bars = random_bars(400, seed=5)
    n, rng = len(bars), np.random.default_rng(1)
    p, audit, belief = rng.random(n), rng.random(n), rng.dirichlet([1, 1], n)
    side = (rng.random(n) > 0.9).astype(np.int8)
    evidence = Evidence(p, np.ones(n, np.int8), p, belief, audit, np.ones(n))
    signals = Signals(side=side, atr=np.ones(n), evidence=evidence, confidence=p**2, gates={"regime": side > 0})
    result = simulate(bars, signals, Rules())
    block = trades_block("sniper", result.trades, bars, signals)
    rows = np.array([np.flatnonzero(bars.open_time == t)[0] for t in result.trades["wish_time"]])
    assert len(rows) > 10
    for name, column in {"p": p, "confidence": p**2, "belief": belief[:, 1], "audit": audit}.items():
        np.testing.assert_array_equal(block[name], column[rows])
    assert block["reason"]["words"] == ["regime"]
    assert {block["outcome"]["words"][code] for code in block["outcome"]["code"]} <= {"target", "stop", "time"}


def test_a_strategy_without_trades_can_be_shown():
    bars = random_bars(50)
    idle = Signals(side=np.zeros(50, np.int8), atr=np.ones(50))
    block = trades_block("idle", simulate(bars, idle, Rules()).trades, bars, idle)
    assert payload_of(render({"trades": [block], "price": price_block(bars)}))["trades"][0]["ret"] == []


def test_scripts_are_short_files():
    for name in page.SCRIPTS:
        lines = (page.HERE / name).read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 300, name
        assert max(map(len, lines)) <= 130, name
