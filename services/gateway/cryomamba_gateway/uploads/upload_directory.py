"""The folders of uploads and files: what lies there and whose it is. Everything here blocks.

``incoming`` has a folder for each unfinished upload and ``files`` one for each file; names that begin with a point are
on their way in or out. Whoever may see nothing of another's is told that it is not there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cryomamba.errors import NotFoundError
from cryomamba.models.files import FileRecord, UploadStatus, is_file_id
from cryomamba_gateway.uploads.partial_upload import PartialUpload
from cryomamba_server.uploaded_files import read_record


class UploadDirectory:
    """What is there of all owners.

    Parameters
    ----------
    folder : Path
        ``<home>/uploads``.
    hours : float
        After so many without a new part an upload is abandoned.
    """

    def __init__(self, folder: Path, hours: float) -> None:
        self.incoming = folder / "incoming"
        self.files = folder / "files"
        self._hours = hours

    def uploads(self, owner: str | None) -> Iterator[PartialUpload]:
        """Yield the unfinished uploads of an owner, or with None of all."""
        for folder in _folders(self.incoming):
            upload = None if folder.name.startswith(".") else PartialUpload.load(folder)
            if upload is not None and owner in {None, upload.ticket.owner}:
                yield upload

    def records(self, owner: str | None) -> Iterator[FileRecord]:
        """Yield the files of an owner, or with None of all."""
        for folder in _folders(self.files):
            record = None if folder.name.startswith(".") else read_record(folder)
            if record is not None and owner in {None, record.owner}:
                yield record

    def find(self, upload_id: str, owner: str | None) -> PartialUpload:
        """Return an unfinished upload.

        Raises
        ------
        NotFoundError
            There is none of this id, or it is another's.
        """
        upload = PartialUpload.load(self.incoming / upload_id) if is_file_id(upload_id) else None
        if upload is None or owner not in {None, upload.ticket.owner}:
            raise no_such_upload(upload_id)
        return upload

    def record(self, file_id: str, owner: str | None) -> FileRecord | None:
        """Return a file; None if there is none of this id, or it is another's."""
        record = read_record(self.files / file_id) if is_file_id(file_id) else None
        return record if record is not None and owner in {None, record.owner} else None

    def look_up(self, upload_id: str, owner: str | None) -> UploadStatus:
        """Return what is there of an upload, finished or not.

        Raises
        ------
        NotFoundError
            There is none of this id, or it is another's.
        """
        record = self.record(upload_id, owner)
        return finished(record) if record is not None else self.status(self.find(upload_id, owner))

    def status(self, upload: PartialUpload) -> UploadStatus:
        """Return what is there of an unfinished upload."""
        received = tuple(upload.received())
        return UploadStatus(
            upload_id=upload.ticket.upload_id,
            filename=upload.ticket.filename,
            total_size_bytes=upload.plan.total,
            chunk_size_bytes=upload.plan.chunk,
            part_count=upload.plan.count,
            received_parts=received,
            received_bytes=sum(upload.plan.size(index) for index in received),
            expires_at=upload.expires_at(self._hours),
        )

    def sweep(self) -> int:
        """Remove what was abandoned, and return how many uploads that were."""
        swept = 0
        oldest = datetime.now(UTC).timestamp() - self._hours * 3600
        for folder in [*_folders(self.incoming), *_folders(self.files)]:
            aside = folder.name.startswith(".")
            upload = None if aside or folder.parent == self.files else PartialUpload.load(folder)
            if upload is not None:
                if upload.active_at() < oldest:
                    upload.remove()
                    swept += 1
            elif (aside or folder.parent == self.incoming) and _modified(folder) < oldest:
                shutil.rmtree(folder, ignore_errors=True)
        return swept


def finished(record: FileRecord) -> UploadStatus:
    """Return what is there of an upload that has become a file."""
    return UploadStatus(
        upload_id=record.file_id,
        filename=record.filename,
        total_size_bytes=record.size_bytes,
        chunk_size_bytes=record.size_bytes,
        part_count=1,
        received_parts=(0,),
        received_bytes=record.size_bytes,
        expires_at=record.created_at,
        file=record,
    )


def no_such_upload(upload_id: str) -> NotFoundError:
    """Return the error for an upload that is not there."""
    return NotFoundError(
        f"There is no upload '{upload_id[:64]}'.", hint="It may have expired; begin it anew with POST /v1/uploads/init."
    )


def _folders(parent: Path) -> list[Path]:
    try:
        return [path for path in parent.iterdir() if path.is_dir()]
    except FileNotFoundError:
        return []


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return float("inf")
