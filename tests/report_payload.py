"""A comparison that never happened: a report's payload with every block, made by dice."""

from __future__ import annotations

import numpy as np

from engine.bars import Bars
from engine.report.blocks import equity_block, months_block, price_block
from engine.report.payload import Report
from engine.report.series import Trades
from engine.synthetic import random_bars

REGIMES = ("calm", "normal", "turbulent")
PROFILES = {"sniper": (0.95, True, False), "audited": (0.75, True, True), "reckless": (0.75, False, False)}
GRID = {
    f"{level:.2f}{' regime' * regime}{' auditor' * auditor}": (level, bool(regime), bool(auditor))
    for level in (0.95, 0.75)
    for regime in (0, 1)
    for auditor in (0, 1)
}
CARD = """{name:<14} ret {ret}  Sharpe {sharpe} (daily, 365d)  trades {trades}
  sample       2,083 days  exposure 7 %   costs 24.0 bp a round trip
  Sharpe CI    95% stationary bootstrap [-0.41, 1.02]   PSR(0) 0.803   MinTRL 4,810 d (have 2,083: too short)
  selection    62 trials in ledger, K_eff 31 -> E[max|null] 2.9, DSR 0.37  PBO 0.44  SPA p 0.31
  VERDICT      {verdict}"""


def comparison(n: int = 50_000, seed: int = 7) -> Report:
    """Return a full payload over n hourly bars: three profiles, the gate grid and the controls."""
    rng = np.random.default_rng(seed)
    bars = random_bars(n, seed=seed, volatility=0.006, drift=0.00002)
    belief = _belief(bars)
    every = {name: _trades(name, bars, belief, rng, *made_of) for name, made_of in {**PROFILES, **GRID}.items()}
    equity = {name: _equity(bars, book) for name, book in every.items()}
    equity |= {
        "buy & hold": 10_000 * bars.close / bars.close[0],
        "scaled hold": _scaled_hold(bars),
        "cash": np.full(n, 1e4),
    }
    kinds = {name: "profile" if name in PROFILES else "grid" if name in GRID else "control" for name in equity}
    profiles = [every[name] for name in PROFILES]
    return {
        "title": "BTCUSDT 1h: sniper, audited and reckless",
        "header": _header(bars),
        "table": [_row(name, kinds[name], curve, every.get(name), rng) for name, curve in equity.items()],
        "equity": equity_block(bars, equity, kinds),
        "price": price_block(bars, belief, REGIMES),
        "trades": list(every.values()),
        "calibration": [_calibration("predictor", rng), _calibration("auditor", rng)],
        "thresholds": [_thresholds(name, rng) for name in ("predictor alone", "regime gate", "both gates")],
        "costs": _costs(equity, profiles),
        "luck": [_luck(book["name"], rng) for book in profiles],
        "gates": _gates(),
        "months": [months_block(name, *_daily(bars, equity[name])) for name in (*PROFILES, "buy & hold")],
        "cards": [_card(name, every[name], equity[name]) for name in PROFILES],
        "missing": {},
    }


def _belief(bars: Bars) -> np.ndarray:
    size = np.abs(np.diff(np.log(bars.close), prepend=np.log(bars.close[0])))
    slow = np.convolve(size, np.ones(96) / 96)[: len(size)]
    score = (slow / np.median(slow) - 1.0) * 6
    weight = np.exp(np.stack([-score, -np.abs(score), score], axis=1).clip(-30, 30))
    belief = weight / weight.sum(axis=1, keepdims=True)
    belief[:200] = np.nan
    return belief


