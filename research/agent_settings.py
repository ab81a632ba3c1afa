"""The sections of a training configuration for the further agents, and for where and how networks learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from research.settings import Windowed

if TYPE_CHECKING:
    from research.config import TrainConfig

MEMBERS = ("logistic", "trees", "resnet", "transformer", "supcon")  # graphs over one window: they join in one graph


@dataclass(frozen=True)
class Compute:
    """Where networks learn; the answers of a served model come from a CPU in any case.

    Parameters
    ----------
    device : str
        ``cpu``, ``cuda`` or ``auto``: a GPU where there is one. The same bytes again are promised on a CPU alone.
    mixed, compiled : bool
        On a GPU: forward passes in bfloat16, and through torch.compile.
    workers : int
        Processes that gather windows ahead; 0 gathers in the step itself, which is faster unless the rows lie on disk.
    curves : str
        Folder for TensorBoard's curves; empty writes none.
    """

    device: str = "cpu"
    mixed: bool = False
    compiled: bool = False
    workers: int = 0
    curves: str = ""


@dataclass(frozen=True)
class SupCon(Windowed):
    """The Transformer's encoder taught to bring windows of one outcome together, with a linear probe on it.

    How it learns: `research.settings.Windowed`; half of each batch is of either outcome.

    Parameters
    ----------
    temperature : float
        Of the contrastive loss; below 0.05 it sees the hardest pairs alone.
    projection : int
        Width in which windows are compared; thrown away before the probe.
    penalties : tuple of float
        Strengths C of the probe tried on the inner validation; smaller shrinks more.
    """

    temperature: float = 0.1
    projection: int = 16
    epochs: int = 8
    penalties: tuple[float, ...] = (0.0001, 0.001, 0.01, 0.1, 1.0)


@dataclass(frozen=True)
class ResNet(Windowed):
    """The convolutional network that judges whether the last move will be undone.

    How it learns: `research.settings.Windowed`.

    Parameters
    ----------
    move, unit : str
        Features of the last move, and of an ATR in the same scale.
    least_move : float
        Moves of fewer ATRs are not worth fading: no label, no opinion.
    filters : int
        Of the first of three blocks; the others have twice as many.
    dropout : float
        Share of averaged activations dropped while learning.
    """

    move: str = "ret_6"
    unit: str = "atr_pct_14"
    least_move: float = 1.0
    filters: int = 16
    dropout: float = 0.2
    rate: float = 0.001


@dataclass(frozen=True)
class Ensemble:
    """Several candidates as one.

    Parameters
    ----------
    members : tuple of str
        Any of ``logistic``, ``trees``, ``resnet``, ``transformer``, ``supcon``.
    weighing : str
        ``pooled``: the mean of the members' log-odds. ``stacked``: weights of at least 0, fitted on log-odds that
        members had never seen the rows of.
    folds : int
        Purged runs of the training rows that are foreseen in turn to fit the weights.
    ridge : float
        How strongly the weights are held to equal ones, in independent labels.
    """

    members: tuple[str, ...] = ("logistic", "trees")
    weighing: str = "stacked"
    folds: int = 4
    ridge: float = 100.0


@dataclass(frozen=True)
class Supervisor:
    """A gate that says no while something known beside the bars is high, such as a volatility index.

    Parameters
    ----------
    column : str
        What it reads beside the bars; empty: the bundle has no such gate.
    bars : int
        It compares the column with its own last values of so many bars.
    most : float
        Share of them that may lie below: 0.9 forbids trades while it stands in its own highest tenth.
    profiles : tuple of str
        Profiles in which the gate stands.
    """

    column: str = ""
    bars: int = 2160
    most: float = 0.9
    profiles: tuple[str, ...] = ("sniper", "audited")


@dataclass(frozen=True)
class Volatility:
    """A gate that says no while the market will probably move more than it has: the volatility agent's.

    Parameters
    ----------
    ahead : int
        Bars foreseen, and compared with as many past ones; 0: the bundle has no such gate.
    most : float
        Largest chance allowed.
    profiles : tuple of str
        Profiles in which the gate stands.
    """

    ahead: int = 0
    most: float = 0.8
    profiles: tuple[str, ...] = ("sniper", "audited")


def agent_rules(config: TrainConfig) -> list[tuple[str, bool, str, Any]]:
    """Return key, whether it holds, what is allowed and what was given, for the sections of this file."""
    t, r, s, e, c = config.transformer, config.resnet, config.supcon, config.ensemble, config.compute
    steps = t.patch == 0 or (2 <= t.patch <= config.window and 1 <= t.patch_step <= t.patch)
    members = len(e.members) >= 2 and len({*e.members}) == len(e.members) and {*e.members} <= {*MEMBERS}
    seeds = {kind: getattr(config, kind).seeds for kind in ("transformer", "streaming", "resnet", "supcon")}
    return [
        *((f"{kind}.seeds", 1 <= count <= 20, "in 1..20", count) for kind, count in seeds.items()),
        (
            "transformer.patch",
            steps,
            "0, or in 2..window with 1 <= patch_step <= patch",
            (t.patch, t.patch_step),
        ),
        ("resnet.least_move", r.least_move >= 0.0, "at least 0", r.least_move),
        ("resnet.filters", r.filters >= 1 and r.filters % 4 == 0, "a multiple of 4", r.filters),
        ("supcon.temperature", s.temperature > 0.0, "above 0", s.temperature),
        ("supcon.batch", s.batch >= 4 and s.batch % 2 == 0, "an even number of at least 4", s.batch),
        ("ensemble.members", members, f"two or more of {MEMBERS}, each once", e.members),
        ("ensemble.weighing", e.weighing in ("pooled", "stacked"), "pooled or stacked", e.weighing),
        (
            "ensemble",
            "ensemble" not in config.candidates or not config.pool,
            "of one market, without a pool",
            config.pool,
        ),
        ("ensemble.folds", 2 <= e.folds <= 20, "in 2..20", e.folds),
        ("supervisor.bars", 2 <= config.supervisor.bars <= 100_000, "in 2..100000", config.supervisor.bars),
        ("supervisor.most", 0.0 <= config.supervisor.most <= 1.0, "in [0, 1]", config.supervisor.most),
        ("volatility.ahead", config.volatility.ahead in (0, *range(2, 2001)), "0 or 2..2000", config.volatility.ahead),
        ("volatility.most", 0.0 <= config.volatility.most <= 1.0, "in [0, 1]", config.volatility.most),
        ("compute.device", c.device in ("cpu", "cuda", "auto"), "cpu, cuda or auto", c.device),
        ("compute.workers", 0 <= c.workers <= 64, "in 0..64", c.workers),
    ]
