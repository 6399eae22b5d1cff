"""The interface of tile executors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from cryomamba.engines.api import Engine, Points, Tile, TileResult
from cryomamba.engines.uncertainty import wants_uncertainty
from cryomamba.errors import ErrorCode, JobFailedError
from cryomamba.volumes import Volume

LOCAL_JOB: Final = "local"
"""In place of the id of a job, without a server."""
Item = TypeVar("Item")
Output = TypeVar("Output")
Array = npt.NDArray[np.integer[Any]]
Found = tuple[Array, Points | None]
Computation = Engine[Any] | Callable[[Tile], Found]
"""What is computed for each tile: an engine's prediction, or a picklable callable of the runner."""
Load = Callable[[Any], Tile]
"""Returns a tile with its data, given its position in a plan; picklable if the executor reads tiles elsewhere."""


@dataclass(frozen=True, slots=True)
class Result:
    """A finished tile.

    Attributes
    ----------
    index : int
        As given to :meth:`TileExecutor.submit`.
    labels : ndarray of int
        Labels or scores of the core, ZYX, or both these and the uncertainty (see :func:`compute`); or what a callable
        returned.
    points : ndarray or None
        The points of a :class:`~cryomamba.engines.api.TileResult`.
    """

    index: int
    labels: Array
    points: Points | None = None


class TileExecutor(Protocol):
    """Computes tiles for one engine at a time; not thread-safe.

    Call ``connect``, ``begin``, then ``submit`` (up to ``free_slots`` tiles) and ``completed`` in turn, then ``end``.
    After ``end`` another engine may begin, or ``map`` be used; ``close`` frees all resources.
    """

    def connect(
        self, files: Sequence[Path], folder: Path, volume: Volume | None = None, job_id: str = LOCAL_JOB
    ) -> None:
        """Require that tiles can be computed; does nothing if that is done on this machine.

        Parameters
        ----------
        files : sequence of Path
            Files and folders that are read where tiles are computed.
        folder : Path
            Existing directory for temporary files, which are read there too.
        volume : Volume, optional
            Of which tiles are read there.
        job_id : str
            By which a gateway knows the volume.

        Raises
        ------
        CryoMambaError
            The machines that compute tiles cannot be reached, do not fit, or do not see a file.
        """

    @property
    def remote(self) -> bool:
        """Whether tiles are computed by processes that run already, perhaps on other machines."""

    @property
    def dashboard_url(self) -> str | None:
        """Address of a web page on the machines that compute tiles; None if there is none."""

    def warm_up(self, engine: Engine[Any] | None = None) -> None:
        """Start processes and import the engine's module there, without waiting for it."""

    def begin(
        self, work: Computation, load: Load, *, tile_voxels: int, result_nbytes: int, in_threads: bool = False
    ) -> None:
        """Begin with a prepared engine or a callable.

        Parameters
        ----------
        work : Engine or callable
            What is computed for each tile.
        load : callable
            Returns a tile for what is given to :meth:`submit`.
        tile_voxels, result_nbytes : int
            Of the largest tile, and of what is computed for one.
        in_threads : bool
            Whether one process computes all tiles in threads, see :attr:`cryomamba.engines.api.Engine.in_threads`.
        """

    @property
    def processes(self) -> int:
        """How many cores of this machine may be used, also for what is not a tile."""

    @property
    def free_slots(self) -> int:
        """How many more tiles may be submitted now."""

    def submit(self, index: int, position: Any, /) -> None:  # noqa: ANN401 (what `load` takes)
        """Enqueue a tile, given as to `load`."""

    def completed(self, timeout_s: float) -> list[Result]:
        """Return finished tiles; wait for one at most `timeout_s`.

        Raises
        ------
        CryoMambaError
            The engine failed, or a process of the executor has died (``worker_lost``, retryable).
        """

    def end(self) -> None:
        """Discard unfinished tiles and release the engine."""

    def map(self, function: Callable[[Item], Output], items: Iterable[Item], /) -> Iterator[Output]:
        """Yield ``function(item)`` for each item in order, computed a few items ahead; only after ``end``.

        With processes, function, items and results are pickled. Keep items below a few kB: an item is sent while the
        result of another, of any size, may be in transit.

        Raises
        ------
        CryoMambaError
            As for :meth:`completed`.
        """

    def close(self) -> None:
        """End the processes and free the memory; idempotent."""


def compute(work: Computation, tile: Tile) -> Found:
    """Return what is computed for a tile: of an engine, its labels and points, see :func:`predict_checked`.

    If the engine gives the uncertainty, it is stacked below the labels: the array has the shape (2, z, y, x).
    """
    if not isinstance(work, Engine):
        return work(tile)
    result = predict_checked(work, tile)
    if result.uncertainty is None:
        return result.labels, result.points
    both: Array = np.stack([result.labels, result.uncertainty])
    return both, result.points


def predict_checked(engine: Engine[Any], tile: Tile) -> TileResult:
    """Return an engine's result for a tile, after validating it.

    Raises
    ------
    JobFailedError
        The shape or dtype of labels or uncertainty is wrong, points and the engine's `picks` do not match, or the
        uncertainty is missing.
    """
    found = engine.predict(tile)
    result = found if isinstance(found, TileResult) else TileResult(found)
    labels, points = result.labels, result.points
    if tuple(labels.shape) != tuple(tile.shape) or labels.dtype.name not in {"uint8", "uint16"}:
        raise JobFailedError(
            f"The engine returned {labels.dtype} of shape {labels.shape} for a tile of shape {tile.shape}.",
            code=ErrorCode.ENGINE_FAILED,
            hint="Report this to the engine's author.",
        )
    if (points is None) != (engine.picks is None) or (points is not None and points.ndim != 2):
        raise JobFailedError(
            f"The engine has picks = {engine.picks!r}, but returned {points!r:.80} as the points of a tile.",
            code=ErrorCode.ENGINE_FAILED,
            hint="Report this to the engine's author.",
        )
    expected = (tile.shape, "uint8") if wants_uncertainty(engine) else None
    given = result.uncertainty
    if expected != (None if given is None else (tuple(given.shape), given.dtype.name)):
        raise JobFailedError(
            f"The engine returned the uncertainty of a tile as {'None' if given is None else given.dtype}; "
            + ("it was not requested." if expected is None else f"uint8 of shape {tile.shape} is expected."),
            code=ErrorCode.ENGINE_FAILED,
            hint="Report this to the engine's author.",
        )
    return result
