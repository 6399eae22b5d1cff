"""Whether the files of a tomogram are complete: their headers describe as many voxels as there are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from cryomamba.errors import CryoMambaError, ErrorCode, VolumeError
from cryomamba_cli.batch.tomogram_run import typed_error


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found in the headers of a tomogram.

    Attributes
    ----------
    error : CryoMambaError or None
        Why it cannot be segmented, now or ever.
    own_result : bool
        Whether it is a mask or score map that CryoMamba has written.
    """

    error: CryoMambaError | None = None
    own_result: bool = False


def inspect_files(paths: Collection[Path], files: int = 1) -> Inspection:
    """Read the headers of a tomogram's files; no voxel is read.

    Parameters
    ----------
    paths : collection of Path
    files : int
        How many there must be: the second half-tomogram may come later.
    """
    from cryomamba.volumes import inspect, is_own_result

    own = False
    for path in paths:
        try:
            own = own or is_own_result(inspect(path).labels)
        except (CryoMambaError, OSError) as error:
            return Inspection(typed_error(error))
    if len(paths) < files:
        return Inspection(
            VolumeError(
                "Its other half-tomogram is not there.",
                code=ErrorCode.VOLUME_NOT_FOUND,
                hint="Write the other half too.",
            )
        )
    return Inspection(own_result=own)
