"""The main loop of a process of the pool."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler, recv_handle
from threading import Lock
from typing import Any

import numpy as np

from cryomamba.engines.api import Slices, Tile
from cryomamba_inference.executor.base import Computation, compute
from cryomamba_inference.executor.shared_memory import SharedBlock
from cryomamba_inference.failures import as_error
from cryomamba_inference.free_memory import keep_little_free_memory, release_free_memory
from cryomamba_inference.threads import one_thread
from cryomamba_server.process_lifetime import die_with_parent, leave_interrupt_to_parent


def work(pipe: Connection, parent: int) -> None:
    """Compute tiles until the pipe is closed."""
    die_with_parent(parent)
    leave_interrupt_to_parent()
    # There are as many processes as cores: more threads would only compete.
    with one_thread(), suppress(EOFError, OSError):
        _WorkerLoop(pipe).run()


class _WorkerLoop:
    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._sending = Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._serial = 0
        self._work: Computation | None = None
        self._blocks: list[SharedBlock] = []
        self._output_offset = 0

    def run(self) -> None:
        while True:
            kind, *fields = self._pipe.recv()
            if kind == "begin":
                self._end()
                self._begin(*fields)
            elif kind == "tile" and self._threads is not None:
                self._threads.submit(self._tile, *fields)
            elif kind == "tile":
                self._tile(*fields)
            elif kind == "call":
                self._call(*fields)
            elif kind == "import":
                # A module that cannot be imported fails again, with its error, when the engine itself is unpickled.
                with suppress(ImportError):
                    importlib.import_module(*fields)
            else:
                self._end()

    def _begin(self, serial: int, size: int, nbytes: int, output_offset: int, slots: int, threads: int) -> None:
        with closing(SharedBlock(recv_handle(self._pipe), size)) as sent:
            # Of the parent process, as what comes through the pipe.
            work: Computation = ForkingPickler.loads(sent.array(0, (size,), np.uint8).tobytes())
        self._serial, self._work, self._output_offset = serial, work, output_offset
        self._blocks = [SharedBlock(recv_handle(self._pipe), nbytes) for _ in range(slots)]
        if threads > 1:
            keep_little_free_memory()
            self._threads = ThreadPoolExecutor(threads, thread_name_prefix="tile")

    def _end(self) -> None:
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None
        for block in self._blocks:
            block.close()
        self._work, self._blocks = None, []
        release_free_memory()

    def _call(self, serial: int, number: int, function: Callable[[Any], Any], item: Any) -> None:  # noqa: ANN401
        try:
            output = function(item)
        except Exception as error:  # noqa: BLE001 (every error is reported)
            self._pipe.send(("failed", serial, number, as_error(error)))
        else:
            self._pipe.send(("returned", serial, number, output))

    def _tile(
        self,
        number: int,
        data_shape: Sequence[int],
        core: Sequence[tuple[int, int]],
        start: tuple[int, int, int],
        shape: tuple[int, int, int],
        factor: int,
        pass_index: int,
    ) -> None:
        if self._work is None:
            return
        block = self._blocks[number]
        data = block.array(0, tuple(data_shape), np.float32)
        data.flags.writeable = False
        z, y, x = (slice(first, last) for first, last in core)
        where: Slices = (z, y, x)
        try:
            labels, points = compute(self._work, Tile(data, where, start, shape, factor, pass_index))
        except Exception as error:  # noqa: BLE001 (an engine may raise anything; every error is reported)
            self._send(("failed", self._serial, number, as_error(error)))
        else:
            block.array(self._output_offset, labels.shape, labels.dtype)[...] = labels
            self._send(("done", self._serial, number, points, labels.shape, labels.dtype.str))

    def _send(self, message: tuple[Any, ...]) -> None:
        with self._sending:
            self._pipe.send(message)
