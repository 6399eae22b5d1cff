"""The tile loop: read tiles or windows, submit them, store the results; reordered by the focus, stopped by a cancel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cryomamba.engines.api import Tile
from cryomamba.volumes import Volume
from cryomamba_inference.executor import TileExecutor
from cryomamba_inference.executor.base import Result
from cryomamba_inference.runner.control import Control
from cryomamba_inference.tiling import Spec, TileOrder, TileSpec

_POLL_S = 0.1


def run_tiles(
    order: TileOrder[Spec],
    executor: TileExecutor,
    control: Control,
    *,
    put: Callable[[Spec, Result], None],
    meanwhile: Callable[[], None],
) -> None:
    """Run every queued tile through an executor once.

    Parameters
    ----------
    order : TileOrder
        The queue.
    executor : TileExecutor
        On which an engine has begun.
    control : Control
        A cancel stops between two tiles; a new focus reorders the remaining ones.
    put : callable
        Called with each finished tile, in the order of completion.
    meanwhile : callable
        Called each time the executor has been polled.

    Raises
    ------
    JobFailedError
        ``cancelled``, or what the executor raised.
    """
    in_flight: dict[int, Spec] = {}
    while order or in_flight:
        control.check()
        if (moved := control.take_focus()) is not None:
            order.set_focus(moved)
        while order and executor.free_slots > 0:
            spec = order.next()
            executor.submit(spec.index, spec)
            in_flight[spec.index] = spec
        for result in executor.completed(_POLL_S):
            put(in_flight.pop(result.index), result)
        meanwhile()


@dataclass(frozen=True, slots=True)
class TileReader:
    """Reads tiles in whatever process; picklable.

    Attributes
    ----------
    volume : Volume or None
        None for tiles without data.
    pass_index : int
    """

    volume: Volume | None
    pass_index: int

    def __call__(self, spec: TileSpec) -> Tile:
        """Return a tile with its data."""
        if self.volume is None:
            z, y, x = (slice(0, size) for size in spec.shape)
            return Tile(np.empty((0, 0, 0), np.float32), (z, y, x), spec.start, spec.shape, 1, self.pass_index)
        return Tile(self.volume.read(*spec.read), spec.core, spec.start, spec.shape, 1, self.pass_index)
