"""Finds dark beads of one diameter."""

import numpy as np
from pydantic import Field
from scipy import ndimage

from cryomamba.engines import (
    Engine,
    EngineParameters,
    HysteresisThreshold,
    Picks,
    Points,
    Shape,
    Spacing,
    Tile,
    TileResult,
    VolumeContext,
)

TRUNCATE = 3.0  # the Gaussian is cut off here, in standard deviations
STEP = 64.0  # score of a density that lies one standard deviation below the mean


class BeadsParameters(EngineParameters):
    diameter_A: float = Field(
        100.0,
        ge=20,
        le=1000,
        title="Diameter",
        description="Outer diameter of a bead.",
        json_schema_extra={"unit": "Å"},
    )
    high: int = Field(
        120, ge=1, le=255, title="Threshold", description="Voxels with at least this score belong to a bead."
    )


class BeadsEngine(Engine[BeadsParameters]):
    name = "beads"
    summary = "Finds and picks dark beads of one diameter."
    Parameters = BeadsParameters
    labels = {1: "bead"}
    keeps_scores = True
    picks = "particles"
    output = "scores"

    def halo(self, voxel_size_A: Spacing) -> Shape:
        """Return the extent of the Gaussian plus that of the search for maxima."""
        sigmas, radii = self._sizes(voxel_size_A)
        z, y, x = (int(TRUNCATE * sigma + 0.5) + radius for sigma, radius in zip(sigmas, radii, strict=True))
        return z, y, x

    def prepare(self, context: VolumeContext) -> None:
        """Calibrate; called once, before the first tile."""
        self._sigmas, self._radii = self._sizes(context.voxel_size_A)
        known = context.statistics
        self._mean, self._std = (known.mean, known.std or 1.0) if known else (0.0, 1.0)

    def predict(self, tile: Tile) -> TileResult:
        """Score the voxels of a tile's core, and pick the maxima in it."""
        smooth = ndimage.gaussian_filter(tile.data, self._sigmas, truncate=TRUNCATE, mode="nearest")
        depth = (self._mean - smooth) / self._std
        scores = np.clip(STEP * depth, 0, 255)
        side = [2 * radius + 1 for radius in self._radii]
        peaks = (depth == ndimage.maximum_filter(depth, side, mode="nearest")) & (scores >= self.parameters.high)
        inside = np.argwhere(peaks[tile.core])
        points = np.column_stack([inside + tile.start, scores[tile.core][tuple(inside.T)]])
        return TileResult(scores[tile.core].astype(np.uint8), points.astype(np.float64))

    def thresholds(self) -> HysteresisThreshold:
        """Which scores become label 1."""
        return HysteresisThreshold(self.parameters.high, self.parameters.high)

    def finalize_picks(self, points: Points) -> Picks:
        """Return the picks of all tiles, the best first."""
        z, y, x, score = points.T
        best = points[np.lexsort((x, y, z, -score))]
        return Picks(best[:, :3], best[:, 3], np.ones(len(best), np.int64), "particles")

    def _sizes(self, voxel_size_A: Spacing) -> tuple[list[float], list[int]]:
        """Return the standard deviation and the radius in voxels, along z, y and x."""
        diameters = [self.parameters.diameter_A / size for size in voxel_size_A]
        return [voxels / 4 for voxels in diameters], [max(1, round(voxels / 2)) for voxels in diameters]
