"""One walk over all tiles: read, hand out, take back, put away; steered by the view and stopped by a cancel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cryomamba.engines.api import Tile
from cryomamba.volumes import Volume
from cryomamba_inference.executor import TileExecutor
from cryomamba_inference.executor.base import Result
from cryomamba_inference.plan import TileOrder, TilePlan, TileSpec
from cryomamba_inference.runner.control import Control, Position

_POLL_S = 0.1


def run_tiles(
    plan: TilePlan,
    volume: Volume | None,
    executor: TileExecutor,
    control: Control,
    *,
    pass_index: int,
    focus: Position | None,
    put: Callable[[TileSpec, Result], None],
    meanwhile: Callable[[], None],
) -> None:
    """Take every tile of a plan through an executor once.

    Parameters
    ----------
    plan : TilePlan
    volume : Volume or None
        Where tiles are read from; None gives tiles without data, for engines that read none.
    executor : TileExecutor
        An engine has begun on it.
    control : Control
        A cancel stops between two tiles; a new focus reorders what is left.
    pass_index : int
        Index of the pass.
    focus : tuple of float or None
        Where to begin.
    put : callable
        Called with each finished piece, in the order of their completion.
    meanwhile : callable
        Called after each look at the executor.

    Raises
    ------
    JobFailedError
        ``cancelled``, or what the executor raised.
    """
    order = TileOrder(plan, focus)
    in_flight: dict[int, TileSpec] = {}
    while order or in_flight:
        control.check()
        if (moved := control.take_focus()) is not None:
            order.focus(moved)
        while order and executor.room > 0:
            piece = order.next()
            executor.submit(piece.index, _tile(piece, volume, pass_index))
            in_flight[piece.index] = piece
        for result in executor.completed(_POLL_S):
            put(in_flight.pop(result.index), result)
        meanwhile()


def _tile(piece: TileSpec, volume: Volume | None, pass_index: int) -> Tile:
    if volume is None:
        z, y, x = (slice(0, size) for size in piece.shape)
        return Tile(np.empty((0, 0, 0), np.float32), (z, y, x), piece.start, piece.shape, 1, pass_index)
    return Tile(volume.read(*piece.read), piece.core, piece.start, piece.shape, 1, pass_index)
