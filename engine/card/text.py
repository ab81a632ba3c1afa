"""The report card as lines of text: what a strategy's figures are worth, readable by anyone."""

from __future__ import annotations

from collections.abc import Sequence

from engine.card.judge import Judged, Judgement
from engine.compare import owes_funding
from engine.funding import NOT_CHARGED, known_share, share_told
from engine.inference.interval import Interval
from engine.inference.winrate import FEW_TRADES, SOME_TRADES
from engine.report.terminal import number
from engine.wording import counted

LABEL = 15


def card_lines(judged: Judged, name: str) -> list[str]:
    """Return the report card of one profile, one line per question.

    Parameters
    ----------
    judged : Judged
        The judged comparison.
    name : str
        The profile.
    """
    one = judged[name]
    said = [
        ("sample", _sample(judged, one)),
        ("costs", _costs(judged, one)),
        ("win rate", _win(one)),
        ("Sharpe", _sharpe(one)),
        ("selection", _selection(judged, one)),
        ("vs controls", _controls(judged, one)),
        ("calibration", _calibration(judged, one)),
        ("stability", _stability(one)),
        ("by year", _slices(one.stability.years)),
        ("by regime", _slices(one.stability.regimes)),
        ("stress", _stress(one)),
        ("same bar", _ambiguous(one)),
        ("VERDICT", one.verdict.sentence),
    ]
    score = one.row.score
    head = f"{name}   return {number(score.total_return, '+.2%')}   Sharpe {number(score.sharpe)}"
    head += f"   max DD {number(score.max_drawdown, '.1%')}"
    return [
        f"{head}   trades {score.trades}   win {number(score.win_rate, '.0%')}",
        *(f"  {label:<{LABEL}}{text}" for label, text in said if text),
    ]


def span(interval: Interval, style: str = ".2f") -> str:
    """Return an interval as text; what is not known is said.

    Examples
    --------
    >>> span(Interval(0.5, -0.1, 1.1))
    '[-0.10, 1.10]'
    """
    if interval.low is None or interval.high is None:
        return f"[not known: {interval.why}]" if interval.why else "[not known]"
    return f"[{interval.low:{style}}, {interval.high:{style}}]"


def _sample(judged: Judged, one: Judgement) -> str:
    score = one.row.score
    size = f"{score.trades} trades"
    if score.trades < SOME_TRADES:
        size += (
            f" (<{FEW_TRADES}: nothing can be told from luck)"
            if score.trades < FEW_TRADES
            else f" (<{SOME_TRADES}: LOW)"
        )
    trained = judged.comparison.about.get("bundle", {}).get("markets", ())
    where = "" if not trained or judged.comparison.bars.symbol in trained else " of the time, on another market"
    seen = f"; IN-SAMPLE {one.row.in_sample:.0%}{where}" if one.row.in_sample else ""
    traded = f"in the market {number(score.exposure, '.0%')}, turnover {number(score.turnover, '.0f')}x a year"
    return f"{score.days} days, {size}, {traded}{seen}"


def _costs(judged: Judged, one: Judgement) -> str:
    rules, score = judged.comparison.rules, one.row.score
    paid = score.fees_paid / rules.cash
    edge, net = one.gross.expectancy_bp, score.expectancy_bp
    cost = None if edge is None or net is None else edge - net
    return (
        f"{score.trades} trades at {number(cost, '.1f')} bp each, fees {paid:.1%} of the starting equity"
        f"{_funding(judged, one)}; without any cost a trade earns {number(edge, '+.1f')} bp: the round trip it can pay"
    )


def _funding(judged: Judged, one: Judgement) -> str:
    """What was paid for holding, or received, where any was charged; else that none was, where it is owed."""
    comparison, paid = judged.comparison, one.row.score.funding_paid / judged.comparison.rules.cash
    known = known_share(comparison.bars)
    if not known:
        return f", {NOT_CHARGED}" if owes_funding(comparison) else ""
    share = "" if known == 1.0 else f" (known for {share_told(known)} of the bars)"
    return f", funding {'received' if paid < 0.0 else 'paid'} {abs(paid):.1%}{share}"


def _win(one: Judgement) -> str:
    win = one.win
    if win.value is None or win.low is None or win.high is None:
        return win.why
    text = f"{win.wins}/{win.trades}, 95% CI [{win.low:.1%}, {win.high:.1%}]"
    even = "" if win.break_even is None else f"; break-even at these barriers and costs {win.break_even:.1%}"
    chance = "" if win.p_value is None else f", p={win.p_value:.2f}"
    return f"{text}{even}{chance}; per trade {number(one.row.score.expectancy_bp, '+.1f')} bp {_bp(one.expectancy)}"


