"""A judged comparison as the documented JSON: figures, then what may be believed of them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from engine.card.judge import Judged, Judgement
from engine.inference.interval import Interval


def as_dict(judged: Judged) -> dict[str, Any]:
    """Return the comparison with its judgement in the schema of docs/compare-json.md."""
    record = judged.comparison.as_dict()
    for row in record["rows"]:
        row["sharpe_interval"] = interval(judged.sharpes[row["name"]])
        row["win_rate_interval"] = _win(judged, row["name"])
    record["judgement"] = {
        "ranking": list(judged.ranking),
        "trials": asdict(judged.trials),
        "looks": judged.looks,
        "fresh_ledger": judged.fresh,
        "overfit": asdict(judged.overfit),
        "spa": {"cash": judged.beats_cash.p_value, "hold": judged.beats_hold.p_value},
        "forecast": _forecast(judged),
        "gates": [
            {
                "gate": worth.gate,
                "strategy": worth.strategy,
                "without": worth.without,
                "sharpe_difference": interval(worth.difference),
                "removed": worth.removed,
                "removed_bp": worth.removed_bp,
            }
            for worth in judged.gates
        ],
        "profiles": [_profile(one) for one in judged.profiles],
    }
    return record


def profile_dict(judged: Judged, name: str) -> dict[str, Any]:
    """Return the record of a comparison with one profile's row and judgement alone."""
    record = as_dict(judged)
    record["rows"] = [row for row in record["rows"] if row["name"] == name]
    record["judgement"]["profiles"] = [one for one in record["judgement"]["profiles"] if one["name"] == name]
    return record


def interval(found: Interval) -> dict[str, Any]:
    """Return an interval; ``why`` says what is not known."""
    return {"value": found.value, "low": found.low, "high": found.high, "why": found.why or None}


def _win(judged: Judged, name: str) -> dict[str, Any]:
    win = judged.wins[name]
    return {"low": win.low, "high": win.high, "break_even": win.break_even, "p_value": win.p_value}


def _forecast(judged: Judged) -> dict[str, Any] | None:
    forecast = judged.forecast
    if forecast is None:
        return None
    return {
        "loss": asdict(forecast.loss),
        "auc": interval(forecast.auc),
        "calibration": asdict(forecast.calibration),
        "curve": [asdict(part) for part in forecast.curve],
    }


def _profile(one: Judgement) -> dict[str, Any]:
    record, luck = one.assessment, one.luck
    return {
        "name": one.row.name,
        "verdict": {"word": one.verdict.word, "reasons": one.verdict.reasons, "alarms": one.verdict.alarms},
        "psr": {"value": record.psr, "form_2012": record.psr_2012, "form_2025": record.psr_2025},
        "min_days": record.min_days,
        "dsr": {"value": record.deflated.value, "raw": record.deflated.raw, "effective": record.deflated.effective},
        "expectancy": interval(one.expectancy),
        "against": {name: interval(difference) for name, difference in one.against.items()},
        "random_entries": None
        if luck is None
        else {"draws": len(luck.draws.total_return), "by_return": luck.by_return, "by_sharpe": luck.by_sharpe},
        "claimed": one.claimed,
        "stability": asdict(one.stability),
        "stress": {s.name: {"total_return": s.score.total_return, "sharpe": s.score.sharpe} for s in one.stress},
        "target_first": one.target_first.total_return,
    }
