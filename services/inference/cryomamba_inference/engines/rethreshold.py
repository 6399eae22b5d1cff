"""Re-thresholds the score map of a finished job without rerunning the segmentation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
from pydantic import Field

from cryomamba.engines.api import Engine, EngineParameters, Labels, Tile, VolumeContext, Voxels
from cryomamba.engines.membrane_options import MembraneOptions
from cryomamba.errors import ErrorCode, InvalidRequestError, VolumeError
from cryomamba.masks.hysteresis import SCORE_MAX, SCORE_SLAB_VOXELS
from cryomamba.masks.slabs import slab_depth
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba.models.jobs import RETHRESHOLD
from cryomamba.volumes import result_kind
from cryomamba.volumes.labels import IMOD_OFFSET

# In a file that does not say what it is: a mask has one label, or a few that are counted from 1.
_MASK_LABELS_MAX = 16


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
        description="Lower hysteresis threshold: minimum score of every voxel in a component; the same as the "
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
    labels: Mapping[int, str] = {1: "feature"}

    def __init__(self, parameters: RethresholdParameters) -> None:
        super().__init__(parameters)
        self.output = "scores"
        self._min_voxels = 0
        self._offset = 0
        low = parameters.high if parameters.low is None else parameters.low
        if low > parameters.high:
            raise InvalidRequestError(
                f"The lower threshold ({low}) is above the threshold ({parameters.high}).",
                code=ErrorCode.INVALID_PARAMETERS,
                hint="Reduce the lower threshold, or leave it out.",
            )
        self._low = low

    def prepare(self, context: VolumeContext) -> None:
        """Check that the volume is a score map, whatever program wrote it."""
        self._offset = _offset(context)
        measured = context.statistics
        if measured is not None:
            _require_range(measured.minimum + self._offset, measured.maximum + self._offset)
        _require_scores(context, self._offset)
        self._min_voxels = math.ceil(self.parameters.min_volume_nm3 * 1000 / math.prod(context.voxel_size_A) - 1e-9)

    def thresholds(self) -> HysteresisThreshold:
        """Return the thresholds set by the user."""
        return HysteresisThreshold(self.parameters.high, self._low, self._min_voxels)

    def predict(self, tile: Tile) -> Labels:
        """Return the scores unchanged."""
        return (tile.data[tile.core] + np.float32(self._offset)).astype(np.uint8)


def _slabs(context: VolumeContext) -> Iterator[Voxels]:
    depth, height, width = context.shape
    planes = slab_depth(context.shape, SCORE_SLAB_VOXELS)
    for z in range(0, depth, planes):
        yield context.read((slice(z, min(z + planes, depth)), slice(0, height), slice(0, width)))


def _offset(context: VolumeContext) -> int:
    """Return what is to be added to the voxels: of IMOD's signed bytes 128, by the same rule as for masks."""
    if context.imod_signed and any(slab.min() < -1 for slab in _slabs(context)):
        return IMOD_OFFSET
    return 0


def _require_range(lowest: float, highest: float) -> None:
    if lowest >= 0 and highest <= SCORE_MAX:
        return
    raise _refusal(f"its values are {lowest:.4g} to {highest:.4g}")


def _require_scores(context: VolumeContext, offset: int) -> None:
    """Refuse a mask: by its header if CryoMamba wrote it, else by its values."""
    written = result_kind(context.header_labels)
    if written == "scores":
        return
    if written is not None:
        article = "a mask" if written == "mask" else "a map of the uncertainty"
        raise _refusal(f"its header says that it is {article}")
    found: set[int] = set()
    for stored in _slabs(context):
        values = stored + np.float32(offset)
        if not (np.rint(values) == values).all():
            raise _fractions(context)
        found.update(np.flatnonzero(np.bincount(values.astype(np.uint8).reshape(-1))).tolist())
        if len(found - {0}) > 1 and max(found) > _MASK_LABELS_MAX:
            return
    if found - {0}:
        listed = ", ".join(map(str, sorted(found)))
        raise _refusal(f"its only values are {listed}, as in a mask")


def _fractions(context: VolumeContext) -> VolumeError:
    measured = context.statistics
    if measured is None or measured.maximum > 1:
        return _refusal("its values are not whole numbers")
    return VolumeError(
        f"This is not a score map (0 to 255): its values are fractions from {measured.minimum:.4g} to "
        f"{measured.maximum:.4g}, as in a map of probabilities.",
        code=ErrorCode.VOLUME_UNSUPPORTED,
        hint="Multiply it by 255 and round it to whole numbers. A probability of 0.75 is then a score of 191.",
    )


def _refusal(why: str) -> VolumeError:
    return VolumeError(
        f"This is not a score map (0 to 255): {why}.",
        code=ErrorCode.VOLUME_UNSUPPORTED,
        hint="Use the scores.mrc of a finished job, or the score map that 'segment --scores' wrote. "
        "'cryomamba clean' changes a mask.",
    )
