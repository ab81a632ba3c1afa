"""A8: Audited, the winner, and what its auditor had to do with it.

Audited differs from Sniper in threshold and auditor; the notes never ran the cell between. Here is the whole table:
threshold {.95, .75} x auditor {none, out of fold, in-sample}, each on the same days of the walk-forward. The in-sample
auditor learns from what the predictor said about its own training bars: the classic mistake, made on purpose.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.inference.assess import Assessment, assess
from engine.inference.deflated import trials_of
from engine.inference.interval import Interval
from models.auditor import audit_inputs
from models.calibration import ConfidenceTable, lean_of
from research.calibrate import fit_line
from research.candidates import fit_candidate
from research.experiments.bench import Traded, differences, money_of, trade, trial_of, walk_columns
from research.experiments.finding import CONFIRMED, REFUTED, UNDECIDED, Column, Finding, Standing
from research.experiments.lab import Lab
from research.fit_auditor import AuditEvents, break_even, fit_auditor
from research.fit_regime import fit_regime

CLAIM = "Audited: +13.04 %, Sharpe 2.49, 24 trades, 79 % won: the winner"
CLAIMED_SHARPE = 2.49
OTHERS, SURE = 31, 0.95  # the notes' trials before it; METHODS A8
THRESHOLDS = (0.95, 0.75)
NONE, HONEST, IN_SAMPLE = "none", "OOF", "fooled"  # OOF: out of fold; fooled: in-sample
COLUMNS = (
    Column("cut", ".2f"),
    Column("auditor"),
    Column("passed", ".0%"),
    Column("claimed", ".3f"),
    Column("realised", ".3f"),
    Column("trades", "d"),
    Column("win", ".0%"),
    Column("net bp/trade", "+.1f"),
    Column("Sharpe", "+.2f"),
    Column("low", "+.2f"),
    Column("high", "+.2f"),
    Column("DSR", ".2f"),
    Column("d-Sharpe", "+.2f"),
    Column("low", "+.2f"),
    Column("high", "+.2f"),
)


def verdict(gain: Interval, audited: Interval, dsr: float | None) -> str:
    """Return the verdict from Audited less no auditor at the same threshold, Audited's Sharpe ratio, and its DSR.

    Confirmed when the difference is above zero for certain and the deflated Sharpe ratio reaches 0.95; refuted when the
    difference is below zero for certain, or the notes' 2.49 lies above Audited's interval.
    """
    if gain.low is not None and gain.low > 0.0 and dsr is not None and dsr >= SURE:
        return CONFIRMED
    if gain.high is not None and gain.high < 0.0:
        return REFUTED
    return REFUTED if audited.high is not None and audited.high < CLAIMED_SHARPE else UNDECIDED


def in_sample_audits(lab: Lab, kind: str = "logistic") -> tuple[np.ndarray, np.ndarray]:
    """Return opinion and bar of auditors that learned from their predictor's own training bars, per bar of history."""
    study, n = lab.study(), len(lab.bars)
    chance, tau = np.full(n, np.nan), np.full(n, np.nan)
    examples, config = study.examples, study.config
    for fold, forecast in zip(study.folds(), lab.walk(kind), strict=True):
        split = study.split(fold)
        model, _ = fit_candidate(kind, examples, split, config)
        logits = model.logits(examples, split.inner)
        line = fit_line(logits, examples.y[split.inner], study.uniqueness(split.inner), config.calibration.method)
        regime, _ = fit_regime(study.bars, study.regime_features, forecast.fence + 1, config)
        own, last = fold.train, int(fold.train[-1]) + 1
        belief = regime.belief(study.bars[:last], study.regime_features[:last])[own]
        p = line.apply(model.logits(examples, own))
        rank = ConfidenceTable.from_predictions(p).rank(p)
        opinions: dict[str, Any] = {"p_up": p, "rank": rank, "lean": lean_of(p, config.sides)}
        inputs = audit_inputs(study.auditor_inputs, opinions, belief, study.features[own])
        net = examples.net[own, 0]
        fires = (rank >= config.thresholds.audited) & np.isfinite(net) & np.isfinite(inputs).all(axis=1)
        row = own[fires]
        pretended = AuditEvents(row, examples.end[row], row * 0, row - 1, inputs[fires], net[fires])
        auditor = fit_auditor(pretended, study.auditor_inputs, config)
        opinions = {"p_up": forecast.p_up, "rank": forecast.rank, "lean": forecast.lean}
        asked = audit_inputs(study.auditor_inputs, opinions, forecast.belief, study.features[forecast.rows])
        whole = np.isfinite(asked).all(axis=1)
        chance[forecast.rows[whole]] = auditor.probability(asked[whole])
        tau[forecast.rows] = break_even(pretended)
    return chance, tau