def _bp(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return "[not known]"
    return f"[{interval.low * 1e4:+.1f}, {interval.high * 1e4:+.1f}]"


def _sharpe(one: Judgement) -> str:
    record = one.assessment
    if record.sharpe.value is None:
        return f"not known: {record.why}"
    wait = "never at this sign" if record.min_days is None else f"{record.min_days:.0f} days (have {record.record.n})"
    forms = f"2012 {number(record.psr_2012, '.3f')}, 2025 {number(record.psr_2025, '.3f')}"
    return (
        f"{record.sharpe.value:+.2f} a year, 95% bootstrap {span(record.sharpe)};"
        f" PSR(0) {number(record.psr, '.3f')} ({forms}); MinTRL {wait}"
    )


def _selection(judged: Judged, one: Judgement) -> str:
    deflated, overfit = one.assessment.deflated, judged.overfit
    looks = f"; test zone looked at {counted(judged.looks, 'time')}" if judged.looks else ""
    since = " (which begins here)" if judged.fresh else ""
    return (
        f"{deflated.trials} trials in the ledger{since}, {deflated.effective_trials:.1f} different;"
        f" best of them by luck {number(one.assessment.luck)}; DSR {number(deflated.value)};"
        f" PBO {number(overfit.pbo)}; SPA p vs cash {number(judged.beats_cash.p_value)},"
        f" vs hold {number(judged.beats_hold.p_value)}{looks}"
    )


def _controls(judged: Judged, one: Judgement) -> str:
    parts = []
    for name in ("Buy and hold", "No model", "Donchian breakout", "Last-bar logistic"):
        if name in one.against:
            difference = one.against[name]
            parts.append(f"{name} d-Sharpe {number(difference.value, '+.2f')} {span(difference)}")
    for worth in judged.gates:
        if worth.strategy == one.row.name:
            parts.append(f"without {worth.gate} {number(worth.difference.value, '+.2f')} {span(worth.difference)}")
    if one.luck is not None:
        draws = len(one.luck.draws.total_return)
        fitted = one.luck.draws.share_placed
        crowded = f" (draws place {fitted:.0%} of the trades)" if fitted < 0.995 else ""
        parts.append(f"{draws} random entries: percentile {one.luck.by_return * 100:.1f} by return{crowded}")
    return "; ".join(parts)


def _calibration(judged: Judged, one: Judgement) -> str:
    parts = []
    if one.claimed is not None and one.gross.win_rate is not None:  # a label knows no costs
        parts.append(f"claimed P(win before costs) {one.claimed:.3f}, realised {one.gross.win_rate:.3f}")
    forecast = judged.forecast
    if forecast is not None:
        loss, ece, ranks = forecast.loss, forecast.calibration, forecast.auc
        parts.append(
            f"all bars: loss {number(loss.loss, '.4f')} vs no-skill {number(loss.no_skill, '.4f')}"
            f" (base rate {number(loss.base_rate, '.3f')}, skill {number(loss.skill, '+.2%')},"
            f" n {loss.n}, n_eff {loss.n_eff:.0f}); AUC {number(ranks.value, '.3f')} {span(ranks, '.3f')};"
            f" ECE {number(ece.ece, '.3f')}, a perfect model's up to {number(ece.null_high, '.3f')}"
        )
    return "; ".join(parts)


def _stability(one: Judgement) -> str:
    stable = one.stability
    best = "" if stable.best_share is None else f"best trade {stable.best_share:.0%} of the profit; "
    return "" if stable.without_best is None else f"{best}without the best 2: {stable.without_best:+.2%}"


def _slices(slices: Sequence[object]) -> str:
    rows = [(s.name, s.trades, s.expectancy_bp) for s in slices]  # type: ignore[attr-defined]
    return "; ".join(f"{name}: {trades} x {mean:+.0f} bp" for name, trades, mean in rows)


def _stress(one: Judgement) -> str:
    return "; ".join(f"{s.name} {number(s.score.total_return, '+.1%')}" for s in one.stress)


def _ambiguous(one: Judgement) -> str:
    score = one.row.score
    if not score.ambiguous_share:
        return ""
    return (
        f"{score.ambiguous_share:.1%} of trades touched both barriers in one bar: stop first"
        f" {number(score.total_return, '+.2%')}, target first {number(one.target_first.total_return, '+.2%')}"
    )
