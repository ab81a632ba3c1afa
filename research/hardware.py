"""Where a network learns: one path for a CPU, a GPU, and several processes under torchrun."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn

from engine.errors import UsageError
from research.agent_settings import Compute


@dataclass(frozen=True)
class Hardware:
    """The device of this process, and how its steps are taken.

    Parameters
    ----------
    device : torch.device
        Where weights and batches live.
    mixed, compiled : bool
        Whether the forward pass runs in bfloat16, and as compiled code; a GPU alone gains from either.
    """

    device: torch.device
    mixed: bool = False
    compiled: bool = False

    def learner(self, network: nn.Module) -> Any:
        """Return what is called while learning: the network on its device, its gradients shared between processes."""
        network.to(self.device)
        learner: Any = torch.compile(network) if self.compiled else network
        return nn.parallel.DistributedDataParallel(learner) if processes() > 1 else learner

    def forward(self) -> Any:
        """Return the context of a forward pass; bfloat16 has float32's range, so that no loss needs scaling."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.mixed else nullcontext()

    def tensor(self, array: Any) -> Tensor:
        """Return an array on the device."""
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device, non_blocking=True)


def hardware_of(compute: Compute) -> Hardware:
    """Return what a configuration asks for; on a CPU, mixed precision and compilation stay off: they cost time there.

    Raises
    ------
    UsageError
        If a GPU is asked for and there is none.
    """
    gpu = torch.cuda.is_available()
    if compute.device == "cuda" and not gpu:
        raise UsageError(
            'compute.device is "cuda", but this machine has no GPU that torch can use; say "cpu" or "auto"'
        )
    if compute.device == "cpu" or not gpu:
        return Hardware(torch.device("cpu"))
    place = distributed.get_node_local_rank(0) % torch.cuda.device_count() if processes() > 1 else 0
    return Hardware(torch.device("cuda", place), compute.mixed, compute.compiled)


def processes() -> int:
    """Return how many processes learn together; 1 outside torchrun."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """Return which of the processes this is."""
    return distributed.get_rank() if processes() > 1 else 0


def own_share(rows: Any) -> Any:
    """Return this process's rows of a batch: as many as every other's, so that the mean gradient is the batch's."""
    if processes() == 1:
        return rows
    whole = max(len(rows) - len(rows) % processes(), processes())
    return np.resize(rows, whole)[rank() :: processes()]


def agreed(value: float, smallest: bool = False) -> float:
    """Return one value for all processes: the first one's, or the smallest of all."""
    if processes() == 1:
        return value
    told = torch.tensor(value, dtype=torch.float64)
    if distributed.get_backend() == "nccl":
        told = told.cuda()
    if smallest:
        distributed.all_reduce(told, distributed.ReduceOp.MIN)
    else:
        distributed.broadcast(told, 0)
    return float(told)


@contextmanager
def repeatable(seed: int, threads: int, exact: bool = True) -> Iterator[None]:
    """Run torch so that the same seed gives the same numbers, and leave no trace in its global state.

    ``exact`` refuses operations whose bits vary from run to run; a GPU has no other for some of ours.
    """
    before, was_exact = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(exact)
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)
            torch.use_deterministic_algorithms(was_exact)
