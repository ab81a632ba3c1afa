"""Work past one process has the bits of the plain loop, on this machine, on Ray and on Dask, whoever dies."""

from __future__ import annotations

import importlib
import os
import socketserver
import threading
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from engine.errors import DataError, UsageError
from engine.history import Store
from engine.random_entries import random_entries
from engine.rules import Rules
from engine.signals import Signals
from engine.simulate import simulate
from engine.sweep import Grid, sweep
from engine.synthetic import random_bars
from engine.workers import Workers
from live.cluster import check_cluster
from live.workers import hired
from research.checkpoints import Checkpoints
from research.config import parse_config
from research.progress import Steps
from research.study import make_study
from research.train import train, walk
from research.walk_forward import pack
from strategies.sweeping import Question, sweep_bundle
from tests import chores
from tests.bundles import make_bundle
from tests.test_research_training import TINY, content

ROOT = Path(__file__).resolve().parents[1]
BARS = random_bars(3000, seed=1)
ATR = BARS.high - BARS.low
SURE = np.random.default_rng(1).random(len(BARS))
GRID = Grid(threshold=(0.5, 0.8, 0.9), k_up=(0.5, 1.0, 3.0), k_down=(1.0, 2.0), hold=(5, 20))


@pytest.fixture(scope="module", autouse=True)
def importable():
    """Workers of a cluster find these modules wherever they were started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        yield


@pytest.fixture(scope="module")
def dask(importable):
    """A scheduler and two worker processes."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as cluster:
        yield cluster.scheduler_address


@contextmanager
def two_nodes():
    from ray.cluster_utils import Cluster

    size = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
    try:
        yield cluster, cluster.add_node(**size)
    finally:
        cluster.shutdown()


@pytest.fixture
def edited(monkeypatch):
    """Let the sources change while the tests run; `test_a_worker_with_other_code_is_refused` holds the check itself."""
    monkeypatch.setattr(Workers, "_check", lambda self, who: None)


@pytest.fixture
def dying(tmp_path, monkeypatch):
    """Make the first worker that is asked anything die, whatever the work; returns the file it leaves."""
    for module, work in (
        ("engine.sweep.run", "run_span"),
        ("engine.random_entries", "draw_span"),
        ("research.train", "fit_fold"),
        ("strategies.sweeping", "score_market"),
    ):
        healthy = importlib.import_module(module)
        monkeypatch.setattr(healthy, work, partial(chores.dying, getattr(healthy, work), tmp_path))
    return tmp_path / "died"


# ---- the four kinds of work, each as bytes
def swept(workers=None):
    found = sweep(BARS, SURE, ATR, Rules(), GRID, workers=workers)
    scanned = sweep(BARS, SURE, ATR, Rules(), GRID, funding=np.full(len(BARS), 1e-4), workers=workers)
    return found.figures.tobytes() + scanned.figures.tobytes()


def drawn(workers=None):
    side = (SURE > 0.97).astype(np.int8)
    trades = simulate(BARS, Signals(side, ATR), Rules()).trades
    found = random_entries(BARS, ATR, Rules(), trades, draws=330, workers=workers)
    return found.total_return.tobytes() + found.sharpe.tobytes() + found.trades.tobytes()


@pytest.fixture(scope="module")
def study():
    return make_study(parse_config({**TINY, "folds": {"count": 4}}), random_bars(1500, seed=1))


@pytest.fixture(scope="module")
def folds(study, tmp_path_factory):
    """The walk-forward as a function of the workers that do it."""

    def walked(workers=None):
        parts = Checkpoints(tmp_path_factory.mktemp("parts"), "x" * 16, resume=False)
        forecasts, notes = walk(study, "logistic", parts, Steps(None), workers)
        return b"".join(array.tobytes() for f in forecasts for array in pack(f).values()) + repr(notes).encode()

    return walked


@pytest.fixture(scope="module")
def markets(tmp_path_factory):
    """A sweep of three markets as a function of the workers that do it."""
    data = tmp_path_factory.mktemp("data")
    store = Store(data)
    for seed in (1, 2, 3):
        store.keep(random_bars(1500, seed=seed), "dice")
    bundle = make_bundle(data, random_bars(1500, seed=1), name="toy")
    names = ",".join(f"RANDOM-{seed}-1h" for seed in (1, 2, 3))
    asked = Question(bundle, names, zone="development", threshold="0.5,0.8", k_up="1,2", k_down="1", hold="6,12")

    def found(workers=None):
        swepts = sweep_bundle(asked, data, None, "now", workers)
        assert [one.found.bars.symbol for one in swepts] == ["RANDOM-1", "RANDOM-2", "RANDOM-3"]
        return b"".join(one.found.figures.tobytes() + repr(one.as_dict()).encode() for one in swepts)

    return found


