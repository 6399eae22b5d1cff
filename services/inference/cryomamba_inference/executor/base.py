"""What the runner knows of an executor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from cryomamba.engines.api import Engine, Labels, Points, Tile, TileResult
from cryomamba.errors import ErrorCode, JobFailedError

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Result:
    """A finished tile.

    Attributes
    ----------
    index : int
        As given to :meth:`TileExecutor.submit`.
    labels : ndarray, ZYX
        What the engine returned for the core.
    points : ndarray or None
        Its places in the core, from an engine that finds any.
    """

    index: int
    labels: Labels
    points: Points | None = None


class TileExecutor(Protocol):
    """Computes tiles for one engine at a time; for one thread.

    ``begin``, then as many ``submit`` as ``room`` allows and ``completed`` in turn, then ``end``. After ``end`` another
    engine may begin, or something else be computed by ``map``; ``close`` frees everything.
    """

    def warm_up(self, engine: Engine[Any] | None = None) -> None:
        """Start what takes time to start, and load what the engine's module imports, without waiting for it."""

    def begin(self, engine: Engine[Any], *, tile_voxels: int, core_voxels: int) -> None:
        """Take a prepared engine, and the largest tile and core that will come."""

    @property
    def processes(self) -> int:
        """How many tiles are computed at a time."""

    @property
    def room(self) -> int:
        """How many more tiles may be submitted now."""

    def submit(self, index: int, tile: Tile) -> None:
        """Hand over a tile; its data may be reused as soon as this returns."""

    def completed(self, timeout_s: float) -> list[Result]:
        """Return what is finished, after waiting for it at most so long (or for one tile).

        Raises
        ------
        CryoMambaError
            The engine failed, or (``worker_lost``, retryable) a process of the executor is gone.
        """

    def end(self) -> None:
        """Drop what is not finished; nothing of this engine comes any more."""

    def map(self, function: Callable[[Item], Answer], items: Iterable[Item], /) -> Iterator[Answer]:
        """Yield ``function(item)`` for each item in turn, computed a few items ahead; not before ``end``.

        Where there are processes, all of it is pickled. An item should have some kB at most: it is sent while the
        answer to another, of any size, may be on its way.

        Raises
        ------
        CryoMambaError
            As of :meth:`completed`.
        """

    def close(self) -> None:
        """Free processes and memory. Closing twice is no error."""


def predicted(engine: Engine[Any], tile: Tile) -> tuple[Labels, Points | None]:
    """Run an engine over a tile, and refuse what it must not return.

    Raises
    ------
    JobFailedError
        Shape or type is not that of the tile's core, or it returned places without `picks`, or none with it.
    """
    found = engine.predict(tile)
    labels, points = (found.labels, found.points) if isinstance(found, TileResult) else (found, None)
    _check_labels(tile.shape, labels)
    if (points is None) != (engine.picks is None) or (points is not None and points.ndim != 2):
        raise JobFailedError(
            f"The engine's picks are {engine.picks}, but a tile's places came as {points!r:.80}.",
            code=ErrorCode.ENGINE_FAILED,
            hint="Report this to the author of the engine.",
        )
    return labels, points


def _check_labels(tile_shape: tuple[int, int, int], labels: Labels) -> None:
    if tuple(labels.shape) != tuple(tile_shape) or labels.dtype.name not in {"uint8", "uint16"}:
        raise JobFailedError(
            f"The engine returned {labels.dtype} of shape {labels.shape} for a tile of shape {tile_shape}.",
            code=ErrorCode.ENGINE_FAILED,
            hint="Report this to the author of the engine.",
        )
