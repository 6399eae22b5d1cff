"""The scale of densities: files have any offset and range, filters need numbers of moderate size."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cryomamba.engines.api import Slices
from cryomamba.geometry import Shape
from cryomamba_inference.volume_preparation.grid import Field

_SAMPLE_PLANES = 16
_SAMPLE_PLANE_PIXELS = 250_000
_OUTLIERS = (0.005, 0.995)  # quantiles to which a sample is clipped before its deviation is taken
_FARTHEST = 1e6  # scaled densities are clipped to ± this, so that single large values stay finite


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear change of densities: (density − `level`) / `deviation`."""

    level: float
    deviation: float

    def apply(self, data: npt.NDArray[np.floating]) -> Field:
        """Return scaled densities; in float64 within, so that neither offset nor range costs precision."""
        scaled = np.empty(data.shape, np.float32)
        for plane, out in zip(data, scaled, strict=True):
            out[...] = np.clip((plane.astype(np.float64) - self.level) / self.deviation, -_FARTHEST, _FARTHEST)
        return scaled


def raw_scale(read: Callable[[Slices], Field], shape: Shape) -> Scale:
    """Return mean and standard deviation of a few planes of a volume without outliers, for numbers of moderate size."""
    planes = np.unique(np.linspace(0, shape[0] - 1, _SAMPLE_PLANES).astype(int))
    rows, columns = slice(0, shape[1]), slice(0, shape[2])
    stride = max(2, math.ceil(math.sqrt(shape[1] * shape[2] / _SAMPLE_PLANE_PIXELS)))
    sample = np.stack([read((slice(z, z + 1), rows, columns))[0, ::stride, ::stride] for z in planes])
    values = sample.astype(np.float64)
    usual = np.clip(values, *np.quantile(values, _OUTLIERS))
    return Scale(float(usual.mean()), float(usual.std()) or float(values.std()) or 1.0)