# ---- the plumbing, on this machine
def test_answers_come_in_order_and_from_other_processes():
    with Workers(count=2) as workers:
        found = workers.map(chores.twice, list(range(20)))
    assert [value for value, _ in found] == [2 * i for i in range(20)]
    assert os.getpid() not in {who for _, who in found}


def test_shared_arrays_are_mapped_not_copied_and_cannot_be_written():
    with Workers(count=2) as workers:
        big, small = (workers.map(chores.look, [1, 2, 3, 4], (np.ones(n), "rest")) for n in (10**6, 10))
    assert set(big) == {(False, True, 1e6, "rest")}
    assert set(small) == {(False, False, 10.0, "rest")}


def test_a_mistake_of_a_task_is_told_and_not_tried_again():
    told = []
    with Workers(count=2, progress=lambda *said: told.append(said)) as workers:
        with pytest.raises(DataError, match="task 0 is not finite"):
            workers.map(chores.refuse, [0])
        assert workers.lost == 0


def test_work_that_kills_every_worker_is_given_up():
    with Workers(count=2) as workers, pytest.raises(UsageError) as error:
        workers.map(chores.always_die, [1, 2], what="the sweep")
    assert str(error.value) == (
        "the sweep was given up with 2 of 2 tasks undone: workers were lost 3 times in a row (TerminatedWorkerError);"
        " look at their memory, and ask fewer"
    )


def test_progress_counts_every_task_once_and_tells_of_a_lost_worker(dying):
    told = []
    with Workers(count=2, progress=lambda *said: told.append(said)) as workers:
        sweep(BARS, SURE, ATR, Rules(), GRID, workers=workers)
        assert workers.lost == 1
    done = [said for said in told if "lost" not in said[0]]
    assert [said[1] for said in done] == list(range(len(done)))
    assert done[0] == ("36 combos of RANDOM-1", 0.0, 32.0)
    assert done[-1][1:] == (32.0, 32.0)
    assert sum("a worker was lost" in said[0] for said in told) == 1


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        (("lokky",), "unknown backend 'lokky'; did you mean 'loky'? (known: dask, loky, ray)"),
        (("dask",), "backend dask needs the --address of a cluster"),
        (
            ("loky", None, 100_000),
            "workers must be at most 256 processes of this machine, was 100000; 0 takes one a core",
        ),
        (("loky", "tcp://x:1"), "backend loky is this machine and has no address"),
        (
            ("ray", "x:1", 3),
            "workers counts processes of this machine, 0 or more, and a cluster takes all it has; was 3",
        ),
    ],
)
def test_workers_that_cannot_be_are_refused(terms, said):
    with pytest.raises(UsageError) as error:
        Workers(*terms)
    assert str(error.value) == said


# ---- the same bits
WORK = ("swept", "drawn", "folds", "markets")


def work_of(name, request):
    return {"swept": swept, "drawn": drawn}.get(name) or request.getfixturevalue(name)


@pytest.fixture(scope="module")
def every_work(folds, markets):
    """The four kinds of work, each with what this process alone makes of it."""
    return [(do, do()) for do in (swept, drawn, folds, markets)]


def test_processes_of_this_machine_give_the_same_bits_though_one_dies(every_work, dying):
    with Workers(count=2) as workers:
        assert [do(workers) == alone for do, alone in every_work] == [True] * 4
        assert workers.lost == 1
    assert dying.exists()


def test_a_dask_cluster_gives_the_same_bits_though_one_dies(every_work, dask, dying, edited):
    with Workers("dask", dask) as workers:
        assert workers.count == 2
        assert [do(workers) == alone for do, alone in every_work[:2]] == [True] * 2  # the others: slow, below
    assert dying.exists()


@pytest.mark.slow
@pytest.mark.parametrize("works", [1, 4])
def test_a_ray_cluster_gives_the_same_bits_though_a_node_dies(works, every_work, dying, edited):
    with two_nodes() as (cluster, node):

        def lose(text, done, total):
            if text and done == 3 and node in cluster.worker_nodes:
                cluster.remove_node(node)

        check_cluster("ray", cluster.address)
        with Workers("ray", cluster.address, progress=lose) as workers:
            assert workers.count == 2
            seen = set()
            for _ in range(6):  # each time other processes; Ray spreads them as it can
                seen |= {where for _, where in workers.map(chores.where, [0.1] * 4)} if len(seen) < 2 else set()
            assert len(seen) == 2
            assert [do(workers) == alone for do, alone in every_work[:works]] == [True] * works
            assert workers.lost >= 1
            assert node not in cluster.worker_nodes
    assert dying.exists()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "dask"])
