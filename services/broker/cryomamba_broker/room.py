"""Whether the disk has room for what a job writes."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

from cryomamba.errors import ErrorCode, UnavailableError
from cryomamba.records import EngineInfo, VolumeSummary


def job_nbytes(volume: VolumeSummary, engine: EngineInfo) -> int:
    """Return how many bytes a job takes at its fullest: the mask, and what its engine writes besides.

    Tables and headers are not in it, nor is a packed volume, whose unpacking looks for room itself; the reserve is for
    those.
    """
    return math.prod(volume.shape) * engine.disk_per_voxel


def require_room(folder: Path, nbytes: int, reserve: int) -> None:
    """Refuse what the disk has no room for; the job store must be able to note how jobs end.

    Parameters
    ----------
    folder : Path
        On the disk in question.
    nbytes : int
        What will be written.
    reserve : int
        Bytes that must stay free.

    Raises
    ------
    UnavailableError
        ``insufficient_storage``.
    """
    needed = nbytes + reserve
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UnavailableError(
            "The server's disk has no room for the results of this job.",
            code=ErrorCode.INSUFFICIENT_STORAGE,
            hint="Free some space there; 'cryomamba gc' shows what old jobs hold. Then try again.",
            details={"free_bytes": free, "needed_bytes": needed},
        )
