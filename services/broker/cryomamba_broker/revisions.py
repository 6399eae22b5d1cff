"""Masks that people have revised: checked against their job, and laid ready beside its other files. Blocks."""

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
from cryomamba.volumes.mrc import inspect
from cryomamba.wire.requests import ReviseRequest
from cryomamba_broker.admission import VolumeRoots, find_upload

_WHOLE_NUMBERS: Final = frozenset({0, 1, 6})
_PIECE: Final = 1024 * 1024


@dataclass(slots=True)
class Revision:
    """A revised mask under a name of no meaning, next to the files of its job.

    Attributes
    ----------
    path : Path
    size_bytes : int
    sha256 : str
    """

    path: Path
    size_bytes: int
    sha256: str

    def place(self, name: str) -> None:
        """Give it its final name."""
        self.path.replace(self.path.with_name(name))

    def discard(self) -> None:
        """Remove it, if it has not got its final name."""
        self.path.unlink(missing_ok=True)


def stage(
    request: ReviseRequest,
    record: JobRecord,
    places: VolumeRoots,
    require_room: Callable[[int], None],
    visibility: Visibility,
) -> Revision:
    """Check a revised mask and lay it ready.

    An upload is linked, where the file system can, because nobody changes it any more; a file of a person's own is
    copied.

    Parameters
    ----------
    request : ReviseRequest
    record : JobRecord
        Of the job that has ended well.
    places : Places
    require_room : callable
        Raises if the disk has no room for so many bytes.
    visibility : Visibility
        Whose uploads may be used.

    Raises
    ------
    NotFoundError
        There is no uploaded file of this id.
    VolumeError
        It is no mask of this job: another shape, or not of whole numbers.
    InvalidRequestError
        ``path_forbidden``.
    UnavailableError
        ``insufficient_storage``.
    """
    folder = places.artifacts / record.job_id
    aside = folder / f".revision-{uuid.uuid4().hex}"
    if request.file_id is not None:
        source, found = find_upload(places.uploads, request.file_id, visibility)
        _require_mask_of(record, source)
        if found is not None and _linked(source, aside):
            return Revision(aside, found.size_bytes, found.sha256)
        roots: tuple[Path, ...] = (places.uploads,)
        closed: tuple[Path, ...] = ()
    else:
        roots, closed = tuple(places.roots), tuple(places.closed)
        source = resolve_below(request.path or "", roots, closed=closed)
        _require_mask_of(record, source)
    require_room(source.stat().st_size)
    try:
        with source.open("rb") as file:
            verify_opened(file.fileno(), source, roots, closed=closed)
            copied = _copied(file, aside)
        # What was looked at before may have been another file.
        _require_mask_of(record, aside)
        return copied
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def _require_mask_of(record: JobRecord, path: Path) -> None:
    meta = inspect(path)
    if meta.compression is not None or meta.mode not in _WHOLE_NUMBERS:
        raise VolumeError(
            "A revision must be an unpacked MRC file of whole numbers (mode 0, 1 or 6).",
            code=ErrorCode.VOLUME_UNSUPPORTED,
            hint="Save the edited labels as MRC; the desktop's 'Save revision' does.",
        )
    if meta.shape != record.volume.shape:
        mine, theirs = ("×".join(map(str, shape)) for shape in (meta.shape, record.volume.shape))
        raise VolumeError(
            f"This mask has {mine} voxels (z, y, x), but the tomogram of the job has {theirs}.",
            code=ErrorCode.VOLUME_UNSUPPORTED,
            hint="Send the mask of this very job, neither cropped nor binned.",
        )


def _linked(source: Path, target: Path) -> bool:
    with suppress(OSError):
        os.link(source, target)
        return True
    return False


def _copied(file: BinaryIO, target: Path) -> Revision:
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as copy:
        while piece := file.read(_PIECE):
            copy.write(piece)
            digest.update(piece)
            size += len(piece)
        copy.flush()
        os.fsync(copy.fileno())
    return Revision(target, size, digest.hexdigest())
