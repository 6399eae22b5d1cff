"""One unfinished upload on disk: a manifest, the data at its final offsets, and a marker for each received part.

The data file has its full size from the start, so the disk cannot fill up later. A marker holds the checksums of a part
and is created atomically once the part is on the disk, and is on the disk itself before the part is acknowledged. The
checksums are compared with the data once more when the file is assembled.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

from pydantic import ValidationError

from cryomamba.atomic import atomic_path, write_atomically
from cryomamba.errors import ConflictError
from cryomamba.models.base import Record
from cryomamba.system_errors import system_errors_translated
from cryomamba_gateway.uploads.part_plan import PartPlan

MANIFEST: Final = "manifest.json"
DATA: Final = "data"
PARTS: Final = "parts"
_NO_FALLOCATE: Final = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


class UploadManifest(Record):
    """What was agreed when an upload began."""

    upload_id: str
    owner: str
    filename: str
    total_size_bytes: int
    chunk_size_bytes: int
    sha256: str | None = None
    created_at: datetime

    @property
    def plan(self) -> PartPlan:
        """How the file is split into parts."""
        return PartPlan(self.total_size_bytes, self.chunk_size_bytes)


class Checksums:
    """SHA-256 and CRC-32 of a part, computed as its bytes arrive."""

    def __init__(self) -> None:
        self.nbytes = 0
        self.crc = 0
        self._sha = hashlib.sha256()

    def add(self, block: bytes) -> None:
        """Add the next bytes."""
        self.nbytes += len(block)
        self.crc = zlib.crc32(block, self.crc)
        self._sha.update(block)

    @property
    def etag(self) -> str:
        """The SHA-256 so far."""
        return self._sha.hexdigest()


@dataclass(frozen=True, slots=True)
class Marker:
    """The checksums of a received part."""

    etag: str
    crc: int


class PartialUpload:
    """The folder of an unfinished upload. Methods block; any process may use it.

    Parameters
    ----------
    folder : Path
    manifest : UploadManifest
    """

    def __init__(self, folder: Path, manifest: UploadManifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self.plan = manifest.plan

    @classmethod
    def create(cls, folder: Path, manifest: UploadManifest) -> PartialUpload:
        """Create the folder atomically, with disk space reserved for all data.

        Raises
        ------
        UnavailableError
            ``insufficient_storage``: the disk is full.
        """
        with atomic_path(folder) as part:
            (part / PARTS).mkdir(parents=True)
            _reserve(part / DATA, manifest.total_size_bytes)
            write_atomically(part / MANIFEST, manifest.model_dump_json())
        return cls(folder, manifest)

    @classmethod
    def load(cls, folder: Path) -> PartialUpload | None:
        """Load an upload; None if the folder is not, or no longer, one.

        Raises
        ------
        UnavailableError
            Too many files are open at the moment, or the disk fails: the upload must not be taken for a leftover.
        """
        try:
            with system_errors_translated():
                return cls(folder, UploadManifest.model_validate_json((folder / MANIFEST).read_bytes()))
        except (OSError, ValidationError):
            return None

    @property
    def data(self) -> Path:
        """The data, complete or not."""
        return self.folder / DATA

    def active_at(self) -> float:
        """Return when the last part arrived, in seconds since 1970."""
        try:
            return max((self.folder / PARTS).stat().st_mtime, (self.folder / MANIFEST).stat().st_mtime)
        except OSError:
            return self.manifest.created_at.timestamp()

    def received(self) -> list[int]:
        """Return the indices of the received parts, sorted."""
        try:
            names = [path.name for path in (self.folder / PARTS).iterdir()]
        except FileNotFoundError:
            return []
        return sorted(int(name) for name in names if name.isascii() and name.isdigit())

    def marker(self, index: int) -> Marker | None:
        """Return the checksums of a part; None if it was not received."""
        try:
            etag, _, crc = (self.folder / PARTS / str(index)).read_text(encoding="ascii").partition(" ")
            return Marker(etag, int(crc))
        except (FileNotFoundError, ValueError):
            return None

    def mark(self, index: int, checksums: Checksums) -> None:
        """Record that a part was received.

        Raises
        ------
        ConflictError
            It was received before, with different content.
        """
        marker = f"{checksums.etag} {checksums.crc}"
        try:
            write_atomically(self.folder / PARTS / str(index), marker, overwrite=False)
        except FileExistsError:
            self.require_same(index, checksums)

    def require_same(self, index: int, checksums: Checksums) -> None:
        """Refuse different content for a part that was received before.

        Raises
        ------
        ConflictError
            The content differs.
        """
        marker = self.marker(index)
        if marker is not None and marker.etag != checksums.etag:
            raise ConflictError(
                f"Part {index} was received before with different content.",
                hint="Start a new upload if the file has changed.",
                details={"etag": marker.etag},
            )

    def forget(self, parts: list[int]) -> None:
        """Mark parts as missing, so that they are sent again."""
        for index in parts:
            (self.folder / PARTS / str(index)).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the upload; it disappears at once by a rename."""
        gone = self.folder.with_name(f".gone-{uuid4().hex}")
        try:
            self.folder.rename(gone)
        except FileNotFoundError:
            return
        shutil.rmtree(gone, ignore_errors=True)

    def expires_at(self, hours: float) -> datetime:
        """Return when it is removed unless another part arrives."""
        return datetime.fromtimestamp(self.active_at() + hours * 3600, UTC)


def _reserve(path: Path, nbytes: int) -> None:
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(file.fileno(), 0, nbytes)
            except OSError as error:
                if error.errno not in _NO_FALLOCATE:
                    raise
            else:
                return
        file.truncate(nbytes)
