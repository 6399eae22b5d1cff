"""Filaments of a given diameter and their centrelines, by the network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic import Field

from cryomamba.engines.api import EngineParameters, Points, Tile, TileResult, VolumeContext
from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.geometry import Spacing
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba.picks import Kind, Picks, empty_picks
from cryomamba_inference.decoders.centrelines import CONSTANTS
from cryomamba_inference.decoders.ridges import find_ridge
from cryomamba_inference.decoders.tracing import trace
from cryomamba_inference.network.engine import NetworkEngine, NetworkParameters
from cryomamba_inference.network.model import Structure

_VOXELS_PER_DIAMETER = 2.0  # minimum
_SPACING_DIAMETERS = 0.5  # default distance between points along a filament
_VOLUME_RATIO = 0.4  # minimum volume of a filament relative to a cylinder of the minimum length


class FilamentsParameters(NetworkParameters):
    """Parameters of the filament segmentation."""

    diameter_A: float = Field(
        250.0,
        ge=50,
        le=500,
        title="Diameter",
        description="Outer diameter of the filaments, hollow or solid: 250 Å for microtubules, 70 Å for actin.",
        json_schema_extra={"unit": "Å"},
    )
    high: int = Field(
        CONSTANTS.high,
        ge=1,
        le=255,
        title="Threshold",
        description="Upper hysteresis threshold (seed): a filament is kept if it reaches this score somewhere. Scores "
        "are probabilities: 255 is certain.",
    )
    low: int = Field(
        CONSTANTS.low,
        ge=1,
        le=255,
        title="Lower threshold",
        description="Lower hysteresis threshold: minimum score along the whole filament.",
    )
    min_length_A: float | None = Field(
        None,
        ge=0,
        title="Minimum length",
        description=f"Shorter filaments are removed; {CONSTANTS.min_length:g} diameters if not set.",
        json_schema_extra={"unit": "Å"},
    )
    spacing_A: float | None = Field(
        None,
        gt=0,
        le=10000,
        title="Point spacing",
        description="Distance between points along a filament (82 Å for the tubulin dimer); half a diameter if not "
        "set.",
        json_schema_extra={"unit": "Å"},
    )


class FilamentsEngine(NetworkEngine[FilamentsParameters]):
    """Long densities of one diameter, and their centrelines.

    Centreline points are the ridges of the smoothed probability of filament that have ended two radii away; they are
    traced from the best one to both ends. The score map holds the probability that a voxel is in a filament.
    """

    name: ClassVar[str] = "filaments"
    summary: ClassVar[str] = (
        "Segments filaments of a given diameter and traces their centrelines; the network is part of the program."
    )
    Parameters: ClassVar[type[EngineParameters]] = FilamentsParameters
    labels: ClassVar[Mapping[int, str]] = {1: "filament"}
    picks: ClassVar[Kind | None] = "filaments"

    def step_A(self, voxel_size_A: Spacing) -> float:
        """Return the distance between nodes; it is larger for thick filaments."""
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
                f"A voxel size of {coarsest:g} Å is too coarse for filaments of {diameter:g} Å.",
                code=ErrorCode.INVALID_PARAMETERS,
                hint=f"The diameter must be at least {coarsest * _VOXELS_PER_DIAMETER:g} Å. Check the voxel size.",
            )
        super().prepare(context)

    def thresholds(self) -> HysteresisThreshold:
        """Return the thresholds; the lower one is at most the upper one."""
        high, low = self.parameters.high, min(self.parameters.low, self.parameters.high)
        smallest_A3 = _VOLUME_RATIO * self._min_length_A * math.pi / 4 * self.parameters.diameter_A**2
        return HysteresisThreshold(high, low, math.ceil(smallest_A3 / math.prod(self.grid.voxel_size_A)))

    def predict(self, tile: Tile) -> TileResult:
        """Return the probabilities in a tile, and its centreline points: voxel (z, y, x), direction and score."""
        found = self.box_probabilities(Structure.FILAMENT, tile)
        nodes, directions, values = find_ridge(found.probability, self.parameters.diameter_A / 2 / self.grid.step_A)
        voxels = self.grid.voxels(nodes + found.first)
        nearest = np.floor(voxels + 0.5)
        inside = ((nearest >= tile.start) & (nearest < np.add(tile.start, tile.shape))).all(axis=1)
        points = np.column_stack([voxels, directions, np.minimum(255.0 * values, 255)])
        return TileResult(self.voxel_scores(found, tile), points[inside])

    def finalize_picks(self, points: Points) -> Picks:
        """Trace the centrelines and return equidistant points along each, the longest filament first."""
        thresholds = self.thresholds()
        points = points[points[:, 6] >= thresholds.low]
        filaments = trace(
            np.column_stack([points[:, :3] * self.grid.voxel_size_A, points[:, 3:]]),
            diameter_A=self.parameters.diameter_A,
            high=thresholds.high,
            min_length_A=self._min_length_A,
            spacing_A=self.parameters.spacing_A or _SPACING_DIAMETERS * self.parameters.diameter_A,
        )
        if not filaments:
            return empty_picks("filaments")
        positions = np.concatenate([one.points for one in filaments]) / self.grid.voxel_size_A
        return Picks(
            np.clip(positions, 0, np.array(self.grid.shape) - 1),
            np.concatenate([one.scores for one in filaments]),
            np.repeat(np.arange(1, len(filaments) + 1), [len(one.points) for one in filaments]),
            "filaments",
        )

    @property
    def _min_length_A(self) -> float:
        given = self.parameters.min_length_A
        return CONSTANTS.min_length * self.parameters.diameter_A if given is None else given
