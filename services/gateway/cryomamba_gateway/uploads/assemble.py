"""Assembles a file from its parts: verifies the checksums, opens it as a volume, and publishes it by a rename.

The parts lie at their final offsets already, so nothing is copied.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import zlib
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Final, TypeVar

from cryomamba.atomic import sync_folder, write_atomically
from cryomamba.errors import ConflictError, ErrorCode, VolumeError
from cryomamba.models.files import FileRecord
from cryomamba.volumes import inspect
from cryomamba_gateway.uploads.locking import lock_exclusive
from cryomamba_gateway.uploads.partial_upload import MANIFEST, PARTS, PartialUpload
from cryomamba_gateway.uploads.upload_directory import UploadDirectory
from cryomamba_server.uploaded_files import RECORD, VOLUME, read_record

T = TypeVar("T")
_READ_BYTES: Final = 1024 * 1024


def assemble(upload: PartialUpload, directory: UploadDirectory) -> FileRecord:
    """Make a file of an upload that has all its parts. Blocks while it reads the whole file once.

    A crash leaves either the upload or the file, and another call continues from there.

    Raises
    ------
    ConflictError
        Parts are missing (``conflict``), or the bytes on disk are not those that were sent (``checksum_mismatch``);
        damaged parts then count as missing, so that they are sent again.
    VolumeError
        The file is not a readable volume. The upload is removed.
    """
    record = read_record(upload.folder)
    if record is not None:
        _publish(upload, record, directory)
        return record
    _require_all_parts(upload)
    with upload.data.open("rb", buffering=0) as data:
        lock_exclusive(data.fileno())
        record = _verify_volume(upload, data)
        write_atomically(upload.folder / RECORD, record.model_dump_json())
        _publish(upload, record, directory)
    return record


def _require_all_parts(upload: PartialUpload) -> None:
    missing = sorted(set(range(upload.plan.count)) - set(upload.received()))
    if missing:
        raise ConflictError(
            f"{len(missing)} of {upload.plan.count} parts are missing.",
            hint="Send them and complete the upload again.",
            retryable=True,
            details={"missing_parts": missing[:100]},
        )


def verify_and_use(upload: PartialUpload, use: Callable[[Path], T]) -> T:
    """Verify an upload that has all its parts, hand its content to a function, and remove it.

    Parameters
    ----------
    use : callable
        Called with the path of the content; if it raises, the upload stays, and may be used for something else.

    Raises
    ------
    ConflictError
        As for :func:`assemble`.
    """
    _require_all_parts(upload)
    with upload.data.open("rb", buffering=0) as data:
        lock_exclusive(data.fileno())
        _verify_content(upload, data)
        result = use(upload.data)
    upload.remove()
    return result


def _verify_content(upload: PartialUpload, data: FileIO) -> str:
    """Return the SHA-256 of what was sent."""
    digest = _verified_digest(upload, data)
    manifest = upload.manifest
    if manifest.sha256 not in {None, digest}:
        upload.forget(list(range(upload.plan.count)))
        raise ConflictError(
            "The SHA-256 of the received file is not the announced one.",
            code=ErrorCode.CHECKSUM_MISMATCH,
            hint="Send the file again; it may have changed during the upload.",
            details={"sha256": digest},
        )
    return digest


def _verify_volume(upload: PartialUpload, data: FileIO) -> FileRecord:
    digest = _verify_content(upload, data)
    manifest = upload.manifest
    try:
        metadata = inspect(upload.data)
    except VolumeError:
        upload.remove()
        raise
    return FileRecord(
        file_id=manifest.upload_id,
        filename=manifest.filename,
        size_bytes=manifest.total_size_bytes,
        sha256=digest,
        metadata=metadata.model_copy(update={"name": manifest.filename}),
        owner=manifest.owner,
        created_at=datetime.now(UTC),
    )


def _verified_digest(upload: PartialUpload, data: FileIO) -> str:
    whole, damaged = hashlib.sha256(), []
    for index in range(upload.plan.count):
        remaining, crc = upload.plan.size(index), 0
        while remaining and (block := data.read(min(remaining, _READ_BYTES))):
            whole.update(block)
            crc = zlib.crc32(block, crc)
            remaining -= len(block)
        marker = upload.marker(index)
        if remaining or marker is None or marker.crc != crc:
            damaged.append(index)
    os.fsync(data.fileno())
    if damaged:
        upload.forget(damaged)
        raise ConflictError(
            f"{len(damaged)} of {upload.plan.count} parts were damaged on the server's disk.",
            code=ErrorCode.CHECKSUM_MISMATCH,
            hint="Send them again and complete the upload again.",
            retryable=True,
            details={"missing_parts": damaged[:100]},
        )
    return whole.hexdigest()


def _publish(upload: PartialUpload, record: FileRecord, directory: UploadDirectory) -> None:
    folder, volume = upload.folder, upload.folder / VOLUME
    with suppress(FileNotFoundError):
        upload.data.rename(volume)
    duplicate = directory.duplicate(record)
    if duplicate is not None:
        link = folder / ".duplicate"
        link.unlink(missing_ok=True)
        # Where the file system has no hard links, the content is stored twice.
        with suppress(OSError):
            os.link(duplicate, link)
            link.replace(volume)
    files = directory.files
    files.mkdir(parents=True, exist_ok=True)
    sync_folder(folder)
    folder.rename(files / record.file_id)
    sync_folder(files)
    shutil.rmtree(files / record.file_id / PARTS, ignore_errors=True)
    (files / record.file_id / MANIFEST).unlink(missing_ok=True)
