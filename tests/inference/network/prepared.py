"""Membrane engines prepared on arrays, and their scores."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cryomamba.engines.api import ReportProgress, Slices, Tile, VolumeContext
from cryomamba.geometry import Shape, Spacing
from cryomamba_inference.engines.membrane import MembraneEngine, MembraneParameters
from cryomamba_inference.network.model import STEP_A
from cryomamba_inference.volume_preparation.grid import WorkingGrid

Scores = npt.NDArray[np.uint8]


def prepared(
    data: npt.NDArray[Any],
    voxel_size_A: Spacing = (12.5, 12.5, 12.5),
    *,
    threads: int = 1,
    coarse: bool = False,
    within: Callable[[Slices], npt.NDArray[np.bool_]] | None = None,
    report_progress: ReportProgress = lambda *_: None,
    **parameters: Any,
) -> MembraneEngine:
    """Return an engine that has seen a volume."""
    volume = np.asarray(data, np.float32)

    def read(where: Slices) -> npt.NDArray[np.float32]:
        return np.ascontiguousarray(volume[where])

    engine = MembraneEngine(MembraneParameters(**parameters))
    shape = (volume.shape[0], volume.shape[1], volume.shape[2])
    context = VolumeContext(
        shape, voxel_size_A, None, read, threads=threads, report_progress=report_progress, coarse=coarse, within=within
    )
    engine.prepare(context)
    return engine


def scores_of(engine: MembraneEngine, shape: Shape, side: int = 10_000) -> Scores:
    """Return the scores of a volume, cut into tiles of a side."""
    scores = np.zeros(shape, np.uint8)
    nothing = np.empty((0, 0, 0), np.float32)
    for start in itertools.product(*(range(0, size, side) for size in shape)):
        z, y, x = (slice(at, min(at + side, size)) for at, size in zip(start, shape, strict=True))
        core = (z.stop - z.start, y.stop - y.start, x.stop - x.start)
        found = engine.predict(Tile(nothing, (slice(0, 0),) * 3, (z.start, y.start, x.start), core))
        assert isinstance(found, np.ndarray)
        scores[z, y, x] = found
    return scores


def nodes_of(data: npt.NDArray[Any], voxel_size_A: Spacing) -> npt.NDArray[np.float32]:
    """Return a volume on the working grid."""
    volume = np.asarray(data, np.float32)
    grid = WorkingGrid((volume.shape[0], volume.shape[1], volume.shape[2]), voxel_size_A, STEP_A)
    nodes = np.empty(grid.node_shape, np.float32)
    for task in grid.resample_tasks(lambda where: np.ascontiguousarray(volume[where]), np.asarray, nodes):
        task()
    return nodes
