"""What the values of a volume are like, from one pass in small pieces."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from cryomamba.errors import ErrorCode, JobFailedError, VolumeError
from cryomamba.volumes.moments import Moments
from cryomamba.volumes.mrc import Volume
from cryomamba.volumes.voxel_file import BUFFER_NBYTES

PERCENTILES = (0.1, 1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0, 99.9)
_SAMPLE = 1 << 19
_BINS = 256
_SMALL_NBYTES = 64 << 20
_SAMPLED_PIECES = 64


class Histogram(BaseModel):
    """Counts of sampled values in bins of equal width.

    Attributes
    ----------
    low, high : float
        Outer edges: the 0.1 and 99.9 percentiles. Values beyond them count in the outermost bins.
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
        Voxels of the volume.
    non_finite : int
        Of these, voxels that are NaN or infinite; they enter nothing else.
    minimum, maximum, mean, std : float
        Over all finite voxels; ``std`` is the population's.
    percentiles : dict of float to float
        At 0.1, 1, 5, 25, 50, 75, 95, 99 and 99.9 per cent, from a regular sample of about half a million voxels.
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
    volume: Volume,
    *,
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Statistics:
    """Return the statistics of a volume from one pass with flat memory.

    Parameters
    ----------
    volume : Volume
        Open volume.
    progress : callable, optional
        Called with the fraction done, about a hundred times and at the end.
    cancelled : callable, optional
        Asked before every MiB.

    Raises
    ------
    VolumeError
        ``volume_not_finite``: no voxel is a finite number.
    JobFailedError
        ``cancelled``: the callable said so.
    """
    total = math.prod(volume.shape)
    stride = _sample_stride(total, volume.header.file_shape)
    moments, sample, done, told = Moments(), [], 0, 0.0
    for chunk in volume.chunks():
        if cancelled is not None and cancelled():
            raise JobFailedError("The job was cancelled.", code=ErrorCode.CANCELLED)
        moments.add(chunk)
        sample.append(chunk[-done % stride :: stride].astype(np.float32))
        done += chunk.size
        if progress is not None and (done == total or done / total >= told + 0.01):
            told = done / total
            progress(told)
    if not moments.count:
        raise _not_finite(total, sampled=False)
    percentiles, histogram = _distribution(np.concatenate(sample), moments)
    return Statistics(
        count=total,
        non_finite=moments.non_finite,
        minimum=moments.minimum,
        maximum=moments.maximum,
        mean=moments.mean,
        std=moments.std,
        percentiles=percentiles,
        histogram=histogram,
    )


def check_finite_sample(volume: Volume) -> None:
    """Refuse a volume in which voxels are not numbers, as far as a quick look tells.

    Volumes up to 64 MiB are read whole, larger ones at 64 places of 1 MiB each; integers need no look.

    Raises
    ------
    VolumeError
        ``volume_not_finite``, with the number of such voxels in ``details``.
    """
    if np.dtype(volume.header.dtype).kind != "f":
        return
    nbytes = volume.header.data_nbytes
    every = 1 if nbytes <= _SMALL_NBYTES else nbytes // (_SAMPLED_PIECES * BUFFER_NBYTES)
    pieces = volume.chunks(BUFFER_NBYTES, every=every)
    found = sum(int(np.count_nonzero(~np.isfinite(values))) for values in pieces)
    if found:
        raise _not_finite(found, sampled=every > 1)


def _sample_stride(total: int, file_shape: tuple[int, int, int]) -> int:
    """Return a stride that does not fall into step with rows or sections, or it would see one column only."""
    stride = max(total // _SAMPLE, 1)
    while math.gcd(stride, file_shape[1] * file_shape[2]) > 1:
        stride += 1
    return stride


def _distribution(sample: NDArray[np.float32], moments: Moments) -> tuple[dict[float, float], Histogram]:
    finite = sample[np.isfinite(sample)]
    if not finite.size:
        finite = np.array([moments.mean], np.float32)
    values = np.percentile(finite.astype(np.float64), PERCENTILES)
    low, high = float(values[0]), float(values[-1])
    # Equal edges would make numpy invent a range around them.
    spread = high if high > low else low + 1.0
    counts, _ = np.histogram(np.clip(finite, low, high), _BINS, (low, spread))
    percentiles = dict(zip(PERCENTILES, (float(value) for value in values), strict=True))
    return percentiles, Histogram(low=low, high=spread, counts=tuple(int(n) for n in counts))


def _not_finite(found: int, *, sampled: bool) -> VolumeError:
    where = " in the part that was looked at" if sampled else ""
    return VolumeError(
        f"{found:,} voxels are not finite numbers (NaN or infinite){where}.",
        code=ErrorCode.VOLUME_NOT_FINITE,
        hint="Replace them first, for example by the mean; they often stand in the padding of a rotated tomogram.",
        details={"non_finite": found, "sampled": sampled},
    )
