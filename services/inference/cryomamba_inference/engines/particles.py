"""Particles of a given diameter, by the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic import Field

from cryomamba.engines.api import EngineParameters, Points, Tile, TileResult, VolumeContext
from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.geometry import Spacing
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba.picks import Kind, Picks
from cryomamba_inference.decoders.peaks import CONSTANTS, find_peaks, select_separated
from cryomamba_inference.network.engine import NetworkEngine, NetworkParameters
from cryomamba_inference.network.model import Structure

_VOXELS_PER_DIAMETER = 2.5  # minimum


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
    threshold: int = Field(
        CONSTANTS.threshold,
        ge=1,
        le=255,
        title="Threshold",
        description="Minimum score of a particle: 255 times the probability inside it, less that around it.",
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

    A particle is a peak of the mean probability in a ball of its size, less that in the shell around it. The score map
    holds the probability that a voxel is in a particle.
    """

    name: ClassVar[str] = "particles"
    summary: ClassVar[str] = (
        "Picks particles of a given diameter: coordinates and a mask; the network is part of the program."
    )
    Parameters: ClassVar[type[EngineParameters]] = ParticlesParameters
    labels: ClassVar[Mapping[int, str]] = {1: "particle"}
    picks: ClassVar[Kind | None] = "particles"

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
        """Return the threshold, of picks and of the mask."""
        return HysteresisThreshold(self.parameters.threshold, self.parameters.threshold)

    def predict(self, tile: Tile) -> TileResult:
        """Return the probabilities in a tile, and its particles: voxel (z, y, x) and score."""
        found = self.box_probabilities(Structure.PARTICLE, tile)
        nodes, responses = find_peaks(found.probability, self.parameters.diameter_A / 2 / self.grid.step_A)
        voxels = self.grid.voxels(nodes + found.first)
        # A particle on the seam of tiles may be found twice, but never by neither; candidates() keeps one.
        beyond = self.grid.voxels(np.full(3, CONSTANTS.seam_nodes))
        stop = np.add(tile.start, tile.shape)
        inside = ((voxels >= tile.start - beyond - 0.5) & (voxels <= stop + beyond - 0.5)).all(axis=1)
        # The nodes may extend beyond the last voxel.
        inside &= (voxels <= np.array(self.grid.shape) - 0.5).all(axis=1)
        points = np.column_stack([voxels, np.minimum(255 * responses.astype(np.float64), 255)])[inside]
        return TileResult(self.voxel_scores(found, tile), points[points[:, 3] >= 1])

    def finalize_picks(self, points: Points) -> Picks:
        """Return the particles above the threshold, the best first."""
        return self.candidates(points).above(self.parameters.threshold, self.parameters.threshold)

    def candidates(self, points: Points) -> Picks:
        """Return the particles of all scores, the best first, without those too close to a better one."""
        points = points[np.lexsort((points[:, 2], points[:, 1], points[:, 0], -points[:, 3]))]
        distance = self.parameters.min_distance_A or CONSTANTS.separation * self.parameters.diameter_A
        distance = max(distance, 2 * CONSTANTS.seam_nodes * self.grid.step_A)
        points = points[select_separated(points[:, :3] * self.grid.voxel_size_A, distance)]
        # Tables have two decimals; a score must not be rounded up to the threshold.
        scores = np.floor(100 * points[:, 3]) / 100
        return Picks(points[:, :3], scores, np.ones(len(points), np.int64), "particles")
