"""The statistics of a tomogram's density, before the engine is prepared."""

from __future__ import annotations

from collections.abc import Callable

from cryomamba.errors import ErrorCode, VolumeError
from cryomamba.volumes import Statistics, Subset, Volume, stream_statistics
from cryomamba_inference.runner.tile_selection import TileSelection


def measure_density(
    volume: Volume, tiles: TileSelection, *, report: Callable[[float], None], cancelled: Callable[[], bool]
) -> Statistics:
    """Return the statistics of a volume, or of the region that limits the task.

    Raises
    ------
    VolumeError
        ``volume_not_finite``.
    """
    region = tiles.region
    statistics = stream_statistics(
        volume,
        within=None if region is None else Subset(region.read, tiles.voxels),
        progress=report,
        cancelled=cancelled,
    )
    if statistics.non_finite:
        raise VolumeError(
            f"{statistics.non_finite:,} voxels of the volume are NaN or infinite.",
            code=ErrorCode.VOLUME_NOT_FINITE,
            hint="Replace them, for example by the mean; they are often in the padding of a rotated tomogram.",
            details={"non_finite": statistics.non_finite, "sampled": False},
        )
    return statistics
