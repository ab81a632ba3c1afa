"""What workers are asked to do in tests: where they can import it, and ways to die."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np

from engine.errors import DataError


def twice(task, shared):
    return 2 * task, os.getpid()


def look(task, shared):
    """Say how the shared array lies here: whether it can be written, whether it is a file, and its sum."""
    array, rest = shared
    base, mapped = array, False
    while base is not None:
        mapped |= isinstance(base, np.memmap)
        base = getattr(base, "base", None)
    return array.flags.writeable, mapped, float(array.sum()), rest


def refuse(task, shared):
    raise DataError(f"task {task} is not finite")


def where(seconds, shared):
    """Say which node of a Ray cluster this is, after some time."""
    import ray

    time.sleep(seconds)
    return seconds, ray.get_runtime_context().get_node_id()


def always_die(task, shared):
    die()


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(folder):
    """End this process if no other has ended so before."""
    try:
        os.close(os.open(Path(folder) / "died", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    die()


def dying(work, folder, task, shared):
    """Do some work, unless nobody has died yet."""
    die_once(folder)
    return work(task, shared)
