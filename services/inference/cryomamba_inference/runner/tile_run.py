"""Runs an engine that predicts tiles: each tile is stored as soon as it is finished."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from cryomamba.engines.api import Engine, Labels
from cryomamba_inference.executor import TileExecutor
from cryomamba_inference.executor.base import Array, Result
from cryomamba_inference.runner.control import Control
from cryomamba_inference.runner.sink import Sink
from cryomamba_inference.runner.tile_loop import TileReader, run_tiles
from cryomamba_inference.runner.tile_selection import TileSelection
from cryomamba_inference.tiling import Partition, TileOrder, TilePlan, TileSpec


class TileRun:
    """A pass that computes tiles.

    Parameters
    ----------
    engine : Engine
        Prepared before :meth:`run` is called.
    """

    PARALLEL_FROM: Final = 8
    """With fewer tiles, starting processes takes longer than they save."""

    def __init__(self, engine: Engine[Any], plan: TilePlan) -> None:
        self._engine, self._plan = engine, plan

    def __len__(self) -> int:
        return len(self._plan)

    @property
    def boxes(self) -> Partition:
        """The cores of the tiles."""
        return self._plan

    def count(self, tiles: TileSelection) -> int:
        """Return how many tiles are selected."""
        return len(tiles)

    def run(self, tiles: TileSelection, executor: TileExecutor, control: Control, sink: Sink) -> None:
        """Compute every selected tile once."""

        def put(spec: TileSpec, result: Result) -> None:
            labels = as_labels(result.labels)
            if sink.uncertainty is not None:
                labels, uncertainty = labels
                sink.uncertainty(spec, tiles.labels(spec, uncertainty))
            sink.store(spec, tiles.labels(spec, labels))
            if result.points is not None:
                sink.points(spec.index, tiles.points(result.points))
            sink.step()

        plan = self._plan
        volume = sink.volume if self._engine.needs_tile_data else None
        tile_voxels = plan.tile_voxels if self._engine.needs_tile_data else 0
        arrays = 1 if sink.uncertainty is None else 2
        executor.begin(
            self._engine,
            TileReader(volume, sink.pass_index),
            tile_voxels=tile_voxels,
            result_nbytes=2 * arrays * plan.core_voxels,
            in_threads=self._engine.in_threads,
        )
        try:
            run_tiles(
                TileOrder(plan, sink.focus, indices=tiles.inside), executor, control, put=put, meanwhile=sink.meanwhile
            )
        finally:
            executor.end()


def as_labels(array: Array) -> Labels:
    """Return labels with the type of labels; not a copy."""
    return array.astype(np.uint16, copy=False) if array.dtype == np.uint16 else array.astype(np.uint8, copy=False)
