"""What every experiment works with: bars whose sealed zone is blank, the same folds, one progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.bars import Bars
from engine.errors import UsageError
from engine.zones import SHARES
from research.config import TrainConfig
from research.events import Examples
from research.settings import Folds, Regime
from research.study import Study, make_study
from research.walk_forward import Audit, Forecast, audit_forecasts, run_fold

QUICK_BARS = 12_000  # the last ones before the sealed zone
SEED = 7  # as the shipped bundles
FULL = TrainConfig(name="lab", candidates=("logistic", "trees"), seed=SEED, threads=1)  # spot costs, 1.5 ATR, 24 bars
QUICK = replace(FULL, folds=Folds(count=3), regime=Regime(starts=3, screen_bars=3_000))

Tell = Callable[[str, float], None]  # what is under way, share of the experiment that is done


def seal(bars: Bars) -> tuple[Bars, int]:
    """Return bars whose test zone is one flat line, and where it begins: nobody can look at what is not there."""
    stop = int(len(bars) * sum(SHARES))
    flat = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close", "volume")}
    for name in ("open", "high", "low", "close"):
        flat[name][stop:] = bars.close[stop - 1]
    flat["volume"][stop:] = 0.0
    return replace(bars, **flat), stop


@dataclass
class Lab:
    """One market and how much time there is.

    Parameters
    ----------
    bars : Bars
        The whole history; the test zone is blanked at once.
    quick : bool
        A small form of every experiment: fewer bars, seeds and draws.
    tell : callable
        Told a text and the share done.
    extra : Path, optional
        Folder of other series (macro), for the experiments that need them.
    """

    bars: Bars
    quick: bool = False
    tell: Tell = lambda text, share: None
    extra: Path | None = None
    seed: int = SEED
    _kept: dict[Any, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Blank the sealed zone; a quick lab sees the last bars before it."""
        if len(self.bars) < 2_000:
            raise UsageError(f"experiments need at least 2000 bars, {self.bars.symbol} has {len(self.bars)}")
        stop = int(len(self.bars) * sum(SHARES))
        if self.quick:
            self.bars = self.bars[max(0, stop - QUICK_BARS) : stop]
        self.bars, self.stop = seal(self.bars)

    @property
    def fingerprint(self) -> str:
        """Of the bars that may be seen."""
        return self.bars.upto(self.stop).fingerprint()

    @property
    def config(self) -> TrainConfig:
        """The common ground of all experiments."""
        return QUICK if self.quick else FULL

    def pick(self, full: Any, quick: Any) -> Any:
        """Return the one or the other size."""
        return quick if self.quick else full

    def study(self, config: TrainConfig | None = None) -> Study:
        """Return features, labels and zones under a configuration; made once."""
        config = config or self.config
        return self._once(("study", config.digest()), lambda: make_study(config, self.bars))

    def walk(self, kind: str = "logistic") -> list[Forecast]:
        """Return the walk-forward of one kind of model under the common configuration; made once."""
        study = self.study()

        def every_fold() -> list[Forecast]:
            folds = study.folds()
            out = []
            for i, fold in enumerate(folds):
                self.tell(f"walk-forward, fold {i + 1} of {len(folds)}", 0.7 * i / len(folds))
                out.append(run_fold(study, fold, kind, lambda _: None)[0])
            return out

        return self._once(("walk", kind), every_fold)

    def audits(self, kind: str = "logistic") -> list[Audit]:
        """Return what each fold's auditor, fitted on the trades of earlier folds alone, says."""
        return self._once(("audits", kind), lambda: audit_forecasts(self.study(), self.walk(kind))[0])

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


def with_target(study: Study, y: np.ndarray, end: np.ndarray, hold: int) -> Study:
    """Return a study that foresees something else: outcomes y, each known at the close of bar ``end``.

    Parameters
    ----------
    study : Study
        Whose features and zones stay.
    y : float64 array of shape (n,)
        0 or 1; NaN without a label.
    end : int64 array of shape (n,)
        -1 without a label.
    hold : int
        Most bars a label looks ahead: the embargo's and the bootstrap's.
    """
    config = replace(study.config, barriers=replace(study.config.barriers, hold=hold))
    return replace(study, config=config, examples=replace(study.examples, y=y, end=np.where(np.isfinite(y), end, -1)))


def with_features(study: Study, matrix: np.ndarray, names: tuple[str, ...]) -> Study:
    """Return a study that sees other features, on the rows where all of them are known."""
    old: Examples = study.examples
    known = np.isfinite(matrix).all(axis=1)
    examples = replace(old, matrix=matrix.astype(np.float32), decidable=old.decidable & known)
    return replace(study, names=names, examples=examples, features=matrix)
