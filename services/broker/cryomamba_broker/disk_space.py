"""Whether the disk has space for the results of a job."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from cryomamba.engines.artifacts import EXPORTS, requested_formats
from cryomamba.engines.info import EngineInfo
from cryomamba.errors import ErrorCode, UnavailableError
from cryomamba.models.jobs import VolumeSummary

_BLOCK: Final = 512


def job_nbytes(volume: VolumeSummary, engine: EngineInfo, params: Mapping[str, Any]) -> int:
    """Return the most disk space that a job takes, in bytes: the mask, the engine's files, and the requested outputs.

    The reserve covers tables, headers and compressed files; the decompression of a volume checks the disk itself.
    """
    requested = requested_formats(engine.parameters, params)
    asked = sum(EXPORTS[form].bytes_per_voxel for form in requested)
    nbytes = math.prod(volume.shape) * (engine.disk_per_voxel + asked)
    if engine.scratch is None:
        return nbytes
    fields = engine.parameters.get("properties", {})
    given = params.get(engine.scratch.parameter) or fields.get(engine.scratch.parameter, {}).get("default")
    return nbytes + engine.scratch.nbytes(volume.shape, volume.voxel_size_A, float(given or 1))


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """The space on the disk for results.

    Attributes
    ----------
    free : int
        Free space, in bytes.
    reserve : int
        Bytes that must stay free, among others so that the job store can record how jobs end.
    written : int
        Bytes that unfinished jobs have written so far.
    """

    free: int
    reserve: int
    written: int = 0

    @classmethod
    def measure(cls, folder: Path, reserve: int, work: Path | None = None) -> Self:
        """Measure the disk of a folder, and the files in the work folder of unfinished jobs; blocks."""
        return cls(shutil.disk_usage(folder).free, reserve, 0 if work is None else _written(work))

    def require(self, nbytes: int, reserved: int = 0) -> None:
        """Refuse a job for which there is no space.

        Parameters
        ----------
        nbytes : int
            What the job will write.
        reserved : int
            What all unfinished jobs may write in total, including what they have written so far.

        Raises
        ------
        UnavailableError
            ``insufficient_storage``.
        """
        outstanding = max(reserved - self.written, 0)
        if self.free >= nbytes + outstanding + self.reserve:
            return
        hint = "Free some disk space ('cryomamba gc' lists what can be deleted), then submit the job again."
        if self.free >= nbytes + self.reserve:
            hint = f"Wait for earlier jobs, which may still write {outstanding / 1e9:.1f} GB. {hint}"
        raise UnavailableError(
            "The server's disk does not have enough free space for the results of this job.",
            code=ErrorCode.INSUFFICIENT_STORAGE,
            hint=hint,
            details={"free_bytes": self.free, "needed_bytes": nbytes + self.reserve, "promised_bytes": outstanding},
        )


def _written(work: Path) -> int:
    """Return the disk space of the files below a folder, in bytes; files may disappear meanwhile."""
    total = 0
    for folder, _, names in os.walk(work):
        for name in names:
            with suppress(OSError):
                status = Path(folder, name).lstat()
                # A file that is still being written has its final size from the start, so its blocks count.
                total += getattr(status, "st_blocks", status.st_size // _BLOCK) * _BLOCK
    return total
