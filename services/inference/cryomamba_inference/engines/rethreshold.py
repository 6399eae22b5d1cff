"""Another threshold on the scores of a finished job, without running its engine again."""

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


class _Cut(EngineParameters):
    """Where the threshold goes."""

    high: int = Field(
        192,
        ge=1,
        le=SCORE_MAX,
        title="Threshold",
        description="Score that a connected piece must reach somewhere; stats.json has the one of the job.",
    )
    low: int | None = Field(
        None,
        ge=1,
        le=SCORE_MAX,
        title="Lower threshold",
        description="Score that every voxel of a piece must reach; the same as the threshold if not given.",
    )
    min_volume_nm3: float = Field(
        0.0,
        ge=0,
        le=1e12,
        title="Smallest piece",
        description="Connected pieces smaller than this are removed.",
        json_schema_extra={"unit": "nm³"},
    )


class RethresholdParameters(MembraneOptions, _Cut):
    """Where the threshold goes, and what is made of the mask if it is one of membranes."""


class RethresholdEngine(Engine[RethresholdParameters]):
    """Cuts a map of scores (0 to 255), such as a job's ``scores.mrc``, at other thresholds."""

    name: ClassVar[str] = RETHRESHOLD
    summary: ClassVar[str] = "Moves the threshold on the scores of a finished job (its scores.mrc)."
    Parameters: ClassVar[type[EngineParameters]] = RethresholdParameters
    labels: ClassVar[Mapping[int, str]] = {1: "feature"}

    def __init__(self, parameters: RethresholdParameters) -> None:
        super().__init__(parameters)
        self.output = "scores"
        self._min_voxels = 0
        low = parameters.high if parameters.low is None else parameters.low
        if low > parameters.high:
            raise InvalidRequestError(
                f"The lower threshold, {low}, is above the threshold, {parameters.high}.",
                code=ErrorCode.INVALID_PARAMETERS,
                hint="Give a lower one, or none.",
            )
        self._low = low

    def prepare(self, context: VolumeContext) -> None:
        """Look whether these are scores."""
        found = context.statistics
        if found is not None and not (found.minimum >= 0 and found.maximum <= SCORE_MAX):
            raise VolumeError(
                f"This volume holds values from {found.minimum:.4g} to {found.maximum:.4g}, not scores of 0 to 255.",
                code=ErrorCode.VOLUME_UNSUPPORTED,
                hint="Give the scores.mrc of a finished job.",
            )
        self._min_voxels = math.ceil(self.parameters.min_volume_nm3 * 1000 / math.prod(context.voxel_size_A) - 1e-9)

    def thresholds(self) -> HysteresisThreshold:
        """Return the thresholds as they were given."""
        return HysteresisThreshold(self.parameters.high, self._low, self._min_voxels)

    def predict(self, tile: Tile) -> Labels:
        """Return the scores as they are."""
        return tile.data[tile.core].astype(np.uint8)
