"""Particles of a given diameter, by the network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from cryomamba.engines.api import EngineParameters, Estimate, Points, Tile, TileResult, VolumeContext
from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.geometry import Spacing
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba.picks import Kind, Picks
from cryomamba_inference.decoders.peaks import CONSTANTS, find_peaks, find_threshold, select_separated
from cryomamba_inference.network.engine import NetworkEngine, NetworkParameters
from cryomamba_inference.network.model import Structure
from cryomamba_inference.rasterize import rasterize

_VOXELS_PER_DIAMETER = 2.5  # minimum
_PREVIEW_THRESHOLD = 48  # while there are still tiles to come


class ParticlesParameters(NetworkParameters):
    """Parameters of particle picking."""

    diameter_A: float = Field(
        250.0,
        ge=90,
        le=700,
        title="Diameter",
        description="Diameter of the particles, 250 Å for ribosomes. Objects of half or twice the diameter are mostly "
        "rejected.",
        json_schema_extra={"unit": "Å"},
    )
    threshold: int | None = Field(
        None,
        ge=1,
        le=255,
        title="Threshold",
        description="Minimum score of a particle. Determined from the volume if not set.",
    )
    min_distance_A: float | None = Field(
        None,
        gt=0,
        le=20000,
        title="Minimum distance",
        description="Minimum distance between particle centres; of closer ones only the one with the higher score is "
        f"kept. {CONSTANTS.separation:g} diameters if not set.",
        json_schema_extra={"unit": "Å"},
    )


class ParticlesEngine(NetworkEngine[ParticlesParameters]):
    """Particles of one size, each with coordinates and a score.

    Particles are peaks of the probability in a ball. The score is 255 times the square root of the mean probability in
    the rim of the ball, less that in the shell around it. Scores fall with the contrast of a volume, so the threshold
    is a share of the score of its typical particles. In the mask and the score map a particle is a ball of the
    diameter.
    """

    name: ClassVar[str] = "particles"
    summary: ClassVar[str] = (
        "Picks particles of a given diameter: coordinates and a mask; the network is part of the program."
    )
    Parameters: ClassVar[type[EngineParameters]] = ParticlesParameters
    labels: Mapping[int, str] = {1: "particle"}
    picks: ClassVar[Kind | None] = "particles"
    structure: ClassVar[Structure] = Structure.PARTICLE
    halo_nodes: ClassVar[int] = math.ceil(CONSTANTS.max_diameter_nodes)

    def __init__(self, parameters: ParticlesParameters) -> None:
        super().__init__(parameters)
        self._threshold = _PREVIEW_THRESHOLD

    def step_A(self, voxel_size_A: Spacing) -> float:
        """Return the distance between nodes; it is larger for large particles."""
        return max(super().step_A(voxel_size_A), self.parameters.diameter_A / CONSTANTS.max_diameter_nodes)

    def prepare(self, context: VolumeContext) -> None:
        """Resample and filter the volume and decide on the contrast.

        Raises
        ------
        InvalidRequestError
            The voxels are too large for the diameter.
        """
        diameter, coarsest = self.parameters.diameter_A, max(context.voxel_size_A)
        if coarsest * _VOXELS_PER_DIAMETER > diameter:
            raise InvalidRequestError(
                f"A voxel size of {coarsest:g} Å is too coarse for particles of {diameter:g} Å.",
                code=ErrorCode.INVALID_PARAMETERS,
                hint=f"The diameter must be at least {coarsest * _VOXELS_PER_DIAMETER:g} Å. Check the voxel size.",
            )
        super().prepare(context)

    def thresholds(self) -> HysteresisThreshold:
        """Return the threshold set by the user, else the one determined by :meth:`finalize_picks`."""
        threshold = self.parameters.threshold or self._threshold
        return HysteresisThreshold(threshold, threshold)

    def estimates(self) -> Mapping[str, Estimate]:
        """Return what the network's engines estimate, and the threshold, unless the user has set it."""
        threshold = {} if self.parameters.threshold else {"threshold": self._threshold}
        return {**super().estimates(), **threshold}

    def predict(self, tile: Tile) -> TileResult:
        """Return the particles of a tile as balls with their score, and as points: voxel (z, y, x) and score."""
        found = self.box_probabilities(tile)
        nodes, responses = find_peaks(found.probability, self.parameters.diameter_A / 2 / self.grid.step_A)
        voxels = self.grid.voxels(nodes + found.first)
        points = np.column_stack([voxels, np.minimum(255 * responses.astype(np.float64), 255)])
        # The nodes may extend beyond the last voxel.
        points = points[(points[:, 3] >= 1) & (voxels <= np.array(self.grid.shape) - 0.5).all(axis=1)]
        points = points[select_separated(points[:, :3] * self.grid.voxel_size_A, self._min_distance_A)]
        # A particle on the seam of tiles may be found twice, but never by neither; candidates() keeps one.
        beyond = self.grid.voxels(np.full(3, CONSTANTS.seam_nodes)) + 0.5
        stop = np.add(tile.start, tile.shape)
        inside = ((points[:, :3] >= tile.start - beyond) & (points[:, :3] <= stop - 1 + beyond)).all(axis=1)
        return TileResult(self._balls(points, tile), points[inside])

    def finalize_picks(self, points: Points) -> Picks:
        """Determine the threshold from all peaks, and return the particles above it, the best first."""
        found = self.candidates(points)
        self._threshold = math.ceil(255 * find_threshold(found.scores / 255))
        threshold = self.thresholds()
        return found.above(threshold.high, threshold.low)

    def candidates(self, points: Points) -> Picks:
        """Return the particles of all scores, the best first, without those too close to a better one."""
        points = points[np.lexsort((points[:, 2], points[:, 1], points[:, 0], -points[:, 3]))]
        points = points[select_separated(points[:, :3] * self.grid.voxel_size_A, self._min_distance_A)]
        # Tables have two decimals; a score must not be rounded up to the threshold.
        scores = np.floor(100 * points[:, 3]) / 100
        return Picks(points[:, :3], scores, np.ones(len(points), np.int64), "particles")

    def _balls(self, points: Points, tile: Tile) -> npt.NDArray[np.uint8]:
        centres_A = points[:, :3] * self.grid.voxel_size_A
        return rasterize(
            centres_A,
            centres_A,
            points[:, 3].astype(np.uint8),
            self.parameters.diameter_A / 2,
            start=tile.start,
            shape=tile.shape,
            size_A=self.grid.voxel_size_A,
        )

    @property
    def _min_distance_A(self) -> float:
        distance = self.parameters.min_distance_A or CONSTANTS.separation * self.parameters.diameter_A
        return max(distance, 2 * CONSTANTS.seam_nodes * self.grid.step_A)
