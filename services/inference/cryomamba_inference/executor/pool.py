"""Tiles over several processes: data goes and labels come back through shared memory."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import send_handle
from typing import Any

import numpy as np

from cryomamba.engines.api import Engine, Tile
from cryomamba.errors import ErrorCode, JobFailedError
from cryomamba_inference.child_process import uninterrupted_start
from cryomamba_inference.executor.base import Answer, Item, Result
from cryomamba_inference.executor.memory import SharedBlock
from cryomamba_inference.executor.worker import work

_SLOTS = 2
# The labels' place in a slot begins on a boundary that suits every type.
_ALIGNMENT = 64
_END_S = 2.0


@dataclass(slots=True)
class _Slot:
    """A tile's place in shared memory: data first, the core's labels behind it."""

    block: SharedBlock
    output: int


@dataclass(slots=True, eq=False)
class _Worker:
    """One process, its pipe, and which slots are busy with which tile."""

    process: SpawnProcess
    pipe: Connection
    slots: list[_Slot] = field(default_factory=list)
    free: deque[int] = field(default_factory=deque)
    busy: dict[int, int] = field(default_factory=dict)


class ProcessExecutor:
    """An executor over spawned processes, which start with the first engine and stay for the next.

    Each process has two tiles in hand, so that it need not wait for the next. The memory has no name: whatever is
    killed, none is left behind.

    Parameters
    ----------
    processes : int
    """

    def __init__(self, processes: int) -> None:
        self._count = processes
        self._workers: list[_Worker] = []
        self._serial = 0

    def warm_up(self, engine: Engine[Any] | None = None) -> None:
        """Start the processes now, and let them import what an engine needs, so that they are ready when it is."""
        self._keep([worker for worker in self._workers if worker.process.is_alive()])
        while len(self._workers) < self._count:
            self._workers.append(_start())
        if engine is not None:
            for worker in self._workers:
                _told(worker, ("import", type(engine).__module__))

    def begin(self, engine: Engine[Any], *, tile_voxels: int, core_voxels: int) -> None:
        """Send the prepared engine to every process and make room for its tiles."""
        self.end()
        self.warm_up()
        self._serial += 1
        output = -(-tile_voxels * 4 // _ALIGNMENT) * _ALIGNMENT
        with _losses():
            for worker in self._workers:
                worker.slots = [_Slot(SharedBlock.create(output + core_voxels * 2), output) for _ in range(_SLOTS)]
                worker.free = deque(range(_SLOTS))
                worker.pipe.send(("begin", self._serial, engine, worker.slots[0].block.nbytes, output))
                for slot in worker.slots:
                    send_handle(worker.pipe, slot.block.descriptor, worker.process.pid or 0)

    @property
    def processes(self) -> int:
        """As given."""
        return self._count

    @property
    def room(self) -> int:
        """Free slots over all processes."""
        return sum(len(worker.free) for worker in self._workers)

    def submit(self, index: int, tile: Tile) -> None:
        """Copy the tile into a slot of the least busy process."""
        worker = max(self._workers, key=lambda found: len(found.free))
        number = worker.free.popleft()
        slot = worker.slots[number]
        slot.block.array(0, tile.data.shape, np.float32)[...] = tile.data
        worker.busy[number] = index
        core = [(axis.start, axis.stop) for axis in tile.core]
        with _losses():
            worker.pipe.send(
                ("tile", number, tile.data.shape, core, tile.start, tile.shape, tile.factor, tile.pass_index)
            )

    def completed(self, timeout_s: float) -> list[Result]:
        """Return what is finished, after waiting at most so long."""
        return [self._result(worker, *said) for worker, said in self._heard(timeout_s)]

    def end(self) -> None:
        """Drop what is not finished; processes that still compute are ended and replaced when needed."""
        self._keep([worker for worker in self._workers if not worker.busy and _told(worker, ("end",))])
        for worker in self._workers:
            _free_slots(worker)

    def map(self, function: Callable[[Item], Answer], items: Iterable[Item], /) -> Iterator[Answer]:
        """Yield the answers in order; each process has at most two items in hand."""
        self.end()
        self.warm_up()
        self._serial = serial = self._serial + 1
        coming, answers = enumerate(items), dict[int, Answer]()
        given = wanted = 0
        try:
            while True:
                while given < wanted + _SLOTS * self._count and self._give(function, coming):
                    given += 1
                if wanted == given:
                    return
                while wanted not in answers:
                    answers.update(self._answers())
                yield answers.pop(wanted)
                wanted += 1
        finally:
            # Given up with answers to come, this may be called when something else has long begun.
            if self._serial == serial:
                self.end()

    def _give(self, function: Callable[[Item], Answer], coming: Iterator[tuple[int, Item]]) -> bool:
        """Give the next item to a process that has room; return whether there was an item and room."""
        worker = min(self._workers, key=lambda found: len(found.busy))
        if len(worker.busy) >= _SLOTS or (following := next(coming, None)) is None:
            return False
        number, item = following
        worker.busy[number] = number
        with _losses():
            worker.pipe.send(("call", self._serial, number, function, item))
        return True

    def _answers(self) -> Iterator[tuple[int, Any]]:
        for worker, (kind, number, answer) in self._heard(None):
            del worker.busy[number]
            if kind == "failed":
                raise answer
            yield number, answer

    def close(self) -> None:
        """End all processes."""
        _stop(self._workers, at_once=any(worker.busy for worker in self._workers))
        self._workers = []

    def _keep(self, kept: list[_Worker]) -> None:
        _stop([worker for worker in self._workers if worker not in kept], at_once=True)
        self._workers = kept

    def _heard(self, timeout_s: float | None) -> Iterator[tuple[_Worker, tuple[Any, ...]]]:
        """Yield what processes say of the present engine or function, after waiting for it at most so long."""
        by_pipe = {worker.pipe: worker for worker in self._workers}
        ready = wait([*by_pipe, *(worker.process.sentinel for worker in self._workers)], timeout_s)
        heard = False
        with _losses():
            for pipe, worker in by_pipe.items():
                while pipe in ready and pipe.poll():
                    kind, serial, *said = pipe.recv()
                    if serial == self._serial:
                        heard = True
                        yield worker, (kind, *said)
            # A process on its way out closes its sentinel before the system counts it as ended.
            if not heard and any(worker.process.sentinel in ready for worker in self._workers):
                raise EOFError

    def _result(self, worker: _Worker, kind: str, number: int, *said: Any) -> Result:  # noqa: ANN401 (from the pipe)
        worker.free.append(number)
        index = worker.busy.pop(number)
        if kind == "failed":
            raise said[0]
        points, *layout = said
        slot = worker.slots[number]
        return Result(index, slot.block.array(slot.output, *layout).copy(), points)


@contextmanager
def _losses() -> Iterator[None]:
    """Turn a broken pipe into the error that a lost process is."""
    try:
        yield
    except (EOFError, OSError) as error:
        raise JobFailedError(
            "A process that was computing tiles ended unexpectedly.",
            code=ErrorCode.WORKER_LOST,
            hint="It may have been out of memory; fewer processes (CRYOMAMBA_PROCESSES) need less.",
            retryable=True,
        ) from error


def _start() -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=True)
    process = context.Process(target=work, args=(theirs, os.getpid()), name="cryomamba-tiles", daemon=True)
    with uninterrupted_start():
        process.start()
    theirs.close()
    return _Worker(process, ours)


def _told(worker: _Worker, message: tuple[str, ...]) -> bool:
    try:
        worker.pipe.send(message)
    except OSError:
        return False
    return worker.process.is_alive()


def _free_slots(worker: _Worker) -> None:
    for slot in worker.slots:
        slot.block.close()
    worker.slots, worker.free, worker.busy = [], deque(), {}


def _stop(workers: list[_Worker], *, at_once: bool) -> None:
    for worker in workers:
        if at_once:
            worker.process.kill()
        with suppress(OSError):
            worker.pipe.close()
    for worker in workers:
        worker.process.join(_END_S)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.process.close()
        _free_slots(worker)
