"""The models that may ship: fitted on development, judged on validation, one of them chosen."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from engine.bars import Floats
from research.calibrate import Line, fit_line
from research.candidates import Choice, Model, choose, fit_candidate, restore_candidate
from research.checkpoints import Checkpoints
from research.config import TrainConfig
from research.measures import Score, cross_entropy, score_forecast
from research.progress import WORK, Steps
from research.study import Study
from research.weights import Rows


class Final(NamedTuple):
    """A candidate fitted on development.

    Parameters
    ----------
    model : Model
        Fitted.
    notes : dict
        What its fit decided.
    line : Line
        Its calibration on the inner validation: what it is judged with.
    score : Score
        On the validation zone.
    p : float64 array of shape (m,)
        Its forecasts of the judged rows of the validation zone.
    """

    model: Model
    notes: dict[str, Any]
    line: Line
    score: Score
    p: Floats


def judged_rows(study: Study) -> Rows:
    """Return the rows of the validation zone, of all markets in the order of time, whose label ends inside it."""
    rows = study.pooled(study.examples.between(study.validation.start, study.validation.stop))
    return rows[np.argsort(study.place[rows], kind="stable")]


def fit_finals(study: Study, parts: Checkpoints, steps: Steps) -> dict[str, Final]:
    """Fit every candidate of the configuration on the same rows and judge it on the validation zone."""
    config, fold = study.config, study.final_fold()
    split = study.split(fold)
    out = {}
    for kind in config.candidates:
        steps.begin(f"{kind} on development", WORK[kind])
        found = parts.load(f"final-{kind}")
        if found is None:
            model, notes = fit_candidate(kind, study.examples, split, config, steps.tick)
            parts.save(f"final-{kind}", model.state(), notes)
        else:
            model, notes = restore_candidate(kind, found[0], config), found[1]
        logits = model.logits(study.examples, split.inner)
        line = fit_line(logits, study.examples.y[split.inner], study.uniqueness(split.inner), config.calibration.method)
        out[kind] = Final(model, notes, line, *judge(study, model, line))
        steps.end()
    return out


def judge(study: Study, model: Model, line: Line) -> tuple[Score, Floats]:
    """Return score and forecasts of a model on the validation zone, calibrated by the inner validation alone."""
    rows = judged_rows(study)
    p = line.apply(model.logits(study.examples, rows))
    n_eff = float(study.uniqueness(rows).sum())
    return score_forecast(study.examples.y[rows], p, n_eff, study.judged_block, study.config.seed), p


def judged_by_market(study: Study, final: Final) -> list[dict[str, Any]]:
    """Return a candidate's score on the validation zone of each market, with the rows that taught it."""
    rows, taught = judged_rows(study), study.pooled(study.final_fold().train)
    edges = np.cumsum([0, *(len(bars) for bars in (study.bars, *study.others))])
    told = []
    for bars, first, stop in zip((study.bars, *study.others), edges[:-1], edges[1:], strict=True):
        own = (rows >= first) & (rows < stop)
        line: dict[str, Any] = {
            "symbol": bars.symbol,
            "training_rows": int(((taught >= first) & (taught < stop)).sum()),
        }
        if own.sum() >= 2:
            n_eff = float(study.uniqueness(rows[own]).sum())
            y, p = study.examples.y[rows[own]], final.p[own]
            line |= score_forecast(y, p, n_eff, study.block, study.config.seed)._asdict()
        told.append(line)
    return told


def choose_final(study: Study, finals: dict[str, Final]) -> Choice:
    """Return which candidate ships, by the 1-SE rule on the validation zone."""
    y = study.examples.y[judged_rows(study)]
    return choose(y, {kind: final.p for kind, final in finals.items()}, 2 * study.judged_block, study.config.force)


def seed_spread(
    study: Study, finals: dict[str, Final], parts: Checkpoints, steps: Steps, kind: str = "transformer"
) -> list[float]:
    """Return the validation losses of the same network from other seeds: how much of a loss is dice.

    The first seed is the one that may ship, whatever the others lose.
    """
    if kind not in finals:
        return []
    config, fold = study.config, study.final_fold()
    split = study.split(fold)
    losses, seeds = [finals[kind].score.loss], seeds_of(config, kind)
    for other in range(1, seeds):
        steps.begin(f"{kind} from seed {other + 1} of {seeds}", WORK[kind])
        part = f"seed-{other}" if kind == "transformer" else f"seed-{kind}-{other}"
        found = parts.load(part)
        if found is None:
            model, _ = fit_candidate(kind, study.examples, split, config, steps.tick, other)
            logits = model.logits(study.examples, split.inner)
            line = fit_line(
                logits, study.examples.y[split.inner], study.uniqueness(split.inner), config.calibration.method
            )
            p = judge(study, model, line)[1]
            parts.save(part, {"p": p}, {})
        else:
            p = found[0]["p"]
        losses.append(float(np.mean(cross_entropy(study.examples.y[judged_rows(study)], p))))
        steps.end()
    return losses


def seeds_of(config: TrainConfig, kind: str) -> int:
    """Return how many seeds the final model of a kind is trained from; nothing but a network throws dice."""
    return int(getattr(getattr(config, kind), "seeds", 1))


def candidates_table(finals: dict[str, Final], choice: Choice) -> list[dict[str, Any]]:
    """Return what the manifest says about every candidate."""
    table = []
    for kind, final in finals.items():
        gap, error = choice.differences[kind]
        row = {"kind": kind, "chosen": kind == choice.kind, "above_best": gap, "above_best_se": error}
        table.append(row | final.score._asdict() | {"inner_calibration": final.line._asdict(), "fit": final.notes})
    return table
