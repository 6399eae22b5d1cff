"""The tile loop: read tiles, submit them, store the results; reordered by the focus and stopped by a cancel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cryomamba.engines.api import Tile
from cryomamba.volumes import Volume
from cryomamba_inference.executor import TileExecutor
from cryomamba_inference.executor.base import Result
from cryomamba_inference.runner.control import Control, Position
from cryomamba_inference.runner.tile_selection import TileSelection
from cryomamba_inference.tiling import TileOrder, TileSpec

_POLL_S = 0.1


def run_tiles(
    tiles: TileSelection,
    volume: Volume | None,
    executor: TileExecutor,
    control: Control,
    *,
    pass_index: int,
    focus: Position | None,
    put: Callable[[TileSpec, Result], None],
    meanwhile: Callable[[], None],
    refocused: Callable[[Position], None],
) -> None:
    """Run every selected tile through an executor once.

    Parameters
    ----------
    volume : Volume or None
        Where tiles are read from; None gives tiles without data.
    executor : TileExecutor
        On which an engine has begun.
    control : Control
        A cancel stops between two tiles; a new focus reorders the remaining ones.
    focus : tuple of float or None
        Voxel (z, y, x) to begin at.
    put : callable
        Called with each finished tile, in the order of completion.
    meanwhile : callable
        Called each time the executor has been polled.
    refocused : callable
        Called with a new focus, when the executor has tiles to compute.

    Raises
    ------
    JobFailedError
        ``cancelled``, or what the executor raised.
    """
    order = TileOrder(tiles.plan, focus, indices=tiles.inside)
    in_flight: dict[int, TileSpec] = {}
    while order or in_flight:
        control.check()
        if (moved := control.take_focus()) is not None:
            order.set_focus(moved)
        while order and executor.free_slots > 0:
            spec = order.next()
            executor.submit(spec.index, _load(spec, volume, pass_index))
            in_flight[spec.index] = spec
        if moved is not None:
            refocused(moved)
        for result in executor.completed(_POLL_S):
            put(in_flight.pop(result.index), result)
        meanwhile()


def _load(spec: TileSpec, volume: Volume | None, pass_index: int) -> Tile:
    if volume is None:
        z, y, x = (slice(0, size) for size in spec.shape)
        return Tile(np.empty((0, 0, 0), np.float32), (z, y, x), spec.start, spec.shape, 1, pass_index)
    return Tile(volume.read(*spec.read), spec.core, spec.start, spec.shape, 1, pass_index)
