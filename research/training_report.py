"""The report of a training: every loss with its base rate, what no skill loses, and its luck."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.jsons import dumps
from engine.zones import describe_span
from models.manifest import Manifest
from research.checkpoints import write_whole

if TYPE_CHECKING:
    from rich.console import Console

LOSS_COLUMNS = ("n (n_eff)", "base rate", "loss", "no skill", "skill", "AUC [95 %]")
CALIBRATION_COLUMNS = ("slope", "intercept", "ECE", "null 95 %")
NOTES = (
    "loss is binary cross-entropy in nats; no skill is the best constant, known only in hindsight;"
    " skill = 1 - loss / no skill, with the standard error of a block bootstrap.",
    "n_eff counts labels that share no bar, also where several markets are judged together: what happens to all of them"
    " at one time counts once. Every interval is as wide as n_eff makes it.",
    "slope and intercept are of the truth on the forecast's logit: 1 and 0 when calibrated. An ECE means something only"
    " above its null, which a perfect forecast of n_eff rows exceeds in 5 % of cases.",
    "The candidates are judged calibrated by the inner validation; what ships is calibrated on the validation zone.",
    "The test zone is sealed: nothing here has looked at it.",
)

Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]


def write_report(run_dir: Path, page: Manifest, notes: dict[str, Any]) -> None:
    """Write ``report.json`` and ``report.md`` of a training."""
    report = {
        "name": page.name,
        "market": _market(page),
        "zones": {name: describe_span(getattr(page.zones, name)) for name in ("development", "validation")},
        "predictor": page.predictor,
        "calibration": page.calibration,
        "metrics": page.metrics,
        "thresholds": page.thresholds,
        "notes": notes,
    }
    write_whole(run_dir / "report.json", (dumps(report) + "\n").encode())
    write_whole(run_dir / "report.md", markdown(report).encode())


def markdown(report: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    lines = [f"# Training of {report['name']}", "", headline(report), ""]
    for title, head, rows in tables(report):
        lines += [f"## {title}", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        lines += ["| " + " | ".join(row) + " |" for row in rows] + [""]
    return "\n".join([*lines, *(f"* {note}" for note in NOTES), ""])


def show_report(run_dir: Path, console: Console) -> None:
    """Print the report of a training as tables."""
    import json

    from engine.report.fitting import figures, say, show

    report = json.loads((run_dir / "report.json").read_text(encoding="utf-8"))
    say(console, [headline(report)])
    for title, head, rows in tables(report):
        console.print(title, style="italic")
        show(console, figures(head, rows, console))
    for note in NOTES:
        console.print(note, style="dim")


def headline(report: dict[str, Any]) -> str:
    """Return in a few sentences which model ships, why, and whether it shows any skill."""
    chosen = next(row for row in report["predictor"]["candidates"] if row["chosen"])
    low, high = chosen["auc_low"], chosen["auc_high"]
    shown = low > 0.5 and chosen["skill"] > 2.0 * chosen["skill_se"]
    worth = "Some skill was shown" if shown else "No skill was shown"
    return (
        f"The predictor is the {chosen['kind']}: {report['predictor']['chosen_by']}. {worth} on validation, which"
        f" also chose the candidate: AUC {chosen['auc']:.3f} [{low:.3f}, {high:.3f}], skill {chosen['skill']:+.2%}"
        f" (SE {chosen['skill_se']:.2%})."
    )


def tables(report: dict[str, Any]) -> list[Table]:
    """Return every table of the report as text."""
    metrics, candidates = report["metrics"], report["predictor"]["candidates"]
    scores = [(f"fold {i}, {_span(fold['rows'])}", fold) for i, fold in enumerate(metrics["folds"])]
    zones = ("development", "validation")
    judged = [(f"{row['kind']} on validation", row) for row in candidates]
    scores += [(f"{zone}, out of fold", metrics[f"{zone}_oof"] or {}) for zone in zones]
    return [
        _candidates(candidates, report["predictor"]),
        ("Walk-forward", ("rows", *LOSS_COLUMNS), [(name, *_losses(score)) for name, score in scores]),
        (
            "Calibration",
            ("rows", *CALIBRATION_COLUMNS),
            [(name, *_calibration(score)) for name, score in (*judged, *scores)],
        ),
        *([_markets(metrics["markets"])] if "markets" in metrics else []),
        _auditor(metrics["auditor"], metrics["oos_audited_from"]),
        _regimes(metrics["regime"]),
    ]


def _candidates(candidates: Sequence[dict[str, Any]], predictor: dict[str, Any]) -> Table:
    one = candidates[0]
    title = (
        f"Candidates on validation ({one['n']} rows, n_eff {one['n_eff']:.0f}, base rate {one['base_rate']:.3f},"
        f" no skill loses {one['no_skill']:.5f})"
    )
    for kind in ("transformer", "streaming", "resnet", "supcon"):
        spread = predictor.get("seed_losses" if kind == "transformer" else f"{kind}_seed_losses", [])
        if len(spread) > 1:
            title += f"; the {kind}'s loss by seed: {', '.join(f'{loss:.5f}' for loss in spread)}"
    rows: list[tuple[str, ...]] = []
    for row in candidates:
        name = row["kind"] + (" (ships)" if row["chosen"] else "")
        gap = f"{row['above_best']:.5f} ± {row['above_best_se']:.5f}" if row["above_best"] > 0 else "the best"
        _, _, loss, _, skill, area = _losses(row)
        rows.append((name, loss, gap, skill, area))
    head = ("candidate", "loss", "above the best", "skill", "AUC [95 %]")
    return title, head, rows


def _markets(told: Sequence[dict[str, Any]]) -> Table:
    head = ("market", "training rows", *LOSS_COLUMNS)
    rows = [(row["symbol"], str(row["training_rows"]), *_losses(row)) for row in told]
    return "The predictor on each market's validation", head, rows


def _auditor(told: dict[str, Any], since: Any) -> Table:
    rows: list[tuple[str, ...]] = [
        ("trades it learned from", f"{told['events']} (n_eff {told.get('n_eff', 0.0):.0f})"),
        (
            "kind",
            told["kind"] + ("" if told["kind"] == "trees" else ": too few trades to learn, it says the base rate"),
        ),
        ("base rate of a profit after costs", _maybe(told.get("base_rate"), ".1%")),
        ("tau from now on", f"{told['tau']:.3f}, {told['tau_rule']}"),
        ("tau of each fold, of trades over before it", ", ".join(_maybe(tau, ".3f") for tau in told["fold_taus"])),
        ("mean net return of a trade", _maybe(told["mean_net"], ".3%")),
        ("walk-forward audited from", str(since)[:10]),
    ]
    taken = told["taken"]
    if taken is not None:
        rows += [
            ("AUC on taken signals", f"{taken['auc']:.3f} [{taken['auc_low']:.3f}, {taken['auc_high']:.3f}]"),
            ("skill on taken signals", f"{taken['skill']:+.2%} (SE {taken['skill_se']:.2%})"),
            ("claimed / realised", f"{told['claimed']:.3f} / {told['realised']:.3f}"),
            ("share passed", f"{told['share_passed']:.1%} of {told['judged']}"),
            ("mean net, judged / passed", f"{told['mean_net_judged']:.3%} / {_maybe(told['mean_net_passed'], '.3%')}"),
        ]
    return "Auditor on trades of later folds", ("", "value"), rows


def _regimes(told: dict[str, Any]) -> Table:
    rows: list[tuple[str, ...]] = [
        (
            row["role"],
            f"{row['volatility']:.3%}",
            f"{row['mean']:+.4%} ± {row['mean_se']:.4%}",
            f"{row['share']:.1%}",
            f"{row['dwell_bars']:.1f}",
        )
        for row in told["table"]
    ]
    title = f"Regimes on development (forgets in {told['forgetting']} bars, anchored every {told['block']} slots)"
    return title, ("regime", "volatility of a bar", "mean of a bar", "share", "dwell, bars"), rows


def _losses(row: dict[str, Any]) -> tuple[str, ...]:
    if "n" not in row:
        return ("",) * len(LOSS_COLUMNS)
    return (
        f"{row['n']} ({row['n_eff']:.0f})",
        f"{row['base_rate']:.3f}",
        f"{row['loss']:.5f}",
        f"{row['no_skill']:.5f}",
        f"{row['skill']:+.2%} ± {row['skill_se']:.2%}",
        f"{row['auc']:.3f} [{row['auc_low']:.3f}, {row['auc_high']:.3f}]",
    )


def _calibration(row: dict[str, Any]) -> tuple[str, ...]:
    if "n" not in row:
        return ("",) * len(CALIBRATION_COLUMNS)
    slope, intercept = _maybe(row["slope"], ".2f"), _maybe(row["intercept"], "+.2f")
    return slope, intercept, f"{row['ece']:.3f}", f"{row['ece_null']:.3f}"


def _maybe(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _span(pair: Sequence[Any]) -> str:
    first, last = (str(time)[:7] for time in pair)
    return f"{first} .. {last}"


def _market(page: Manifest) -> dict[str, Any]:
    return {"symbol": page.market.symbol, "timeframe": page.market.timeframe, "sessions": page.market.sessions}
