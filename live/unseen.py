"""Whether the models know bars that they claim never to have seen.

A model that was trained through its own test period is the same file whatever bars it is shown, so no comparison
of runs can find it: what it knows can. Five questions, each a one-sided test at 0.1 %, in which n_eff labels that
share no bar count, not n rows (the null deviation of the AUC is sqrt((1/n1 + 1/n0 + 1/n1n0) / 12), Mann & Whitney
1947, with n_eff divided as the outcomes are):

1. *too good*: is the AUC on the claimed-unseen bars above 0.58, or the log-loss skill above 2 %? No market has
   given that to anybody; such a bundle is not to be promoted before it is explained.
2. *better than honest*: is that AUC more than 0.02 above that of the recorded walk-forward, fold by fold, or of
   bars later than all the training data? Those rows had not been seen, which `live.provenance` holds the first to.
3. *the real future on another path*: the bars are replaced by a random path with their own volatility. What is
   said of the path must not rank the labels of the real bars: a table keyed by time would (AUC above 0.53).
4. *dice*: on such paths nothing can be known of their own labels either (AUC above 0.55; barriers in units of a
   noisy ATR leave a little).
5. *claims*: is the auditor's mean claim above what came true by more than 5 points? One that learned from
   trades its predictor had been fitted on believes every trade.

`measured` names the least AUC that would have been caught, and with few bars that is high: 725 daily bars with
trades of up to 10 bars are worth 157 labels, so it is 0.72; a model that remembers them all is caught from about
25 labels on, one that remembers three of four from about 150 on, and one that merely learned a little from them
needs thousands. On features of random walks the statistic's deviation was 0.9 to 1.1 of what is said here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from engine.barriers import label_barriers
from engine.bars import Bars, Floats, format_time
from engine.indicators import atr
from engine.inference.sharpe import NORMAL
from engine.invariance import with_future
from live.check import Check
from live.ranking import LEAST, Ranking, Told, mean_ranking, ranking, won, worth_of
from models.bundle import Bundle
from models.evidence import OOS, read_columns
from models.folder import read_file
from models.manifest import parse_time

ALPHA = 0.001  # of each question
TOO_GOOD, SKILL = 0.58, 0.02  # METHODS, leak alarms
DRIFT, OVERCLAIMS = 0.02, 0.05
REAL_FUTURE, DICE = 0.53, 0.55
PATHS, PATH_BARS = 4, 5000
MOST_ROWS = 20_000  # claimed-unseen bars that are asked about, the earliest first


class Foresight:
    """The five questions, asked of one bundle on some bars; what they share is computed once.

    Parameters
    ----------
    bundle : Bundle
        Whose models.
    bars : Bars
        Of its timeframe.
    """

    def __init__(self, bundle: Bundle, bars: Bars) -> None:
        self.bundle = bundle
        self.bars = bars
        self.page = bundle.manifest

    @cached_property
    def unseen(self) -> Told:
        """What the bundle says of the bars it claims never to have seen."""
        begin = max(self.page.zones.test[0], self.page.fence + np.timedelta64(1, "ns"))
        first = self.bars.since(begin)
        part = self.bars[max(0, first - self.bundle.memory + 1) : first + MOST_ROWS]
        if first >= len(self.bars):
            return self._told(part[:0], part[:0].open_time, {})
        found = self.bundle.evidence(part, part.since(begin))
        columns = {name: getattr(found, name) for name in ("p_up", "rank", "lean", "audit")}
        return self._told(part, part.open_time, columns).some(np.isfinite(found.p_up))

    @cached_property
    def record(self) -> Told:
        """What the walk-forward's models said of bars before those; nothing on other bars than the bundle's own."""
        last = parse_time(self.page.data["last"]) + np.timedelta64(1, "ns")
        trained = self.bars[self.bars.since(parse_time(self.page.data["first"])) : self.bars.since(last)]
        if OOS not in self.page.files or trained.fingerprint() != self.page.data["fingerprint"]:
            return self._told(trained[:0], trained[:0].open_time, {})
        names = ("fold", "p_up", "rank", "lean", "audit")
        columns = read_columns(read_file(self.bundle.folder, self.page, OOS), names, self.page.name)
        time = columns.pop("open_time").view("datetime64[ns]")
        return self._told(trained, time, columns).some(time < self.page.zones.test[0])

    def _told(self, bars: Bars, time: NDArray[np.datetime64], said: dict[str, NDArray[np.float64]]) -> Told:
        nothing = np.full(len(time), np.nan)
        rows, unit, rules = np.searchsorted(bars.open_time, time), atr(bars), self.bundle.rules()
        long = label_barriers(bars, unit, rules, 1)
        short = label_barriers(bars, unit, rules, -1) if "short" in self.page.market.sides else long
        taken = np.where(said.get("lean", nothing) < 0, short.ret[rows], long.ret[rows])
        proposed = said.get("rank", nothing) >= self.page.thresholds["audited"]
        return Told(
            time=time,
            fold=said.get("fold", np.zeros(len(time))),
            p_up=said.get("p_up", nothing),
            audit=np.where(proposed, said.get("audit", nothing), np.nan),
            y=won(long, self.page.barriers["vertical"])[rows],
            net=np.where(np.isfinite(taken), taken > 0.0, np.nan),
            row=rows,
            end=long.end[rows],
        )

    def _say(self, text: object) -> str:
        """Return what was measured on unseen bars, unless they are a draft's, which nobody may look at."""
        return str(text) if self.page.released else "sealed: no figure is shown"

    def too_good(self) -> Check:
        """Ask whether predictor or auditor know the claimed-unseen bars better than any market allows."""
        name, told = "unseen bars are not known too well", self._claimed()
        found = told.ranked()
        if found is None:
            return Check(name, 0, measured="too few bars after the fence")
        judged = told.audited()
        skill, error = told.skill()
        span = f"{format_time(told.time[0])} .. {format_time(told.time[-1])}, which the bundle claims not to have seen"
        for what, chance in (
            (f"the predictor's {found}", found.above(TOO_GOOD)),
            (f"the auditor's {judged}", 1.0 if judged is None else judged.above(TOO_GOOD)),
            (f"log-loss skill {skill:.1%}", 1.0 - NORMAL.cdf((skill - SKILL) / error) if error > 0.0 else 1.0),
        ):
            if chance < ALPHA:
                return Check(name, len(told.time), f"{what} on {span}: no market gives that (p {chance:.1g})")
        caught = TOO_GOOD - NORMAL.inv_cdf(ALPHA) * found.error
        return Check(name, len(told.time), measured=self._say(f"{found}; {min(caught, 1.0):.2f} would be too good"))

    def _claimed(self) -> Told:
        """Return the claimed-unseen bars that lay at hand when the bundle was trained, or all where they are few."""
        at_hand = self.unseen.some(self.unseen.time <= parse_time(self.page.data["last"]))
        return at_hand if at_hand.ranked() is not None else self.unseen

    def better_than_honest(self) -> Check:
        """Ask whether the claimed-unseen bars are known better than bars that certainly had not been seen."""
        name, told = "unseen bars are known no better than honest ones", self._claimed()
        found, tried = told.ranked(), []
        later = self.unseen.some(self.unseen.time > told.time[-1]) if len(told.time) else self.unseen
        for what, honest in (("the walk-forward's", self.record.ranked()), ("later bars'", later.ranked())):
            if found is None or honest is None:
                continue
            tried.append(f"{what} {honest}")
            error = float(np.hypot(found.error, honest.error))
            chance = 1.0 - NORMAL.cdf((found.auc - honest.auc - DRIFT) / error)
            if chance < ALPHA:
                return Check(name, len(told.time), f"{found} beside {what} {honest} (p {chance:.1g})")
        return Check(name, len(told.time) if tried else 0, measured="; ".join(tried) or "nothing to compare with")

    @cached_property
    def paths(self) -> list[tuple[Ranking | None, float, Floats]]:
        """How well p ranks the labels of random paths in place of the last bars, their worth, and p itself."""
        bars, found = self._replaced, []
        for seed in range(PATHS):
            path = with_future(bars, self._cut, "another path", seed)
            p_up = self.bundle.evidence(path, self._cut + self.bundle.clear_bars).p_up
            labels = label_barriers(path, atr(path), self.bundle.rules(), 1)
            y = won(labels, self.page.barriers["vertical"])
            rows = np.flatnonzero(np.isfinite(p_up) & np.isfinite(y))
            worth = worth_of(rows, labels.end[rows])
            found.append((ranking(p_up[rows], y[rows], worth), worth, p_up))
        return found

    @property
    def _replaced(self) -> Bars:
        return self.bars[max(0, len(self.bars) - PATH_BARS - self.bundle.memory) :]

    @property
    def _cut(self) -> int:
        return max(len(self._replaced) - PATH_BARS, min(self.bundle.memory, len(self._replaced) // 2))

    def knows_the_real_future(self) -> Check:
        """Ask whether what is said of random paths ranks the labels of the real bars in their place."""
        name, bars = "random paths are not told the real future", self._replaced
        labels = label_barriers(bars, atr(bars), self.bundle.rules(), 1)
        y = won(labels, self.page.barriers["vertical"])
        said = np.mean([_ranks(p_up) for _, _, p_up in self.paths], axis=0)
        known = np.isfinite(said) & np.isfinite(y)
        fresh = known & (bars.open_time >= self.page.zones.test[0]) & ~self.bundle.in_sample(bars)
        for keep in (fresh, known):
            rows = np.flatnonzero(keep)
            found = ranking(said[rows], y[rows], worth_of(rows, labels.end[rows]))
            if found is not None:
                chance = found.above(REAL_FUTURE)
                broken = f"{found} for labels of bars that were replaced (p {chance:.1g})" if chance < ALPHA else ""
                return Check(name, len(rows) * PATHS, broken, str(found))
        return Check(name, 0, measured="too few bars")

    def beats_dice(self) -> Check:
        """Ask whether random paths are predicted, of which nothing can be known."""
        name = "random paths are not predicted"
        found = mean_ranking([(ranked, worth) for ranked, worth, _ in self.paths])
        if found is None:
            return Check(name, 0, measured="too few bars")
        chance = found.above(DICE)
        broken = f"{found} on dice (p {chance:.1g})" if chance < ALPHA else ""
        return Check(name, sum(int(np.isfinite(p_up).sum()) for _, _, p_up in self.paths), broken, str(found))

    def overclaims(self) -> Check:
        """Ask whether the auditor claims much more than came true, on its record and on claimed-unseen bars."""
        name, tried, said = "the auditor claims what comes true", 0, []
        for what, told in (("walk-forward", self.record), ("unseen", self._claimed())):
            known, worth = np.isfinite(told.audit) & np.isfinite(told.net), told.worth(told.audit, told.net)
            if worth < LEAST:
                continue
            claimed, true = float(told.audit[known].mean()), float(told.net[known].mean())
            error = np.sqrt(max(claimed * (1.0 - claimed), 0.01) / worth)  # of what would come true, were it right
            chance = 1.0 - NORMAL.cdf((claimed - true - OVERCLAIMS) / error)
            tried += int(known.sum())
            text = f"{what}: claimed {claimed:.3f}, true {true:.3f}"
            said.append(text if what != "unseen" else self._say(text))
            if chance < ALPHA:
                return Check(name, tried, f"{text} of {worth:.0f} independent trades (p {chance:.1g})")
        return Check(name, tried, measured="; ".join(said) or "too few audited trades")


def foresight(bundle: Bundle, bars: Bars) -> Iterator[tuple[str, Callable[[], Check]]]:
    """Yield the five questions by name."""
    asked = Foresight(bundle, bars)
    yield "unseen bars: too good", asked.too_good
    yield "unseen bars: better than honest", asked.better_than_honest
    yield "random paths: the real future", asked.knows_the_real_future
    yield "random paths: dice", asked.beats_dice
    yield "auditor: claims", asked.overclaims


def _ranks(p: Floats) -> Floats:
    """Return the place of each forecast among the others, equal ones sharing it; NaN stays NaN."""
    known = np.isfinite(p)
    ordered = np.sort(p[known])
    place = np.searchsorted(ordered, p[known], "left") + np.searchsorted(ordered, p[known], "right")
    out = np.full(len(p), np.nan)
    out[known] = place
    return out
