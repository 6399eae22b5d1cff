"""A small binned copy of a volume, quickly made, and its statistics. Pure but for reading the volume."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cryomamba.engines.api import Inside, Voxels
from cryomamba.geometry import Shape
from cryomamba.masks.region import Region
from cryomamba.volumes import Statistics, Volume
from cryomamba.volumes.statistics import distribution
from cryomamba_inference.downsample import fold

Sums = npt.NDArray[np.floating[Any]]


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
        planes.append(_bin_rows(_bin_rows(plane, factor).T, factor).T.astype(np.float32))
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


def _bin_rows(plane: Sums, factor: int) -> Sums:
    """Average each `factor` rows, in 64 bits; the last group may have fewer."""
    complete = plane.shape[0] // factor
    binned = np.zeros((-(-plane.shape[0] // factor), plane.shape[1]))
    for phase in range(factor):
        rows = plane[phase::factor]
        binned[: len(rows)] += rows
    binned[:complete] *= 1 / factor
    binned[complete:] *= 1 / max(plane.shape[0] - complete * factor, 1)
    return binned


def array_statistics(data: Voxels) -> Statistics:
    """Return the statistics of a small array of finite values."""
    percentiles, histogram = distribution(data.reshape(-1))
    wide = data.astype(np.float64)
    return Statistics(
        count=data.size,
        non_finite=0,
        minimum=float(data.min()),
        maximum=float(data.max()),
        mean=float(wide.mean()),
        std=float(wide.std()),
        percentiles=percentiles,
        histogram=histogram,
    )


def binned_shape(shape: Shape, factor: int) -> Shape:
    """Return the ZYX shape of a binned copy."""
    z, y, x = (-(-size // factor) for size in shape)
    return z, y, x
