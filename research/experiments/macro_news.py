"""A12: a plateau that needs new information, and whether the dollar, stocks and gold bring it.

Daily series are joined three ways: as they were known (a day's row from the next day on), as if known on their own date
(45 % of the hourly rows then look ahead), and with their dates shuffled in blocks, which keeps everything but the
information. What they add must show against the bars alone *and* against the shuffled ones.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.bars import DAY_NS, Bars, Floats
from engine.errors import UsageError
from engine.inference.interval import Interval
from research.experiments.bench import Told
from research.experiments.finding import CONFIRMED, REFUTED, UNDECIDED, WORTH, Finding, judge_gain
from research.experiments.lab import Lab, with_features
from research.experiments.rivals import (
    ZONES,
    Heard,
    columns,
    gain_over_mean,
    gains_over,
    hear_zones,
    lines,
    lines_by_regime,
    shown,
    traded_lines,
)

CLAIM = "the plateau at .50 to .52 needs new information: DXY, NASDAQ, gold"
SERIES = ("DXY", "QQQ", "GLD", "SPY", "VIX")
LAGS_DAYS = (1, 5)  # returns of each series over so many sessions
SHUFFLES, BLOCK_DAYS = (3, 2), 20  # draws of the control, full and quick; days moved together
COLUMNS = columns("macro joined", "bars alone")


def verdict(over_bars: Interval, over_shuffled: Interval) -> str:
    """Return the verdict from what macro, as it was known, gains over the bars alone and over shuffled dates.

    Refuted when either gain cannot be worth having, confirmed when both are above zero for certain.
    """
    words = [judge_gain(one.low, one.high, WORTH) for one in (over_bars, over_shuffled)]
    if REFUTED in words:
        return REFUTED
    return CONFIRMED if all(word == CONFIRMED for word in words) else UNDECIDED


def daily_features(folder: Path) -> tuple[NDArray[np.int64], Floats, tuple[str, ...]]:
    """Return days since 1970, features of each day on which every series had a session before, and their names.

    Raises
    ------
    UsageError
        If a series is missing.
    """
    import pandas as pd

    closes = {}
    for name in SERIES:
        path = folder / f"{name}_1d.parquet"
        if not path.is_file():
            raise UsageError(f"{path} is missing; A12 needs daily {', '.join(SERIES)} below --extra FOLDER/macro")
        closes[name] = pd.read_parquet(path)["close"]
    frame = pd.DataFrame(closes).sort_index().ffill().dropna()
    moves = [np.log(frame).diff(k).add_suffix(f"_ret_{k}d") for k in LAGS_DAYS]
    table = pd.concat(moves, axis=1).dropna()
    days = table.index.tz_localize(None).to_numpy().astype("datetime64[D]").astype(np.int64)
    return days, table.to_numpy(np.float64), tuple(table.columns)


def joined(bars: Bars, days: NDArray[np.int64], table: Floats, known_after: int) -> Floats:
    """Return the last row known at each bar's close: a day's row becomes known so many days after its date begins."""
    closed = bars.close_time.view(np.int64) // DAY_NS  # a bar that closes at midnight belongs to the day that begins
    at = np.searchsorted(days + known_after, closed, side="right") - 1
    return np.where(at[:, None] >= 0, table[np.maximum(at, 0)], np.nan)


def shuffled(table: Floats, rng: np.random.Generator) -> Floats:
    """Return rows in another order, a block of days at a time."""
    parts = np.array_split(np.arange(len(table)), max(2, len(table) // BLOCK_DAYS))
    return table[np.concatenate([parts[i] for i in rng.permutation(len(parts))])]


def run(lab: Lab) -> Finding:
    """Foresee the barriers with and without macro, and by regime."""
    if lab.extra is None:
        raise UsageError("A12 needs daily macro series: name their folder with --extra FOLDER")
    study, rng = lab.study(), np.random.default_rng(lab.seed)
    days, table, names = daily_features(lab.extra / "macro")
    ways = {"as known": (table, 1), "a day early": (table, 0)}
    draws = lab.pick(*SHUFFLES)
    ways |= {f"shuffled {i + 1}": (shuffled(table, rng), 1) for i in range(draws)}
    kinds, told = lab.pick(("logistic", "trees"), ("logistic",)), dict[tuple[str, str, str], Told]()
    matrices = {way: np.column_stack([study.features, joined(lab.bars, days, *how)]) for way, how in ways.items()}
    whole = np.isfinite(np.stack([m.sum(axis=1) for m in matrices.values()])).all(axis=0)
    bare = with_features(study, np.where(whole[:, None], study.features, np.nan), study.names)
    for i, way in enumerate(["none", *ways]):
        matrix = study.features if way == "none" else np.where(whole[:, None], matrices[way], np.nan)
        one = bare if way == "none" else with_features(study, matrix, (*study.names, *names))
        for kind in kinds:
            label = kind if way == "none" else f"{kind} with macro {way}"
            told |= hear_zones(one, way, kind, label)
        lab.tell(f"macro {way}", (i + 1) / (len(ways) + 1))
    over = gains_over(told, "none")
    gains = {kind: (over["as known", kind, "walk-forward"], _over_shuffled(told, kind, draws)) for kind in kinds}
    rows = lines(told, over)
    for kind in kinds:
        rows += lines_by_regime(lab, told, "none", "as known", kind)
    best = max(kinds, key=lambda kind: gains[kind][0].value or -1.0)
    word, base = verdict(*gains[best]), told["none", best, "walk-forward"]
    asked = [told[way, kind, zone] for way in ("none", "as known") for kind in kinds for zone in ZONES]
    standings, trials = traded_lines(asked, "A12", "barriers")
    return Finding(
        verdict=word,
        sentence=_sentence(word, best, gains[best], told),
        columns=COLUMNS,
        rows=tuple(rows),
        numbers={kind: [[x.value, x.low, x.high] for x in pair] for kind, pair in gains.items()},
        n=base.score.n,
        n_eff=base.score.n_eff,
        seeds=(lab.seed,),
        standings=standings,
        trials=trials,
    )


def _over_shuffled(told: Heard, kind: str, draws: int) -> Interval:
    base, known = told["none", kind, "walk-forward"], told["as known", kind, "walk-forward"]
    moved = [told[f"shuffled {i + 1}", kind, "walk-forward"] for i in range(draws)]
    return gain_over_mean(base, moved, known.losses)


def _sentence(word: str, kind: str, gains: tuple[Interval, Interval], told: Heard) -> str:
    early = told["a day early", kind, "walk-forward"].score.auc
    end = {
        CONFIRMED: ": it brings information",
        REFUTED: ": it brings none worth having",
        UNDECIDED: ": whether it brings any cannot be told",
    }
    return (
        f"macro as it was known changes the {kind} model's loss over the walk-forward by {shown(gains[0])} of no skill"
        f" against the bars alone and {shown(gains[1])} against shuffled dates (AUC"
        f" {told['as known', kind, 'walk-forward'].score.auc:.3f}, without"
        f" {told['none', kind, 'walk-forward'].score.auc:.3f}, a day early {early:.3f}){end[word]}"
    )
