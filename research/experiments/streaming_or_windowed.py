"""Whether a Transformer that reads every bar once foresees as well as one that reads a window at each bar.

The streaming one (causal, banded, 2 layers of 64 bars) answers and learns tens of times faster than the windowed one;
that is worth nothing if it foresees worse. Both learn the same labels from the same features of the same development
bars and are judged on the same rows of validation, from several seeds each, beside the logistic on the last bar and
the base rate. Once on one market, and once on many coins that teach one predictor together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple

import numpy as np

from engine.bars import Bars, Floats
from engine.history.read import read_bars
from engine.history.resample import resample
from engine.inference.bootstrap import mean_interval
from engine.inference.interval import Draws, Interval
from research.calibrate import fit_line
from research.candidates import fit_candidate
from research.experiments.finding import CONFIRMED, REFUTED, UNDECIDED, WORTH, Column, Finding, Standing
from research.experiments.lab import Lab
from research.finals import judged_rows
from research.measures import Score, cross_entropy, entropy, score_forecast
from research.settings import Streaming, Transformer
from research.study import Study, make_study

CLAIM = "a causal banded Transformer foresees as well as the windowed one"
KINDS = ("logistic", "transformer", "streaming")
SEEDS = (0, 1, 2, 3, 4)  # added to the lab's
COINS, HOME, TIMEFRAME = "alts_perp_30m", "BTCUSDT", "1h"
COLUMNS = (
    Column("taught by"),
    Column("model"),
    Column("n", "d"),
    Column("n_eff", ".0f"),
    Column("base rate", ".3f"),
    Column("no skill", ".5f"),
    Column("loss", ".5f"),
    Column("best seed", ".5f"),
    Column("worst seed", ".5f"),
    Column("skill", "+.2%"),
    Column("+-", ".2%"),
    Column("AUC", ".3f"),
    Column("low", ".3f"),
    Column("high", ".3f"),
    Column("skill above windowed", "+.3%"),
    Column("from", "+.3%"),
    Column("to", "+.3%"),
)


class Heard(NamedTuple):
    """One kind of model from several seeds, judged on validation.

    Parameters
    ----------
    scores : list of Score
        One a seed.
    losses : float64 array of shape (rows,)
        Of each judged row, the mean over the seeds.
    seconds : float
        Of processor time, a training.
    """

    scores: list[Score]
    losses: Floats
    seconds: float

    def mean(self, name: str) -> float:
        """Return a figure's mean over the seeds."""
        return float(np.mean([getattr(score, name) for score in self.scores]))


def verdict(gains: Sequence[Interval]) -> str:
    """Return the verdict from the streaming one's gain in skill over the windowed one, market by market.

    Confirmed when on every market less than what is worth having can have been lost; refuted when on one it is worse
    for certain.
    """
    if any(gain.high is not None and gain.high < 0.0 for gain in gains):
        return REFUTED
    return CONFIRMED if all(gain.low is not None and gain.low > -WORTH for gain in gains) else UNDECIDED


def hear(study: Study, kind: str, seeds: Sequence[int]) -> Heard:
    """Fit a kind of model from each seed, calibrate it on the end of development and judge it on validation."""
    examples, config, fold = study.examples, study.config, study.final_fold()
    split, rows = study.split(fold), judged_rows(study)
    y, n_eff = examples.y[rows], float(study.uniqueness(rows).sum())
    scores, losses, begin = [], [], process_time()
    for seed in seeds:
        model, _ = fit_candidate(kind, examples, split, config, None, seed)
        line = fit_line(
            model.logits(examples, split.inner),
            examples.y[split.inner],
            study.uniqueness(split.inner),
            config.calibration.method,
        )
        p = line.apply(model.logits(examples, rows))
        scores.append(score_forecast(y, p, n_eff, study.judged_block, config.seed))
        losses.append(cross_entropy(y, p))
    return Heard(scores, np.mean(losses, axis=0), (process_time() - begin) / len(seeds))


def gain(study: Study, without: Floats, given: Floats) -> Interval:
    """Return how much less the second losses are than the first, as a share of no skill, by blocks of time.

    The losses of all markets at one bar are drawn together: they hang together more than neighbours in time.
    """
    rows = judged_rows(study)
    at, moved = np.unique(study.place[rows], return_inverse=True)
    together = np.bincount(moved, without - given) * len(at) / len(rows)
    no_skill = entropy(float(study.examples.y[rows].mean()))
    return mean_interval(together / no_skill, Draws(block=float(2 * study.block)))


def coins_of(folder: Path, most: int) -> list[Bars]:
    """Return the coins' bars, home first, made from complete finer ones, up to where the home market's test begins."""
    files = sorted(folder.glob("*.parquet"), key=lambda path: (not path.name.startswith(HOME), path.name))
    return [resample(read_bars(path), TIMEFRAME) for path in files[:most]]


