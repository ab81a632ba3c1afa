"""A19: whether what a perpetual's holders pay each other, or macro beside it, tells where its price goes.

The ways of the pooled search: a perpetual's costs, both sides, calibration by the slope alone, barriers of 1.5 and of
3 ATR, taught by the market alone, by both coins whose funding is known, and by twenty coins. Each set of features is
judged on the very rows of the others; funding must show against the bars alone *and* against its own values at
shuffled dates. Joined eight hours early, at the beginning of the span it is the average of, it looks ahead: the
control that the comparison can see anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from engine.bars import Bars, Floats
from engine.errors import UsageError
from engine.features import default_features, feature_needs
from engine.history.context import HOUR_NS, joined, known_bars
from engine.history.external import External
from engine.history.read import read_bars
from engine.inference.interval import Interval
from research.config import TrainConfig
from research.experiments.bench import WALK_FORWARD, Told, gain
from research.experiments.finding import CONFIRMED, REFUTED, UNDECIDED, WORTH, Finding, judge_gain
from research.experiments.lab import Lab
from research.experiments.macro_news import shuffled
from research.experiments.rivals import (
    ZONES,
    columns,
    gain_over_mean,
    gains_over,
    hear_zones,
    lines,
    shown,
    traded_lines,
)
from research.experiments.streaming_or_windowed import COINS, coins_of
from research.settings import Barriers, Calibration, Costs
from research.study import Study, make_study

CLAIM = "what a perpetual's holders pay for it (funding), or macro beside it, foresees where its price goes"
FUNDING = ("funding_8h", "funding_mean_3d")
MACRO = ("vix_level", "vix_change_5", "dxy_ret_5", "qqq_ret_5", "gld_ret_5", "dvol_level", "dvol_change_24")
FILES = {"vix": "VIX_1d", "dxy": "DXY_1d", "qqq": "QQQ_1d", "gld": "GLD_1d", "dvol": "BTC-DVOL_1h"}
KNOWN = ("BTCUSDT", "ETHUSDT")  # perpetuals whose funding is at hand
BARRIERS = (Barriers(3.0, 3.0, 72), Barriers(1.5, 1.5, 24))
PERPETUAL = Costs(fee=0.0005, maker_fee=0.0002, slippage=0.0002)
USUAL_RATE = 0.0001  # what the exchange charges where nobody presses: paid where the records have a hole
EARLY = np.timedelta64(8, "h")
SHUFFLES = (3, 2)  # draws of the control, full and quick
NONE, AS_KNOWN, TOO_EARLY, BESIDE_MACRO = "none", "funding", "funding 8 h early", "funding and macro"
COLUMNS = columns("beside the bars", "bars alone")


class Cell(NamedTuple):
    """One model that the information may help.

    Parameters
    ----------
    barriers : Barriers
        What it foresees.
    taught : str
        ``alone``, ``both`` or ``coins``.
    kind : str
        Of model.
    """

    barriers: Barriers
    taught: str
    kind: str

    @property
    def target(self) -> str:
        """What it foresees, as the leaderboard says it."""
        return f"barriers of {self.barriers.k_up:g} ATR, H={self.barriers.hold}"

    @property
    def name(self) -> str:
        """What stands in the table."""
        taught = {"alone": "", "both": " taught by BTC and ETH", "coins": " taught by 20 coins"}[self.taught]
        return f"{self.kind}{taught}, {self.barriers.k_up:g} ATR"


CELLS = (
    *(Cell(one, "alone", kind) for one in BARRIERS for kind in ("logistic", "trees")),
    *(Cell(one, "both", kind) for one in BARRIERS for kind in ("logistic", "trees")),
    *(Cell(one, "coins", "logistic") for one in BARRIERS),
)


class Gained(NamedTuple):
    """What funding is worth to one model over the walk-forward.

    Parameters
    ----------
    over_bars, over_shuffled : Interval
        Its gain over the bars alone, and over its own values at shuffled dates; for all cells at once (Bonferroni).
    skill_low : float
        Lower end of the skill it leads to.
    """

    over_bars: Interval
    over_shuffled: Interval
    skill_low: float


def verdict(gains: Sequence[Gained]) -> str:
    """Return the verdict from what funding is worth to each model.

    Confirmed when in one cell both gains are above zero for certain and so is the skill they lead to: to lose less than
    a bad model is not to foresee. Refuted when in no cell they can be worth having.
    """
    words = [{judge_gain(one.low, one.high, WORTH) for one in (cell.over_bars, cell.over_shuffled)} for cell in gains]
    if any(word == {CONFIRMED} and cell.skill_low > 0.0 for word, cell in zip(words, gains, strict=True)):
        return CONFIRMED
    return REFUTED if all(REFUTED in word for word in words) else UNDECIDED


def funding_of(folder: Path, symbol: str) -> External:
    """Return what the holders of a perpetual paid, each rate with the moment of its payment.

    Raises
    ------
    UsageError
        If the file is missing, or holds nothing of this market.
    """
    import pandas as pd

    path = folder / "perp" / "FUNDING_8h.parquet"
    if not path.is_file():
        raise UsageError(f"{path} is missing; A19 needs funding rates below --extra FOLDER/perp")
    frame = pd.read_parquet(path).sort_index(kind="stable")
    rows = frame[frame["symbol"] == symbol]
    if rows.empty:
        raise UsageError(f"{path} holds no funding of {symbol}; there is {', '.join(sorted(set(frame['symbol'])))}")
    paid_at = rows.index.tz_localize(None).to_numpy().astype("datetime64[ns]")
    return External(f"{symbol}-funding", paid_at, {"rate": rows["funding_rate"].to_numpy(np.float64)})


def border(lab: Lab) -> np.datetime64:
    """Return the close of the last bar before the sealed zone: what is later does not exist."""
    last: np.datetime64 = lab.bars.close_time[lab.stop - 1]
    return last


def ways_of(lab: Lab, rates: External) -> dict[str, tuple[External, tuple[str, ...]]]:
    """Return each set of further features: the funding it is made of, and the features' names."""
    rng, draws = np.random.default_rng(lab.seed), lab.pick(*SHUFFLES)
    seen = rates.known_at <= border(lab)
    rates = External(rates.name, rates.known_at[seen], {"rate": rates.columns["rate"][seen]})
    early = External(rates.name, rates.known_at - EARLY, rates.columns)
    out: dict[str, tuple[External, tuple[str, ...]]] = {
        NONE: (rates, ()),
        AS_KNOWN: (rates, FUNDING),
        TOO_EARLY: (early, FUNDING),
        "macro": (rates, MACRO),
        BESIDE_MACRO: (rates, (*FUNDING, *MACRO)),
    }
    for i in range(draws):
        mixed = {"rate": shuffled(rates.columns["rate"], rng)}
        out[f"shuffled {i + 1}"] = (External(rates.name, rates.known_at, mixed), FUNDING)
    return out


