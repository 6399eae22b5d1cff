"""Computes tiles one after the other in this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from cryomamba.engines.api import Engine, Tile
from cryomamba_inference.executor.base import Item, Output, Result, predict_checked
from cryomamba_inference.threads import one_thread


class InlineExecutor:
    """An executor without processes; a tile is computed when its result is requested."""

    def __init__(self) -> None:
        self._engine: Engine[Any] | None = None
        self._pending: deque[tuple[int, Tile]] = deque()

    def warm_up(self, engine: Engine[Any] | None = None) -> None:
        """Do nothing."""

    def begin(self, engine: Engine[Any], *, tile_voxels: int, core_voxels: int) -> None:  # noqa: ARG002 (protocol)
        """Begin with a prepared engine."""
        self._engine = engine

    @property
    def processes(self) -> int:
        """One: this process."""
        return 1

    @property
    def free_slots(self) -> int:
        """One, unless a tile is pending."""
        return 1 - len(self._pending)

    def submit(self, index: int, tile: Tile) -> None:
        """Keep the tile until its result is requested."""
        self._pending.append((index, tile))

    def completed(self, timeout_s: float) -> list[Result]:  # noqa: ARG002 (protocol)
        """Compute the pending tile."""
        if self._engine is None or not self._pending:
            return []
        index, tile = self._pending.popleft()
        # One thread, as in the processes of the pool: another order of summation would change the result.
        with one_thread():
            labels, points = predict_checked(self._engine, tile)
        return [Result(index, labels, points)]

    def end(self) -> None:
        """Release engine and tile."""
        self._engine = None
        self._pending.clear()

    def map(self, function: Callable[[Item], Output], items: Iterable[Item], /) -> Iterator[Output]:
        """Call the function in this process, each time a result is requested."""
        return map(function, items)

    def close(self) -> None:
        """Release engine and tile."""
        self.end()