def run(lab: Lab) -> Finding:
    """Trade the six cells on the same days."""
    study, walk = lab.study(), walk_columns(lab, audited=True)
    lab.tell("the in-sample auditor", 0.75)
    fooled, fooled_tau = in_sample_audits(lab)
    gates = {
        NONE: (np.ones(len(walk.p)), np.zeros(len(walk.p))),
        HONEST: (walk.audit, walk.tau),
        IN_SAMPLE: (fooled, fooled_tau),
    }
    known = np.isfinite(walk.audit) & np.isfinite(fooled)
    cells: dict[tuple[float, str], Traded] = {}
    claims: dict[tuple[float, str], tuple[float | None, ...]] = {}
    for threshold in THRESHOLDS:
        for gate, (chance, tau) in gates.items():
            proposed = (walk.rank >= threshold) & known
            passed = proposed & (chance >= tau)
            cells[threshold, gate] = trade(study, f"{threshold:g}, auditor {gate}", passed, walk.stretch)
            claims[threshold, gate] = _claims(study.examples.net[:, 0], chance, proposed, passed, gate)
    keys, traded = list(cells), list(cells.values())
    found = differences(lab, traded, [(i, keys.index((k[0], NONE))) for i, k in enumerate(keys) if k[1] != NONE])
    gains = dict(zip([k for k in keys if k[1] != NONE], found, strict=True))
    tried = trials_of(np.stack([one.daily for one in traded], axis=1), OTHERS)
    proofs = {key: assess(one.daily, study.bars.days_per_year, tried) for key, one in cells.items()}
    audited = proofs[0.75, HONEST]
    word = verdict(gains[0.75, HONEST], audited.sharpe, audited.deflated.value)
    return Finding(
        verdict=word,
        sentence=_sentence(audited, cells[0.75, HONEST], gains[0.75, HONEST], claims),
        columns=COLUMNS,
        rows=tuple(_row(key, cells[key], claims[key], proofs[key], gains.get(key)) for key in keys),
        numbers={"others": OTHERS, "days": len(traded[0].daily)},
        n=len(traded[0].daily),
        seeds=(lab.seed,),
        standings=tuple(Standing(f"logistic, {one.name}", "-", "walk-forward", money_of(one)) for one in traded),
        trials=tuple(trial_of(one, "A8", "walk-forward", {}) for one in traded),
    )


def _claims(net: Any, chance: Any, proposed: Any, passed: Any, gate: str) -> tuple[float | None, ...]:
    """Return the share of proposals passed, and P(profit) as claimed and as realised over all of them."""
    judged = proposed & np.isfinite(net)
    share = float(passed[proposed].mean()) if proposed.any() else None
    if gate == NONE or not judged.any():
        return share, None, float(np.mean(net[judged] > 0.0)) if judged.any() else None
    return share, float(chance[judged].mean()), float(np.mean(net[judged] > 0.0))


def _row(key: tuple[float, str], one: Traded, claims: Any, proof: Assessment, gain: Interval | None) -> tuple[Any, ...]:
    score = one.result.score
    return (
        *key,
        *claims,
        *(score.trades, score.win_rate, score.expectancy_bp),
        *(proof.sharpe.value, proof.sharpe.low, proof.sharpe.high, proof.deflated.value),
        *((None,) * 3 if gain is None else (gain.value, gain.low, gain.high)),
    )


def _sentence(audited: Assessment, one: Traded, gain: Interval, claims: Any) -> str:
    def shown(x: Interval) -> str:
        if x.value is None:
            return "unknown"
        return f"{x.value:+.2f}" + ("" if x.low is None or x.high is None else f" [{x.low:+.2f}, {x.high:+.2f}]")

    fooled = claims[0.75, IN_SAMPLE]
    dsr = audited.deflated.value
    return (
        f"in the walk-forward Audited makes {len(one.net)} trades at a Sharpe ratio of {shown(audited.sharpe)} (claimed"
        f" 2.49), DSR {'unknown' if dsr is None else f'{dsr:.2f}'}; against the same threshold without auditor"
        f" {shown(gain)}, where trading less is a gain by itself; the auditor"
        f" taught in-sample claims {fooled[1]:.3f} where {fooled[2]:.3f} came true and passes {fooled[0]:.0%}"
    )
