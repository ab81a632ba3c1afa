"""A14: fractional differencing, and whether it lets a model generalise to regimes it has not seen.

A fixed window of weights leaves part of the level: they do not sum to zero, and what remains follows the price. d is
the smallest for which the development zone looks stationary (ADF with a day of lags). Returns alone, the fractional
series alone and both are compared on later bars, by regime, and by how easily a classifier tells development from
validation: a feature that drifts is no ground to generalise from.
"""

from __future__ import annotations

import math

import numpy as np

from engine.bars import Floats
from engine.indicators.fractional import ffd_weights, ffd_width
from engine.inference.interval import Interval
from research.drift import drift
from research.experiments.bench import Told
from research.experiments.finding import CONFIRMED, REFUTED, UNDECIDED, WORTH, Column, Finding, judge_gain
from research.experiments.lab import Lab, with_features
from research.experiments.rivals import (
    columns,
    gains_over,
    hear_zones,
    lines,
    lines_by_regime,
    shown,
    traded_lines,
)
from research.study import Study

CLAIM = "fractional differencing makes the model generalise to unseen regimes"
ORDERS = tuple(round(0.05 * k, 2) for k in range(1, 21))
CUT = 1e-4  # METHODS 2.5: weights below it are left out
ADF_LAGS, ADF_5 = 24, -2.862  # a day; MacKinnon's 5 % value with a constant
LAGS = (0, 1, 3, 6)  # bars back at which the series is shown, as the trees' default
RETURNS = ("ret_1", "ret_3", "ret_6", "ret_12", "ret_24", "ret_48")
COLUMNS = (*columns("features", "returns"), Column("drift AUC", ".3f"))


def verdict(both: Interval, alone: Interval, skill_low: float) -> str:
    """Return the verdict from what the fractional series gains on later bars, beside returns and in their place.

    Confirmed when one gain is above zero for certain and so is the skill it leads to (to lose less than a bad model is
    not to generalise); refuted when neither can be worth having.
    """
    words = [judge_gain(one.low, one.high, WORTH) for one in (both, alone)]
    if CONFIRMED in words:
        return CONFIRMED if skill_low > 0.0 else UNDECIDED
    return REFUTED if all(word == REFUTED for word in words) else UNDECIDED


def adf(values: Floats, lags: int = ADF_LAGS) -> float:
    """Return the t statistic of the augmented Dickey-Fuller regression with a constant."""
    move = np.diff(values)
    columns = [
        values[lags:-1],
        np.ones(len(move) - lags),
        *(move[lags - k : len(move) - k] for k in range(1, lags + 1)),
    ]
    x, y = np.column_stack(columns), move[lags:]
    inverse = np.linalg.inv(x.T @ x)
    slope = inverse @ (x.T @ y)
    rest = y - x @ slope
    return float(slope[0] / math.sqrt(inverse[0, 0] * (rest @ rest) / (len(y) - x.shape[1])))


def fractional(log_price: Floats, d: float) -> Floats:
    """Return the fractionally differenced series; NaN until its window is full."""
    from scipy.signal import fftconvolve

    weights = ffd_weights(d, ffd_width(d, CUT))
    out: Floats = fftconvolve(log_price - log_price[0], weights)[: len(log_price)]
    out += log_price[0] * weights.sum()  # the transform is exact near zero
    out[: len(weights) - 1] = np.nan
    return out


def smallest_order(log_price: Floats) -> tuple[float, float]:
    """Return the smallest order whose series rejects a unit root at 5 %, and the statistic; 1 when none below does."""
    for d in ORDERS:
        if ffd_width(d, CUT) > len(log_price) // 4:
            continue
        series = fractional(log_price, d)
        found = adf(series[np.isfinite(series)])
        if found < ADF_5:
            return d, found
    return 1.0, adf(np.diff(log_price))


NEW = ("both", "fractional")
Tables = dict[str, tuple[Floats, tuple[str, ...]]]


def tables_of(study: Study, series: Floats) -> Tables:
    """Return the three tables of features, on the rows where all of them are known, with their names."""
    lagged = np.column_stack([np.r_[np.full(k, np.nan), series[: len(series) - k]] for k in LAGS])
    returns = study.features[:, [study.names.index(name) for name in RETURNS]]
    returns = np.where(np.isfinite(lagged).all(axis=1)[:, None], returns, np.nan)
    names = tuple(f"ffd_{k}" for k in LAGS)
    both = (np.column_stack([returns, lagged]), (*RETURNS, *names))
    return {"returns": (returns, RETURNS), "fractional": (lagged, names), "both": both}


def run(lab: Lab) -> Finding:
    """Compare returns, the fractional series, and both."""
    study = lab.study()
    price = np.log(lab.bars.close)
    d, statistic = smallest_order(price[: study.development.stop])
    series, weights = fractional(price, d), ffd_weights(d, ffd_width(d, CUT))
    kinds, told, apart = lab.pick(("logistic", "trees"), ("logistic",)), dict[tuple[str, str, str], Told](), {}
    for i, (name, (table, named)) in enumerate(tables_of(study, series).items()):
        one = with_features(study, table, named)
        spans = [one.examples.matrix[one.examples.between(z.start, z.stop)] for z in (one.development, one.validation)]
        apart[name] = drift(*spans, list(named), block=study.config.embargo).auc
        for kind in kinds:
            told |= hear_zones(one, name, kind, f"{kind} on {name}")
        lab.tell(name, (i + 1) / 3)
    gains = gains_over(told, "returns")
    rows = [(*line, apart[line[0]]) for line in lines(told, gains)]
    for kind in kinds:
        rows += [(*line, None) for line in lines_by_regime(lab, told, "returns", "both", kind)]
    standings, trials = traded_lines(told.values(), "A14", "barriers")
    best = max(kinds, key=lambda kind: gains["both", kind, "walk-forward"].value or -1.0)
    both, alone = (gains[name, best, "walk-forward"] for name in NEW)
    base, scores = told["returns", best, "walk-forward"], [told[name, best, "walk-forward"].score for name in NEW]
    word = verdict(both, alone, max(s.skill - 1.96 * s.skill_se for s in scores))
    seen = np.isfinite(series[: study.stop])
    level = float(np.corrcoef(series[: study.stop][seen], price[: study.stop][seen])[0, 1])
    facts = {"d": d, "width": len(weights), "sum_of_weights": float(weights.sum()), "adf": statistic, "level": level}
    return Finding(
        verdict=word,
        sentence=_sentence(word, facts, both, alone, apart),
        columns=COLUMNS,
        rows=tuple(rows),
        numbers=facts | {"drift": apart},
        n=base.score.n,
        n_eff=base.score.n_eff,
        seeds=(lab.seed,),
        standings=standings,
        trials=trials,
    )


def _sentence(word: str, facts: dict[str, float], both: Interval, alone: Interval, apart: dict[str, float]) -> str:
    end = {
        CONFIRMED: ": it helps on bars it has not seen",
        REFUTED: ": it brings nothing worth having",
        UNDECIDED: ": whether it helps cannot be told",
    }
    followed = f"the series follows the level (correlation {facts['level']:.2f})"
    return (
        f"at d={facts['d']:.2f} the {facts['width']:.0f} weights still sum to {facts['sum_of_weights']:.3f} and"
        f" {followed}; on later bars it gains {shown(both)} of no skill beside returns and {shown(alone)} in their"
        f" place, and tells the zones apart with an AUC of {apart['fractional']:.2f}"
        f" (returns {apart['returns']:.2f}){end[word]}"
    )