def pooled_study(lab: Lab, coins: Sequence[Bars]) -> Study:
    """Return the study of all coins, none of which is known beyond the first one's validation zone."""
    home = Lab(coins[0], lab.quick)
    last = home.bars.open_time[home.stop] if home.stop < len(home.bars) else None
    others = [bars if last is None else bars[: bars.since(last)] for bars in coins[1:]]
    return make_study(configured(lab), home.bars, [bars for bars in others if len(bars)])


def configured(lab: Lab) -> Any:
    """Return the lab's configuration with both networks among the candidates, small ones in the quick form."""
    small = {"transformer": Transformer(epochs=2), "streaming": Streaming(epochs=4)} if lab.quick else {}
    return replace(lab.config, candidates=KINDS, **small)


def run(lab: Lab) -> Finding:
    """Judge both on one market, and on many coins where they are at hand."""
    studies = {lab.bars.symbol: lab.study(configured(lab))}
    folder = None if lab.extra is None else lab.extra / COINS
    if folder is not None and folder.is_dir():
        coins = coins_of(folder, lab.pick(1000, 3))
        studies[f"{len(coins)} coins"] = pooled_study(lab, coins)
    rows: list[tuple[Any, ...]] = []
    standings, gains, numbers, measured = [], [], {}, {}
    for i, (name, study) in enumerate(studies.items()):
        heard = {}
        for j, kind in enumerate(KINDS):
            lab.tell(f"{kind}, taught by {name}", (i + j / len(KINDS)) / len(studies))
            seeds = (0,) if kind == "logistic" else lab.pick(SEEDS, SEEDS[:1])
            heard[kind] = hear(study, kind, seeds)
        heard = {"base rate": base_rate(study)} | heard
        rows += [_line(study, name, kind, heard) for kind in heard]
        gains.append(gain(study, heard["transformer"].losses, heard["streaming"].losses))
        standings += [_standing(name, kind, one) for kind, one in heard.items()]
        numbers[name] = {kind: [score.loss for score in one.scores] for kind, one in heard.items()}
        numbers[name]["n_eff if markets were independent"] = _most_n_eff(study)
        measured[name] = {f"{kind}, seconds a training": one.seconds for kind, one in heard.items()}
    word, n, n_eff = verdict(gains), heard["streaming"].scores[0].n, heard["streaming"].scores[0].n_eff
    return Finding(
        verdict=word,
        sentence=sentence(word, dict(zip(studies, gains, strict=True))),
        columns=COLUMNS,
        rows=tuple(rows),
        numbers=numbers,
        n=n,
        n_eff=n_eff,
        seeds=tuple(lab.seed + seed for seed in lab.pick(SEEDS, SEEDS[:1])),
        standings=tuple(standings),
        measured=measured,
    )


def base_rate(study: Study) -> Heard:
    """Return the forecaster that says the training rows' share of ones to everything."""
    fold, rows = study.final_fold(), judged_rows(study)
    split, y = study.split(fold), study.examples.y[rows]
    p = np.full(len(rows), np.average(study.examples.y[split.train], weights=split.weights))
    n_eff = float(study.uniqueness(rows).sum())
    return Heard([score_forecast(y, p, n_eff, study.judged_block, study.config.seed)], cross_entropy(y, p), 0.0)


def sentence(word: str, gains: dict[str, Interval]) -> str:
    """Return the verdict in one sentence with its numbers."""
    told = "; ".join(
        f"{gain.value:+.3%} [{gain.low:+.3%}, {gain.high:+.3%}] of skill, taught by {name}"
        if gain.low is not None
        else f"unknown, taught by {name} ({gain.why})"
        for name, gain in gains.items()
    )
    end = {
        CONFIRMED: f"at most {WORTH:.1%} can have been lost",
        REFUTED: "it is worse",
        UNDECIDED: f"a loss of {WORTH:.1%} can be neither shown nor excluded",
    }
    return f"the streaming one above the windowed one: {told}; {end[word]}"


def _line(study: Study, name: str, kind: str, heard: dict[str, Heard]) -> tuple[Any, ...]:
    one, score = heard[kind], heard[kind].scores[0]
    losses = [each.loss for each in one.scores]
    above = gain(study, heard["transformer"].losses, one.losses)
    bounds = (above.value, above.low, above.high) if kind != "transformer" else (None, None, None)
    means = [one.mean(figure) for figure in ("skill", "skill_se", "auc", "auc_low", "auc_high")]
    spread = (min(losses), max(losses)) if len(losses) > 1 else (None, None)
    return name, kind, score.n, score.n_eff, score.base_rate, score.no_skill, one.mean("loss"), *spread, *means, *bounds


def _standing(name: str, kind: str, one: Heard) -> Standing:
    figures = ("n", "n_eff", "base_rate", "loss", "no_skill", "skill", "skill_se", "auc", "auc_low", "auc_high")
    told = f"{kind}, mean of {len(one.scores)} seeds" if len(one.scores) > 1 else kind
    return Standing(told, f"barriers, {name}", "validation", {figure: one.mean(figure) for figure in figures})


def _most_n_eff(study: Study) -> float:
    """Return the judged rows' n_eff if coins that fall together were independent."""
    return float(study.examples.uniqueness(judged_rows(study)).sum())
