"""The directories of uploads and files, and to whom they belong. Everything here blocks.

``incoming`` has a directory for each unfinished upload and ``files`` one for each file. Names that begin with a dot are
being created or removed. To a caller without access an upload or file does not exist.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cryomamba.access.visibility import Visibility
from cryomamba.errors import NotFoundError
from cryomamba.models.files import FileRecord, UploadStatus, is_file_id
from cryomamba_gateway.uploads.partial_upload import PartialUpload
from cryomamba_server.uploaded_files import VOLUME, read_record


class UploadDirectory:
    """Uploads and files of all owners.

    Parameters
    ----------
    folder : Path
        ``uploads`` in the data directory.
    hours : float
        An upload is abandoned after so many hours without a new part.
    """

    def __init__(self, folder: Path, hours: float) -> None:
        self.incoming = folder / "incoming"
        self.files = folder / "files"
        self._hours = hours
        # Records do not change, so each is read once; a listing of the directory tells which there are.
        self._records: dict[str, FileRecord | None] = {}

    def uploads(self, visibility: Visibility) -> Iterator[PartialUpload]:
        """Yield the unfinished uploads that are visible."""
        for folder in _visible_folders(self.incoming):
            upload = PartialUpload.load(folder)
            if upload is not None and visibility.includes(upload.manifest.owner):
                yield upload

    def records(self, visibility: Visibility) -> list[FileRecord]:
        """Return the files that are visible."""
        known = self._records
        records = {
            folder.name: known.get(folder.name) or read_record(folder) for folder in _visible_folders(self.files)
        }
        self._records = records
        return [record for record in records.values() if record is not None and visibility.includes(record.owner)]

    def upload(self, upload_id: str, visibility: Visibility) -> PartialUpload:
        """Return an unfinished upload.

        Raises
        ------
        NotFoundError
            There is no visible upload with this id.
        """
        upload = PartialUpload.load(self.incoming / upload_id) if is_file_id(upload_id) else None
        if upload is None or not visibility.includes(upload.manifest.owner):
            raise no_such_upload(upload_id)
        return upload

    def record(self, file_id: str, visibility: Visibility) -> FileRecord | None:
        """Return a file; None if there is no visible one with this id."""
        record = read_record(self.files / file_id) if is_file_id(file_id) else None
        return record if record is not None and visibility.includes(record.owner) else None

    def duplicate(self, record: FileRecord) -> Path | None:
        """Return the volume of another file with the same content, of any owner."""
        content = (record.sha256, record.size_bytes)
        for other in self.records(Visibility.everything()):
            if other.file_id != record.file_id and (other.sha256, other.size_bytes) == content:
                return self.files / other.file_id / VOLUME
        return None

    def status(self, upload: PartialUpload) -> UploadStatus:
        """Return the status of an unfinished upload."""
        received = tuple(upload.received())
        return UploadStatus(
            upload_id=upload.manifest.upload_id,
            filename=upload.manifest.filename,
            total_size_bytes=upload.plan.total,
            chunk_size_bytes=upload.plan.chunk,
            part_count=upload.plan.count,
            received_parts=received,
            received_bytes=sum(upload.plan.size(index) for index in received),
            expires_at=upload.expires_at(self._hours),
        )

    def sweep(self) -> int:
        """Remove abandoned uploads and leftovers of crashes; return the number of uploads."""
        swept = 0
        oldest = datetime.now(UTC).timestamp() - self._hours * 3600
        for upload in self.uploads(Visibility.everything()):
            if upload.active_at() < oldest:
                upload.remove()
                swept += 1
        leftovers = [folder for folder in _visible_folders(self.incoming) if PartialUpload.load(folder) is None]
        leftovers += [folder for folder in (*_folders(self.incoming), *_folders(self.files)) if _is_hidden(folder)]
        for folder in leftovers:
            if _modified(folder) < oldest:
                shutil.rmtree(folder, ignore_errors=True)
        return swept


def finished_status(record: FileRecord) -> UploadStatus:
    """Return the status of an upload that has become a file."""
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
    """Return the error for an upload that does not exist or is not visible."""
    return NotFoundError(
        f"There is no upload '{upload_id[:64]}'.",
        hint="It may have expired; start a new one with POST /v1/uploads/init.",
    )


def _folders(parent: Path) -> list[Path]:
    try:
        return [path for path in parent.iterdir() if path.is_dir()]
    except FileNotFoundError:
        return []


def _is_hidden(folder: Path) -> bool:
    return folder.name.startswith(".")


def _visible_folders(parent: Path) -> list[Path]:
    return [folder for folder in _folders(parent) if not _is_hidden(folder)]


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return float("inf")