def _trades(name: str, bars: Bars, belief: np.ndarray, rng: np.random.Generator, *made_of: object) -> Trades:
    level, regime, auditor = made_of
    confidence = rng.random(len(bars))
    audit = 0.5 + 0.06 * rng.standard_normal(len(bars))
    good = (confidence >= level + (1 - level) * 0.6) & np.isfinite(belief[:, 0])
    good &= belief[:, 2] <= 0.5 if regime else True
    good &= audit >= 0.55 if auditor else True
    found, free = [], 0
    reach = 1.5 * np.convolve(bars.high - bars.low, np.ones(14) / 14)[: len(bars)]
    for t in np.flatnonzero(good[:-26]):
        if t < free:
            continue
        entry = bars.open[t + 1] * 1.0002
        target, stop = bars.open[t + 1] + reach[t], bars.open[t + 1] - reach[t]
        for i in range(t + 1, t + 25):
            if bars.low[i] <= stop or bars.high[i] >= target:
                break
        how = 1 if bars.low[i] <= stop else 0 if bars.high[i] >= target else 2
        leave = (target, stop * 0.9998, bars.close[i] * 0.9998)[how]
        found.append((t, t + 1, i, entry, leave, target, stop, how, bars.low[i] <= stop and bars.high[i] >= target))
        free = i
    wish, first, last, entry, leave, target, stop, how, both = np.array(found).T
    rows = wish.astype(int)
    allowed = ["regime"] * bool(regime) + ["auditor"] * bool(auditor)
    return {
        "name": name,
        "wish_time": bars.open_time[rows],
        "entry_time": bars.open_time[first.astype(int)],
        "exit_time": bars.open_time[last.astype(int)],
        "side": np.ones(len(rows), np.int8),
        "entry_price": entry,
        "exit_price": leave,
        "target": target,
        "stop": stop,
        "ret": leave / entry - 1 - 0.0008 + 0.0007,
        "outcome": {"words": ["target", "stop", "time", "open"], "code": how},
        "bars": last - first + 1,
        "p": 0.5 + 0.2 * (confidence[rows] - 0.6),
        "confidence": confidence[rows],
        "belief": belief[rows, 2],
        "audit": audit[rows] if auditor else np.full(len(rows), np.nan),
        "reason": {
            "words": [", ".join(allowed) if allowed else "no gate"],
            "code": np.zeros(len(rows), int),
        },
        "ambiguous": both,
    }


def _equity(bars: Bars, book: Trades) -> np.ndarray:
    jumps = np.ones(len(bars))
    jumps[bars.open_time.searchsorted(book["exit_time"])] += 0.95 * np.asarray(book["ret"])
    return 10_000 * np.cumprod(jumps)


def _scaled_hold(bars: Bars) -> np.ndarray:
    return 10_000 * np.exp(0.3 * (np.log(bars.close) - np.log(bars.close[0])))


