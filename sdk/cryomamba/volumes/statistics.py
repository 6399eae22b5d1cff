"""Statistics of a volume from one pass in chunks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from cryomamba.errors import ErrorCode, JobFailedError, VolumeError
from cryomamba.volumes.images.image_volume import ImageVolume
from cryomamba.volumes.moments import Moments
from cryomamba.volumes.mrc import Volume
from cryomamba.volumes.voxel_file import BUFFER_NBYTES

PERCENTILES = (0.1, 1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0, 99.9)
_SAMPLE = 1 << 19
_BINS = 256
_LEAST_RELATIVE_RANGE = 1e-6
_SMALL_NBYTES = 64 << 20
_SAMPLED_CHUNKS = 64
_BLOCK_VOXELS = 1 << 22

ReadInside = Callable[[tuple[slice, slice, slice]], NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class Subset:
    """The voxels of a volume that its statistics are restricted to.

    Attributes
    ----------
    read : callable
        ``read((z, y, x) slices) -> bool ZYX``, True for these voxels.
    count : int
        How many there are.
    """

    read: ReadInside
    count: int


class Histogram(BaseModel):
    """Counts of sampled values in bins of equal width.

    Attributes
    ----------
    low, high : float
        Outer edges: the 0.1 and 99.9 percentiles. Values beyond them are counted in the outermost bins.
    counts : tuple of int
        One per bin, from low to high.
    """

    model_config = ConfigDict(frozen=True)

    low: float
    high: float
    counts: tuple[int, ...]


class Statistics(BaseModel):
    """Statistics of a volume's finite values, in the units of the file.

    Attributes
    ----------
    count : int
        Number of voxels, of the subset if there is one.
    non_finite : int
        Number of voxels that are NaN or infinite, of the whole volume; the other values ignore them.
    minimum, maximum, mean, std : float
        Over all finite voxels; ``std`` is the population standard deviation.
    percentiles : dict of float to float
        At 0.1, 1, 5, 25, 50, 75, 95, 99 and 99.9 percent, from a regular sample of about half a million voxels.
    histogram : Histogram
        Of the same sample.
    """

    model_config = ConfigDict(frozen=True)

    count: int
    non_finite: int
    minimum: float
    maximum: float
    mean: float
    std: float
    percentiles: dict[float, float]
    histogram: Histogram


def stream_statistics(
    volume: Volume | ImageVolume,
    *,
    within: Subset | None = None,
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Statistics:
    """Return the statistics of a volume from one pass in constant memory.

    Parameters
    ----------
    volume : Volume or ImageVolume
        Open volume.
    within : Subset, optional
        Only these voxels are measured; the whole volume is read.
    progress : callable, optional
        Called with the fraction done, about a hundred times and at the end.
    cancelled : callable, optional
        Called before every MiB; returns True to stop.

    Raises
    ------
    VolumeError
        ``volume_not_finite``: no voxel is a finite number.
    JobFailedError
        ``cancelled``: `cancelled` returned True.
    """
    total = math.prod(volume.shape)
    count = total if within is None else within.count
    stride = sample_stride(count, volume.header.file_shape)
    moments, sample, done, seen, non_finite, reported = Moments(), [], 0, 0, 0, 0.0
    for chunk in _whole(volume) if within is None else _inside(volume, within.read):
        if cancelled is not None and cancelled():
            raise JobFailedError("The job was cancelled.", code=ErrorCode.CANCELLED)
        moments.add(chunk.values)
        sample.append(chunk.values[-seen % stride :: stride].astype(np.float32))
        seen += chunk.values.size
        done += chunk.read
        non_finite += chunk.non_finite
        if progress is not None and (done == total or done / total >= reported + 0.01):
            reported = done / total
            progress(reported)
    if not moments.count:
        raise _not_finite(moments.non_finite + non_finite, sampled=False)
    sampled = np.concatenate(sample)
    sampled = sampled[np.isfinite(sampled)]
    percentiles, histogram = distribution(sampled if sampled.size else np.array([moments.mean]))
    return Statistics(
        count=count,
        non_finite=moments.non_finite + non_finite,
        minimum=moments.minimum,
        maximum=moments.maximum,
        mean=moments.mean,
        std=moments.std,
        percentiles=percentiles,
        histogram=histogram,
    )


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Voxels to measure, how many were read for them, and how many of the others are not finite."""

    values: NDArray[np.generic]
    read: int
    non_finite: int = 0


