"""Executors: the same results from every kind, errors that come through, deaths noticed, nothing left behind."""

from __future__ import annotations

import gc
import importlib
import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import psutil
import pytest

from cryomamba.engines.api import Tile
from cryomamba.errors import ErrorCode, JobFailedError
from cryomamba.testing import wait_until
from cryomamba_inference.executor import ProcessExecutor, Result, open_executor
from cryomamba_inference.failures import EngineFailedError

ENGINES = """
import os, signal, threading
import numpy as np
from cryomamba.engines.api import Engine, EngineParameters
from cryomamba.errors import InvalidRequestError


class Base(Engine):
    name = summary = "test"
    Parameters = EngineParameters
    labels = {1: "a"}

    def __init__(self):
        super().__init__(EngineParameters())


class Above(Base):
    def predict(self, tile):
        return (tile.data[tile.core] > tile.start[0]).astype(np.uint16)


together = threading.Barrier(2)


class Meeting(Base):
    in_threads = True

    def predict(self, tile):
        together.wait(60)
        return np.full(tile.shape, tile.start[0], np.uint16)


class Dying(Base):
    def predict(self, tile):
        os.kill(os.getpid(), signal.SIGKILL)


class Raising(Base):
    def predict(self, tile):
        raise ZeroDivisionError


class Refusing(Base):
    def predict(self, tile):
        raise InvalidRequestError("refused", hint="do otherwise", details={"n": 1})


class Hungry(Base):
    def predict(self, tile):
        raise MemoryError


class Endless(Base):
    def predict(self, tile):
        signal.pause()


class Writing(Base):
    def predict(self, tile):
        tile.data[...] = 0


def large(number):
    return os.getpid(), np.full(3_000_000, number, np.uint8)


def reciprocal(number):
    return 1 / number


def dying(number):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Engines in a module that spawned processes can import."""
    folder = tmp_path_factory.mktemp("engines")
    (folder / "pool_engines.py").write_text(ENGINES)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        import pool_engines  # type: ignore[import-not-found]

        yield pool_engines


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessExecutor]:
    """One pool for all tests: it must recover from each of them."""
    executor = ProcessExecutor(2)
    yield executor
    children = executor.pids()
    executor.close()
    executor.close()
    assert not any(psutil.pid_exists(pid) for pid in children)


def tiles(count: int) -> list[Tile]:
    rng = np.random.default_rng(2)
    z, y, x = slice(1, 5), slice(0, 4), slice(2, 6)
    return [Tile(rng.normal(n, 3, (6, 5, 7)).astype(np.float32), (z, y, x), (n, 0, 0), (4, 4, 4)) for n in range(count)]


def loaded(tile: Tile) -> Tile:
    """Return a tile that has its data already."""
    return tile


def run_all(executor: Any, engine: Any, todo: list[Tile], *, in_threads: bool = False) -> list[Result]:
    executor.begin(engine, loaded, tile_voxels=6 * 5 * 7, result_nbytes=128, in_threads=in_threads)
    results: list[Result] = []
    waiting = list(enumerate(todo))
    try:
        while len(results) < len(todo):
            while waiting and executor.free_slots:
                executor.submit(*waiting.pop(0))
            results += executor.completed(10)
    finally:
        executor.end()
    return sorted(results, key=lambda result: result.index)


def test_every_executor_gives_the_same(engines: Any, pool: ProcessExecutor) -> None:
    """Results of the pool equal those of this process, and are arrays of their own."""
    here, there = (run_all(executor, engines.Above(), tiles(11)) for executor in (open_executor(1), pool))
    for left, right in zip(here, there, strict=True):
        assert left.index == right.index
        assert left.labels.dtype == right.labels.dtype == np.uint16
        assert np.array_equal(left.labels, right.labels)
    assert len({result.labels.tobytes() for result in there}) == 11


