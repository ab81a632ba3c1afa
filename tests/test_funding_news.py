"""A19: funding is joined as it was known, paid as it was paid, and confirmed only where it foresees."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from engine.bars import Bars
from engine.errors import UsageError
from engine.history.external import External
from engine.jsons import dumps
from engine.synthetic import random_bars
from research.experiments import funding_news as a19
from research.experiments.bench import trade_told
from research.experiments.conduct import conduct
from research.experiments.finding import CONFIRMED
from research.experiments.lab import Lab
from research.experiments.rivals import hear_zones

HOUR, SLOT = np.timedelta64(1, "h"), 8
N = 7_000


def rates_and_bars(pull: float, seed: int = 3, n: int = N) -> tuple[np.ndarray, Bars]:
    """Return funding that wanders, one rate in eight hours, and bars whose drift follows what was paid last."""
    rng = np.random.default_rng(seed)
    rate = np.zeros(n // SLOT)
    for i in range(1, len(rate)):
        rate[i] = 0.9 * rate[i - 1] + rng.standard_normal()
    drift = pull * np.r_[np.repeat(rate, SLOT), np.zeros(n - SLOT * len(rate))]
    close = 100.0 * np.exp(np.cumsum(0.004 * rng.standard_normal(n) + drift))
    opened = np.r_[100.0, close[:-1]]
    wick = 1.0 + 0.001 * rng.random((2, n))
    high, low = np.maximum(opened, close) * wick[0], np.minimum(opened, close) / wick[1]
    return 1e-4 * rate, replace(
        random_bars(n, seed=seed), symbol="BTCUSDT", open=opened, high=high, low=low, close=close
    )


def folder_of(root, rate: np.ndarray, bars: Bars, skip: slice = slice(0, 0)):
    """Write funding and macro series of noise as the data folder has them; some rates may be lost."""
    (root / "perp").mkdir()
    (root / "macro").mkdir()
    stamps = pd.DatetimeIndex(bars.open_time[::SLOT][: len(rate)], tz="UTC", name="timestamp")
    kept = np.ones(len(rate), bool)
    kept[skip] = False
    frame = pd.DataFrame({"symbol": "BTCUSDT", "funding_rate": rate}, index=stamps)[kept]
    frame.to_parquet(root / "perp" / "FUNDING_8h.parquet")
    for i, file in enumerate(a19.FILES.values()):
        step = "1h" if file.endswith("1h") else "1D"
        first = bars.open_time[0].astype("datetime64[D]") - 60
        times = pd.date_range(first, bars.open_time[-1], freq=step, tz="UTC", name="timestamp")
        close = 100.0 * np.exp(np.cumsum(np.random.default_rng(i).normal(0.0, 0.01, len(times))))
        columns = dict.fromkeys(("open", "high", "low", "close"), close) | {"volume": np.ones(len(times))}
        pd.DataFrame(columns, index=times).to_parquet(root / "macro" / f"{file}.parquet")
    return root


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    rate, bars = rates_and_bars(0.0)
    folder = folder_of(tmp_path_factory.mktemp("noise"), rate, bars, slice(500, 560))
    return Lab(bars, quick=True, extra=folder)


def test_on_noise_nothing_is_confirmed_and_every_strategy_is_counted(noise):
    page, trials = conduct("A19", noise)
    assert page["verdict"] != CONFIRMED
    assert {line[0] for line in page["rows"]} == {*a19.ways_of(noise, a19.funding_of(noise.extra, "BTCUSDT"))}
    traded = [one for one in page["standings"] if "trades" in one]
    assert len(trials) == len(traded) == 8
    assert len({(trial.config_hash, trial.zone) for trial in trials}) == 8
    dumps(page)


def test_funding_that_foresees_is_confirmed(tmp_path, monkeypatch):
    monkeypatch.setattr(a19, "CELLS", tuple(cell for cell in a19.CELLS if cell.barriers.hold == 24))
    rate, bars = rates_and_bars(0.0004, n=12_000)
    page, _ = conduct("A19", Lab(bars, quick=True, extra=folder_of(tmp_path, rate, bars)))
    assert page["verdict"] == CONFIRMED, page["sentence"]


def test_all_ways_are_judged_on_the_same_rows_none_of_them_in_the_hole(noise):
    cell, rows, seen = a19.CELLS[0], [], []
    for way, study in a19.studies(noise, cell, [], noise.extra):
        told = hear_zones(study, way, cell.kind, way)
        rows.append(told[way, cell.kind, "walk-forward"].rows)
        seen.append(study.names)
    assert all(np.array_equal(rows[0], other) for other in rows)
    rates = a19.funding_of(noise.extra, "BTCUSDT")
    gap = int(np.argmax(np.diff(rates.known_at)))
    closes = noise.bars.close_time[rows[0]]
    inside = (closes > rates.known_at[gap] + 9 * HOUR) & (closes < rates.known_at[gap + 1])
    assert not inside.any()
    assert len({len(names) for names in seen}) == 4  # none, funding, macro, both


def test_a_rate_is_known_from_its_moment_on_and_its_early_copy_eight_hours_before(noise):
    rates = a19.funding_of(noise.extra, "BTCUSDT")
    macro = {name: External(name, rates.known_at, {"close": np.full(len(rates), 2.0)}) for name in a19.FILES}
    ways = a19.ways_of(noise, rates)
    for way, ahead in ((a19.AS_KNOWN, 0), (a19.TOO_EARLY, 8)):
        bars = a19.with_rates(noise.bars, ways[way][0], macro)
        for i in (100, 203, 1001):
            last = np.searchsorted(rates.known_at, bars.close_time[i] + ahead * HOUR, side="right") - 1
            assert bars.context["funding_8h"][i] == rates.columns["rate"][last]
    mixed, known = ways["shuffled 1"][0], ways[a19.AS_KNOWN][0]
    assert known.known_at[-1] <= noise.bars.close_time[-1] < rates.known_at[-1]  # none of the sealed zone
    assert np.array_equal(mixed.known_at, known.known_at)
    assert np.array_equal(np.sort(mixed.columns["rate"]), np.sort(known.columns["rate"]))
    assert not np.array_equal(mixed.columns["rate"], known.columns["rate"])


def test_a_long_pays_each_rate_at_its_bar_and_the_usual_one_where_the_records_are_lost():
    bars = random_bars(40, seed=1)
    first = bars.open_time[0]
    moments = first + np.array([0, 8, 24], "timedelta64[h]") + np.array([0, 8, 0], "timedelta64[ms]")
    rates = External("BTCUSDT-funding", moments, {"rate": np.array([0.001, -0.002, 0.003])})
    told = a19.paid(bars, rates)
    hours = (bars.open_time - first).astype("timedelta64[h]").astype(int)
    want = {0: 0.001, 8: -0.002, 16: a19.USUAL_RATE, 24: 0.003, 32: a19.USUAL_RATE}
    assert [told[hours == h].item() for h in want if (hours == h).any()] == [r for h, r in want.items() if h in hours]
    assert not told[hours % 8 != 0].any()


def test_funding_paid_lowers_what_a_long_earns_and_both_sides_are_traded(noise):
    cell = a19.CELLS[0]
    study = next(study for way, study in a19.studies(noise, cell, [], noise.extra) if way == a19.NONE)
    told = hear_zones(study, "none", cell.kind, "none")["none", cell.kind, "walk-forward"]
    free, dear = trade_told(told), trade_told(told, funding=np.full(len(noise.bars), 1e-6))
    sides = free.result.trades["side"]
    assert {1, -1} <= set(sides.tolist())
    held = free.result.trades["bars"] > 1
    assert held.sum() > 20
    assert np.array_equal(dear.net > free.net, held & (sides < 0))
    assert np.array_equal(dear.net < free.net, held & (sides > 0))


@pytest.mark.parametrize("quick", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_what_lies_in_the_sealed_zone_changes_no_finding(quick, tmp_path):
    rate, bars = rates_and_bars(0.0, n=4_000)
    cut = int(len(bars) * 0.85)
    torn = {c: getattr(bars, c).copy() for c in ("open", "high", "low", "close", "volume")}
    for column in torn.values():
        column[cut:] *= 3.0
    late = rate.copy()
    late[-(-cut // SLOT) + 1 :] *= -5.0
    pages = []
    for name, r, b in (("a", rate, bars), ("b", late, replace(bars, **torn))):
        (tmp_path / name).mkdir()
        page, _ = conduct("A19", Lab(b, quick=quick, extra=folder_of(tmp_path / name, r, b)))
        del page["measured"]
        pages.append(page)
    assert json.dumps(pages[0]) == json.dumps(pages[1])


def test_what_is_missing_is_named(noise, tmp_path):
    with pytest.raises(UsageError, match="A19 needs funding"):
        a19.run(replace_lab(noise, None))
    with pytest.raises(UsageError, match=r"FUNDING_8h\.parquet is missing"):
        a19.funding_of(tmp_path, "BTCUSDT")
    with pytest.raises(UsageError, match="holds no funding of DOGEUSDT; there is BTCUSDT"):
        a19.funding_of(noise.extra, "DOGEUSDT")


def replace_lab(lab: Lab, extra) -> Lab:
    return Lab(lab.bars, quick=True, extra=extra)
