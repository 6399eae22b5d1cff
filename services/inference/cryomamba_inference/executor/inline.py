"""Computes tiles one after the other in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from pathlib import Path
from typing import Any

from cryomamba.engines.api import Engine
from cryomamba.volumes import Volume
from cryomamba_inference.executor.base import LOCAL_JOB, Computation, Found, Item, Load, Output, Result, compute
from cryomamba_inference.threads import one_thread


class InlineExecutor:
    """An executor without processes: a thread computes one tile at a time, so that the caller can report meanwhile."""

    def __init__(self) -> None:
        self._work: tuple[Computation, Load] | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._pending: tuple[int, Future[Found]] | None = None

    remote: bool = False
    dashboard_url: str | None = None

    def connect(
        self, files: Sequence[Path], folder: Path, volume: Volume | None = None, job_id: str = LOCAL_JOB
    ) -> None:
        """Do nothing: this is the machine."""

    def warm_up(self, engine: Engine[Any] | None = None) -> None:
        """Do nothing."""

    def begin(
        self,
        work: Computation,
        load: Load,
        *,
        tile_voxels: int,  # noqa: ARG002 (protocol)
        result_nbytes: int,  # noqa: ARG002 (protocol)
        in_threads: bool = False,  # noqa: ARG002 (protocol)
    ) -> None:
        """Begin with a prepared engine or a callable."""
        self.end()
        self._work = work, load
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="tile")

    @property
    def processes(self) -> int:
        """One: this process."""
        return 1

    @property
    def free_slots(self) -> int:
        """One, unless a tile is pending."""
        return 0 if self._pending is not None else 1

    def submit(self, index: int, position: Any, /) -> None:  # noqa: ANN401 (what `load` takes)
        """Read a tile, and begin to compute it."""
        if self._work is None or self._pool is None:
            raise RuntimeError("call begin() first")
        (work, load), pool = self._work, self._pool
        tile = load(position)

        def compute_alone() -> Found:
            # One thread, as in the processes of the pool: another order of summation would change the result.
            with one_thread():
                return compute(work, tile)

        # With the context of the caller, so that what an engine logs names its job.
        self._pending = index, pool.submit(copy_context().run, compute_alone)

    def completed(self, timeout_s: float) -> list[Result]:
        """Return the pending tile, if it is computed within `timeout_s`."""
        if self._pending is None:
            return []
        index, future = self._pending
        if not wait([future], timeout_s).done:
            return []
        self._pending = None
        labels, points = future.result()
        return [Result(index, labels, points)]

    def end(self) -> None:
        """Wait for the tile that is being computed, and release engine and tile."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._work, self._pool, self._pending = None, None, None

    def map(self, function: Callable[[Item], Output], items: Iterable[Item], /) -> Iterator[Output]:
        """Call the function in this process, each time a result is requested."""
        return map(function, items)

    def close(self) -> None:
        """Release engine and tile."""
        self.end()