@pytest.mark.parametrize("work", WORK)
def test_whatever_the_work_a_worker_may_die_of_it(work, backend, request, dying, edited):
    do = work_of(work, request)
    address = request.getfixturevalue("dask") if backend == "dask" else None
    with Workers(backend, address, 2 if backend == "loky" else 0) as workers:
        assert do(workers) == do()
    assert dying.exists()


@pytest.mark.slow
def test_a_training_by_workers_ships_the_bytes_of_one_that_was_not(tmp_path):
    bars, config = random_bars(1500, seed=1), parse_config(TINY | {"force": "transformer"})
    train(config, bars, tmp_path / "alone", run_dir=tmp_path / "run-alone")
    with Workers(count=2) as workers:
        train(config, bars, tmp_path / "shared", run_dir=tmp_path / "run-shared", workers=workers)
    assert content(tmp_path / "shared") == content(tmp_path / "alone")
    reports = [(tmp_path / run / "report.json").read_bytes() for run in ("run-shared", "run-alone")]
    assert reports[0] == reports[1]


def test_a_worker_with_other_code_is_refused(dask, monkeypatch):
    with Workers("dask", dask) as workers:
        monkeypatch.setattr("engine.workers.identity", lambda: "code of yesterday")
        with pytest.raises(
            UsageError, match=r"a worker runs code [0-9a-f]{12}, numpy .*; here is code of yesterday: ins"
        ):
            workers.map(chores.twice, [1])


@pytest.mark.slow
def test_a_cluster_of_one_gives_the_same_bits(every_work, edited):
    from distributed import LocalCluster

    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as cluster,
        Workers("dask", cluster.scheduler_address) as workers,
    ):
        assert [do(workers) == alone for do, alone in every_work] == [True] * 4


@pytest.mark.slow
def test_work_that_kills_every_dask_worker_ends_too():
    from distributed import LocalCluster

    with (
        LocalCluster(n_workers=5, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as cluster,
        Workers("dask", cluster.scheduler_address) as workers,
        pytest.raises(UsageError, match="was given up"),
    ):
        workers.map(chores.always_die, [1])


def test_an_address_where_nobody_answers_is_one_line(monkeypatch):
    monkeypatch.setattr("engine.workers.CONNECT_S", 1)
    with pytest.raises(UsageError, match=r"no Dask workers answer at tcp://127\.0\.0\.1:1: "):
        Workers("dask", "tcp://127.0.0.1:1").__enter__()


@contextmanager
def listening(answer):
    """Give the address of somebody who answers each call with some bytes, or with nothing, and keeps the line."""
    over = threading.Event()

    class Caller(socketserver.BaseRequestHandler):
        def handle(self):
            with suppress(OSError):
                self.request.sendall(answer)
                over.wait(30)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Caller) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        over.set()
        server.shutdown()


@pytest.mark.parametrize("backend", ["dask", "ray"])
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "whoever listens there is no "),
        (b"\xf0" * 4000, "whoever listens there is no "),
        (b"", "whoever listens there says nothing"),
    ],
    ids=["web server", "garbage", "silence"],
)
def test_somebody_else_at_the_address_is_one_line_at_once(monkeypatch, backend, answer, said):
    monkeypatch.setattr("live.cluster.ANSWER_S", 0.5)
    with listening(answer) as address, pytest.raises(UsageError, match=f"answers? at {address}: {said}"):
        hired(backend, address, 0).__enter__()


@pytest.mark.parametrize("backend", ["dask", "ray"])
@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("foo", "write it as HOST:PORT, such as"),
        ("foo:80000", "write it as HOST:PORT, such as"),
        ("http://127.0.0.1:1", "write it as HOST:PORT, such as"),
        ("tls://127.0.0.1:1", "write it as HOST:PORT|names no keys"),
        ("127.0.0.1:1", "Connection refused"),
    ],
)
def test_an_address_of_nobody_is_one_line_at_once(backend, address, said):
    with pytest.raises(UsageError, match=f"answers? at {address}: .*({said})"):
        hired(backend, address, 0).__enter__()


def test_a_scheduler_is_known_for_one(dask):
    check_cluster("dask", dask)
    check_cluster("dask", dask.removeprefix("tcp://"))
