"""An explained decision as lines of text."""

from __future__ import annotations

from typing import Any

from engine.report.terminal import number
from engine.wording import counted

SIDES = {1: "long", -1: "short", 0: "nothing"}


def explanation_lines(found: Any, seen: str = "parts of the bundle were fitted on this bar") -> list[str]:
    """Return an explanation (``strategies.explain.Explanation``) as lines; ``seen`` says what is in-sample about it."""
    belief = ", ".join(f"{role} {share:.0%}" for role, share in found.belief.items()) or "not known"
    gates = ", ".join(f"{gate} {'allows' if ok else 'says no'}" for gate, ok in found.gates.items()) or "none"
    features = ", ".join(f"{name} {number(value, '.4g')}" for name, value in found.features.items())
    lines = [
        f"decided at the close of {found.time}: {SIDES[found.wish]} ({found.why})",
        *([f"  IN-SAMPLE: {seen}"] if found.in_sample else []),
        *(["  recorded by the walk-forward; contributions are not recorded"] if found.recorded else []),
        f"  price        close {found.close:,.6g}, ATR {number(found.atr, ',.6g')}",
        f"  predictor    p {number(found.p, '.4f')}, confidence {number(found.confidence, '.4f')}"
        f" of {found.threshold:g} asked",
        f"  regime       {belief}",
        f"  auditor      p(right) {number(found.audit, '.4f')}",
        *(f"               {name} = {value:.5g} adds {worth:+.4f}" for name, value, worth in found.contributions),
        f"  gates        {gates}",
        *_outcome(found),
        *([f"  features     {features}"] if features else []),
    ]
    return lines


def _outcome(found: Any) -> list[str]:
    end = found.outcome
    if end is None:
        return ["  outcome      not known: the bars end before the trade would, or it could not be entered"]
    became = "became" if found.wish else "would have become"
    return [
        f"  bracket      entry {end.entry:,.6g} at {end.entry_time}, target {end.target:,.6g}, stop {end.stop:,.6g}",
        f"  outcome      {became} {end.ret:+.2%} net: {end.reason} at {end.exit_time}",
    ]


def veto_lines(found: Any) -> list[str]:
    """Return what each gate's vetoes saved or cost (``strategies.explain.Vetoes``), one line each."""
    lines = []
    for one in found:
        mean, vetoes = one.mean, counted(one.count, "veto", "vetoes")
        if mean.value is None:
            lines.append(f"  {one.gate:<10} {vetoes}; their worth is not known: {mean.why or 'none was made'}")
            continue
        ends = "" if mean.low is None or mean.high is None else f" [{mean.low * 1e4:+.1f}, {mean.high * 1e4:+.1f}]"
        sure = mean.low is not None and mean.high is not None and (mean.low > 0 or mean.high < 0)
        verb = ("saved" if mean.value < 0 else "cost") if sure else "cannot be told from chance"
        missed = f"{vetoes} of trades that would have earned {mean.value * 1e4:+.1f} bp each{ends}"
        lines.append(f"  {one.gate:<10} {missed}: {verb}")
    return lines


def print_explained(found: Any, as_json: bool) -> None:
    """Print what was explained (``strategies.explaining.Explained``)."""
    from dataclasses import asdict

    from engine.jsons import dumps
    from engine.report.fitting import say
    from engine.report.terminal import console

    screen = console()
    if as_json:
        screen.out(dumps(asdict(found)), highlight=False)
        return
    if found.decision is not None:
        lines = explanation_lines(found.decision, found.seen)
    else:
        lines = [f"  IN-SAMPLE: {found.seen}"] if found.in_sample else []
        lines += veto_lines(found.vetoes) or ["  no gate stands in this profile's way"]
    say(screen, (found.what, *lines))
