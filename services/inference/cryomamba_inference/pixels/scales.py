"""The scales on which features are computed, each on a copy of the volume that is binned to suit it. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cryomamba.engines.api import Slices, Voxels
from cryomamba.geometry import Shape, Spacing
from cryomamba_inference.pixels import filters
from cryomamba_inference.pixels.filters import Field

_LEAST_SIGMA = 0.8
"""In voxels of the binned copy: a narrower Gaussian is not sampled well."""
_PLANES_NBYTES = 8 * 1024 * 1024
"""Of the planes that are read at once to be binned."""

Read = Callable[[Slices], Voxels]


@dataclass(frozen=True, slots=True)
class Scale:
    """One scale.

    Attributes
    ----------
    factor : int
        Voxels of the volume per voxel of its copy, along every axis.
    sigma : tuple of float
        Standard deviation of the smoothing, in voxels of the copy along z, y, x.
    tensor : bool
        Whether it has a structure tensor; the coarsest has none, because it needs a wide halo.
    """

    factor: int
    sigma: tuple[float, float, float]
    tensor: bool

    @property
    def features(self) -> int:
        """How many features it gives."""
        return filters.FEATURES if self.tensor else filters.FEATURES_WITHOUT_TENSOR

    @property
    def halo(self) -> Shape:
        """Voxels of the copy around a box that are needed."""
        return filters.halo(self.sigma, tensor=self.tensor)


def scales_of(voxel_size_A: Spacing, finest_A: float, count: int) -> tuple[Scale, ...]:
    """Return the scales for a voxel size.

    Parameters
    ----------
    voxel_size_A : tuple of float
        Ångström along z, y, x.
    finest_A : float
        Standard deviation of the finest scale in ångström; each of the others is twice as wide as the one before.
    count : int
    """
    finest_A = max(finest_A, _LEAST_SIGMA * max(voxel_size_A))
    step = max(1, math.floor(finest_A / max(voxel_size_A)))
    z, y, x = (finest_A / (size * step) for size in voxel_size_A)
    return tuple(Scale(step * 2**level, (z, y, x), level + 1 < count or count == 1) for level in range(count))


def halo_of(scales: tuple[Scale, ...], margin: Shape = (0, 0, 0)) -> Shape:
    """Return how many voxels of the volume around a box influence the features of it and of a `margin` around it."""
    z, y, x = (max((s.halo[axis] + 1) * s.factor for s in scales) + margin[axis] for axis in range(3))
    return z, y, x


def binned_box(read: Read, shape: Shape, first: Shape, last: Shape, factor: int) -> Field:
    """Return a box of the binned copy of a volume; beyond the volume it has the nearest voxel of the copy.

    Parameters
    ----------
    read : callable
        ``read((z, y, x) slices) -> float32 ZYX``, within the volume.
    shape : tuple of int
        Of the volume.
    first, last : tuple of int
        The first voxel of the copy, and the one after the last; may lie outside.
    """
    counts = [-(-size // factor) for size in shape]
    low = [min(max(a, 0), n - 1) for a, n in zip(first, counts, strict=True)]
    high = [min(max(b, 1), n) for b, n in zip(last, counts, strict=True)]
    rows, columns = (slice(low[axis] * factor, min(high[axis] * factor, shape[axis])) for axis in (1, 2))
    plane_nbytes = 4 * factor * (rows.stop - rows.start) * (columns.stop - columns.start)
    planes = max(1, _PLANES_NBYTES // plane_nbytes)
    parts = []
    for z in range(low[0], high[0], planes):
        stop = min((z + planes) * factor, high[0] * factor, shape[0])
        parts.append(_binned(read((slice(z * factor, stop), rows, columns)), factor))
    inside = parts[0] if len(parts) == 1 else np.concatenate(parts)
    around = [(at - a, b - end) for a, b, at, end in zip(first, last, low, high, strict=True)]
    return np.pad(inside, around, mode="edge") if any(map(any, around)) else inside


def _binned(data: Voxels, factor: int) -> Field:
    """Average blocks; those at the end may be smaller."""
    if factor == 1:
        return np.asarray(data, np.float32)
    for axis in range(3):
        size = data.shape[axis]
        starts = np.arange(0, size, factor)
        weights = np.minimum(starts + factor, size) - starts
        sums = np.zeros((*data.shape[:axis], len(starts), *data.shape[axis + 1 :]), np.float32)
        target, source = np.moveaxis(sums, axis, 0), np.moveaxis(data, axis, 0)
        for phase in range(min(factor, size)):
            part = source[phase::factor]
            target[: len(part)] += part
        target /= weights.astype(np.float32).reshape(-1, 1, 1)
        data = sums
    return data
