"""A bundle: everything that was learned for one market, opened only if it fits this code and nobody changed it."""

from __future__ import annotations

import difflib
from collections import OrderedDict
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.bars import Bars, parse_timeframe
from engine.errors import ModelMismatch, UsageError, unknown
from engine.features import FEATURES, feature_needs
from engine.rules import Rules
from engine.signals import Evidence
from models.auditor import Auditor, feature_inputs
from models.cache import PredictionCache
from models.calibration import ConfidenceTable
from models.evidence import OOS, AuditReason, audit_reasons, compute_evidence, predict_rows, read_stored
from models.folder import check_files, check_others, read_file, read_manifest, write_bundle
from models.manifest import Manifest
from models.needs import needed_clear_bars as needed_clear_bars
from models.needs import needed_memory as needed_memory
from models.predictor import GRAPH, Door, Predictor, open_predictor, predictor_file
from models.regime import RegimeModel
from models.watch import watches_of

BUNDLES = Path(__file__).parent / "bundles"
PREDICTOR, REGIME, AUDITOR = GRAPH, "regime.json", "auditor.json"
BASELINE = "baseline.onnx"  # the last-bar logistic, a control; not every bundle has one
REMEMBERED = 4  # evidences kept per bundle: strategies of one comparison ask about the same bars


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """What was learned, ready to give evidence; made by :func:`load_bundle`.

    Parameters
    ----------
    folder : Path
        Where it lies.
    manifest : Manifest
        What it says about itself.
    hash : str
        sha256 of the manifest, which holds the sha256 of every file: equal hash, equal bundle.
    predictor, regime_model, auditor, confidence : Door, RegimeModel, Auditor, ConfidenceTable
        Its parts.
    cache : PredictionCache or None
        Where probabilities worked out before are kept.
    """

    folder: Path
    manifest: Manifest
    hash: str
    predictor: Door
    regime_model: RegimeModel
    auditor: Auditor
    confidence: ConfidenceTable
    cache: PredictionCache | None = None
    _remembered: OrderedDict[tuple[str, bool, int], Evidence] = field(default_factory=OrderedDict, repr=False)

    @property
    def predictor_hash(self) -> str:
        """sha256 of the predictor: the same for a draft and its release, so looks at the draft stay counted."""
        return self.manifest.files[predictor_file(self.manifest.predictor["kind"])]

    @property
    def memory(self) -> int:
        """Bars that decide: evidence at a bar is bit for bit the same from the last ``memory`` bars alone."""
        return self.manifest.memory

    @property
    def clear_bars(self) -> int:
        """Bars without a gap that a decision needs."""
        return self.manifest.clear_bars

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Every feature some part asks for, once each; the predictor's first."""
        asked = (*self.manifest.feature_names, *self.regime_model.features, *feature_inputs(self.auditor.names))
        return tuple(dict.fromkeys(asked))

    @property
    def beside(self) -> tuple[str, ...]:
        """What features and a supervisor read beside the bars."""
        columns = (watch.column for watch in watches_of(self.manifest) if watch.column)
        return tuple(dict.fromkeys((*feature_needs(self.feature_names), *columns)))

    def rules(self, **overrides: float) -> Rules:
        """Return the terms the labels were made on, with some replaced, such as ``rules(fee=0.0004)``.

        A fee named alone is the most that resting orders pay too: nobody who asks for 4 bp means 10 bp at the target.

        Raises
        ------
        UsageError
            For a term that rules do not have, or a value no market offers.
        """
        names = [f.name for f in fields(Rules)]
        for name in overrides:
            if name not in names:
                raise unknown("term", name, names)
        page = {**self.manifest.barriers, **self.manifest.costs}
        if "fee" in overrides:
            page["maker_fee"] = min(page.get("maker_fee", overrides["fee"]), overrides["fee"])
        return Rules(**{**{name: page[name] for name in names if name in page}, **overrides})  # type: ignore[arg-type]

    def in_sample(self, bars: Bars) -> NDArray[np.bool_]:
        """Return which bars some part of the bundle was fitted on, by time, shape (n,)."""
        return self.manifest.in_sample(bars)

    def evidence(self, bars: Bars, since: int = 0) -> Evidence:
        """Return what the models say at each close; rows before ``since`` are left without a prediction.

        Parameters
        ----------
        bars : Bars
            Of the bundle's timeframe; another symbol is allowed.
        since : int
            First row wanted; the bars before it warm up.

        Raises
        ------
        UsageError
            If the bars are of another timeframe or kind of market.
        """
        self.check_market(bars)
        key = (bars.fingerprint(), bars.sessions, since)
        if key not in self._remembered:
            self._remembered[key] = compute_evidence(self, bars, since)
            while len(self._remembered) > REMEMBERED:
                self._remembered.popitem(last=False)
        return self._remembered[key]

    def stored_evidence(self, bars: Bars) -> Evidence:
        """Return the out-of-sample evidence of the training's walk-forward, NaN on all other rows.

        Raises
        ------
        DataError
            If these are not the bars trained on (later ones may follow).
        """
        self.check_market(bars)
        return read_stored(self, read_file(self.folder, self.manifest, OOS), bars)

    def audit_reasons(self, bars: Bars) -> list[AuditReason]:
        """Return what moved the auditor at the last of some bars, the strongest reason first; needs XGBoost itself."""
        return audit_reasons(self, bars)

    def baseline_rank(self, bars: Bars) -> NDArray[np.float64] | None:
        """Return the confidence of the last-bar logistic at each close, shape (n,); None if none was shipped."""
        levels = self.manifest.predictor.get("baseline_levels")
        if levels is None or BASELINE not in self.manifest.files:
            return None
        self.check_market(bars)
        graph = read_file(self.folder, self.manifest, BASELINE)
        where = f"bundle {self.manifest.name}: {BASELINE}"
        predictor = Predictor(graph, self.manifest.window, len(self.manifest.features), where, self.cache)
        p_up = predict_rows(self, predictor, bars)
        return ConfidenceTable(np.array(levels, np.float64)).rank(p_up)

    def check_market(self, bars: Bars) -> None:
        """Refuse bars of another timeframe or kind of market, or without what features read beside them."""
        market = self.manifest.market
        if bars.timeframe_ns != parse_timeframe(market.timeframe):
            raise UsageError(
                f"bundle {self.manifest.name} was trained on {market.timeframe} bars, {bars.symbol} has"
                f" {bars.timeframe}; bring {market.timeframe} bars or another bundle"
            )
        if bars.sessions != market.sessions:
            kind = "a market that closes" if market.sessions else "a market that never closes"
            raise UsageError(
                f"bundle {self.manifest.name} was trained on {kind} (sessions={market.sessions}), {bars.symbol} has"
                f" sessions={bars.sessions}; read the bars with sessions={market.sessions} or take another bundle"
            )
        if absent := [name for name in self.beside if name not in bars.context]:
            raise UsageError(
                f"bundle {self.manifest.name} reads {', '.join(absent)} beside its bars, which nobody joined to those"
                f" of {bars.symbol}; name them as a stored series or a file, or join it with"
                " engine.history.context.with_context"
            )


