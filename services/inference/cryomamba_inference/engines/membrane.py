"""Membranes, by the network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from cryomamba.engines.api import EngineParameters, Estimate, Labels, Tile, TileResult, VolumeContext
from cryomamba.engines.membrane_options import MembraneOptions
from cryomamba.engines.uncertainty import UncertaintyOptions, binary_entropy_percent
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba_inference.network.engine import NetworkEngine, NetworkParameters, to_scores
from cryomamba_inference.network.model import Structure

_SEED = 128
"""Upper threshold: a probability of one half somewhere in a component."""
_LOWEST, _HIGHEST = 51, 128
"""Limits of the lower threshold, which is that of the highest F1 score to be expected."""
_LEAST_F1 = 0.35
"""Expected F1 score below which the samples may be noise alone: only what is more probable than not is taken then."""


class _Search(NetworkParameters):
    high: int | None = Field(
        None,
        ge=1,
        le=255,
        title="Threshold",
        description="Upper hysteresis threshold (seed): a component is kept if at least one of its voxels has this "
        "score. Scores are probabilities: 255 is certain. Determined from the volume if not set.",
    )
    low: int | None = Field(
        None,
        ge=1,
        le=255,
        title="Lower threshold",
        description="Lower hysteresis threshold: minimum score of every voxel in a component. Determined from the "
        "volume if not set: lower in a noisy one.",
    )
    min_volume_nm3: float = Field(
        2500.0,
        ge=0,
        le=1e12,
        title="Minimum volume",
        description="Smaller connected components are removed; 2500 nm³ is a membrane patch of 23 nm × 23 nm.",
        json_schema_extra={"unit": "nm³"},
    )


class MembraneParameters(UncertaintyOptions, MembraneOptions, _Search):
    """Parameters of the segmentation and of the files made from it."""


class MembraneEngine(NetworkEngine[MembraneParameters]):
    """Membranes of any shape.

    The score of a voxel is the probability that it lies in a membrane. Connected components above the lower threshold
    are kept if they reach the upper one and have the minimum volume.
    """

    name: ClassVar[str] = "membrane"
    summary: ClassVar[str] = "Segments membranes of any shape; the network is part of the program."
    Parameters: ClassVar[type[EngineParameters]] = MembraneParameters
    labels: Mapping[int, str] = {1: "membrane"}
    structure: ClassVar[Structure] = Structure.MEMBRANE

    def __init__(self, parameters: MembraneParameters) -> None:
        super().__init__(parameters)
        self._min_voxels = 0

    def prepare(self, context: VolumeContext) -> None:
        """Resample the volume and decide on the contrast."""
        super().prepare(context)
        self._min_voxels = math.ceil(self.parameters.min_volume_nm3 * 1000 / math.prod(context.voxel_size_A))

    def thresholds(self) -> HysteresisThreshold:
        """Return the thresholds set by the user, else those determined by :meth:`prepare`."""
        given = self.parameters
        best = self.best_threshold
        low = min(max(best.score, _LOWEST), _HIGHEST) if best and best.f1 >= _LEAST_F1 else _HIGHEST
        high = given.high or max(_SEED, given.low or 0)
        return HysteresisThreshold(high, min(given.low or low, high), self._min_voxels)

    def estimates(self) -> Mapping[str, Estimate]:
        """Return what the network's engines estimate, and the thresholds unless the user has set them."""
        found = super().estimates()
        thresholds, given = self.thresholds(), self.parameters
        chosen = {"threshold": (thresholds.high, given.high), "lower_threshold": (thresholds.low, given.low)}
        return {**found, **{name: value for name, (value, set_to) in chosen.items() if set_to is None}}

    def predict(self, tile: Tile) -> Labels | TileResult:
        """Return the scores of a tile, and the entropy of its probabilities on request."""
        probability = self.voxel_probabilities(self.box_probabilities(tile), tile)
        scores = to_scores(probability)
        if not self.parameters.uncertainty:
            return scores
        return TileResult(scores, uncertainty=binary_entropy_percent(probability))