def _daily(bars: Bars, equity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    day = bars.open_time.astype("datetime64[D]")
    last = np.flatnonzero(np.r_[day[1:] != day[:-1], True])
    return day[last], np.diff(equity[last], prepend=equity[0]) / np.r_[equity[0], equity[last][:-1]]


def _header(bars: Bars) -> dict:
    return {
        "bundle": "btcusdt-1h",
        "market": "BTCUSDT",
        "timeframe": bars.timeframe,
        "zone": "walk-forward, out of sample",
        "first": bars.open_time[0],
        "last": bars.open_time[-1],
        "bars": len(bars),
        "mode": "rank",
        "costs": {"fee": 0.001, "maker_fee": 0.001, "slippage": 0.0002, "round_trip": 0.0024},
        "barriers": "+1.5/-1.5 ATR, 24 bars",
        "exposure": 0.95,
        "in_sample": False,
        "looks": 2,
        "trials": 62,
        "fingerprint": bars.fingerprint()[:12],
        "code": "3f2c1ab",
        "verdicts": [
            {
                "name": "sniper",
                "word": "NOT PROVEN",
                "tone": "open",
                "sentence": "Its Sharpe interval holds 0; the best of 62 trials without skill would look as good.",
            },
            {
                "name": "audited",
                "word": "TOO FEW TRADES",
                "tone": "open",
                "sentence": "Fewer than 100 trades: the win rate could be anything from 41 % to 63 %.",
            },
            {
                "name": "reckless",
                "word": "LOSES",
                "tone": "bad",
                "sentence": "It pays more in costs than it earns: -4 bp a trade, interval below 0.",
            },
        ],
    }


def _row(name: str, kind: str, curve: np.ndarray, book: Trades | None, rng: np.random.Generator) -> dict:
    steps = np.diff(np.log(curve))
    sharpe = float(steps.mean() / steps.std() * np.sqrt(8760)) if steps.std() > 0 else None
    row = {
        "name": name,
        "kind": kind,
        "trades": None if book is None else len(book["ret"]),
        "total_return": curve[-1] / curve[0] - 1,
        "sharpe": sharpe,
        "sharpe_low": None if sharpe is None else sharpe - 0.8 - 0.2 * rng.random(),
        "sharpe_high": None if sharpe is None else sharpe + 0.8 + 0.2 * rng.random(),
        "max_drawdown": float((curve / np.maximum.accumulate(curve)).min() - 1),
        "fees": None if book is None else 0.0024 * len(book["ret"]),
        "exposure": 1.0 if "hold" in name else 0.0,
    }
    if book is None:
        return row
    ret, spread = np.asarray(book["ret"]), np.std(book["ret"]) / np.sqrt(len(book["ret"]))
    win = float((ret > 0).mean())
    level, regime, auditor = {**PROFILES, **GRID}[name]
    return row | {
        "setting": f"confidence {level}{', regime' * regime}{', auditor' * auditor}",
        "rank": 1 + list({**PROFILES, **GRID}).index(name),
        "win_rate": win,
        "win_low": win - 0.45 / np.sqrt(len(ret)),
        "win_high": win + 0.45 / np.sqrt(len(ret)),
        "break_even": 0.538,
        "expectancy_bp": 1e4 * ret.mean(),
        "expectancy_low_bp": 1e4 * (ret.mean() - 2 * spread),
        "expectancy_high_bp": 1e4 * (ret.mean() + 2 * spread),
        "exposure": float(np.sum(book["bars"]) / 50_000),
    }


def _calibration(name: str, rng: np.random.Generator) -> dict:
    claimed = np.linspace(0.43, 0.59, 10)
    count = np.array([210, 800, 2100, 3900, 5200, 4800, 3100, 1500, 610, 160])
    spread = 1.96 * np.sqrt(claimed * (1 - claimed) / count * 4)
    return {
        "name": name,
        "claimed": claimed,
        "realised": 0.505 + 0.8 * (claimed - 0.505) + spread / 2 * rng.standard_normal(10),
        "count": count,
        "low": claimed - spread,
        "high": claimed + spread,
        "base_rate": 0.503,
        "ece": 0.0121,
        "ece_null": 0.0148,
        "zone": "validation",
    }


def _thresholds(name: str, rng: np.random.Generator) -> dict:
    level = np.linspace(0.5, 0.995, 34)
    trades = np.round(900 * (1 - level) ** 0.9 + 4)
    net = 0.25 * (level - 0.75) - 0.05 + 0.02 * np.cumsum(rng.standard_normal(34)) / 3
    band = 0.9 / np.sqrt(trades)
    marks = [{"name": profile, "at": made_of[0]} for profile, made_of in PROFILES.items()]
    return {
        "name": name,
        "threshold": level,
        "net_return": net,
        "low": net - band,
        "high": net + band,
        "trades": trades,
        "marks": marks,
        "zone": "validation",
        "band": "one standard error",
    }


def _costs(equity: dict[str, np.ndarray], profiles: list[Trades]) -> dict:
    curves = []
    for book in profiles:
        gross = np.asarray(book["ret"]) + 0.0024
        results = [float(np.prod(1 + gross - m * 0.0024) - 1) for m in range(4)]
        sharpe = [
            float(np.mean(gross - m * 0.0024) / (np.std(gross) + 1e-9) * np.sqrt(len(gross) / 5.7)) for m in range(4)
        ]
        edge = 1e4 * gross.mean()
        measures = {"expectancy_bp": [edge - m * 24.0 for m in range(4)], "net_return": results, "sharpe": sharpe}
        curves.append({"name": book["name"], "break_even_bp": edge} | measures)
    return {"multiple": [0, 1, 2, 3], "round_trip_bp": 24.0, "curves": curves}


def _luck(name: str, rng: np.random.Generator) -> dict:
    draws = 0.55 * rng.standard_normal(2000) - 0.3
    own = {"sniper": 0.61, "audited": 0.22, "reckless": -0.55}[name]
    return {"name": name, "measure": "Sharpe", "draws": draws, "value": own, "share_below": (draws < own).mean()}


def _gates() -> list[dict]:
    rows = (
        ("regime", "0.95 regime", "0.95", 0.18, -0.21, 0.6, 141, -8.2),
        ("regime", "0.75 regime", "0.75", 0.31, 0.04, 0.62, 388, -11.9),
        ("auditor", "0.95 auditor", "0.95", -0.02, -0.4, 0.37, 60, 3.1),
        ("auditor", "0.75 auditor", "0.75", -0.29, -0.55, -0.03, 702, 6.4),
        ("auditor", "audited", "0.75 regime", None, None, None, None, None),
    )
    names = ("gate", "strategy", "without", "difference", "low", "high", "removed", "removed_bp")
    return [dict(zip(names, row, strict=True)) | {"measure": "Sharpe"} for row in rows]


def _card(name: str, book: Trades, equity: np.ndarray) -> dict:
    text = CARD.format(
        name=name,
        ret=f"{equity[-1] / equity[0] - 1:+.2%}",
        sharpe="0.31",
        trades=len(book["ret"]),
        verdict="NOT PROVEN (DSR < 0.95)",
    )
    return {"name": name, "text": text}
