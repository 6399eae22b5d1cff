"""Gaussian smoothing, then a threshold on a sampled histogram."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy import ndimage

from cryomamba.engines.api import (
    CONTRAST,
    CONTRAST_MARGIN,
    Engine,
    EngineParameters,
    Estimate,
    Labels,
    Pass,
    Tile,
    VolumeContext,
    Voxels,
)
from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.geometry import Shape, Spacing
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba_inference.engines.density_scale import Scale, at_least
from cryomamba_inference.engines.histogram import find_threshold
from cryomamba_inference.engines.sample_blocks import sample_blocks

_TRUNCATE = 3.0  # where the Gaussian is cut off, in standard deviations
# The scores stand for three classes only: below, between and above the two thresholds.
_LOW, _HIGH = 128, 192


class ThresholdParameters(EngineParameters):
    """Parameters of the global threshold."""

    sigma_A: float = Field(
        10.0,
        ge=0,
        le=1000,
        title="Smoothing",
        description="Standard deviation of the Gaussian filter applied first; 0 for none.",
        json_schema_extra={"unit": "Å"},
    )
    method: Literal["otsu", "yen", "li", "value"] = Field(
        "otsu",
        title="Method",
        description="Method that determines the threshold from the histogram; 'value' uses the given value.",
    )
    value: float | None = Field(
        None,
        title="Value",
        description="Threshold for the method 'value', in the density units of the file, after smoothing.",
    )
    contrast: Literal["dark", "bright", "auto"] = Field(
        "auto",
        title="Contrast",
        description="Whether the features are darker or brighter than the background; 'auto' chooses the smaller "
        "class.",
    )
    hysteresis: float = Field(
        0.0,
        ge=0,
        lt=1,
        title="Hysteresis",
        description="Also keep weaker voxels that are connected to ones above the threshold. Fraction of the way from "
        "the threshold to the background mean at which the lower threshold lies; 0 for none.",
    )
    min_volume_nm3: float = Field(
        0.0,
        ge=0,
        le=1e12,
        title="Minimum volume",
        description="Smaller connected components are removed.",
        json_schema_extra={"unit": "nm³"},
    )


class ThresholdEngine(Engine[ThresholdParameters]):
    """A global threshold on the smoothed density.

    Methods: Otsu (1979), Yen, Chang and Chang (1995), Li and Tam (1998), on the histogram of smoothed samples on a
    regular grid over the volume.

    Attributes
    ----------
    high, low : float
        Thresholds of the smoothed density on the engine's :class:`Scale`, negated for dark features; set by
        :meth:`prepare`.
    """

    name: ClassVar[str] = "threshold"
    summary: ClassVar[str] = "Gaussian smoothing, then a global threshold by Otsu, Yen or Li."
    Parameters: ClassVar[type[EngineParameters]] = ThresholdParameters
    labels: Mapping[int, str] = {1: "feature"}

    def __init__(self, parameters: ThresholdParameters) -> None:
        super().__init__(parameters)
        if parameters.method == "value" and parameters.value is None:
            raise InvalidRequestError(
                "The method 'value' needs a value.",
                code=ErrorCode.INVALID_PARAMETERS,
                hint="Set the parameter 'value', or use another method.",
            )
        if parameters.hysteresis or parameters.min_volume_nm3:
            self.output = "scores"
        self._sigma: tuple[float, float, float] = (0.0, 0.0, 0.0)
        self._sign, self._margin = 1.0, 1.0
        self._scale = Scale()
        self.low = self.high = math.inf
        self._min_voxels = 0

    def passes(self) -> Sequence[Pass]:
        """Return a coarse preview and the result."""
        return (Pass("quick preview", factor=0), Pass("segmenting"))

    def halo(self, voxel_size_A: Spacing) -> Shape:
        """Return the extent of the Gaussian."""
        z, y, x = (math.ceil(_TRUNCATE * sigma + 0.5) for sigma in self._sigmas(voxel_size_A))
        return (z, y, x) if self.parameters.sigma_A else (0, 0, 0)

    def prepare(self, context: VolumeContext) -> None:
        """Determine contrast and threshold from smoothed samples."""
        self._sigma = self._sigmas(context.voxel_size_A)
        self._min_voxels = math.ceil(self.parameters.min_volume_nm3 * 1000 / math.prod(context.voxel_size_A))
        self._scale = Scale.of(context.statistics)
        sample = np.concatenate(list(self._samples(context)))
        self._sign, self._margin = self._direction(sample)
        sample = sample * np.float32(self._sign)
        self.high = self._threshold(sample, self._sign)
        background = sample[sample < at_least(self.high)]
        base = float(background.mean(dtype=np.float64)) if background.size else self.high
        self.low = self.high - self.parameters.hysteresis * (self.high - base)

    def thresholds(self) -> HysteresisThreshold:
        """Return the thresholds of the scores that :meth:`predict` returns."""
        return HysteresisThreshold(_HIGH, _LOW if self.low < self.high else _HIGH, self._min_voxels)

    def estimates(self) -> Mapping[str, Estimate]:
        """Return the contrast, by how much one class is smaller than the other, and the threshold of the density."""
        found: dict[str, Estimate] = {}
        if self.parameters.contrast == "auto":
            found = {CONTRAST: "bright" if self._sign > 0 else "dark", CONTRAST_MARGIN: self._margin}
        if self.parameters.method != "value":
            found["threshold"] = self._scale.restore(self._sign * self.high)
        return found

    def predict(self, tile: Tile) -> Labels:
        """Smooth the tile and compare it with the thresholds."""
        density = self._smooth(tile.data)[tile.core]
        if self._sign < 0:
            density = -density
        high = density >= at_least(self.high)
        if self.output == "labels":
            return high.view(np.uint8)
        scores = np.where(density >= at_least(self.low), np.uint8(_LOW), np.uint8(0))
        scores[high] = _HIGH
        return scores

    def _sigmas(self, voxel_size_A: Spacing) -> tuple[float, float, float]:
        z, y, x = (self.parameters.sigma_A / size for size in voxel_size_A)
        return z, y, x

    def _smooth(self, data: Voxels) -> npt.NDArray[np.float32]:
        data = self._scale.apply(data)
        if not self.parameters.sigma_A:
            return data
        return ndimage.gaussian_filter(data, self._sigma, truncate=_TRUNCATE)

    def _direction(self, sample: npt.NDArray[np.float32]) -> tuple[float, float]:
        """Return the sign of the contrast, and by how much of the volume the background is larger (0 to 1)."""
        match self.parameters.contrast:
            case "bright":
                return 1.0, 1.0
            case "dark":
                return -1.0, 1.0
            case "auto":
                share = float(np.mean(sample >= at_least(self._threshold(sample, 1.0))))
                return 1.0 if share <= 0.5 else -1.0, abs(1 - 2 * share)

    def _threshold(self, sample: npt.NDArray[np.float32], sign: float) -> float:
        """Return the threshold above which features lie, for densities multiplied by `sign`."""
        match self.parameters.method:
            case "value":
                return sign * self._scale.apply_to_number(self.parameters.value or 0.0)
            case method:
                return find_threshold(sample, method)

    def _samples(self, context: VolumeContext) -> Iterator[npt.NDArray[np.float32]]:
        """Yield smoothed densities from blocks of the volume, those in the region only."""
        halo = self.halo(context.voxel_size_A)
        for block in sample_blocks(context.shape, context.within):
            read, core = zip(*map(_with_halo, block, halo, context.shape), strict=True)
            density = self._smooth(context.read(read))[core]
            yield density.reshape(-1) if context.within is None else density[context.within(block)]


def _with_halo(span: slice, halo: int, size: int) -> tuple[slice, slice]:
    """Return a span with its halo, within the volume, and where the span itself is in it."""
    first, last = max(span.start - halo, 0), min(span.stop + halo, size)
    return slice(first, last), slice(span.start - first, span.stop - first)
