"""The report in a real browser: what a reader sees, and what happens when they touch it."""

from __future__ import annotations

import numpy as np
import pytest

from engine.report import write_page
from tests.browser import Browser, find_chromium
from tests.report_payload import comparison

CHROMIUM = find_chromium()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)")
BLOCKS = "header table equity price trades calibration thresholds costs luck gates months cards"
PIXELS = "document.querySelector('{} canvas').toDataURL()"


@pytest.fixture(scope="module")
def browser():
    with Browser(CHROMIUM) as one:
        yield one


@pytest.fixture(scope="module")
def small():
    return comparison(3_000)


@pytest.fixture(scope="module")
def big_path(tmp_path_factory):
    return write_page(comparison(50_000), tmp_path_factory.mktemp("big") / "report.html")


@pytest.fixture
def page(browser, small, tmp_path_factory):
    """The small comparison, freshly opened on a laptop's screen; it must not complain."""
    browser.size(1280, 900)
    browser.prefer("light")
    browser.open(write_page(small, tmp_path_factory.mktemp("small") / "report.html"))
    yield browser
    assert browser.errors == []


def opened(browser, report, tmp_path):
    browser.open(write_page(report, tmp_path / "report.html"))
    assert browser.errors == []
    return browser


def column(page, table, nth):
    rows = f"[...document.querySelectorAll('#{table} tbody tr:not(.group):not(.spacer)')]"
    return page.js(f"{rows}.map(row => row.children[{nth}].innerText)")


def numbers(texts):
    return [float(t.split()[0].replace("−", "-").replace(",", "").replace("+", "")) for t in texts if t != "–"]


# ---- opening
def test_fifty_thousand_bars_stay_below_five_megabytes_and_open(browser, big_path):
    browser.size(1280, 900)
    assert big_path.stat().st_size < 5e6
    browser.open(big_path)
    assert browser.errors == []


def test_nothing_is_fetched(browser, big_path):
    browser.open(big_path)
    assert browser.requests == [big_path.as_uri()]
    assert browser.js("performance.getEntriesByType('resource').length") == 0


def test_no_script_but_its_own_can_run(page):
    page.js("(() => { const s = document.createElement('script'); s.textContent = 'window.intruder = 1';"
            "document.body.append(s); })()")  # fmt: skip
    assert page.js("window.intruder") is None
    assert any("Content Security Policy" in error for error in page.errors)
    page.errors.clear()


def test_every_block_is_drawn(page):
    shown = page.js("[...document.querySelectorAll('section:not([hidden])')].map(s => s.id)")
    assert " ".join(shown) == BLOCKS
    blank = page.js("""[...document.querySelectorAll('.chart canvas:first-child')].filter(c => {
        const {data} = c.getContext('2d').getImageData(0, 0, c.width, c.height);
        return !new Uint32Array(data.buffer).some(v => v);
    }).length""")
    assert blank == 0


@pytest.mark.parametrize(("width", "mobile"), [(1280, False), (390, True)])
def test_the_page_never_scrolls_sideways(page, width, mobile):
    page.size(width, 844, 2.0 if mobile else 1.0, mobile)
    page.settle()
    assert page.js("document.documentElement.scrollWidth") == width


def test_charts_are_drawn_at_the_device_s_resolution(page):
    page.size(1000, 800, 3.0)
    page.settle()
    page.js("new Promise(done => setTimeout(done, 100))")
    assert (
        page.js("(() => { const c = document.querySelector('#equity canvas'); return c.width / c.clientWidth; })()")
        == 3
    )


# ---- what cannot be known
def test_absent_blocks_are_left_out_or_say_why(browser, small, tmp_path):
    report = {name: small[name] for name in ("header", "table")} | {"missing": {"luck": "No profile traded."}}
    page = opened(browser, report, tmp_path)
    assert page.js("[...document.querySelectorAll('section:not([hidden])')].map(s => s.id)") == [
        "header",
        "table",
        "luck",
    ]
    assert page.js("document.querySelector('#luck .missing').innerText") == "No profile traded."


def test_an_empty_report_opens(browser, tmp_path):
    assert opened(browser, {}, tmp_path).js("document.querySelector('h1').innerText") == "Strategy comparison"


def test_unknown_figures_are_dashes(browser, small, tmp_path):
    names = ("table", "price", "trades", "calibration", "thresholds", "costs", "luck", "gates", "months")
    report = {name: unknown(small[name]) for name in names} | {"header": {"looks": None, "costs": {}}}
    page = opened(browser, report, tmp_path)
    text = page.js("document.body.innerText")
    assert not [word for word in ("NaN", "undefined", "null", "Infinity", "Invalid") if word in text]
    assert set(column(page, "table", 3)) == {"–"}
    assert page.js("document.querySelector('#table .unknown').title") == "not known"


