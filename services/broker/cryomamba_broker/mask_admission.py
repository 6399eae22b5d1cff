"""Checks of the mask that limits a job to a region. The mask's header is read, so this must run in a thread."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from cryomamba.access.visibility import Visibility
from cryomamba.errors import CryoMambaError, ErrorCode, InvalidRequestError, NotFoundError
from cryomamba.masks.region import WITHIN, require_mask, require_same_grid
from cryomamba.models.jobs import VolumeSummary
from cryomamba.models.masks import MaskSource, MaskSummary
from cryomamba.volumes.allowed_paths import resolve_below, verify_opened
from cryomamba.volumes.file_version import FileVersion
from cryomamba.volumes.mrc import inspect, open_volume
from cryomamba_broker.admission import PATH_MAX_BYTES, OpenedFile, VolumeRoots, find_upload
from cryomamba_broker.store.rows import truncate


def admit_mask(
    source: MaskSource, volume: VolumeSummary, roots: VolumeRoots, visibility: Visibility, newest_mask: str | None
) -> MaskSummary:
    """Check the mask of a submit.

    Parameters
    ----------
    volume : VolumeSummary
        The job's volume, on whose grid the mask must be.
    visibility : Visibility
        Whose uploaded files may be used.
    newest_mask : str or None
        Name of the newest mask of the job that the source names.

    Raises
    ------
    InvalidRequestError
        The mask is on another grid, or its path is outside the allowed input directories. All errors name the field
        ``within`` in their details.
    VolumeError
        The file cannot be used, or is not a mask.
    NotFoundError
        There is no visible uploaded file with this id, or the job has no mask.
    """
    try:
        return _admit(source, volume, roots, visibility, newest_mask)
    except CryoMambaError as error:
        error.details.setdefault("fields", [{"field": WITHIN, "problem": error.message}])
        raise


def _admit(
    source: MaskSource, volume: VolumeSummary, roots: VolumeRoots, visibility: Visibility, newest_mask: str | None
) -> MaskSummary:
    if source.file_id is not None:
        path, record = find_upload(roots.uploads, source.file_id, visibility)
        name = path.name if record is None else truncate(record.filename, 255)
        version = _check(path, name, volume, (roots.uploads,))
        return MaskSummary(name=name, file_id=source.file_id, version=version.content().to_text())
    if source.job_id is not None:
        if newest_mask is None:
            raise NotFoundError(
                f"The job '{source.job_id}' has no mask.", hint="Only a completed job has one; give another job."
            )
        path = resolve_below(f"{source.job_id}/{newest_mask}", (roots.artifacts,))
        version = _check(path, newest_mask, volume, (roots.artifacts,))
        return MaskSummary(name=newest_mask, job_id=source.job_id, version=version.content().to_text())
    if len((source.path or "").encode("utf-8", "replace")) > PATH_MAX_BYTES:
        raise InvalidRequestError("The path of the mask is too long.", code=ErrorCode.PATH_FORBIDDEN)
    path = resolve_below(source.path or "", roots.allowed, closed=roots.forbidden)
    version = _check(path, path.name, volume, roots.allowed, roots.forbidden)
    return MaskSummary(name=truncate(path.name, 255), path=source.path, version=version.to_text())


def _check(
    path: Path, name: str, volume: VolumeSummary, roots: Sequence[Path], forbidden: Sequence[Path] = ()
) -> FileVersion:
    check = partial(verify_opened, path=path, roots=roots, closed=forbidden)
    found = OpenedFile(check)
    meta = inspect(path, check=found.check)
    require_same_grid(meta.model_copy(update={"name": name}), volume.shape, volume.voxel_size_A)
    # A compressed file would have to be decompressed whole; the worker does that anyway, and checks the voxels.
    if meta.compression is None:
        with open_volume(path, check=found.check) as mask:
            require_mask(mask)
    if found.version is None:
        raise ValueError("the mask was not opened")
    return found.version
