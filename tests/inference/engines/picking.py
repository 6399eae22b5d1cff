"""Running a picking engine over an array, whole or in tiles."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from cryomamba.engines.api import Engine, Slices, Tile, TileResult, VolumeContext
from cryomamba.geometry import Spacing
from cryomamba.picks import Picks

Density = npt.NDArray[np.float32]
Scores = npt.NDArray[np.uint8]


def picked(
    engine: Engine[Any], data: Density, size_A: Spacing = (10.0, 10.0, 10.0), *, tile: int = 10_000, threads: int = 1
) -> tuple[Scores, Picks]:
    """Return scores and picks of a volume, cut into tiles."""

    def read(where: Slices) -> Density:
        return np.ascontiguousarray(data[where])

    shape = data.shape
    engine.prepare(VolumeContext((shape[0], shape[1], shape[2]), size_A, None, read, threads=threads))
    scores = np.zeros(shape, np.uint8)
    points = []
    for start in itertools.product(*(range(0, size, tile) for size in shape)):
        z, y, x = (slice(at, min(at + tile, size)) for at, size in zip(start, shape, strict=True))
        core = (z.stop - z.start, y.stop - y.start, x.stop - x.start)
        nothing = np.empty((0, 0, 0), np.float32)
        found = engine.predict(Tile(nothing, (slice(0, 0),) * 3, (z.start, y.start, x.start), core))
        assert isinstance(found, TileResult)
        assert found.points is not None
        scores[z, y, x] = found.labels
        points.append(found.points)
    return scores, engine.finalize_picks(np.concatenate(points))


def agreement(found_A: npt.NDArray[Any], true_A: npt.NDArray[Any], within_A: float) -> tuple[float, float]:
    """Return precision and recall of places."""
    if not len(found_A) or not len(true_A):
        return float(not len(found_A)), float(not len(true_A))
    precision = float(np.mean(cKDTree(true_A).query(found_A)[0] < within_A))
    recall = float(np.mean(cKDTree(found_A).query(true_A)[0] < within_A))
    return precision, recall
