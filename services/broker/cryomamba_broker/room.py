"""Whether the disk has room for what a job writes."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cryomamba.errors import ErrorCode, UnavailableError
from cryomamba.local import made_by
from cryomamba.records import EngineInfo, VolumeSummary

_ASKED_PER_VOXEL: Final = {"instances": 2, "middle": 2}


def job_nbytes(volume: VolumeSummary, engine: EngineInfo, params: Mapping[str, Any]) -> int:
    """Return how many bytes a job takes at its fullest: the mask, what its engine writes, and what was asked for.

    Tables, headers and packed files are not in it, nor is a packed volume, whose unpacking looks for room itself; the
    reserve is for those.
    """
    asked = sum(_ASKED_PER_VOXEL.get(form, 0) for form in made_by(engine.parameters, params))
    return math.prod(volume.shape) * (engine.disk_per_voxel + asked)


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