def with_rates(bars: Bars, rates: External, macro: dict[str, External]) -> Bars:
    """Return bars with funding and macro beside them, as they were known at each close."""
    beside = {name: joined(bars, name, rates) for name in feature_needs(FUNDING)}
    return bars.beside(beside | {name: joined(bars, name, macro[name.split("_")[0]]) for name in feature_needs(MACRO)})


def paid(bars: Bars, rates: External) -> Floats:
    """Return what a long pays at each open: the rate whose moment lies in the bar, the usual one where it is lost."""
    opens = bars.open_time.view(np.int64)
    out = np.where(opens % (8 * HOUR_NS) == 0, USUAL_RATE, 0.0)
    at = np.searchsorted(opens, rates.known_at.view(np.int64), side="right") - 1
    inside = (at >= 0) & (rates.known_at.view(np.int64) < opens[at] + bars.timeframe_ns)
    out[at[inside]] = rates.columns["rate"][inside]
    return out


def configured(lab: Lab, cell: Cell, names: tuple[str, ...]) -> TrainConfig:
    """Return the pooled search's configuration with further features."""
    home = lab.bars
    return replace(
        lab.config,
        sides=("long", "short"),
        barriers=cell.barriers,
        costs=PERPETUAL,
        calibration=Calibration("temperature"),
        features=(*default_features(home.timeframe_ns, home.sessions), *names),
    )


def members(lab: Lab, folder: Path, taught: str) -> list[Bars]:
    """Return the other markets that teach, none of them known beyond the home market's sealed border."""
    if taught == "alone":
        return []
    last = border(lab)
    coins = [bars for bars in coins_of(folder / COINS, 1000) if bars.symbol != lab.bars.symbol]
    coins = [bars for bars in coins if taught == "coins" or bars.symbol in KNOWN]
    return [bars[: bars.since(last)] for bars in coins[: lab.pick(1000, 2)] if bars.open_time[0] < last]


def studies(lab: Lab, cell: Cell, markets: list[Bars], folder: Path) -> Iterator[tuple[str, Study]]:
    """Yield each set of features as a study; all are asked about the same rows.

    Beside a market of ``KNOWN`` stands its own funding where two coins teach; where twenty do, the home market's
    stands beside all of them.
    """
    macro = {name: known_bars(read_bars(folder / "macro" / f"{file}.parquet")) for name, file in FILES.items()}
    own = {bars.symbol: lab.bars.symbol if cell.taught == "coins" else bars.symbol for bars in (lab.bars, *markets)}
    told = {symbol: ways_of(lab, funding_of(folder, rate)) for symbol, rate in own.items()}
    whole: Any = None
    for way in (BESIDE_MACRO, *(way for way in told[lab.bars.symbol] if way != BESIDE_MACRO)):
        names = told[lab.bars.symbol][way][1]
        beside = [with_rates(bars, told[bars.symbol][way][0], macro) for bars in (lab.bars, *markets)]
        study = make_study(configured(lab, cell, names), beside[0], beside[1:])
        if whole is None:
            early = [with_rates(bars, told[bars.symbol][TOO_EARLY][0], macro) for bars in beside]
            whole = study.examples.decidable & make_study(study.config, early[0], early[1:]).examples.decidable
        yield way, replace(study, examples=replace(study.examples, decidable=study.examples.decidable & whole))


