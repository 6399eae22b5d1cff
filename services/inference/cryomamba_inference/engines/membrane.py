"""Membranes, by the network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from cryomamba.engines.api import EngineParameters, Labels, Tile, VolumeContext
from cryomamba.engines.membrane_options import MembraneOptions
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba_inference.network.engine import NetworkEngine, NetworkParameters
from cryomamba_inference.network.model import Structure

HIGH, LOW = 128, 77
"""Default thresholds, in 255ths of probability: somewhere in a component, and everywhere.

They have about the best F1 in phantoms of families that the network was not fitted on.
"""


class _Search(NetworkParameters):
    high: int = Field(
        HIGH,
        ge=1,
        le=255,
        title="Threshold",
        description="Upper hysteresis threshold (seed): a component is kept if at least one of its voxels has this "
        "score. Scores are probabilities: 255 is certain.",
    )
    low: int = Field(
        LOW,
        ge=1,
        le=255,
        title="Lower threshold",
        description="Lower hysteresis threshold: minimum score of all voxels of a component.",
    )
    min_volume_nm3: float = Field(
        2500.0,
        ge=0,
        le=1e12,
        title="Minimum volume",
        description="Smaller connected components are removed; 2500 nm³ is a membrane patch of 23 nm × 23 nm.",
        json_schema_extra={"unit": "nm³"},
    )


class MembraneParameters(MembraneOptions, _Search):
    """Parameters of the segmentation and of the files made from it."""


class MembraneEngine(NetworkEngine[MembraneParameters]):
    """Membranes of any shape.

    The score of a voxel is the probability that it lies in a membrane. Connected components above the lower threshold
    are kept if they reach the upper one and have the minimum volume.
    """

    name: ClassVar[str] = "membrane"
    summary: ClassVar[str] = "Segments membranes of any shape; the network is part of the program."
    Parameters: ClassVar[type[EngineParameters]] = MembraneParameters
    labels: ClassVar[Mapping[int, str]] = {1: "membrane"}

    def __init__(self, parameters: MembraneParameters) -> None:
        super().__init__(parameters)
        self._min_voxels = 0

    def prepare(self, context: VolumeContext) -> None:
        """Resample the volume and decide on the contrast."""
        super().prepare(context)
        self._min_voxels = math.ceil(self.parameters.min_volume_nm3 * 1000 / math.prod(context.voxel_size_A))

    def thresholds(self) -> HysteresisThreshold:
        """Return the thresholds; the lower one is at most the upper one."""
        high = self.parameters.high
        return HysteresisThreshold(high, min(self.parameters.low, high), self._min_voxels)

    def predict(self, tile: Tile) -> Labels:
        """Return the scores of a tile."""
        return self.voxel_scores(self.box_probabilities(Structure.MEMBRANE, tile), tile)
