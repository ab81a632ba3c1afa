"""Several processes that learn together, started by torchrun: ``tradsys train`` whose networks share each batch.

::

    torchrun --nproc-per-node 2 -m research.distributed my-coin --bars SOLUSDT-1h --out my-coin

Every process walks the whole road with the same seed; where a network learns, each takes its share of every batch and
the gradients are averaged, so that a step is the one that a single process would take. The first process alone writes.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from research.road import RUNS, named_config, named_markets, train_bundle

distributed_app = typer.Typer(add_completion=False)


@contextmanager
def together(device: str, meeting: str = "env://", rank: int = -1, count: int = -1) -> Iterator[None]:
    """Join the other processes for as long as the body runs.

    Parameters
    ----------
    device : str
        As in ``compute.device``: a GPU's gradients travel by NCCL, a CPU's by Gloo.
    meeting : str
        Where the processes find each other; by default what torchrun says.
    rank, count : int
        Which process this is, of how many; by default what torchrun says.
    """
    import torch
    from torch import distributed

    gpu = device != "cpu" and torch.cuda.is_available()
    distributed.init_process_group("nccl" if gpu else "gloo", meeting, rank=rank, world_size=count)
    try:
        yield
    finally:
        distributed.destroy_process_group()


@distributed_app.command()
def train_together(
    name: Annotated[str, typer.Argument(help="Name of the bundle, and of its configuration where there is one.")],
    bars: Annotated[str | None, typer.Option(help="Embedded or stored series, or a file of bars.")] = None,
    config: Annotated[str | None, typer.Option(help="Another configuration: its name or a TOML file.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the bundle; models/bundles/NAME by default.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the finished parts of the same run.")] = False,
    data: Annotated[Path, typer.Option(help="Folder of the stored series.")] = Path("data"),
) -> None:
    """Train a bundle with all processes that torchrun started."""
    from research.hardware import rank
    from research.train import train

    chosen = named_config(name, config)
    with together(chosen.compute.device), tempfile.TemporaryDirectory() as aside:
        from torch import distributed

        own = Path(aside)
        if rank() > 0 and resume and (RUNS / name).is_dir():
            shutil.copytree(RUNS / name, own / "run")
        distributed.barrier()  # nobody writes before all have read
        if rank() == 0:
            train_bundle(name, bars, config, out, (resume, False), data)
        else:
            train(chosen, named_markets(name, bars, chosen, data), own / name, resume, own / "run")


if __name__ == "__main__":
    distributed_app()
