"""From an unfinished upload to a file: checked against its checksums, opened as a volume, renamed once."""

from __future__ import annotations

import hashlib
import os
import shutil
import zlib
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Final

from cryomamba.atomic import sync_folder, write_atomically
from cryomamba.errors import ConflictError, ErrorCode, VolumeError
from cryomamba.models.files import FileRecord
from cryomamba.volumes import inspect
from cryomamba_gateway.uploads.locking import seal
from cryomamba_gateway.uploads.partial_upload import PARTS, TICKET, PartialUpload
from cryomamba_server.uploaded_files import RECORD, VOLUME, read_record

_PIECE: Final = 1024 * 1024


def finish(upload: PartialUpload, files: Path) -> FileRecord:
    """Make a file of an upload whose parts are all there. Blocks while it reads the whole file once.

    A crash at any moment leaves either the upload or the file, and calling it again goes on where it was.

    Raises
    ------
    ConflictError
        Parts are missing (``conflict``), or the bytes on disk are not those that were sent (``checksum_mismatch``);
        parts that do not fit are forgotten, so that they are sent again.
    VolumeError
        The file is not a volume that can be read. The upload is removed.
    """
    record = read_record(upload.folder)
    if record is not None:
        _place(upload, record, files)
        return record
    _require_all_parts(upload)
    with upload.data.open("rb", buffering=0) as data:
        seal(data.fileno())
        record = _checked(upload, data)
        write_atomically(upload.folder / RECORD, record.model_dump_json())
        _place(upload, record, files)
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


def _checked(upload: PartialUpload, data: FileIO) -> FileRecord:
    digest = _verified_digest(upload, data)
    ticket = upload.ticket
    if ticket.sha256 not in {None, digest}:
        upload.forget(list(range(upload.plan.count)))
        raise ConflictError(
            "The file that arrived is not the one that was announced: its SHA-256 is another.",
            code=ErrorCode.CHECKSUM_MISMATCH,
            hint="Send the file again; it may have been changed meanwhile.",
            details={"sha256": digest},
        )
    try:
        meta = inspect(upload.data)
    except VolumeError:
        upload.remove()
        raise
    return FileRecord(
        file_id=ticket.upload_id,
        filename=ticket.filename,
        size_bytes=ticket.total_size_bytes,
        sha256=digest,
        metadata=meta.model_copy(update={"name": ticket.filename}),
        owner=ticket.owner,
        created_at=datetime.now(UTC),
    )


def _verified_digest(upload: PartialUpload, data: FileIO) -> str:
    """Return the SHA-256 of the data after comparing every part with its marker."""
    whole, broken = hashlib.sha256(), []
    for index in range(upload.plan.count):
        left, crc = upload.plan.size(index), 0
        while left and (piece := data.read(min(left, _PIECE))):
            whole.update(piece)
            crc = zlib.crc32(piece, crc)
            left -= len(piece)
        marker = upload.marker(index)
        if left or marker is None or marker.crc != crc:
            broken.append(index)
    os.fsync(data.fileno())
    if broken:
        upload.forget(broken)
        raise ConflictError(
            f"{len(broken)} parts are not on the server's disk as they were sent.",
            code=ErrorCode.CHECKSUM_MISMATCH,
            hint="Send them again and complete the upload again.",
            retryable=True,
            details={"missing_parts": broken[:100]},
        )
    return whole.hexdigest()


def _place(upload: PartialUpload, record: FileRecord, files: Path) -> None:
    folder, volume = upload.folder, upload.folder / VOLUME
    with suppress(FileNotFoundError):
        upload.data.rename(volume)
    twin = _twin(record, files)
    if twin is not None:
        aside = folder / ".twin"
        aside.unlink(missing_ok=True)
        # Where the file system has no hard links, the content is kept twice.
        with suppress(OSError):
            os.link(twin, aside)
            aside.replace(volume)
    files.mkdir(parents=True, exist_ok=True)
    sync_folder(folder)
    folder.rename(files / record.file_id)
    sync_folder(files)
    shutil.rmtree(files / record.file_id / PARTS, ignore_errors=True)
    (files / record.file_id / TICKET).unlink(missing_ok=True)


def _twin(record: FileRecord, files: Path) -> Path | None:
    """Return another file's volume with the same content."""
    for other in files.glob(f"*/{RECORD}"):
        found = read_record(other.parent)
        if found is not None and (found.sha256, found.size_bytes) == (record.sha256, record.size_bytes):
            return other.with_name(VOLUME)
    return None
