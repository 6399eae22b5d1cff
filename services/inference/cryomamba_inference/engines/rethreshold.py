"""Re-thresholds the score map of a finished job without rerunning the segmentation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic import Field

from cryomamba.engines.api import Engine, EngineParameters, Labels, Tile, VolumeContext
from cryomamba.engines.membrane_options import MembraneOptions
from cryomamba.errors import ErrorCode, InvalidRequestError, VolumeError
from cryomamba.masks.hysteresis import SCORE_MAX
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba.models.jobs import RETHRESHOLD


class _Thresholds(EngineParameters):
    high: int = Field(
        192,
        ge=1,
        le=SCORE_MAX,
        title="Threshold",
        description="Upper hysteresis threshold (seed): a component is kept if at least one of its voxels has this "
        "score. stats.json has the threshold of the job.",
    )
    low: int | None = Field(
        None,
        ge=1,
        le=SCORE_MAX,
        title="Lower threshold",
        description="Lower hysteresis threshold: minimum score of all voxels of a component; the same as the "
        "threshold if not set.",
    )
    min_volume_nm3: float = Field(
        0.0,
        ge=0,
        le=1e12,
        title="Minimum volume",
        description="Smaller connected components are removed.",
        json_schema_extra={"unit": "nm³"},
    )


class RethresholdParameters(MembraneOptions, _Thresholds):
    """Thresholds, minimum size, and the files made from a membrane mask."""


class RethresholdEngine(Engine[RethresholdParameters]):
    """Applies other thresholds to a score map (0 to 255), such as a job's ``scores.mrc``."""

    name: ClassVar[str] = RETHRESHOLD
    summary: ClassVar[str] = "Re-thresholds the score map of a finished job (its scores.mrc)."
    Parameters: ClassVar[type[EngineParameters]] = RethresholdParameters
    labels: ClassVar[Mapping[int, str]] = {1: "feature"}

    def __init__(self, parameters: RethresholdParameters) -> None:
        super().__init__(parameters)
        self.output = "scores"
        self._min_voxels = 0
        low = parameters.high if parameters.low is None else parameters.low
        if low > parameters.high:
            raise InvalidRequestError(
                f"The lower threshold ({low}) is above the threshold ({parameters.high}).",
                code=ErrorCode.INVALID_PARAMETERS,
                hint="Reduce the lower threshold, or leave it out.",
            )
        self._low = low

    def prepare(self, context: VolumeContext) -> None:
        """Check that the volume is a score map."""
        measured = context.statistics
        if measured is not None and not (measured.minimum >= 0 and measured.maximum <= SCORE_MAX):
            raise VolumeError(
                f"This is not a score map (0 to 255): its values are {measured.minimum:.4g} to {measured.maximum:.4g}.",
                code=ErrorCode.VOLUME_UNSUPPORTED,
                hint="Use the scores.mrc of a finished job.",
            )
        self._min_voxels = math.ceil(self.parameters.min_volume_nm3 * 1000 / math.prod(context.voxel_size_A) - 1e-9)

    def thresholds(self) -> HysteresisThreshold:
        """Return the thresholds set by the user."""
        return HysteresisThreshold(self.parameters.high, self._low, self._min_voxels)

    def predict(self, tile: Tile) -> Labels:
        """Return the scores unchanged."""
        return tile.data[tile.core].astype(np.uint8)
