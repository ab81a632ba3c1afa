"""Why a decision was what it was, what became of it, and what each gate's vetoes saved or cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.barriers import REASONS, STOP, TARGET, TIME, label_barriers
from engine.bars import Bars, format_time
from engine.errors import ModelMismatch, UsageError
from engine.features import FEATURES
from engine.funding import returns_of
from engine.inference.bootstrap import mean_interval
from engine.inference.interval import Draws, Interval
from engine.rules import Rules
from engine.signals import FIRST_VETO, Evidence, Signals
from models.bundle import Bundle
from models.manifest import parse_time
from strategies.base import ThresholdStrategy

TOP = 6  # of the auditor's contributions


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a trade entered after a decision became, or would have become.

    Parameters
    ----------
    entry_time, exit_time : str
        Open times of the bars entered and left.
    entry, target, stop : float
        The bracket: the open entered at and the two barriers.
    reason : str
        target, stop or time.
    ret : float
        Net return after costs, as a fraction of the entry's notional.
    """

    entry_time: str
    exit_time: str
    entry: float
    target: float
    stop: float
    reason: str
    ret: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything behind one decision.

    Parameters
    ----------
    time : str
        Open time of the bar decided on; the decision was made at its close.
    close, atr : float
        Price and average true range at that close.
    in_sample : bool
        Whether some part of the models that spoke was fitted on this bar.
    recorded : bool
        Whether the walk-forward's recorded evidence spoke, and not the served models.
    wish : int
        1 long, -1 short, 0 nothing.
    why : str
        In words.
    p, confidence, threshold : float or None
        Calibrated probability of the lean side, confidence in the strategy's mode, and what it must reach.
    belief : dict of str to float
        Probability of each regime.
    audit : float or None
        The auditor's probability that the trade earns more than its costs.
    contributions : tuple of (str, float, float)
        The auditor's inputs with the largest contribution to its log-odds: name, value, contribution;
        empty where recorded, because they are not.
    gates : dict of str to bool
        Each gate's verdict.
    features : dict of str to float
        What the predictor saw on the last bar; empty where recorded.
    outcome : Outcome or None
        What a trade to the lean side became or would have become; None if the bars end first.
    """

    time: str
    close: float
    atr: float | None
    in_sample: bool
    recorded: bool
    wish: int
    why: str
    p: float | None
    confidence: float | None
    threshold: float
    belief: dict[str, float]
    audit: float | None
    contributions: tuple[tuple[str, float, float], ...]
    gates: dict[str, bool]
    features: dict[str, float | None]
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class Vetoes:
    """What one gate's vetoes saved or cost.

    Parameters
    ----------
    gate : str
        The gate that said no first.
    count : int
        Wishes it removed whose outcome is known.
    mean : Interval
        Mean net return that they would have had: below zero the gate saved money.
    """

    gate: str
    count: int
    mean: Interval


def explain(
    strategy: ThresholdStrategy, bundle: Bundle, bars: Bars, rules: Rules, row: int, recorded: Evidence | None = None
) -> Explanation:
    """Return everything behind the decision at the close of one bar.

    Parameters
    ----------
    strategy : ThresholdStrategy
        A profile.
    bundle : Bundle
        Whose models spoke.
    bars : Bars
        History, and what came after for the outcome.
    rules : Rules
        Barriers and costs of the outcome.
    row : int
        The bar.
    recorded : Evidence, optional
        The walk-forward's, one row per bar: it speaks instead of the bundle's models.
    """
    first = max(0, row - strategy.memory + 1)
    known = bars[first : row + 1]
    if recorded is None:
        signals = strategy.signals(known, since=len(known) - 1)[-1:]
        reasons, names = bundle.audit_reasons(known), bundle.manifest.feature_names
    else:
        signals, reasons, names = strategy.signals_from(recorded[row : row + 1]), [], ()
    evidence = signals.evidence
    assert evidence is not None
    return Explanation(
        time=format_time(bars.open_time[row]),
        close=float(bars.close[row]),
        atr=_known(signals.atr[-1]),
        in_sample=recorded is None and bool(bundle.in_sample(known[-1:])[0]),
        recorded=recorded is not None,
        wish=int(signals.side[-1]),
        why=signals.why(0),
        p=_known(evidence.probability[-1]),
        confidence=_known(signals.confidence[-1]),
        threshold=strategy.threshold,
        belief={
            role: float(share)
            for role, share in zip(bundle.regime_model.roles, evidence.belief[-1], strict=True)
            if np.isfinite(share)
        },
        audit=_known(evidence.audit[-1]),
        contributions=tuple((reason.name, reason.value, reason.added) for reason in reasons[:TOP]),
        gates={name: bool(verdict[-1]) for name, verdict in signals.gates.items()},
        features={name: _known(FEATURES[name].compute(known)[-1]) for name in names},
        outcome=outcome_of(bars, rules, row, int(evidence.lean[-1]), float(signals.atr[-1])),
    )


def outcome_of(bars: Bars, rules: Rules, row: int, side: int, atr: float) -> Outcome | None:
    """Return what a trade wished at a row becomes; None where it cannot be entered or the bars end first."""
    later = bars[row : row + rules.hold + 3]
    units = np.full(len(later), np.nan)
    units[:1] = atr
    labels = label_barriers(later, units, rules, side)
    if len(later) < 2 or labels.end[0] < 0:
        return None
    opened = float(later.open[1])
    return Outcome(
        entry_time=format_time(later.open_time[1]),
        exit_time=format_time(later.open_time[labels.end[0]]),
        entry=opened,
        target=opened + side * rules.k_up * atr,
        stop=opened - side * rules.k_down * atr,
        reason=REASONS[{1: TARGET, -1: STOP, 0: TIME}[int(labels.outcome[0])]],
        ret=float(labels.ret[0]),
    )


def row_of_time(bars: Bars, time: str) -> int:
    """Return the bar that was open at a time.

    Raises
    ------
    UsageError
        If the time is not understood or lies outside the bars or in a gap between them.
    """
    try:
        wanted = parse_time(time)
    except ModelMismatch:
        raise UsageError(f"--at {time!r} is not a time; write it in UTC as 2018-02-05 or 2024-01-31T08:00") from None
    row = int(np.searchsorted(bars.open_time, wanted, side="right")) - 1
    if row < 0 or wanted >= bars.close_time[-1]:
        span = f"{format_time(bars.open_time[0])} to {format_time(bars.close_time[-1])}"
        raise UsageError(f"--at {time} lies outside these bars ({span})")
    if wanted >= bars.close_time[row]:
        near = " and ".join(format_time(bars.open_time[one]) for one in (row, row + 1))
        raise UsageError(f"--at {time}: no bar was open then; the nearest are {near}")
    return row


def veto_worths(signals: Signals, bars: Bars, rules: Rules) -> list[Vetoes]:
    """Return what each gate's vetoes would have earned: below zero the gate saved money.

    Parameters
    ----------
    signals : Signals
        Decisions on the bars.
    bars : Bars
        The stretch judged.
    rules : Rules
        Barriers and costs of the trades that were not made.
    """
    labels = label_barriers(bars, signals.atr, rules, signals.proposed)
    earned, found = returns_of(bars, labels, signals.proposed, rules.slippage), []
    for i, gate in enumerate(signals.gates):
        rows = np.flatnonzero((signals.reason == FIRST_VETO + i) & (labels.end >= 0))
        draws = Draws(block=float(min(max(rules.hold, 1), max(len(rows) // 2, 1))))
        found.append(Vetoes(gate, len(rows), mean_interval(earned[rows], draws)))
    return found


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
