"""Whether the disk has room for one more job."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

from cryomamba.errors import ErrorCode, UnavailableError
from cryomamba.records import VolumeSummary


def require_room(folder: Path, volume: VolumeSummary, reserve: int) -> None:
    """Refuse a job for whose mask the disk has no room.

    A mask takes a byte per voxel. What an engine writes besides is not known here; the reserve is for that, and for
    the job store, which must be able to note how jobs end.

    Parameters
    ----------
    folder : Path
        On the disk in question.
    volume : VolumeSummary
    reserve : int
        Bytes that must stay free.

    Raises
    ------
    UnavailableError
        ``insufficient_storage``.
    """
    needed = math.prod(volume.shape) + reserve
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UnavailableError(
            "The server's disk has no room for the results of this job.",
            code=ErrorCode.INSUFFICIENT_STORAGE,
            hint="Free some space there; 'cryomamba gc' shows what old jobs hold. Then submit the job again.",
            details={"free_bytes": free, "needed_bytes": needed},
        )