def load_bundle(what: str | Path, cache: PredictionCache | None = None) -> Bundle:
    """Open a bundle by its shipped name or its folder, refusing what does not fit or was changed.

    Opening a stranger's bundle is safe: JSON, ONNX, safetensors and Parquet only, every byte hashed against the
    manifest, no links, no paths out of the folder, no larger than a model may be.

    Parameters
    ----------
    what : str or Path
        Shipped name or folder.
    cache : PredictionCache, optional
        Where to keep probabilities from one run to the next; they are the same bits with and without.

    Raises
    ------
    UsageError
        If there is no such bundle.
    ModelMismatch
        Naming the bundle, what was expected, what was found and the remedy.
    """
    folder = find_folder(what)
    manifest, digest = read_manifest(folder)
    check_files(folder, manifest)
    kind = manifest.predictor["kind"]
    content = {name: read_file(folder, manifest, name) for name in (predictor_file(kind), REGIME, AUDITOR)}
    check_others(folder, manifest, content)
    _check_features(manifest)
    where = f"bundle {manifest.name}: "
    regime = RegimeModel.from_json(content[REGIME], where + REGIME)
    auditor = Auditor(content[AUDITOR], manifest.auditor["features"], where + AUDITOR)
    _check_parts(manifest, regime, auditor)
    return Bundle(
        folder=folder,
        manifest=manifest,
        hash=digest,
        predictor=open_predictor(
            kind, content[predictor_file(kind)], manifest.window, len(manifest.features), where, cache
        ),
        regime_model=regime,
        auditor=auditor,
        confidence=ConfidenceTable(np.array(manifest.confidence["levels"], np.float64)),
        cache=cache,
    )


