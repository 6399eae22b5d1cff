"""Revised masks: checked against their job, and staged next to its other files. Blocks."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from cryomamba.access.visibility import Visibility
from cryomamba.errors import ErrorCode, VolumeError
from cryomamba.models.jobs import JobRecord
from cryomamba.volumes.allowed_paths import resolve_below, verify_opened
from cryomamba.volumes.labels import LabelVolume
from cryomamba.volumes.mrc import inspect, open_volume
from cryomamba.wire.requests import ReviseRequest
from cryomamba_broker.admission import VolumeRoots, find_upload
from cryomamba_broker.store.rows import truncate

_CHUNK_BYTES: Final = 1024 * 1024


@dataclass(slots=True)
class Revision:
    """A revised mask under a temporary name, next to the files of its job."""

    path: Path
    size_bytes: int
    sha256: str

    def rename(self, name: str) -> None:
        """Give the file its final name."""
        self.path.replace(self.path.with_name(name))

    def discard(self) -> None:
        """Delete the file, unless it has its final name."""
        self.path.unlink(missing_ok=True)


def stage(
    request: ReviseRequest,
    record: JobRecord,
    roots: VolumeRoots,
    require_space: Callable[[int], None],
    visibility: Visibility,
) -> Revision:
    """Check a revised mask and stage it.

    An upload is hard-linked where the file system supports it, because it never changes; any other file is copied.

    Parameters
    ----------
    record : JobRecord
        Of a completed job.
    require_space : callable
        Raises if the disk has no space for so many bytes.
    visibility : Visibility
        Whose uploads may be used.

    Raises
    ------
    NotFoundError
        There is no uploaded file with this id.
    VolumeError
        The file is not a mask of this job: its shape differs, or its voxels are not labels (see
        :class:`~cryomamba.volumes.LabelVolume`).
    InvalidRequestError
        ``path_forbidden``.
    UnavailableError
        ``insufficient_storage``.
    """
    folder = roots.artifacts / record.job_id
    staged = folder / f".revision-{uuid.uuid4().hex}"
    if request.file_id is not None:
        source, found = find_upload(roots.uploads, request.file_id, visibility)
        _require_shape_of(record, source)
        name = source.name if found is None else truncate(found.filename, 255)
        _require_labels(source, name)
        if found is not None and _linked(source, staged):
            return Revision(staged, found.size_bytes, found.sha256)
        allowed: tuple[Path, ...] = (roots.uploads,)
        forbidden: tuple[Path, ...] = ()
    else:
        allowed, forbidden = tuple(roots.allowed), tuple(roots.forbidden)
        source = resolve_below(request.path or "", allowed, closed=forbidden)
        name = source.name
        _require_shape_of(record, source)
    require_space(source.stat().st_size)
    try:
        with source.open("rb") as file:
            verify_opened(file.fileno(), source, allowed, closed=forbidden)
            copied = _copied(file, staged)
        # The file may have been replaced since the first check.
        _require_shape_of(record, staged)
        _require_labels(staged, name)
        return copied
    except BaseException:
        staged.unlink(missing_ok=True)
        raise


def _require_labels(path: Path, name: str) -> None:
    with open_volume(path) as volume:
        LabelVolume.of(volume, name=name)


def _require_shape_of(record: JobRecord, path: Path) -> None:
    meta = inspect(path)
    if meta.compression is not None:
        raise VolumeError(
            "A revision must be an uncompressed MRC file.",
            code=ErrorCode.VOLUME_UNSUPPORTED,
            hint="Save the edited labels as an MRC file, as 'Save new version' in the desktop does.",
        )
    if meta.shape != record.volume.shape:
        given, expected = ("×".join(map(str, shape)) for shape in (meta.shape, record.volume.shape))
        raise VolumeError(
            f"This mask has {given} voxels (z, y, x), but the tomogram of the job has {expected}.",
            code=ErrorCode.VOLUME_UNSUPPORTED,
            hint="Send a mask of this job, neither cropped nor binned.",
        )


def _linked(source: Path, target: Path) -> bool:
    with suppress(OSError):
        os.link(source, target)
        return True
    return False


def _copied(file: BinaryIO, target: Path) -> Revision:
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as copy:
        while chunk := file.read(_CHUNK_BYTES):
            copy.write(chunk)
            digest.update(chunk)
            size += len(chunk)
        copy.flush()
        os.fsync(copy.fileno())
    return Revision(target, size, digest.hexdigest())