def test_what_is_in_flight_is_bounded(engines: Any, pool: ProcessExecutor) -> None:
    """There is room for two tiles per process, whatever their number."""
    pool.begin(engines.Above(), loaded, tile_voxels=210, result_nbytes=128)
    assert pool.free_slots == 4
    for number, tile in enumerate(tiles(4)):
        pool.submit(number, tile)
    assert pool.free_slots == 0
    pool.end()


def test_tiles_are_computed_in_threads_of_one_process(engines: Any, pool: ProcessExecutor) -> None:
    """An engine that asks for it has one process, in which as many tiles are computed at a time as without."""
    # Each waits for another, so that one after the other would never end.
    found = run_all(pool, engines.Meeting(), tiles(12), in_threads=True)
    assert [int(result.labels[0, 0, 0]) for result in found] == list(range(12))
    assert len(pool.pids()) == 1
    assert len(run_all(pool, engines.Above(), tiles(3))) == 3
    assert len(pool.pids()) == 2
    pool.warm_up(engines.Meeting())
    assert len(pool.pids()) == 1


def test_threads_end_with_their_job(engines: Any, pool: ProcessExecutor) -> None:
    """Tiles in threads that never return are ended with the process, and their error is reported as of any other."""
    pool.begin(engines.Endless(), loaded, tile_voxels=210, result_nbytes=128, in_threads=True)
    assert pool.free_slots == 4
    for number, tile in enumerate(tiles(4)):
        pool.submit(number, tile)
    (stuck,) = pool.pids()
    pool.end()
    assert not psutil.pid_exists(stuck)
    with pytest.raises(EngineFailedError):
        run_all(pool, engines.Raising(), tiles(3), in_threads=True)
    assert len(run_all(pool, engines.Above(), tiles(3))) == 3


@pytest.mark.parametrize(
    ("name", "code", "retryable"),
    [
        ("Dying", ErrorCode.WORKER_LOST, True),
        ("Hungry", ErrorCode.OUT_OF_MEMORY, True),
        ("Raising", ErrorCode.ENGINE_FAILED, False),
        ("Refusing", ErrorCode.BAD_REQUEST, False),
        ("Writing", ErrorCode.ENGINE_FAILED, False),
    ],
)
def test_a_failure_in_a_process_is_reported(
    engines: Any, pool: ProcessExecutor, name: str, code: ErrorCode, retryable: bool
) -> None:
    """A death, no memory and exceptions of an engine become typed errors, and the pool works again afterwards."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 (looked at below)
        run_all(pool, getattr(engines, name)(), tiles(1))
    assert caught.value.code is code  # type: ignore[attr-defined]
    assert caught.value.retryable is retryable  # type: ignore[attr-defined]
    if isinstance(caught.value, EngineFailedError):
        assert "in predict" in caught.value.trace
        assert caught.value.kind in str(caught.value)
    assert len(run_all(pool, engines.Above(), tiles(3))) == 3


def test_ending_does_not_wait_for_an_engine(engines: Any, pool: ProcessExecutor) -> None:
    """A process whose engine never returns is ended with its job, and replaced for the next one."""
    pool.begin(engines.Endless(), loaded, tile_voxels=210, result_nbytes=128)
    for number, tile in enumerate(tiles(4)):
        pool.submit(number, tile)
    assert pool.completed(0) == []
    stuck = pool.pids()
    pool.end()
    assert not any(psutil.pid_exists(pid) for pid in stuck)
    assert len(run_all(pool, engines.Above(), tiles(3))) == 3


def test_a_process_killed_from_outside_fails_the_job(engines: Any, pool: ProcessExecutor) -> None:
    """SIGKILL of an idle process of the pool is noticed by the next look, never waited for."""
    pool.begin(engines.Endless(), loaded, tile_voxels=210, result_nbytes=128)
    pool.submit(0, tiles(1)[0])
    psutil.Process(pool.pids()[1]).kill()
    with pytest.raises(JobFailedError) as caught:
        pool.completed(30)
    assert caught.value.code is ErrorCode.WORKER_LOST
    pool.end()


@dataclass(frozen=True)
class Resources:
    """Resources of a pool: open files of its working processes and of their idle parent, and named shared memory."""

    workers: list[int]
    parent: int
    named: list[str]


def report_resources(reports: Connection, rounds: int) -> None:
    """Compute tiles repeatedly on a pool of this process's own, and report the resources each time."""
    engine = importlib.import_module("pool_engines").Above()
    executor = ProcessExecutor(2)
    for _ in range(rounds):
        executor.begin(engine, loaded, tile_voxels=210, result_nbytes=128)
        for number, tile in enumerate(tiles(2)):
            executor.submit(number, tile)
        while executor.free_slots < 4:
            executor.completed(10)
        # Each process has answered, so it has handled all earlier messages.
        at_work = [psutil.Process(pid) for pid in executor.pids()]
        everybody = [*at_work, psutil.Process()]
        named = [area.path for process in everybody for area in process.memory_maps() if "/dev/shm/" in area.path]
        workers = [process.num_fds() for process in at_work]
        executor.end()
        reports.send(Resources(workers, psutil.Process().num_fds(), named))
    executor.close()


