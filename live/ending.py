"""How a verb ends: which exit code, and the one line that is said when it could not do its work."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

from engine.errors import TradingError, UsageError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

EXTRAS = {  # what each extra of pyproject.toml brings, by the name that is imported
    "research": ("torch", "sklearn", "hmmlearn", "onnx", "onnxscript", "optuna", "statsmodels", "threadpoolctl"),
    "live": ("ccxt", "apprise"),
    "cluster": ("ray", "distributed"),
}


class Unheard(BaseException):
    """Standard output takes no more; no ``except Exception`` on the way up mistakes it for something else."""


class _Outlet(io.FileIO):
    """Standard output whose failure is nobody's but ours: click and rich would make exit code 1 of it.

    A verb whose reader has gone does its work to the end, unheard, so that its files and its exit code are the truth.
    """

    def write(self, content: Buffer) -> int:
        try:
            return super().write(content)
        except BrokenPipeError:
            _mute()
            return memoryview(content).nbytes
        except OSError as error:
            raise Unheard from error


def ended(verb: Callable[[], object]) -> int:
    """Run the verb that was asked for and return its exit code.

    A mistake of the user's, a package that is not installed and an output with no room are one line and 2, never a
    traceback. A reader of the output who has seen enough changes nothing.
    """
    _guard()
    try:
        code = _run(verb)
        sys.stdout.flush()
        return code
    except Unheard as lost:
        _mute()  # what is still in the buffer
        why = getattr(lost.__cause__, "strerror", None) or lost.__cause__
        return _told(UsageError(f"standard output cannot be written: {why}; send it to another place"))


def _run(verb: Callable[[], object]) -> int:
    try:
        verb()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except TradingError as mistake:
        return _told(mistake)
    except ModuleNotFoundError as lacking:
        if (line := lacking_line(lacking.name or "")) is None:
            raise
        return _told(UsageError(line))
    return 0


def lacking_line(module: str) -> str | None:
    """Return what to install for a module that is not there; None if it is no package of an extra.

    Examples
    --------
    >>> lacking_line("nonsense") is None
    True
    """
    top = module.split(".")[0]
    for extra, modules in EXTRAS.items():
        if top in modules:
            gone = [name for name in modules if name == top or find_spec(name) is None]
            return (
                f"this needs what running a strategy does not: {', '.join(gone)}; install it with `make everything`,"
                f" or into an environment of your own with: pip install -e '.[{extra}]'"
            )
    return None


def _told(mistake: TradingError) -> int:
    with suppress(OSError):
        sys.stderr.write(f"{type(mistake).__name__}: {mistake}\n")
    return 2


def _mute() -> None:
    """Let standard output go nowhere from now on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _guard() -> None:
    """Make standard output say itself when it fails; a terminal, which does not, stays what it is."""
    out = sys.__stdout__
    if out is None or sys.stdout is not out or out.isatty() or out.fileno() != 1:
        return
    out.flush()
    raw = io.BufferedWriter(_Outlet(1, "wb", closefd=False))
    sys.stdout = io.TextIOWrapper(raw, out.encoding, out.errors, line_buffering=out.line_buffering)