def run(lab: Lab) -> Finding:
    """Foresee the barriers with and without funding and macro, cell by cell."""
    if lab.extra is None:
        raise UsageError("A19 needs funding, macro and coins: name their folder with --extra FOLDER")
    cells = CELLS if (lab.extra / COINS).is_dir() else tuple(cell for cell in CELLS if cell.taught == "alone")
    cells = lab.pick(cells, cells[:1])
    fees, rows, standings, trials = paid(lab.bars, funding_of(lab.extra, lab.bars.symbol)), [], [], []
    gains: dict[str, Gained] = {}
    heard: dict[str, dict[tuple[str, str, str], Told]] = {}
    for i, cell in enumerate(cells):
        told: dict[tuple[str, str, str], Told] = {}
        for k, (way, study) in enumerate(studies(lab, cell, members(lab, lab.extra, cell.taught), lab.extra)):
            lab.tell(f"{cell.name}, {way}", (i + k / (5 + lab.pick(*SHUFFLES))) / len(cells))
            told |= hear_zones(study, way, cell.kind, cell.name if way == NONE else f"{cell.name}, with {way}")
        rows += [(line[0], cell.name, *line[2:]) for line in lines(told, gains_over(told, NONE))]
        gains[cell.name], heard[cell.name] = _gained(lab, told, cell.kind, len(cells)), told
        asked = [told[way, cell.kind, zone] for way in (NONE, AS_KNOWN, "macro", BESIDE_MACRO) for zone in ZONES]
        some, tried = traded_lines(asked, "A19", cell.target, fees)
        standings += some
        trials += tried
    word = verdict(list(gains.values()))
    best = max(gains, key=lambda name: gains[name].skill_low)
    base = next(one for (way, _, zone), one in heard[best].items() if (way, zone) == (NONE, WALK_FORWARD))
    return Finding(
        verdict=word,
        sentence=_sentence(word, best, gains, heard[best]),
        columns=COLUMNS,
        rows=tuple(rows),
        numbers={name: _plainly(cell) for name, cell in gains.items()},
        n=base.score.n,
        n_eff=base.score.n_eff,
        seeds=(lab.seed,),
        standings=tuple(standings),
        trials=tuple(trials),
    )


def _gained(lab: Lab, told: dict[tuple[str, str, str], Told], kind: str, cells: int) -> Gained:
    base, known = told[NONE, kind, WALK_FORWARD], told[AS_KNOWN, kind, WALK_FORWARD]
    moved = [told[f"shuffled {i + 1}", kind, WALK_FORWARD] for i in range(lab.pick(*SHUFFLES))]
    level = 1.0 - 0.05 / cells
    over = gain(base, known.losses, level=level), gain_over_mean(base, moved, known.losses, level)
    return Gained(*over, known.score.skill - 1.96 * known.score.skill_se)


def _plainly(cell: Gained) -> dict[str, Any]:
    pair = {"over_bars": cell.over_bars, "over_shuffled": cell.over_shuffled}
    return {name: [x.value, x.low, x.high] for name, x in pair.items()} | {"skill_low": cell.skill_low}


def _sentence(word: str, best: str, gains: dict[str, Gained], told: dict[tuple[str, str, str], Told]) -> str:
    scores = {way: one.score for (way, _, zone), one in told.items() if zone == WALK_FORWARD}
    end = {
        CONFIRMED: "funding brings information",
        REFUTED: "funding brings none worth having",
        UNDECIDED: "whether funding brings any cannot be told",
    }
    known, cell = scores[AS_KNOWN], gains[best]
    return (
        f"of {len(gains)} models the one that stands highest with funding ({best}) has a skill of {known.skill:+.2%} +-"
        f" {known.skill_se:.2%} over the walk-forward; funding changes its loss by {shown(cell.over_bars)} of no skill"
        f" against the bars alone and {shown(cell.over_shuffled)} against its own shuffled dates, intervals for all"
        f" {len(gains)} at once (AUC {known.auc:.3f}, without {scores[NONE].auc:.3f}, eight hours early"
        f" {scores[TOO_EARLY].auc:.3f}, with macro {scores[BESIDE_MACRO].auc:.3f}): {end[word]}"
    )
