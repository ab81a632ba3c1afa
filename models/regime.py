"""The market's regime: what a Gaussian HMM believes at each bar, given the bars up to it and none after.

hmmlearn's ``predict`` and ``predict_proba`` look ahead (Viterbi, smoothing), so it only fits;
what is served is the causal forward filter of `models.hmm`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.bars import Bars, Floats
from engine.errors import ModelMismatch
from engine.jsons import dumps
from models.hmm import hmm_filter, log_densities
from models.manifest import parse_json

SCHEMA = 1
MOST_STATES = 16
_ARRAYS = ("mean", "std", "start", "transition", "means", "covars", "volatility")


@dataclass(frozen=True, slots=True, eq=False)
class RegimeModel:
    """A fitted HMM whose states are ordered by volatility: the last is always the most turbulent.

    Parameters
    ----------
    features : tuple of str
        Features it sees, d of them.
    roles : tuple of str
        A name per state, k of them, by ascending volatility.
    volatility : float64 array of shape (k,)
        What the order was made of: volatility of each state on the training bars.
    mean, std : float64 arrays of shape (d,)
        Training moments that standardise the features.
    start : float64 array of shape (k,)
        Where a belief starts: the stationary distribution of the transition matrix.
    transition : float64 array of shape (k, k)
        Probability of state j after state i.
    means : float64 array of shape (k, d)
        Of the standardised features in each state.
    covars : float64 array of shape (k, d) or (k, d, d)
        Diagonal or full covariances.
    block : int
        Grid slots of an anchor block: a belief rests on one to two blocks of bars.
    forgetting : int
        Bars after which two beliefs started apart differ by less than 1e-6, measured at training.

    Raises
    ------
    ModelMismatch
        Naming what is wrong.
    """

    features: tuple[str, ...]
    roles: tuple[str, ...]
    volatility: Floats
    mean: Floats
    std: Floats
    start: Floats
    transition: Floats
    means: Floats
    covars: Floats
    block: int
    forgetting: int

    def __post_init__(self) -> None:
        """Refuse parameters that are no HMM."""
        k, d = len(self.roles), len(self.features)
        shapes = {"volatility": (k,), "mean": (d,), "std": (d,), "start": (k,), "transition": (k, k), "means": (k, d)}
        fault = next(
            (f"{name} must have shape {s}" for name, s in shapes.items() if getattr(self, name).shape != s), None
        )
        if fault is None and self.covars.shape not in ((k, d), (k, d, d)):
            fault = f"covars must have shape {(k, d)} or {(k, d, d)}"
        fault = fault or self._contradiction()
        if fault:
            raise ModelMismatch(f"regime model: {fault}; retrain")

    def _contradiction(self) -> str | None:
        rows = self.transition.sum(axis=1)
        for good, fault in (
            (
                2 <= len(self.roles) <= MOST_STATES and len(self.features) >= 1,
                f"2 to {MOST_STATES} roles and a feature",
            ),
            (all(np.isfinite(getattr(self, name)).all() for name in _ARRAYS), "every number must be finite"),
            (bool((np.diff(self.volatility) >= 0.0).all()), "states must be ordered by ascending volatility"),
            (bool((self.std > 0.0).all()), "std must be positive"),
            (
                bool((self.transition >= 0.0).all() and np.allclose(rows, 1.0, atol=1e-8)),
                "transition rows must sum to 1",
            ),
            (bool(np.allclose(self.start @ self.transition, self.start, atol=1e-8)), "start must be stationary"),
            (bool((self.start >= 0.0).all() and abs(self.start.sum() - 1.0) < 1e-8), "start must sum to 1"),
            (bool((np.linalg.eigvalsh(self._full()) > 0.0).all()), "covars must be positive definite"),
            (self.block >= 1 and self.forgetting >= 0, "block must be positive and forgetting not negative"),
        ):
            if not good:
                return fault
        return None

    @staticmethod
    def ordered(
        features: Sequence[str],
        scaler: tuple[Floats, Floats],
        fitted: Any,
        volatility: Floats,
        block: int,
        roles: Sequence[str] = (),
    ) -> RegimeModel:
        """Return a model from a fit in any state order, its states renamed by ascending volatility.

        Parameters
        ----------
        features : sequence of str
            Features the fit saw.
        scaler : (mean, std)
            That standardised them.
        fitted : object
            With ``transmat_``, ``means_`` and ``covars_`` of shape (k, d) or (k, d, d), such as hmmlearn's GaussianHMM.
        volatility : float64 array of shape (k,)
            Of each fitted state.
        block : int
            See the class.
        roles : sequence of str
            Names by ascending volatility; calm, (normal,) turbulent by default.
        """
        order = np.argsort(volatility, kind="stable")
        transition = np.asarray(fitted.transmat_, np.float64)[np.ix_(order, order)]
        transition = transition / transition.sum(axis=1, keepdims=True)
        covars = np.asarray(fitted.covars_, np.float64)[order]
        if covars.ndim == 3 and not np.any(covars * (1.0 - np.eye(covars.shape[1]))):
            covars = np.ascontiguousarray(np.diagonal(covars, axis1=1, axis2=2))  # hmmlearn shows diagonals in full
        return RegimeModel(
            features=tuple(features),
            roles=tuple(roles) or default_roles(len(order)),
            volatility=np.asarray(volatility, np.float64)[order],
            mean=np.asarray(scaler[0], np.float64),
            std=np.asarray(scaler[1], np.float64),
            start=stationary(transition),
            transition=transition,
            means=np.asarray(fitted.means_, np.float64)[order],
            covars=covars,
            block=block,
            forgetting=0,
        )

    def log_likelihood(self, matrix: Floats) -> Floats:
        """Return log density of each row of raw features in each state, (n, d) -> (n, k), up to a constant."""
        whitening = np.linalg.inv(np.linalg.cholesky(self._full()))
        volume = np.log(np.diagonal(whitening, axis1=1, axis2=2)).sum(axis=1)
        rows = np.ascontiguousarray(matrix, np.float64)
        return np.asarray(log_densities(rows, (self.mean, self.std), whitening, self.means, volume))

    def belief(self, bars: Bars, matrix: Floats) -> Floats:
        """Return the probability of each state at each close, (n, k), bit for bit the same from 2 blocks of bars.

        Parameters
        ----------
        bars : Bars
            Their place on the time grid anchors the filter.
        matrix : float64 array of shape (n, d)
            Raw features. Where a row is not finite nothing is learned: the belief drifts, and is NaN there.
        """
        known = np.asarray(np.isfinite(matrix).all(axis=1))
        seen = np.where(known[:, None], matrix, np.nan)
        out = hmm_filter(self.start, self.transition, self.log_likelihood(seen), bars.slots // self.block)
        out[~known] = np.nan
        return np.asarray(out)

    def measure_forgetting(self, matrix: Floats, probes: int = 64, tolerance: float = 1e-6) -> int:
        """Return after how many bars beliefs that started in different states agree, at the worst of some places.

        The length of the matrix is returned where they never do.
        """
        log_likelihood = self.log_likelihood(matrix[np.isfinite(matrix).all(axis=1)])
        corners, worst = np.eye(len(self.roles)), 0
        for first in np.linspace(0, len(log_likelihood) * 0.75, probes).astype(np.int64):
            part = log_likelihood[first : first + 4 * self.block]
            one_block = np.zeros(len(part), np.int64)
            paths = np.stack([hmm_filter(corner, self.transition, part, one_block) for corner in corners])
            apart = np.flatnonzero(np.ptp(paths, axis=0).max(axis=1) > tolerance)
            worst = max(worst, int(apart[-1]) + 1 if len(apart) else 0)
        return worst

    def to_json(self) -> bytes:
        """Return the bytes of ``regime.json``."""
        page = {f.name: getattr(self, f.name) for f in fields(self)}
        return (dumps({"schema": SCHEMA, **page}) + "\n").encode()

    @staticmethod
    def from_json(raw: bytes, where: str = "regime.json") -> RegimeModel:
        """Return the model of some bytes, or refuse them with the reason."""
        page = parse_json(raw, where)
        try:
            arrays = {name: np.asarray(page[name], np.float64) for name in _ARRAYS}
            names = {name: tuple(str(text) for text in page[name]) for name in ("features", "roles")}
            numbers = {name: int(page[name]) for name in ("block", "forgetting")}
            parts: dict[str, Any] = {**arrays, **names, **numbers}
            model = RegimeModel(**parts)
        except (KeyError, TypeError, ValueError, np.linalg.LinAlgError) as error:
            raise ModelMismatch(f"{where} is no regime model ({type(error).__name__}: {error}); retrain") from None
        if page.get("schema") != SCHEMA:
            raise ModelMismatch(
                f"{where} has schema {page.get('schema')}, this code reads {SCHEMA}; update the code or retrain"
            )
        return model

    def _full(self) -> NDArray[np.float64]:
        if self.covars.ndim == 3:
            return self.covars
        return self.covars[:, :, None] * np.eye(self.covars.shape[1])


def default_roles(states: int) -> tuple[str, ...]:
    """Return names by ascending volatility.

    Examples
    --------
    >>> default_roles(3), default_roles(4)
    (('calm', 'normal', 'turbulent'), ('calm', 'normal-1', 'normal-2', 'turbulent'))
    """
    middle = ["normal"] if states == 3 else [f"normal-{i}" for i in range(1, states - 1)]
    return ("calm", *middle, "turbulent")


def stationary(transition: Floats) -> Floats:
    """Return the long-run share of each state.

    Examples
    --------
    >>> stationary(np.array([[0.9, 0.1], [0.3, 0.7]])).round(12).tolist()
    [0.75, 0.25]
    """
    k = len(transition)
    system = np.vstack([transition.T - np.eye(k), np.ones(k)])
    share = np.linalg.lstsq(system, np.r_[np.zeros(k), 1.0], rcond=None)[0].clip(0.0)
    return np.asarray(share / share.sum())
