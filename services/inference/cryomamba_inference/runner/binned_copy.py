"""A small binned copy of a volume, quickly made, and its statistics. Pure but for reading the volume."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cryomamba.engines.api import Inside, Voxels
from cryomamba.geometry import Shape
from cryomamba.masks.region import Region
from cryomamba.volumes import Histogram, Statistics, Volume
from cryomamba.volumes.statistics import PERCENTILES
from cryomamba_inference.downsample import fold

_BINS = 256


def binned_copy(volume: Volume, factor: int, check: Callable[[], None]) -> Voxels:
    """Return a copy of a volume, binned by `factor` along every axis.

    Only the middle one of each `factor` planes is read, and averaged in y and x. So the copy of 512³ voxels reads a
    quarter of the file and is finished before the first full pass would be. `check` is called before each plane; it
    raises to stop.

    Returns
    -------
    ndarray of float32, ZYX
        Shape ``ceil(shape / factor)``.
    """
    depth, height, width = volume.shape
    rows, columns = slice(0, height), slice(0, width)
    planes = []
    for first in range(0, depth, factor):
        check()
        middle = (first + min(first + factor, depth) - 1) // 2
        plane = volume.read(slice(middle, middle + 1), rows, columns)[0]
        planes.append(_bin_rows(_bin_rows(plane, factor).T, factor).T)
    return np.stack(planes)


def binned_region(region: Region, factor: int, check: Callable[[], None]) -> Inside:
    """Return the region of a binned copy: True where a voxel of the planes that :func:`binned_copy` reads is inside."""
    depth, height, width = region.shape
    planes = []
    for first in range(0, depth, factor):
        check()
        middle = (first + min(first + factor, depth) - 1) // 2
        plane = region.read((slice(middle, middle + 1), slice(0, height), slice(0, width)))
        planes.append(fold(plane.view(np.uint8), (0, 0, 0), (1, factor, factor)).view(np.bool_))
    return np.concatenate(planes)


def _bin_rows(plane: Voxels, factor: int) -> Voxels:
    """Average each `factor` rows; the last group may have fewer."""
    complete = plane.shape[0] // factor
    binned = np.zeros((-(-plane.shape[0] // factor), plane.shape[1]), np.float32)
    for phase in range(factor):
        rows = plane[phase::factor]
        binned[: len(rows)] += rows
    binned[:complete] *= np.float32(1 / factor)
    binned[complete:] *= np.float32(1 / max(plane.shape[0] - complete * factor, 1))
    return binned


def array_statistics(data: Voxels) -> Statistics:
    """Return the statistics of a small array of finite values."""
    values = np.percentile(data, PERCENTILES)
    low, high = float(values[0]), float(values[-1])
    high = high if high > low else low + 1.0
    counts, _ = np.histogram(np.clip(data, low, high), _BINS, (low, high))
    return Statistics(
        count=data.size,
        non_finite=0,
        minimum=float(data.min()),
        maximum=float(data.max()),
        mean=float(data.mean(dtype=np.float64)),
        std=float(data.std(dtype=np.float64)),
        percentiles={key: float(value) for key, value in zip(PERCENTILES, values, strict=True)},
        histogram=Histogram(low=low, high=high, counts=tuple(int(count) for count in counts)),
    )


def binned_shape(shape: Shape, factor: int) -> Shape:
    """Return the ZYX shape of a binned copy."""
    z, y, x = (-(-size // factor) for size in shape)
    return z, y, x
