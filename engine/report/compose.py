"""From a judged comparison to the blocks of its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.card.judge import HOLD, Judged, Judgement
from engine.card.stress import COST_MULTIPLES, cost_curve
from engine.card.text import card_lines
from engine.card.verdict import LOSES, PROVEN
from engine.compare import CONTROL, PROFILE, Row, funding_said
from engine.funding import known_share
from engine.report.blocks import equity_block, months_block, price_block, trades_block
from engine.report.payload import Report
from engine.report.terminal import same_as_control
from engine.score import daily_returns
from engine.wording import fitted_on


def compose(judged: Judged, thresholds: Sequence[Mapping[str, Any]] = ()) -> Report:
    """Return the payload of a comparison's page.

    Parameters
    ----------
    judged : Judged
        What was compared and what may be believed of it.
    thresholds : sequence of blocks
        From ``strategies.thresholds``; the engine knows no bundle.
    """
    comparison = judged.comparison
    roles = tuple(comparison.about.get("bundle", {}).get("regimes", ()))
    rows = comparison.rows
    profiles = [row for row in rows if row.kind == PROFILE]
    spoken = next((row.signals for row in rows if row.signals is not None and row.signals.evidence is not None), None)
    belief = spoken.evidence.belief if spoken is not None and spoken.evidence is not None else None
    return {
        "title": f"{comparison.about.get('bundle', {}).get('name', 'Strategies')} on {comparison.bars.symbol}",
        "header": _header(judged),  # type: ignore[typeddict-item]
        "table": [_table_row(judged, row) for row in rows],  # type: ignore[misc]
        "equity": equity_block(
            comparison.bars,
            {row.name: row.result.equity for row in rows},
            {row.name: row.kind for row in rows},  # type: ignore[misc]
        ),
        "price": price_block(comparison.bars, belief, roles) if roles else price_block(comparison.bars),
        "trades": [
            trades_block(row.name, row.result.trades, comparison.bars, row.signals)
            for row in rows
            if row.kind != CONTROL and len(row.result.trades)
        ],
        "calibration": _calibration(judged),  # type: ignore[typeddict-item]
        "thresholds": list(thresholds),  # type: ignore[arg-type]
        "costs": _costs(judged),  # type: ignore[typeddict-item]
        "luck": [_luck(one) for one in judged.profiles if one.luck is not None],  # type: ignore[misc]
        "gates": [_gate(judged, i) for i in range(len(judged.gates))],  # type: ignore[misc]
        "months": [months_block(row.name, *daily_returns(row.result)) for row in [*profiles, *_held(rows)]],
        "cards": [
            {"name": one.row.name, "text": "\n".join(card_lines(judged, one.row.name))} for one in judged.profiles
        ],
        "missing": _missing(judged, thresholds),
    }


def _held(rows: tuple[Row, ...]) -> list[Row]:
    return [row for row in rows if row.name == HOLD]


def _seconds(time: np.datetime64) -> int:
    return int(time.astype("datetime64[s]").astype(np.int64))


def _header(judged: Judged) -> dict[str, Any]:
    comparison, record = judged.comparison, judged.comparison.about
    rules = comparison.rules
    costs = {name: getattr(rules, name) for name in ("fee", "maker_fee", "slippage", "round_trip")}
    header: dict[str, Any] = {
        "bundle": record.get("bundle", {}).get("name", "strategies"),
        "market": comparison.bars.symbol,
        "timeframe": comparison.bars.timeframe,
        "zone": comparison.zone,
        "first": _seconds(comparison.bars.open_time[0]),
        "last": _seconds(comparison.bars.open_time[-1]),
        "bars": len(comparison.bars),
        "mode": record.get("confidence", "rank"),
        "costs": costs,
        "barriers": f"+{rules.k_up:g}/-{rules.k_down:g} ATR, {rules.hold} bars",
        "exposure": rules.exposure,
        "in_sample": any(row.in_sample > 0 for row in comparison.rows),
        "seen": fitted_on(comparison.bars.symbol, record.get("bundle", {}).get("markets", ())),
        "trials": judged.trials.count,
        "verdicts": [_verdict(one) for one in judged.profiles],
    }
    if told := funding_said(comparison):
        header["funding"] = told
    if told := same_as_control(comparison):
        header["note"] = told
    if judged.looks:  # they stay counted once the bundle is released
        header["looks"] = judged.looks
    if header["in_sample"] and "fence" in record.get("bundle", {}):
        header["in_sample_until"] = _seconds(np.datetime64(record["bundle"]["fence"], "s"))
    if "data" in record:
        header["fingerprint"] = record["data"]["fingerprint"][:12]
    return header


def _verdict(one: Judgement) -> dict[str, Any]:
    tone = (
        "good" if one.verdict.word == PROVEN else "bad" if one.verdict.word == LOSES or one.verdict.alarms else "open"
    )
    why = "; ".join((*one.verdict.alarms, *one.verdict.reasons))
    return {"name": one.row.name, "word": one.verdict.word, "sentence": why, "tone": tone}


def _table_row(judged: Judged, row: Row) -> dict[str, Any]:
    score, sharpe, win = row.score, judged.sharpes[row.name], judged.wins[row.name]
    line: dict[str, Any] = {
        "name": row.name,
        "kind": row.kind,
        "setting": setting_of(row),
        "in_sample": row.in_sample > 0,
        "trades": score.trades,
        "total_return": score.total_return,
        "sharpe": score.sharpe,
        "sharpe_low": sharpe.low,
        "sharpe_high": sharpe.high,
        "max_drawdown": score.max_drawdown,
        "win_rate": win.value,
        "win_low": win.low,
        "win_high": win.high,
        "break_even": win.break_even,
        "expectancy_bp": score.expectancy_bp,
        "fees": score.fees_paid / judged.comparison.rules.cash,
        "funding": score.funding_paid / judged.comparison.rules.cash if known_share(row.result.bars) else None,
        "exposure": score.exposure,
    }
    if row.name in judged.ranking:
        line["rank"] = judged.ranking.index(row.name) + 1
    if row.kind == PROFILE and (found := judged[row.name].expectancy).low is not None and found.high is not None:
        line |= {"expectancy_low_bp": found.low * 1e4, "expectancy_high_bp": found.high * 1e4}
    return line


def setting_of(row: Row) -> str:
    """Return what a row is made of, in a few words."""
    if not row.terms:
        if row.kind != CONTROL:
            return ""
        return "no model" if row.signals is None else "the control that every predictor must beat"
    gates = [gate for gate, stands in row.terms.items() if stands is True]
    told = f", {' + '.join(gates)} {'gate' if len(gates) == 1 else 'gates'}" if gates else ""
    return f"confidence {row.terms['threshold']:g}{told}"


def _calibration(judged: Judged) -> list[dict[str, Any]]:
    forecast = judged.forecast
    if forecast is None or not forecast.curve:
        return []
    columns = {
        "claimed": [b.forecast for b in forecast.curve],
        "realised": [b.frequency for b in forecast.curve],
        "count": [b.n for b in forecast.curve],
        "low": [b.low for b in forecast.curve],
        "high": [b.high for b in forecast.curve],
    }
    measured = forecast.calibration
    about = {"base_rate": forecast.loss.base_rate, "ece": measured.ece, "ece_null": measured.null_high}
    return [{"name": "predictor", **columns, **about, "zone": judged.comparison.zone}]


def _costs(judged: Judged) -> dict[str, Any]:
    rules = judged.comparison.rules
    curves = []
    for one in judged.profiles:
        assert one.row.signals is not None
        scores = cost_curve(judged.comparison.bars, one.row.signals, rules)
        curves.append(
            {
                "name": one.row.name,
                "net_return": [s.total_return for s in scores],
                "sharpe": [s.sharpe for s in scores],
                "expectancy_bp": [s.expectancy_bp for s in scores],
                "break_even_bp": scores[0].expectancy_bp,  # at no costs, funding paid
            }
        )
    return {"multiple": list(COST_MULTIPLES), "round_trip_bp": rules.round_trip * 1e4, "curves": curves}


def _luck(one: Judgement) -> dict[str, Any]:
    assert one.luck is not None
    return {
        "name": one.row.name,
        "measure": "net return",
        "draws": one.luck.draws.total_return,
        "value": one.row.score.total_return,
        "share_below": one.luck.by_return,
    }


def _gate(judged: Judged, i: int) -> dict[str, Any]:
    worth = judged.gates[i]
    return {
        "gate": worth.gate,
        "strategy": worth.strategy,
        "without": worth.without,
        "measure": "Sharpe",
        "difference": worth.difference.value,
        "low": worth.difference.low,
        "high": worth.difference.high,
        "removed": worth.removed,
        "removed_bp": worth.removed_bp,
    }


def _missing(judged: Judged, thresholds: Sequence[Any]) -> dict[str, str]:
    missing = {}
    if judged.forecast is None:
        missing["calibration"] = "the predictor spoke on too few bars whose outcome is known"
    if not thresholds:
        missing["thresholds"] = "these bars do not reach into the validation zone, where thresholds are chosen"
    if not any(one.luck for one in judged.profiles):
        missing["luck"] = "no profile traded, so there is nothing to draw"
    return missing
