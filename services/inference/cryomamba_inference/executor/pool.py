"""Computes tiles in several processes; data and labels travel through shared memory.

`concurrent.futures` and loky cannot pass file descriptors, hence a pool of our own: the shared memory has no name, so
that none is left behind when a process is killed.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import ForkingPickler, send_handle
from pathlib import Path
from typing import Any

import numpy as np

from cryomamba.engines.api import Engine
from cryomamba.errors import ErrorCode, JobFailedError
from cryomamba.volumes import Volume
from cryomamba_inference.executor.base import LOCAL_JOB, Computation, Item, Load, Output, Result
from cryomamba_inference.executor.shared_memory import SharedBlock
from cryomamba_inference.executor.worker import work as work_in_process
from cryomamba_server.process_lifetime import uninterrupted_start

_SLOTS = 2
# The offset of the labels in a slot is aligned for every dtype.
_ALIGNMENT = 64
_JOIN_S = 2.0


@dataclass(slots=True)
class _Slot:
    """Shared memory of a tile: its data, and from `output_offset` on the labels of its core."""

    block: SharedBlock
    output_offset: int


@dataclass(slots=True, eq=False)
class _Worker:
    """One process, its pipe, its free slots, and the tile index of each busy one."""

    process: SpawnProcess
    pipe: Connection
    slots: list[_Slot] = field(default_factory=list)
    free: deque[int] = field(default_factory=deque)
    busy: dict[int, int] = field(default_factory=dict)


class ProcessExecutor:
    """An executor with spawned processes, which start with the first engine and stay for the next.

    Each process has two slots, so that it never waits for its next tile; the one of an engine that computes in threads
    has two for each of them.
    """

    def __init__(self, processes: int) -> None:
        self._count = processes
        self._workers: list[_Worker] = []
        self._serial = 0
        self._load: Load | None = None

    def pids(self) -> list[int]:
        """Return the process ids of the pool."""
        return [worker.process.pid or 0 for worker in self._workers]

    remote: bool = False
    dashboard_url: str | None = None

    def connect(
        self, files: Sequence[Path], folder: Path, volume: Volume | None = None, job_id: str = LOCAL_JOB
    ) -> None:
        """Do nothing: the processes are on this machine."""

    def warm_up(self, engine: Engine[Any] | None = None) -> None:
        """Start the processes, and let them import the engine's module, without waiting for it."""
        self._start(1 if engine is not None and engine.in_threads else self._count)
        if engine is not None:
            for worker in self._workers:
                _send(worker, ("import", type(engine).__module__))

    def begin(
        self, work: Computation, load: Load, *, tile_voxels: int, result_nbytes: int, in_threads: bool = False
    ) -> None:
        """Send the prepared engine, or the callable, to the processes and allocate slots for its tiles."""
        self.end()
        self._load = load
        processes, threads = (1, self._count) if in_threads else (self._count, 1)
        self._start(processes)
        slots = _SLOTS * threads
        self._serial += 1
        offset = -(-tile_voxels * 4 // _ALIGNMENT) * _ALIGNMENT
        # In shared memory, as the pipe of a process that is still starting is soon full.
        pickled = np.frombuffer(ForkingPickler.dumps(work), np.uint8)
        with _worker_lost(), closing(SharedBlock.create(len(pickled))) as sent:
            sent.array(0, pickled.shape, np.uint8)[...] = pickled
            for worker in self._workers:
                worker.slots = [_Slot(SharedBlock.create(offset + result_nbytes), offset) for _ in range(slots)]
                worker.free = deque(range(slots))
                worker.pipe.send(
                    ("begin", self._serial, len(pickled), worker.slots[0].block.nbytes, offset, slots, threads)
                )
                for block in (sent, *(slot.block for slot in worker.slots)):
                    send_handle(worker.pipe, block.descriptor, worker.process.pid or 0)

    @property
    def processes(self) -> int:
        """How many tiles are computed at the same time, each by a core."""
        return self._count

    @property
    def free_slots(self) -> int:
        """Free slots of all processes."""
        return sum(len(worker.free) for worker in self._workers)

    def submit(self, index: int, position: Any, /) -> None:  # noqa: ANN401 (what `load` takes)
        """Read the tile into a slot of the least busy process."""
        if self._load is None:
            raise RuntimeError("call begin() first")
        tile = self._load(position)
        worker = max(self._workers, key=lambda found: len(found.free))
        number = worker.free.popleft()
        worker.slots[number].block.array(0, tile.data.shape, np.float32)[...] = tile.data
        worker.busy[number] = index
        core = [(axis.start, axis.stop) for axis in tile.core]
        with _worker_lost():
            grid = tile.start, tile.shape, tile.factor, tile.pass_index
            worker.pipe.send(("tile", number, tile.data.shape, core, *grid))

    def completed(self, timeout_s: float) -> list[Result]:
        """Return finished tiles; wait for one at most `timeout_s`."""
        return [self._result(worker, *fields) for worker, fields in self._messages(timeout_s)]

    def end(self) -> None:
        """Discard unfinished tiles; busy processes are killed, and replaced when needed."""
        self._load = None
        self._keep_only([worker for worker in self._workers if not worker.busy and _send(worker, ("end",))])
        for worker in self._workers:
            _free_slots(worker)

    def map(self, function: Callable[[Item], Output], items: Iterable[Item], /) -> Iterator[Output]:
        """Yield the results in order; each process has at most two items."""
        self.end()
        self.warm_up()
        self._serial = serial = self._serial + 1
        queue, outputs = enumerate(items), dict[int, Output]()
        sent = yielded = 0
        try:
            while True:
                while sent < yielded + _SLOTS * self._count and self._send_next(function, queue):
                    sent += 1
                if yielded == sent:
                    return
                while yielded not in outputs:
                    outputs.update(self._outputs())
                yield outputs.pop(yielded)
                yielded += 1
        finally:
            # An abandoned generator may be finalized long after something else has begun.
            if self._serial == serial:
                self.end()

    def _send_next(self, function: Callable[[Item], Output], queue: Iterator[tuple[int, Item]]) -> bool:
        """Send the next item to the least busy process; return False if all are busy or no item is left."""
        worker = min(self._workers, key=lambda found: len(found.busy))
        if len(worker.busy) >= _SLOTS or (following := next(queue, None)) is None:
            return False
        number, item = following
        worker.busy[number] = number
        with _worker_lost():
            worker.pipe.send(("call", self._serial, number, function, item))
        return True

    def _outputs(self) -> Iterator[tuple[int, Any]]:
        for worker, (kind, number, output) in self._messages(None):
            del worker.busy[number]
            if kind == "failed":
                raise output
            yield number, output

    def close(self) -> None:
        """End all processes."""
        _stop(self._workers, kill=any(worker.busy for worker in self._workers))
        self._workers = []

    def _start(self, count: int) -> None:
        """Have so many processes; those that are there stay, as they have loaded what they need."""
        self._keep_only([worker for worker in self._workers if worker.process.is_alive()][:count])
        while len(self._workers) < count:
            self._workers.append(_start_worker())

    def _keep_only(self, workers: list[_Worker]) -> None:
        _stop([worker for worker in self._workers if worker not in workers], kill=True)
        self._workers = workers

    def _messages(self, timeout_s: float | None) -> Iterator[tuple[_Worker, tuple[Any, ...]]]:
        """Yield the messages about the current engine or function; wait for one at most `timeout_s`."""
        by_pipe = {worker.pipe: worker for worker in self._workers}
        ready = wait([*by_pipe, *(worker.process.sentinel for worker in self._workers)], timeout_s)
        received = False
        with _worker_lost():
            for pipe, worker in by_pipe.items():
                while pipe in ready and pipe.poll():
                    kind, serial, *fields = pipe.recv()
                    if serial == self._serial:
                        received = True
                        yield worker, (kind, *fields)
            # The sentinel of a dying process is ready before the process counts as dead.
            if not received and any(worker.process.sentinel in ready for worker in self._workers):
                raise EOFError

    def _result(self, worker: _Worker, kind: str, number: int, *fields: Any) -> Result:  # noqa: ANN401 (from the pipe)
        worker.free.append(number)
        index = worker.busy.pop(number)
        if kind == "failed":
            raise fields[0]
        points, *layout = fields
        slot = worker.slots[number]
        return Result(index, slot.block.array(slot.output_offset, *layout).copy(), points)


@contextmanager
def _worker_lost() -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError) as error:
        raise JobFailedError(
            "A process that was computing tiles ended unexpectedly.",
            code=ErrorCode.WORKER_LOST,
            hint="It may have run out of memory; fewer processes (CRYOMAMBA_PROCESSES) need less.",
            retryable=True,
        ) from error


def _start_worker() -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=True)
    process = context.Process(target=work_in_process, args=(theirs, os.getpid()), name="cryomamba-tiles", daemon=True)
    with uninterrupted_start():
        process.start()
    theirs.close()
    return _Worker(process, ours)


def _send(worker: _Worker, message: tuple[str, ...]) -> bool:
    try:
        worker.pipe.send(message)
    except OSError:
        return False
    return worker.process.is_alive()


def _free_slots(worker: _Worker) -> None:
    for slot in worker.slots:
        slot.block.close()
    worker.slots, worker.free, worker.busy = [], deque(), {}


def _stop(workers: list[_Worker], *, kill: bool) -> None:
    for worker in workers:
        if kill:
            worker.process.kill()
        with suppress(OSError):
            worker.pipe.close()
    for worker in workers:
        worker.process.join(_JOIN_S)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.process.close()
        _free_slots(worker)
