"""A10: importances of 6.5 % to 10 %, and what noise gets.

Twelve columns of pure noise share the gain of a forest as evenly. Here each feature's worth is what permuting it, block
by block, costs out of sample on purged folds, beside the same for features that were shuffled in time beforehand and
can know nothing.
"""

from __future__ import annotations

from research.experiments.finding import CONFIRMED, REFUTED, UNDECIDED, Column, Finding
from research.experiments.lab import Lab
from research.importance import NOISE, Table, importances

CLAIM = "importances from 10 % to 6.5 %: high density, low noise, keep all features"
FOLDS = 5
EVERY = (3, 4)  # rows taken, full and quick: neighbours' labels overlap
COLUMNS = (
    Column("feature"),
    Column("gain", ".1%"),
    Column("MDA, 1e-5 nats", "+.1f"),
    Column("+-", ".1f"),
    Column("alone, AUC", ".3f"),
    Column("+-", ".3f"),
    Column("above noise"),
)


def verdict(above: int, features: int) -> str:
    """Return the verdict from how many features cost more to permute than 95 % of the noise does.

    Confirmed when all do, refuted when at most half do.
    """
    if above == features:
        return CONFIRMED
    return REFUTED if above <= features // 2 else UNDECIDED


def run(lab: Lab) -> Finding:
    """Permute every feature on purged folds of development."""
    study, every = lab.study(), lab.pick(*EVERY)
    rows = study.examples.between(study.development.start, study.development.stop)[::every]
    table = Table(
        study.examples.matrix[rows], study.examples.y[rows], rows + 1, study.examples.end[rows], study.config.embargo
    )
    found = importances(
        table, study.names, folds=lab.pick(FOLDS, 3), seed=lab.seed, tick=lambda share: lab.tell("permuting", share)
    )
    above, gains = sum(row.beats_noise for row in found.rows), [row.gain for row in found.rows]
    return Finding(
        verdict=verdict(above, len(found.rows)),
        sentence=(
            f"{above} of {len(found.rows)} features are above the noise where the model was not fitted (by luck"
            f" {len(found.rows) * 0.05:.1f} would be); their gains run from {min(gains):.1%} to {max(gains):.1%}"
            f" while a column of noise gets {found.noise_gain:.1%} of it; the whole model's AUC there is"
            f" {found.out_of_sample:.3f}"
        ),
        columns=COLUMNS,
        rows=tuple(
            (r.name, r.gain, 1e5 * r.loss, 1e5 * r.loss_se, r.alone, r.alone_se, "yes" if r.beats_noise else "no")
            for r in found.rows
        ),
        numbers={
            "above": above,
            "noise_columns": NOISE,
            "noise_gain": found.noise_gain,
            "noise_loss": found.noise_loss,
            "auc": found.out_of_sample,
        },
        n=len(rows),
        n_eff=float(study.examples.uniqueness(rows).sum()),
        seeds=(lab.seed,),
    )
