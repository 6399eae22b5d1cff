"""What runs in a process of the pool."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from typing import Any

import numpy as np

from cryomamba.engines.api import Engine, Slices, Tile
from cryomamba_inference.child_process import die_with_parent, leave_interrupt_to_parent
from cryomamba_inference.executor.base import predicted
from cryomamba_inference.executor.memory import SharedBlock
from cryomamba_inference.failures import as_error
from cryomamba_inference.free_memory import release_free_memory
from cryomamba_inference.threads import one_thread

_SLOTS = 2


def work(pipe: Connection, parent: int) -> None:
    """Compute tiles until the pipe is closed."""
    die_with_parent(parent)
    leave_interrupt_to_parent()
    # As many processes as cores already: more threads would only wait for each other.
    os.environ["NUMBA_NUM_THREADS"] = "1"
    with one_thread(), suppress(EOFError, OSError):
        _Loop(pipe).run()


class _Loop:
    """The engine of the moment and its slots."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._serial = 0
        self._engine: Engine[Any] | None = None
        self._blocks: list[SharedBlock] = []
        self._output = 0

    def run(self) -> None:
        """Do what the pipe says, until it is closed."""
        while True:
            kind, *rest = self._pipe.recv()
            if kind == "begin":
                self._end()
                self._begin(*rest)
            elif kind == "tile":
                self._tile(*rest)
            elif kind == "call":
                self._call(*rest)
            elif kind == "import":
                # What is wrong with a module is told when the engine itself comes.
                with suppress(ImportError):
                    importlib.import_module(*rest)
            else:
                self._end()

    def _begin(self, serial: int, engine: Engine[Any], nbytes: int, output: int) -> None:
        self._serial, self._engine, self._output = serial, engine, output
        self._blocks = [SharedBlock(recv_handle(self._pipe), nbytes) for _ in range(_SLOTS)]

    def _end(self) -> None:
        for block in self._blocks:
            block.close()
        self._engine, self._blocks = None, []
        release_free_memory()

    def _call(self, serial: int, number: int, function: Callable[[Any], Any], item: Any) -> None:  # noqa: ANN401
        try:
            answer = function(item)
        except Exception as error:  # noqa: BLE001 (whatever it is, it is reported)
            self._pipe.send(("failed", serial, number, as_error(error)))
        else:
            self._pipe.send(("answered", serial, number, answer))

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
        if self._engine is None:
            return
        block = self._blocks[number]
        data = block.array(0, tuple(data_shape), np.float32)
        data.flags.writeable = False
        z, y, x = (slice(first, last) for first, last in core)
        where: Slices = (z, y, x)
        try:
            labels, points = predicted(self._engine, Tile(data, where, start, shape, factor, pass_index))
        except Exception as error:  # noqa: BLE001 (an engine may raise anything; all of it is reported)
            self._pipe.send(("failed", self._serial, number, as_error(error)))
        else:
            block.array(self._output, labels.shape, labels.dtype)[...] = labels
            self._pipe.send(("done", self._serial, number, points, labels.shape, labels.dtype.str))
