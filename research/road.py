"""``tradsys train``: from names to a bundle, with progress, a report and nothing half-written."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from engine.bars import Bars
from engine.errors import ModelMismatch, UsageError
from engine.features import feature_needs
from engine.history.context import with_context
from engine.history.embedded import EMBEDDED
from engine.history.find import find_bars
from engine.report.paths import writable
from engine.workers import Workers
from models.bundle import BUNDLES
from models.folder import read_manifest
from models.manifest import MANIFEST
from research.config import CONFIGS, TrainConfig, load_config

RUNS = Path("runs")
GENERIC = "default"


def train_bundle(  # noqa: PLR0913 - workers change how fast, not what
    name: str,
    bars: str | None,
    config: str | None,
    out: Path | None,
    again: tuple[bool, bool],
    data_root: Path,
    workers: Workers | None = None,
) -> Path:
    """Train a bundle by name, return its folder, and print where it lies and what its losses are worth.

    Parameters
    ----------
    name : str
        Name of the bundle, and of its configuration where there is one.
    bars : str or None
        Embedded or stored series, or a file; an embedded series of the bundle's own name by default.
    config : str or None
        Another configuration: a name in research/configs or a TOML file.
    out : Path or None
        Folder of the bundle; models/bundles/NAME by default.
    again : (bool, bool)
        Whether to continue from the finished parts of the same run, and whether a released bundle may be replaced.
    data_root : Path
        Folder of the stored series.
    workers : Workers, optional
        Processes that share the folds of the walk-forward.

    Raises
    ------
    UsageError
        Before anything is learned: for names nobody knows, or a folder that cannot or must not be written.
    """
    resume, replaces = again
    folder = _free(BUNDLES / name if out is None else out, replaces)
    chosen = named_config(name, config)
    markets = named_markets(name, bars, chosen, data_root)
    from engine.report.terminal import console
    from research.progress import progress_bar
    from research.train import train
    from research.training_report import show_report

    with progress_bar() as progress:
        train(chosen, markets, folder, resume, RUNS / name, progress, workers)
    screen = console()
    show_report(RUNS / name, screen)
    told = name if out is None else out
    screen.print(
        f"draft: {folder}; judge it with: tradsys compare {told} --bars {bars or name} --zone oos", soft_wrap=True
    )
    return folder


def _free(folder: Path, replaces: bool) -> Path:
    """Return a folder that a bundle can be written to and whose bundle nobody was given yet."""
    writable(folder, folder=True)
    released = False
    with suppress(ModelMismatch):  # one that cannot be read is retrained
        released = (folder / MANIFEST).is_file() and read_manifest(folder)[0].released
    if released and not replaces:
        raise UsageError(f"{folder} holds a released bundle; name another --out, or replace it with --replace")
    return folder


def named_config(name: str, config: str | None) -> TrainConfig:
    """Return the configuration asked for: the named one, the bundle's own, or the general one."""
    own = (CONFIGS / f"{name}.toml").is_file()
    return replace(load_config(config or (name if own else GENERIC)), name=name)


def named_markets(name: str, bars: str | None, config: TrainConfig, data_root: Path) -> list[Bars]:
    """Return the home market and, after it, the others of the pool, with what the features read beside them."""
    if bars is None and name not in EMBEDDED:
        raise UsageError(f"name the bars to train {name} on: --bars FILE or a stored series (tradsys data list)")
    watched = [config.supervisor.column] if config.supervisor.column else []
    needs = [*feature_needs((*config.features, *config.regime.features)), *watched]
    home, *named = (
        with_context(find_bars(one, data_root), needs, data_root)
        for one in (name if bars is None else bars, *config.pool)
    )
    return [home, *(one for one in named if one.fingerprint() != home.fingerprint())]