@pytest.mark.slow
def test_memory_and_descriptors_are_given_back(engines: Any) -> None:
    """Many jobs on one pool leave no file descriptor behind, and none of its memory has a name that could stay.

    In a process of its own: in this one, other tests' services open and close connections at their own pace.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    alone = context.Process(target=report_resources, args=(theirs, 6))
    alone.start()
    theirs.close()
    first, *later = [ours.recv() for _ in range(6)]
    ours.close()
    alone.join()
    assert first.named == []
    assert first.workers[0] == first.workers[1]
    assert later == [first] * 5


def test_processes_end_with_their_parent(engines: Any) -> None:
    """A pool that is forgotten and garbage leaves no process once its pipes are closed."""
    executor = ProcessExecutor(1)
    executor.warm_up()
    (pid,) = executor.pids()
    process = psutil.Process(pid)
    del executor
    gc.collect()
    wait_until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, what="the process to end")


def test_a_function_is_spread_over_the_processes(engines: Any, pool: ProcessExecutor) -> None:
    """Answers come in the order of the items, whatever their size, from processes that compute tiles again after it."""
    found = list(pool.map(engines.large, range(9)))
    assert [set(np.unique(values)) for _, values in found] == [{number} for number in range(9)]
    assert {pid for pid, _ in found} == set(pool.pids())
    assert list(pool.map(engines.reciprocal, [])) == []
    assert len(run_all(pool, engines.Above(), tiles(3))) == 3
    assert list(open_executor(1).map(engines.reciprocal, [2, 4])) == [0.5, 0.25]


def test_items_are_taken_shortly_before_they_are_needed(engines: Any, pool: ProcessExecutor) -> None:
    """Of many items only as many are out as the processes have in hand, so that answers do not pile up."""
    taken = []

    def noted(number: int) -> int:
        taken.append(number)
        return number

    answers = pool.map(engines.reciprocal, map(noted, range(1, 100)))
    next(answers)
    assert len(taken) <= 4
    answers.close()  # type: ignore[attr-defined]
    assert list(pool.map(engines.reciprocal, [5])) == [0.2]


def test_an_error_or_a_death_in_a_function_comes_through(engines: Any, pool: ProcessExecutor) -> None:
    """An error of the function is re-raised, a death is reported, and the pool works afterwards."""
    with pytest.raises(EngineFailedError, match="ZeroDivisionError"):
        list(pool.map(engines.reciprocal, [1, 0, 1]))
    with pytest.raises(JobFailedError) as caught:
        list(pool.map(engines.dying, [1]))
    assert caught.value.code is ErrorCode.WORKER_LOST
    assert list(pool.map(engines.reciprocal, [4])) == [0.25]