def unknown(value):
    """The same payload with every fraction unknown."""
    if isinstance(value, dict):
        kept = ("open", "high", "low", "close", "claimed", "threshold", "multiple")
        return {name: part if name in kept and len(value) > 4 else unknown(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [unknown(part) for part in value]
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return np.full(len(value), np.nan)
    return None if isinstance(value, float) else value


def test_text_of_the_payload_is_never_markup(browser, small, tmp_path):
    evil = "<img src=x onerror='document.title=1'><b>"
    report = dict(small) | {"title": evil, "missing": {}, "cards": [{"name": evil, "text": evil}]}
    report["table"] = [row | {"setting": evil} for row in small["table"]]
    page = opened(browser, report, tmp_path)
    assert page.js("document.querySelectorAll('img').length") == 0
    assert page.js("document.title") == evil
    assert page.js("document.querySelector('#cards pre').innerText") == evil


# ---- warnings
def test_few_trades_are_greyed_and_never_ranked(browser, small, tmp_path):
    rows = [dict(row) for row in small["table"] if row["kind"] != "grid"]
    rows[0] |= {"trades": 29, "rank": 1}
    rows[1] |= {"trades": 30, "rank": 2}
    page = opened(browser, {"table": rows}, tmp_path)
    assert column(page, "table", 1)[:2] == ["–", "2"]
    greyed = page.js("[...document.querySelectorAll('#table tr.few')].map(r => r.querySelector('b').innerText)")
    assert greyed == ["sniper"]


def test_in_sample_is_said_loudly_and_never_ranked(browser, small, tmp_path):
    rows = [dict(row) | {"trades": 200} for row in small["table"][:2]]
    rows[0] |= {"in_sample": 0.2, "rank": 1}
    page = opened(browser, {"table": rows, "header": small["header"] | {"in_sample": True}}, tmp_path)
    assert page.js("document.querySelector('[role=alert]').innerText").startswith("In-sample.")
    assert column(page, "table", 1) == ["–", "2"]
    assert "in-sample" in column(page, "table", 0)[0]


def test_the_looks_at_the_sealed_zone_are_counted(page):
    assert "looked at 2 times" in page.js("document.getElementById('header').innerText")


# ---- comparison
def test_the_comparison_shows_the_payload_s_figures(page, small):
    assert numbers(column(page, "table", 3)) == [round(100 * row["total_return"], 1) for row in small["table"]]


def test_a_click_on_a_column_sorts_and_another_turns_it_round(page):
    page.click("#table th:nth-child(4) button")
    down = numbers(column(page, "table", 3))
    page.click("#table th:nth-child(4) button")
    assert down == sorted(down, reverse=True)
    assert numbers(column(page, "table", 3)) == down[::-1]
    assert page.js("document.querySelector('#table th:nth-child(4)').getAttribute('aria-sort')") == "ascending"


def test_what_is_not_known_sorts_last_both_ways(page):
    for _ in range(2):
        page.click("#table th:nth-child(8) button")
        assert column(page, "table", 7)[-3:] == ["–", "–", "–"]


# ---- trades
def test_the_filter_keeps_the_trades_asked_for(page, small):
    page.js("(() => { const s = document.querySelectorAll('#trades select')[1]; s.value = 'stop';"
            "s.dispatchEvent(new Event('change')); })()")  # fmt: skip
    first = small["trades"][0]
    stops, total = int((np.asarray(first["outcome"]["code"]) == 1).sum()), len(first["ret"])
    assert page.js("document.querySelector('.summary').innerText").startswith(f"{stops} of {total} trades ·")
    assert set(column(page, "trades", 5)) == {"stop"}


def choose_all_strategies(page):
    page.js("(() => { const s = document.querySelector('#trades select'); s.value = '';"
            "s.dispatchEvent(new Event('change')); })()")  # fmt: skip


def test_trades_are_tallied_by_strategy_and_of_all_together_it_is_said_that_they_overlap(page, small):
    books, summary = small["trades"], "document.querySelector('.summary').innerText"
    first = np.asarray(books[0]["ret"])
    assert set(column(page, "trades", 0)) == {books[0]["name"]}
    told = f"{len(first)} of {len(first)} trades · won {int(100 * (first > 0).mean() + 0.5)} % · mean "
    assert page.js(summary).startswith(told)
    choose_all_strategies(page)
    total = sum(len(book["ret"]) for book in books)
    assert page.js(summary).startswith(f"{total:,} of {total:,} trades of {len(books)} strategies that overlap: most")


def test_the_head_says_the_terms_of_every_trade(page):
    head = page.js("document.querySelector('#header').innerText")
    for said in ("+1.5/-1.5 ATR, 24 bars", "exposure a trade", "95 %"):
        assert said in head
    heads = page.js("[...document.querySelectorAll('#table th')].map(cell => cell.innerText)")
    assert ("In market" in heads, "Exposure" in heads) == (True, False)


@pytest.mark.parametrize("width", [1280, 1400])
def test_no_cell_of_the_trade_list_is_cut_on_a_laptop(browser, small, tmp_path, width):
    browser.size(width, 900)
    page = opened(browser, small, tmp_path)
    choose_all_strategies(page)
    cut = "[...document.querySelectorAll('#trades td, #trades th')].filter(c => c.scrollWidth > c.clientWidth + 1)"
    assert page.js(f"{cut}.map(c => c.innerText)") == []
    box = "document.querySelector('#trades .scroll')"
    assert page.js(f"{box}.scrollWidth - {box}.clientWidth") <= 0


def test_a_comparison_with_funding_fits_a_laptop(browser, small, tmp_path):
    browser.size(1280, 900)
    gates, name = "confidence 0.75, regime + auditor gates", "0.95 +regime +auditor"
    wide = {
        "total_return": -0.499,
        "sharpe": -5.85,
        "sharpe_low": -8.71,
        "sharpe_high": -2.87,
        "fees": 0.389,
        "funding": 0.006,
    }
    wide |= {"setting": gates, "expectancy_bp": -23.8, "expectancy_low_bp": -137.1, "expectancy_high_bp": -11.0}
    rows = [*({**row, **wide} for row in small["table"]), {**small["table"][0], **wide, "name": name, "trades": 2}]
    page = opened(browser, {**small, "table": rows}, tmp_path)
    box = "document.querySelector('#table .scroll')"
    assert page.js(f"{box}.scrollWidth - {box}.clientWidth") <= 0


@pytest.mark.parametrize("width", [400, 1280])
def test_no_line_of_a_card_is_cut(browser, small, tmp_path, width):
    browser.size(width, 900)
    long = {
        **small,
        "cards": [{"name": "sniper", "text": "sniper\n  selection      " + "11 trials in the ledger; " * 12}],
    }
    page = opened(browser, long, tmp_path)
    assert (
        page.js("(() => { const p = document.querySelector('#cards pre'); return p.scrollWidth - p.clientWidth; })()")
        <= 0
    )
    lines = "[...document.querySelectorAll('#cards pre div')].map(line => line.getBoundingClientRect().height)"
    first, second = page.js(lines)
    assert second > 1.5 * first


def test_the_search_finds_a_date(page, small):
    day = str(small["trades"][0]["entry_time"][3].astype("M8[D]"))
    page.js(f"(() => {{ const s = document.querySelector('#trades input'); s.value = '{day}';"
            "s.dispatchEvent(new Event('input')); })()")  # fmt: skip
    found = column(page, "trades", 1)
    assert found
    assert all(day in row for row in [f"{t} {day}" if day not in t else t for t in found])


def test_few_trades_in_sight_are_called_too_few(page):
    page.js("(() => { const s = document.querySelector('#trades input'); s.value = '2020-02-10';"
            "s.dispatchEvent(new Event('input')); })()")  # fmt: skip
    assert "too few to conclude" in page.js("document.querySelector('.summary').innerText")


def test_the_trade_list_sorts_all_trades_and_holds_only_those_in_sight(browser, big_path):
    browser.open(big_path)
    choose_all_strategies(browser)
    browser.click("#trades th:nth-child(7) button")
    assert browser.js("document.querySelectorAll('#trades tbody tr').length") < 60
    best = numbers(column(browser, "trades", 6))
    assert best == sorted(best, reverse=True)
    assert best[0] == pytest.approx(browser.js("Math.max(...PAYLOAD.trades.flatMap(b => [...b.ret])) * 1e4"), abs=0.06)
    browser.js("document.querySelector('.tall-table').scrollTop = 1e9")
    browser.settle()
    worst = browser.js("Math.min(...PAYLOAD.trades.flatMap(b => [...b.ret])) * 1e4")
    assert numbers(column(browser, "trades", 6))[-1] == pytest.approx(worst, abs=0.06)


def test_a_click_on_a_trade_shows_it_on_the_price(page, small):
    page.click("#trades tbody tr.click td", 0)
    book = small["trades"][0]
    first = int(np.flatnonzero(np.asarray(small["price"]["time"]) == book["entry_time"][0])[0])
    low, high = page.js("priceChart.chart.view")
    assert low < first < high
    assert high - low < 200
    entry = str(book["entry_time"][0].astype("M8[m]")).replace("T", " ")
    assert entry in page.js("document.querySelector('.evidence').innerText")
    top = page.js("document.getElementById('price').getBoundingClientRect().top")
    assert 0 <= top < 200


def test_every_trade_stands_on_its_own_bars(page, small):
    book, times = small["trades"][0], np.asarray(small["price"]["time"])
    assert page.js("[...priceChart.books[0].from]") == times.searchsorted(book["entry_time"]).tolist()
    assert page.js("[...priceChart.books[0].to]") == times.searchsorted(book["exit_time"]).tolist()


# ---- charts
def test_dragging_zooms_and_a_double_click_shows_all(page):
    whole = page.js("priceChart.chart.view")
    page.drag("#price .glass", 0.5, 0.6)
    low, high = page.js("priceChart.chart.view")
    assert high - low < 0.2 * (whole[1] - whole[0])
    assert page.js("document.querySelector('#price .back').hidden") is False
    page.click("#price .glass", count=2)
    assert page.js("priceChart.chart.view") == whole


def test_zooming_in_ends_at_single_bars(page):
    page.js("document.querySelector('#price .glass').focus({preventScroll: true})")
    for _ in range(14):
        page.send("Input.dispatchKeyEvent", type="keyDown", key="+", text="+")
    page.settle()
    low, high = page.js("priceChart.chart.view")
    assert high - low == pytest.approx(8)


def test_dragging_the_overview_moves_the_window(page):
    page.js("priceChart.chart.zoom(100, 400)")
    page.settle()
    page.js("document.querySelector('.strip').scrollIntoView({block: 'center'})")
    left, right = page.js("(() => { const m = priceChart.map, X = v => m.left + (v + 0.5) / 3000 * (m.right - m.left);"
                          "return [X(250), X(1250)].map(x => x / m.host.clientWidth); })()")  # fmt: skip
    page.drag(".strip .glass", left, right)
    assert page.js("priceChart.chart.view") == pytest.approx([1100, 1400], abs=12)


def test_hovering_reads_the_bar_under_the_pointer(page, small):
    page.js("priceChart.chart.zoom(1000, 1020)")
    page.settle()
    page.hover("#price .glass", 0.5)
    said = page.js("document.querySelector('.readout').innerText").replace("\n", " ")
    at = [i for i in range(995, 1026) if str(small["price"]["time"][i].astype("M8[m]")).replace("T", " ") in said]
    assert len(at) == 1
    assert f"{small['price']['close'][at[0]]:.6g}"[:6] in said


def test_hovering_the_equity_reads_every_curve(page, small):
    page.hover("#equity .glass", 0.995)
    said = page.js("document.querySelector('#equity .tip').innerText")
    for curve in small["equity"]["curves"]:
        if curve["kind"] == "profile":
            grown = 100 * (curve["equity"][-1] / curve["equity"][0] - 1)
            assert f"{abs(grown):.1f} %" in said


def test_log_and_linear_draw_different_curves(page):
    pixels = PIXELS.format("#equity")
    page.click("#equity .choice button", 0)
    linear = page.js(pixels)
    page.click("#equity .choice button", 1)
    assert page.js(pixels) != linear
    page.click("#equity .choice button", 0)
    assert page.js(pixels) == linear


def test_the_legend_hides_and_shows_a_curve(page):
    pixels = PIXELS.format("#equity")
    before = page.js(pixels)
    page.click("#equity .chip", 0)
    assert page.js("document.querySelector('#equity .chip').getAttribute('aria-pressed')") == "false"
    assert page.js(pixels) != before
    page.click("#equity .chip", 0)
    assert page.js(pixels) == before


@pytest.mark.parametrize("block", ["calibration", "thresholds", "luck", "months", "cards"])
def test_each_choice_shows_another_strategy(page, block):
    look = f"document.querySelector('#{block} .stage').innerText + ({PIXELS.format(f'#{block}')} ?? '')"
    if block in ("months", "cards"):
        look = f"document.querySelector('#{block} .stage').innerText"
    before = page.js(look)
    page.click(f"#{block} .choice button", 1)
    assert page.js(look) != before


# ---- light and dark
def background(page):
    return page.js("getComputedStyle(document.body).backgroundColor")


def test_the_page_follows_the_system_until_the_reader_chooses(page):
    light = background(page)
    page.prefer("dark")
    page.settle()
    dark = background(page)
    assert dark != light
    page.click("#theme")
    assert background(page) == light
    page.prefer("light")
    page.prefer("dark")
    page.settle()
    assert background(page) == light


def test_charts_change_with_the_theme(page):
    before = page.js(PIXELS.format("#price"))
    page.click("#theme")
    assert page.js(PIXELS.format("#price")) != before
