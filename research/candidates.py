"""The models that compete for a bundle, behind one protocol, and the rule that chooses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from engine.bars import Floats
from research.config import KINDS, TrainConfig
from research.events import Examples, Split
from research.measures import block_se, cross_entropy
from research.weights import Rows


class Model(Protocol):
    """A fitted model: raw log-odds at any bars of some examples, and its numbers as arrays."""

    @property
    def kind(self) -> str: ...
    def logits(self, examples: Examples, rows: Rows) -> Floats: ...
    def state(self) -> dict[str, NDArray[Any]]: ...


class Choice(NamedTuple):
    """Which candidate won, and why.

    Parameters
    ----------
    kind : str
        The candidate.
    reason : str
        In a sentence.
    differences : dict of str to (float, float)
        Each candidate's mean loss above the best one's on the same rows, and its standard error.
    """

    kind: str
    reason: str
    differences: dict[str, tuple[float, float]]


def fit_candidate(
    kind: str,
    examples: Examples,
    split: Split,
    config: TrainConfig,
    tick: Callable[[float], None] | None = None,
    other_seed: int = 0,
) -> tuple[Model, dict[str, Any]]:
    """Fit one kind of model; the notes say what the inner validation decided.

    ``tick`` is told the finished share of a long fit; ``other_seed`` is added to the configuration's.
    """
    if kind == "logistic":
        from research.fit_logistic import fit_logistic

        return fit_logistic(examples, split, config)
    if kind == "trees":
        from research.fit_trees import fit_trees

        return fit_trees(examples, split, config)
    if kind == "streaming":
        from research.fit_streaming import fit_streaming

        return fit_streaming(examples, split, config, tick, other_seed)
    if kind == "resnet":
        from research.resnet import fit_resnet

        return fit_resnet(examples, split, config, tick, other_seed)
    if kind == "supcon":
        from research.contrastive import fit_supcon

        return fit_supcon(examples, split, config, tick, other_seed)
    if kind == "ensemble":
        from research.ensemble import fit_ensemble

        return fit_ensemble(examples, split, config, tick, other_seed)
    from research.fit_transformer import fit_transformer

    return fit_transformer(examples, split, config, tick, other_seed)


def restore_candidate(kind: str, state: dict[str, NDArray[Any]], config: TrainConfig) -> Model:
    """Return the model whose numbers were saved."""
    if kind == "logistic":
        from research.fit_logistic import LinearModel

        return LinearModel.restore(state, config)
    if kind == "trees":
        from research.fit_trees import TreeModel

        return TreeModel.restore(state, config)
    if kind == "streaming":
        from research.fit_streaming import StreamingModel

        return StreamingModel.restore(state, config)
    if kind == "resnet":
        from research.resnet import FadeModel

        return FadeModel.restore(state, config)
    if kind == "ensemble":
        from research.ensemble import EnsembleModel

        return EnsembleModel.restore(state, config)
    from research.fit_transformer import NeuralModel

    return NeuralModel.restore(state, config, kind)


def choose(y: Floats, forecasts: dict[str, Floats], block: int, force: str = "") -> Choice:
    """Return the simplest candidate whose loss is within one standard error of the best (1-SE rule).

    Parameters
    ----------
    y : float64 array of shape (n,)
        Outcomes of the validation zone, in time order.
    forecasts : dict of str to float64 array of shape (n,)
        Each candidate's probabilities on the same rows.
    block : int
        Neighbouring rows whose losses hang together: the block of the bootstrap.
    force : str
        A candidate that ships whatever the losses say.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.tile([0.0, 1.0], 500)
    >>> told = {"logistic": np.full(1000, 0.5), "trees": 0.5 + 0.4 * (y - 0.5)}
    >>> choose(y, told, block=10).kind
    'trees'
    """
    losses = {kind: cross_entropy(y, p) for kind, p in forecasts.items()}
    best = min(losses, key=lambda kind: losses[kind].mean())
    gaps = {kind: loss - losses[best] for kind, loss in losses.items()}
    differences = {kind: (float(gap.mean()), block_se(gap, block)) for kind, gap in gaps.items()}
    if force:
        return Choice(force, f"forced by the configuration; {best} lost least on validation", differences)
    for kind in KINDS:
        if kind in differences and differences[kind][0] <= differences[kind][1]:
            if kind == best:
                return Choice(
                    kind, "lost least on validation, and nothing simpler came within one standard error", differences
                )
            gap, error = differences[kind]
            return Choice(
                kind,
                f"{best} lost {gap:.5f} less, within one standard error ({error:.5f}); the simpler model ships",
                differences,
            )
    raise AssertionError("the best candidate is within one standard error of itself")
