"""The sections of a training configuration; every number here is a default anybody may train with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Barriers:
    """What a label, and so a trade, is.

    Parameters
    ----------
    k_up, k_down : float
        Take profit and stop in ATRs.
    hold : int
        The trade ends at the open after this many bars.
    vertical : str
        The label of a trade that timed out: ``sign`` of its gross return, ``zero``, or ``drop`` it.
        ``zero`` mixes "lost" with "nothing happened": its base rate moves with ``hold``.
    """

    k_up: float = 1.5
    k_down: float = 1.5
    hold: int = 24
    vertical: str = "sign"


@dataclass(frozen=True)
class Costs:
    """What a trade pays, as fractions per side; the auditor learns net of them.

    Parameters
    ----------
    fee, maker_fee : float
        Of a taker, and of the resting take profit.
    slippage : float
        Of entries, stops and time exits.
    """

    fee: float = 0.001
    maker_fee: float = 0.001
    slippage: float = 0.0002


@dataclass(frozen=True)
class Folds:
    """The anchored walk-forward over development and validation.

    Parameters
    ----------
    count : int
        Folds; each is predicted by a model that has seen only what came before it.
    first : float
        Share of the development zone before the first fold.
    inner : float
        Last share of a training span that stops, calibrates and ranks the model instead of fitting it.
    """

    count: int = 6
    first: float = 0.4
    inner: float = 0.15


@dataclass(frozen=True)
class Logistic:
    """The linear baseline on the last bar.

    Parameters
    ----------
    penalties : tuple of float
        Strengths C of scikit-learn tried on the inner validation; smaller shrinks more.
    """

    penalties: tuple[float, ...] = (0.0001, 0.001, 0.01, 0.1, 1.0)


@dataclass(frozen=True)
class Trees:
    """Boosted trees on the last bar and a few bars before it.

    Parameters
    ----------
    lags : tuple of int
        Which bars are seen: 0 is the last.
    rounds, patience : int
        Most trees, and trees without progress on the inner validation before stopping.
    depth : int
        Of a tree.
    rate : float
        Learning rate.
    least_weight : float
        Least sum of second derivatives in a leaf (a row weighs at most 0.25).
    ridge : float
        L2 penalty of leaves.
    rows, columns : float
        Shares drawn for each tree.
    """

    lags: tuple[int, ...] = (0, 1, 3, 6)
    rounds: int = 400
    patience: int = 40
    depth: int = 3
    rate: float = 0.03
    least_weight: float = 25.0
    ridge: float = 10.0
    rows: float = 0.7
    columns: float = 0.5


@dataclass(frozen=True)
class Learned:
    """How a network learns: keys that every network's section has, with defaults of its own where they differ.

    Parameters
    ----------
    epochs, patience : int
        Most passes over the rows, and passes without progress on the inner validation before stopping.
    batch : int
        Rows a step; of the streaming network, stretches.
    rate, decay : float
        Peak learning rate and weight decay of AdamW.
    warmup : float
        Share of all steps over which the rate rises.
    seeds : int
        Trainings of the final model from different seeds: the first is served, the rest show the spread.
    """

    epochs: int = 12
    patience: int = 3
    batch: int = 256
    rate: float = 0.0007
    decay: float = 0.05
    warmup: float = 0.1
    seeds: int = 1


@dataclass(frozen=True)
class Windowed(Learned):
    """How a network over windows learns.

    Parameters
    ----------
    stride : int
        Every how many bars a training row is taken: neighbours' labels overlap.
    """

    stride: int = 2


@dataclass(frozen=True)
class Transformer(Windowed):
    """The encoder over the window; how it learns: `Windowed`.

    Parameters
    ----------
    width, layers, heads, feedforward : int
        Sizes of the network.
    dropout : float
        Share of activations dropped while learning.
    loss : str
        ``bce``, or ``focal``, whose output is turned back into a probability in closed form.
    gamma : float
        Exponent of the focal loss.
    patch, patch_step : int
        Bars of a token, and bars from one token to the next; 0: every bar is a token.
    """

    width: int = 32
    layers: int = 2
    heads: int = 2
    feedforward: int = 64
    dropout: float = 0.2
    loss: str = "bce"
    gamma: float = 2.0
    seeds: int = 3
    patch: int = 0
    patch_step: int = 8


@dataclass(frozen=True)
class Streaming(Learned):
    """The causal banded encoder, which reads every bar once; how it learns: `Learned`.

    Parameters
    ----------
    width, layers, heads, feedforward : int
        Sizes of the network; a head's width and ``feedforward`` are multiples of 4.
    band : int
        Bars each layer looks back on, a multiple of 4; an answer rests on ``layers * (band - 1) + 1`` bars.
    dropout : float
        Share of activations dropped while learning.
    chunk : int
        Labelled bars of a stretch.
    """

    width: int = 32
    layers: int = 2
    heads: int = 2
    feedforward: int = 64
    band: int = 64
    dropout: float = 0.2
    epochs: int = 24
    patience: int = 6
    chunk: int = 1024
    batch: int = 1
    seeds: int = 3


@dataclass(frozen=True)
class Calibration:
    """From a raw logit to a probability, on rows the model was not fitted on.

    Parameters
    ----------
    method : str
        ``platt`` (slope and intercept) or ``temperature`` (slope alone).
    """

    method: str = "platt"


@dataclass(frozen=True)
class Regime:
    """The hidden Markov model of volatility regimes.

    Parameters
    ----------
    states, starts : int
        Number of regimes, and random starts of the search.
    features : tuple of str
        What it sees of each bar.
    screen_bars : int
        Bars on which all starts are compared before the best few see everything.
    least_share : float
        A fit with a regime rarer than this is not taken while another will do.
    longest_block : int
        Most grid slots of an anchoring block, a power of two of at most 1024.
    """

    states: int = 3
    starts: int = 10
    features: tuple[str, ...] = ("ret_1", "log_range")
    screen_bars: int = 10_000
    least_share: float = 0.03
    longest_block: int = 1024


@dataclass(frozen=True)
class Auditor:
    """The second model, which judges the first one's trades.

    Parameters
    ----------
    rounds, depth : int
        Most trees and their depth.
    rate, ridge : float
        Learning rate and L2 penalty of leaves.
    least_weight : float
        Least sum of second derivatives in a leaf.
    later : float
        Last share of the events, purged, on which it stops.
    least_events : int
        With fewer events nothing can be learned: the auditor then says the base rate to all.
    """

    rounds: int = 100
    depth: int = 3
    rate: float = 0.05
    ridge: float = 10.0
    least_weight: float = 10.0
    later: float = 0.25
    least_events: int = 200


@dataclass(frozen=True)
class Thresholds:
    """Where the profiles and gates begin.

    Parameters
    ----------
    sniper, audited, reckless : float
        Confidence from which each profile proposes; the auditor learns from ``audited``.
    max_turbulent : float
        Belief in the most volatile regime above which the regime gate says no.
    """

    sniper: float = 0.95
    audited: float = 0.75
    reckless: float = 0.75
    max_turbulent: float = 0.5
