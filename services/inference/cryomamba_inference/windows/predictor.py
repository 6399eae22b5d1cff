"""Computes a window in whatever process: resampled, normalized, predicted, weighted and rounded to integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cryomamba.engines.api import Slices, Tile, Voxels
from cryomamba.engines.windows import SCORES_MAX, Scores, WindowEngine
from cryomamba.volumes import Volume
from cryomamba_inference.windows.plan import WindowPlan, WindowSpec

Sums = npt.NDArray[np.int32]
"""Weighted scores (channels, z, y, x) in units of 1 / :data:`UNITS`."""
UNITS: Final = 2**18
"""Units per score: the largest score fits, and 27 windows deviate by less than a ten thousandth in sum."""


@dataclass(frozen=True, slots=True)
class WindowPredictor:
    """What processes compute for each window; picklable.

    Attributes
    ----------
    engine : WindowEngine
        Prepared.
    plan : WindowPlan
    """

    engine: WindowEngine[Any]
    plan: WindowPlan

    def tile(self, spec: WindowSpec, volume: Volume) -> Tile:
        """Return a window as a tile, read from the volume: voxels, or nodes if these are much fewer."""
        grid = self.plan.grid
        if self.plan.reads_resampled:
            data = grid.resample(lambda where: volume.read(*where), spec.box)
        else:
            data = volume.read(*grid.voxels_for(spec.box))
        z, y, x = (slice(0, size) for size in data.shape)
        return Tile(data, (z, y, x), (spec.index, 0, 0), (1, 1, 1))

    def __call__(self, tile: Tile) -> tuple[Sums, None]:
        """Return what a window adds to the sums of its nodes in the volume."""
        spec = self.plan[tile.start[0]]
        weights = self.plan.weights(spec)
        nodes = self._nodes(tile.data, spec)
        if tile.data.min() == tile.data.max():
            # Padding: nothing is there to be predicted.
            shape = tuple(last - first for first, last in spec.box)
            empty = self.engine.empty_scores()[:, None, None, None]
            scores: Scores = np.broadcast_to(empty, (self.engine.blended_channels, *shape))
        else:
            scores = self._scores(nodes, spec)
        return _weighted(scores, weights), None

    def _nodes(self, data: Voxels, spec: WindowSpec) -> Voxels:
        grid = self.plan.grid
        if self.plan.reads_resampled:
            return np.array(data)
        z0, y0, x0 = (axis.start for axis in grid.voxels_for(spec.box))

        def read(where: Slices) -> Voxels:
            z, y, x = where
            return data[z.start - z0 : z.stop - z0, y.start - y0 : y.stop - y0, x.start - x0 : x.stop - x0]

        return grid.resample(read, spec.box)

    def _scores(self, nodes: Voxels, spec: WindowSpec) -> Scores:
        normalized = self.engine.normalize(nodes)
        inside = tuple(
            slice(low - start, high - start) for (low, high), start in zip(spec.box, spec.start, strict=True)
        )
        if normalized.shape != self.plan.window:
            window = np.zeros(self.plan.window, np.float32)
            window[inside] = normalized
            normalized = window
        return self.engine.window_scores(normalized)[(slice(None), *inside)]


def _weighted(scores: Scores, weights: tuple[npt.NDArray[np.float32], ...]) -> Sums:
    z, y, x = weights
    plane = (y[:, None] * x) * np.float32(UNITS)
    sums = np.empty(scores.shape, np.int32)
    # Plane by plane, as the intermediate results of a whole window are large.
    for channel, field in enumerate(scores):
        for n, values in enumerate(field):
            limited = np.clip(values, -SCORES_MAX, SCORES_MAX)
            sums[channel, n] = np.rint(limited * (plane * z[n]))
    return sums


def averaged(sums: Sums) -> Scores:
    """Return the mean scores of nodes for which all windows have been added."""
    return np.asarray(sums * np.float32(1 / UNITS), np.float32)


def own_scores(sums: Sums, weights: tuple[npt.NDArray[np.float32], ...]) -> Scores:
    """Return the scores of a single window, from what it adds."""
    z, y, x = weights
    return np.asarray(sums / (z[:, None, None] * y[:, None] * x * np.float32(UNITS)), np.float32)
