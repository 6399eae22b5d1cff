"""Whether the disk has room for what a job writes."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

from cryomamba.errors import ErrorCode, UnavailableError
from cryomamba.records import VolumeSummary


def mask_nbytes(volume: VolumeSummary) -> int:
    """Return how many bytes the mask of a volume takes: one per voxel.

    What an engine writes besides is not known here; the reserve is for that.
    """
    return math.prod(volume.shape)


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
