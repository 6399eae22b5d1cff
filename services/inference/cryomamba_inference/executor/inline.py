"""Tiles one after the other in this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from cryomamba.engines.api import Engine, Tile
from cryomamba_inference.executor.base import Answer, Item, Result, predicted
from cryomamba_inference.threads import one_thread


class InlineExecutor:
    """An executor without processes; a tile is computed when its result is asked for."""

    def __init__(self) -> None:
        self._engine: Engine[Any] | None = None
        self._waiting: deque[tuple[int, Tile]] = deque()

    def warm_up(self, engine: Engine[Any] | None = None) -> None:
        """Nothing has to be started."""

    def begin(self, engine: Engine[Any], *, tile_voxels: int, core_voxels: int) -> None:  # noqa: ARG002 (protocol)
        """Take a prepared engine."""
        self._engine = engine

    @property
    def processes(self) -> int:
        """One: this."""
        return 1

    @property
    def room(self) -> int:
        """One tile at a time."""
        return 1 - len(self._waiting)

    def submit(self, index: int, tile: Tile) -> None:
        """Keep the tile until its result is asked for."""
        self._waiting.append((index, tile))

    def completed(self, timeout_s: float) -> list[Result]:  # noqa: ARG002 (protocol)
        """Compute the waiting tile."""
        if self._engine is None or not self._waiting:
            return []
        index, tile = self._waiting.popleft()
        # One thread, as in the processes of the pool: sums in another order would make other bytes.
        with one_thread():
            labels, points = predicted(self._engine, tile)
        return [Result(index, labels, points)]

    def end(self) -> None:
        """Forget engine and tile."""
        self._engine = None
        self._waiting.clear()

    def map(self, function: Callable[[Item], Answer], items: Iterable[Item], /) -> Iterator[Answer]:
        """Call the function here, when its answer is asked for."""
        return map(function, items)

    def close(self) -> None:
        """Forget engine and tile."""
        self.end()
