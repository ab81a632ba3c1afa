"""What a search found, as one reads it, and as a configuration one may train with."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from engine.history.atomic import write_whole
from research.config import TrainConfig
from research.search_space import KIND, configured
from research.tune import Tuned, line_of

SHOWN = 10


def print_tuned(tuned: Tuned) -> None:
    """Print the best trials, the pick with its reason, and what blind dice found."""
    from engine.report.fitting import listed, say, show
    from engine.report.terminal import console

    screen, rows = console(), []
    for row in tuned.rows[:SHOWN]:
        mark = " <- pick" if row["number"] == tuned.number else ""
        gap = f"{row['gap']:.5f} ± {row['gap_se']:.5f}"
        settings = line_of(row["kind"], row["chosen"]) + mark
        rows.append((str(row["number"]), row["kind"], f"{row['loss']:.5f}", gap, f"{row['size']:,}", settings))
    heads = ("trial", "model", "loss", "above best", "numbers", "settings")
    screen.print("trials by loss out of fold (purged folds of development)", style="italic")
    show(screen, listed(heads, rows, ("trial", "loss", "above best", "numbers"), screen))
    say(screen, told(tuned))


def told(tuned: Tuned) -> list[str]:
    """Return what the table does not say."""
    counts, random = tuned.counts, tuned.random
    lines = [
        f"{sum(counts.values())} trials: {counts['ok']} judged on every fold, {counts['pruned']} pruned,"
        f" {counts['nan']} broke down (no finite loss: unstable)"
    ]
    if random["best_loss"] is not None and random["sampler_best_loss"] is not None:
        gain = random["best_loss"] - random["sampler_best_loss"]
        lines.append(
            f"blind dice, {random['trials']} trials: best {random['best_loss']:.5f}; the sampler after as many:"
            f" {random['sampler_best_loss']:.5f} ({gain:+.5f} gained)"
        )
    least = tuned.rows[0]["loss"]
    verdict = "" if least < tuned.no_skill else ": nothing here foresees anything"
    lines.append(f"no skill loses {tuned.no_skill:.5f}, the best trial {least:.5f}{verdict}")
    why = (
        "lost least" if tuned.number == tuned.best else f"the simplest within one standard error of trial {tuned.best}"
    )
    lines.append(f"pick: trial {tuned.number}, {tuned.pick[KIND]}: {why}. Every trial is in the trial ledger")
    return lines


def write_config(config: TrainConfig, tuned: Tuned, path: Path) -> Path:
    """Write the pick as a training configuration, next to the baseline it has to beat.

    What the search looked at is counted in ``tried``: a bundle is judged by it wherever it goes.

    Returns
    -------
    Path
        The TOML file; `tradsys train NAME --config FILE` takes it.
    """
    chosen = configured(config, tuned.pick)
    kinds = tuple(dict.fromkeys(("logistic", tuned.pick[KIND])))
    tried = config.tried + sum(tuned.counts.values()) + tuned.random["trials"]
    write_whole(path, toml_of(dataclasses.replace(chosen, candidates=kinds, name="", tried=tried)).encode())
    return path


def toml_of(config: TrainConfig) -> str:
    """Return a configuration as TOML, without what is the default anyway.

    Examples
    --------
    >>> print(toml_of(TrainConfig(window=16, candidates=("trees",))), end="")
    window = 16
    candidates = ["trees"]
    """
    usual, top, sections = TrainConfig(), [], []
    for field in dataclasses.fields(config):
        value, default = getattr(config, field.name), getattr(usual, field.name)
        if dataclasses.is_dataclass(value):
            lines = [
                f"{part.name} = {_literal(getattr(value, part.name))}"
                for part in dataclasses.fields(value)
                if getattr(value, part.name) != getattr(default, part.name)
            ]
            sections += [f"\n[{field.name}]", *lines] if lines else []
        elif value != default:
            top.append(f"{field.name} = {_literal(value)}")
    return "\n".join([*top, *sections]) + "\n"


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"[{', '.join(_literal(one) for one in value)}]"
    return repr(value)
