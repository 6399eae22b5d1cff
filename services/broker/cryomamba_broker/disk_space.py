"""Whether the disk has room for what a job writes."""

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
    """Return how many bytes a job takes at its fullest: the mask, what its engine writes, and what was asked for.

    Tables, headers and packed files are not in it, nor is a packed volume, whose unpacking looks for room itself; the
    reserve is for those.
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
    """What a disk has room for.

    Attributes
    ----------
    free : int
        Bytes that are free now.
    reserve : int
        Bytes of them that must stay so, among others for the job store to note how jobs end.
    written : int
        Bytes that unfinished jobs have written already.
    """

    free: int
    reserve: int
    written: int = 0

    @classmethod
    def of(cls, folder: Path, reserve: int, work: Path | None = None) -> Self:
        """Look at the disk of a folder, and at what lies in the work folder of unfinished jobs."""
        return cls(shutil.disk_usage(folder).free, reserve, 0 if work is None else _written(work))

    def require(self, nbytes: int, promised: int = 0) -> None:
        """Refuse what there is no room for.

        Parameters
        ----------
        nbytes : int
            What will be written.
        promised : int
            What all unfinished jobs may write, with what they have written already.

        Raises
        ------
        UnavailableError
            ``insufficient_storage``.
        """
        awaited = max(promised - self.written, 0)
        if self.free >= nbytes + awaited + self.reserve:
            return
        hint = "Free some space there; 'cryomamba gc' shows what old jobs hold. Then try again."
        if self.free >= nbytes + self.reserve:
            hint = f"Wait for the jobs before it, which may still write {awaited / 1e9:.1f} GB. {hint}"
        raise UnavailableError(
            "The server's disk has no room for the results of this job.",
            code=ErrorCode.INSUFFICIENT_STORAGE,
            hint=hint,
            details={"free_bytes": self.free, "needed_bytes": nbytes + self.reserve, "promised_bytes": awaited},
        )


def _written(work: Path) -> int:
    """Return what the files below a folder take on the disk; one may go while it is looked at."""
    total = 0
    for folder, _, names in os.walk(work):
        for name in names:
            with suppress(OSError):
                facts = Path(folder, name).lstat()
                # A file that is still being filled has its final size from the beginning.
                total += getattr(facts, "st_blocks", facts.st_size // _BLOCK) * _BLOCK
    return total