def release(what: str | Path) -> Path:
    """Release a draft: its test zone is sealed no longer; nothing else of it changes.

    Releasing twice is the same as once.

    Raises
    ------
    UsageError
        If there is no such bundle.
    ModelMismatch
        If it was changed since it was written.
    """
    bundle = load_bundle(what)
    files = {name: read_file(bundle.folder, bundle.manifest, name) for name in bundle.manifest.files}
    return write_bundle(bundle.folder, replace(bundle.manifest, released=True), files)


def find_folder(what: str | Path) -> Path:
    """Return the folder of a bundle by its shipped name or its path."""
    shipped = {path.parent.name: path.parent for path in BUNDLES.glob("*/manifest.json")}
    if isinstance(what, str) and what in shipped:
        return shipped[what]
    if Path(what).is_dir():
        return Path(what)
    raise UsageError(f"{unknown('bundle', str(what), shipped)}; or name the folder of one")


def _check_features(manifest: Manifest) -> None:
    """Refuse features this code does not compute as the model was taught."""
    whose, remedy = f"bundle {manifest.name}", f"retrain with `tradsys train {manifest.name}`"
    commit = manifest.code.get("commit")
    remedy += f" or check out {commit}" if commit else ""
    for need in manifest.features:
        _check_known(need.name, whose, remedy)
        here = FEATURES[need.name]
        for what, told, found in (("memory", need.memory, here.memory), ("lookback", need.lookback, here.lookback)):
            if told != found:
                raise ModelMismatch(
                    f"{whose} expects feature {need.name!r} ({what} {told}),"
                    f" this code computes it with {what} {found}; {remedy}"
                )


def _check_known(name: str, whose: str, remedy: str) -> None:
    if name not in FEATURES:
        near = difflib.get_close_matches(name, FEATURES, n=1)
        hint = f" (the nearest is {near[0]!r})" if near else ""
        raise ModelMismatch(f"{whose} expects feature {name!r}, which this code does not have{hint}; {remedy}")


def _check_parts(manifest: Manifest, regime: RegimeModel, auditor: Auditor) -> None:
    whose, remedy = f"bundle {manifest.name}", f"retrain with `tradsys train {manifest.name}`"
    for name in (*regime.features, *feature_inputs(auditor.names)):
        _check_known(name, whose, remedy)
    if tuple(manifest.regime["roles"]) != regime.roles:
        raise ModelMismatch(
            f"{whose} lists roles {manifest.regime['roles']}, {REGIME} has {list(regime.roles)}; {remedy}"
        )
    parts = (manifest.feature_names, manifest.window, regime, auditor.names)
    for what, told, needed in (
        ("memory", manifest.memory, max(needed_memory(*parts), *(w.memory for w in watches_of(manifest)), 0)),
        ("clear_bars", manifest.clear_bars, needed_clear_bars(*parts)),
    ):
        if told < needed:
            raise ModelMismatch(f"{whose} declares {what} {told}, its parts need {needed} in this code; {remedy}")