def _whole(volume: Volume | ImageVolume) -> Iterator[_Chunk]:
    return (_Chunk(values, values.size) for values in volume.chunks())


def _inside(volume: Volume | ImageVolume, read: ReadInside) -> Iterator[_Chunk]:
    depth, height, width = volume.shape
    planes = max(1, _BLOCK_VOXELS // (height * width))
    rows = min(height, max(1, _BLOCK_VOXELS // width))
    for z in range(0, depth, planes):
        for y in range(0, height, rows):
            where = slice(z, min(z + planes, depth)), slice(y, min(y + rows, height)), slice(0, width)
            block, inside = volume.read_native(*where), read(where)
            outside = block[~inside]
            bad = int(np.count_nonzero(~np.isfinite(outside))) if block.dtype.kind == "f" else 0
            yield _Chunk(block[inside], block.size, bad)


def check_finite_sample(volume: Volume) -> None:
    """Refuse a volume with NaN or infinite voxels, checking a sample.

    Volumes up to 64 MiB are read completely, of larger ones 64 evenly spaced MiB; integer volumes are not read.

    Raises
    ------
    VolumeError
        ``volume_not_finite``, with the number of such voxels in ``details``.
    """
    if np.dtype(volume.header.dtype).kind != "f":
        return
    nbytes = volume.header.data_nbytes
    every = 1 if nbytes <= _SMALL_NBYTES else nbytes // (_SAMPLED_CHUNKS * BUFFER_NBYTES)
    chunks = volume.chunks(BUFFER_NBYTES, every=every)
    found = sum(int(np.count_nonzero(~np.isfinite(values))) for values in chunks)
    if found:
        raise _not_finite(found, sampled=every > 1)


def sample_stride(total: int, file_shape: tuple[int, int, int]) -> int:
    """Return a stride that is coprime to the rows and sections, so that the sample is not a single column."""
    stride = max(total // _SAMPLE, 1)
    while math.gcd(stride, file_shape[1] * file_shape[2]) > 1:
        stride += 1
    return stride


def distribution(sample: NDArray[np.floating[Any]]) -> tuple[dict[float, float], Histogram]:
    """Return the percentiles and the histogram of finite values, at least one."""
    # In 64 bits, neighbouring 32-bit numbers are far enough apart for bins between them, and none is too large.
    wide = sample.astype(np.float64)
    values = np.percentile(wide, PERCENTILES)
    low, high = histogram_range(float(values[0]), float(values[-1]))
    counts, _ = np.histogram(np.clip(wide, low, high), _BINS, (low, high))
    percentiles = dict(zip(PERCENTILES, (float(value) for value in values), strict=True))
    return percentiles, Histogram(low=low, high=high, counts=tuple(int(n) for n in counts))


def histogram_range(low: float, high: float, bins: int = _BINS) -> tuple[float, float]:
    """Return the outer edges of a histogram or of a display window, widened upwards if the values hardly differ."""
    if high - low > bins * math.ulp(max(abs(low), abs(high))):
        return low, high
    return low, low + max(1.0, abs(low) * _LEAST_RELATIVE_RANGE)


def _not_finite(found: int, *, sampled: bool) -> VolumeError:
    where = " in the sample that was checked" if sampled else ""
    return VolumeError(
        f"{found:,} voxels are not finite numbers (NaN or infinite){where}.",
        code=ErrorCode.VOLUME_NOT_FINITE,
        hint="Replace them first, for example with the mean; they are often in the padding of a rotated tomogram.",
        details={"non_finite": found, "sampled": sampled},
    )
