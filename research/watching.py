"""What a trained bundle watches beside its models: fitted on development, described in its manifest."""

from __future__ import annotations

from typing import Any

from models.volatility import FILE
from models.watch import SUPERVISOR, VOLATILITY, Watch
from research.config import TrainConfig
from research.study import Study


def watches(config: TrainConfig) -> list[Watch]:
    """Return what a configuration asks a bundle to watch, most often nothing.

    Examples
    --------
    >>> watches(TrainConfig())
    []
    """
    s, v = config.supervisor, config.volatility
    out = [Watch(SUPERVISOR, s.bars, s.most, s.profiles, s.column)] if s.column else []
    return out + ([Watch(VOLATILITY, v.ahead, v.most, v.profiles)] if v.ahead else [])


def watched_page(config: TrainConfig) -> dict[str, Any]:
    """Return what the manifest's regime says of the watches; nothing where there are none."""
    asked = watches(config)
    return {"watches": {watch.gate: watch.page() for watch in asked}} if asked else {}


def watch_files(study: Study) -> dict[str, bytes]:
    """Return the files of what is watched: the volatility agent's graph, fitted on development alone."""
    if not study.config.volatility.ahead:
        return {}
    from research.export_volatility import volatility_graph
    from research.volatility_road import fit_development

    seen = study.bars.upto(study.development.stop)
    return {FILE: volatility_graph(fit_development(seen, study.config.volatility.ahead))}
