"""Work past one process: on this machine's cores, a Ray cluster or a Dask cluster, with the bits of the plain loop.

joblib does the work; here is what it leaves open: what all tasks read is sent once, a task that fell with its worker
is asked again, and a worker whose code or libraries differ is refused, since its bits might too.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from engine.errors import UsageError, unknown
from engine.terms import readonly

T = TypeVar("T")
R = TypeVar("R")
Progress = Callable[[str, float, float], None]  # what is under way, tasks done, tasks in all
LOKY, RAY, DASK = BACKENDS = ("loky", "ray", "dask")
PACKAGES = {LOKY: "joblib", RAY: "ray", DASK: "distributed"}
SHARED_BYTES = 4096  # smaller arrays travel with every task: a file costs more than they do
CONNECT_S = 10
MOST = 256  # processes of one machine; each takes a few hundred megabytes
PATIENCE = 3  # workers lost in a row, without one task finished between them
SOURCES = ("engine", "models", "strategies", "research")
LIBRARIES = ("numpy", "numba")
ROOT = Path(__file__).resolve().parents[1]


class Workers:
    """Processes that share the tasks of a sweep, a walk-forward or a set of draws; to be used in a ``with``.

    Parameters
    ----------
    backend : str
        ``loky``: processes of this machine. ``ray`` or ``dask``: those of a cluster that is already running.
    address : str, optional
        Of the cluster's head or scheduler, such as ``10.0.0.5:6379`` or ``tcp://10.0.0.5:8786``.
    count : int
        Processes of this machine; 0 takes one per core. A cluster takes all it has.
    progress : callable, optional
        Told a text, the tasks done and the tasks in all.

    Raises
    ------
    UsageError
        For a backend nobody knows or that is not installed, a missing or useless address, or a cluster that does
        not answer.

    Examples
    --------
    >>> with Workers(count=1) as workers:
    ...     workers.map(pow, [2, 3, 4], 2)
    [4, 9, 16]
    """

    def __init__(
        self, backend: str = LOKY, address: str | None = None, count: int = 0, progress: Progress | None = None
    ) -> None:
        if backend not in BACKENDS:
            raise unknown("backend", backend, BACKENDS)
        if (backend == LOKY) != (address is None):
            where = "is this machine and has no address" if backend == LOKY else "needs the --address of a cluster"
            raise UsageError(f"backend {backend} {where}")
        if count < 0 or (count and backend != LOKY):
            raise UsageError(
                f"workers counts processes of this machine, 0 or more, and a cluster takes all it has; was {count}"
            )
        if count > MOST:
            raise UsageError(
                f"workers must be at most {MOST} processes of this machine, was {count}; 0 takes one a core"
            )
        if find_spec(PACKAGES[backend]) is None:
            raise UsageError(f"backend {backend} needs {PACKAGES[backend]}; install it with: pip install .[cluster]")
        self.backend, self.address, self.progress = backend, address, progress
        self.count, self.lost = count or os.cpu_count() or 1, 0
        self._client: Any = None
        self._open = ExitStack()

    def __enter__(self) -> Workers:
        """Connect to the cluster, if it is one."""
        identity()  # before anybody edits a file
        if self.backend == RAY:
            self._enter_ray()
        if self.backend == DASK:
            self._enter_dask()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Leave the cluster as it was found."""
        self._open.close()

    def map(self, function: Callable[[T, Any], R], tasks: Sequence[T], shared: Any = None, what: str = "") -> list[R]:
        """Return ``function(task, shared)`` of each task, in their order."""
        found = dict(self.each(function, tasks, shared, what))
        return [found[place] for place in range(len(tasks))]

    def each(
        self, function: Callable[[T, Any], R], tasks: Sequence[T], shared: Any = None, what: str = ""
    ) -> Iterator[tuple[int, R]]:
        """Yield the place of each task and ``function(task, shared)``, in the order in which they finish.

        Parameters
        ----------
        function : callable
            Of a module that the workers can import; its answer must depend on its arguments alone.
        tasks : sequence
            What differs from one call to the next.
        shared : object
            What all calls read. Sent once and never copied per task; arrays in tuples arrive read-only.
        what : str
            What is under way, for the progress.

        Raises
        ------
        UsageError
            If workers run other code or libraries, or were lost over and over.
        """
        left, patience = dict(enumerate(tasks)), PATIENCE
        self._tell(what, 0, len(tasks))
        while left:
            try:
                with closing(self._asked(function, left, self._held(shared))) as answers:
                    for place, who, answer in answers:
                        self._check(who)
                        del left[place]
                        patience = PATIENCE
                        self._tell(what, len(tasks) - len(left), len(tasks))
                        yield place, answer
            except _losses(self.backend) as loss:
                self.lost, patience = self.lost + 1, patience - 1
                if patience == 0:
                    raise UsageError(
                        f"{what or 'the work'} was given up with {len(left)} of {len(tasks)} tasks undone: workers were"
                        f" lost {PATIENCE} times in a row ({type(loss).__name__}); look at their memory, and ask fewer"
                    ) from None
                self._tell(f"{what} (a worker was lost, its tasks are asked again)", len(tasks) - len(left), len(tasks))

    def _check(self, who: str) -> None:
        if self.backend != LOKY and who != identity():
            raise UsageError(f"a worker runs {who}; here is {identity()}: install the same on every node")

    def _tell(self, what: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(what, float(done), float(total))

    def _asked(self, function: Callable[[T, Any], R], left: dict[int, T], held: Any) -> Generator[tuple[int, str, R]]:
        """Ask joblib for some tasks; what comes back is the place, who answered, and the answer."""
        from joblib import Parallel, delayed, parallel_config

        terms = {DASK: {"client": self._client}, RAY: {"ray_remote_args": EVERYWHERE}}.get(self.backend, {})
        how = {"max_nbytes": SHARED_BYTES, "mmap_mode": "r"} if self.backend == LOKY else {}
        jobs = self.count if self.backend == LOKY else -1
        config: AbstractContextManager[Any] = parallel_config(NAMES[self.backend], **terms)
        with config:
            ask = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1, **how)
            answers = ask(delayed(_answer)(function, place, left[place], held) for place in list(left))
            try:
                for answer in answers:  # noqa: UP028 - closed below, not by `yield from`
                    yield answer
            finally:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # that some answers were not used: whoever stops knows
                    answers.close()

    def _held(self, shared: Any) -> Any:
        """Send what all tasks read to where they read it."""
        if self.backend == RAY:
            import ray

            return ray.put((shared,))
        if self.backend == DASK:
            return self._client.scatter([(shared,)], broadcast=True, hash=False)[0]
        return (shared,)

    def _enter_ray(self) -> None:
        import ray

        _register_ray()
        try:
            ray.init(address=self.address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UsageError(f"no Ray cluster answers at {self.address}: {_first_line(error)}") from None
        self._open.callback(ray.shutdown)
        self.count = int(ray.cluster_resources().get("CPU", 0))  # type: ignore[no-untyped-call]

    def _enter_dask(self) -> None:
        from distributed import Client

        _register_dask()
        try:
            self._client = self._open.enter_context(Client(self.address, timeout=CONNECT_S, set_as_default=False))
            self._client.wait_for_workers(1, timeout=CONNECT_S)
        except (OSError, ValueError) as error:
            self._open.close()
            raise UsageError(f"no Dask workers answer at {self.address}: {_first_line(error)}") from None
        self.count = sum(self._client.nthreads().values())


EVERYWHERE = {"scheduling_strategy": "SPREAD"}  # else Ray may put every process on one node
NAMES = {LOKY: LOKY, RAY: "tradsys-ray", DASK: "tradsys-dask"}


def _register_ray() -> None:
    """Make joblib's Ray backend answer task by task: Ray's pool can, joblib's multiprocessing below it cannot."""
    from joblib import register_parallel_backend
    from ray.util.joblib.ray_backend import RayBackend

    class Ray(RayBackend):  # type: ignore[misc]
        supports_return_generator = True

    register_parallel_backend(NAMES[RAY], Ray)


def _register_dask() -> None:
    """Make joblib's Dask backend say when a task was given up by the scheduler; it would wait for it for ever."""
    from joblib import register_parallel_backend
    from joblib._dask import DaskDistributedBackend

    class Dask(DaskDistributedBackend):  # type: ignore[misc]
        def submit(self, func: Any, callback: Callable[[Any], None]) -> Any:
            told = super().submit(func, callback)
            told.add_done_callback(lambda done: None if done.exception() is None else callback(done.exception()))
            return told

        def retrieve_result_callback(self, out: Any) -> Any:
            if isinstance(out, BaseException):
                raise out
            return super().retrieve_result_callback(out)

    register_parallel_backend(NAMES[DASK], Dask)


def _losses(backend: str) -> tuple[type[BaseException], ...]:
    """Return what is raised when a worker is lost; what a task raises itself is never among them."""
    if backend == RAY:
        from ray.exceptions import RayError

        return (RayError,)
    if backend == DASK:
        from distributed import CancelledError, KilledWorker
        from distributed.comm import CommClosedError

        return KilledWorker, CancelledError, CommClosedError
    from joblib.externals.loky.process_executor import BrokenProcessPool

    return (BrokenProcessPool,)


def _answer(function: Callable[[T, Any], R], place: int, task: T, held: Any) -> tuple[int, str, R]:
    """Answer one task, on a worker; of a cluster with one processor, joblib lets this process answer."""
    if type(held).__name__ == "ObjectRef":
        import ray

        held = ray.get(held)
    elif type(held).__name__ == "Future":
        held = held.result()
    return place, identity(), function(task, _settled(held[0]))


def _settled(shared: Any) -> Any:
    """Make arrays in tuples read-only and plain: one array type, so one compilation of each kernel."""
    if isinstance(shared, np.ndarray):
        return readonly(shared)
    if isinstance(shared, tuple):
        parts = [_settled(part) for part in shared]
        return type(shared)(*parts) if hasattr(shared, "_fields") else tuple(parts)
    return shared


@cache
def identity() -> str:
    """Return what the bits of this process' answers depend on: code, libraries and the kind of processor."""
    digest = hashlib.sha256()
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    libraries = " ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return f"code {digest.hexdigest()[:12]}, {libraries}, {platform.machine()}"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
