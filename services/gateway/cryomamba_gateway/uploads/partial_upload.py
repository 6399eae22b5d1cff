"""One unfinished upload on disk: a ticket, the data at their final offsets, and a marker for each part that is there.

The data file has its full size from the start, so a disk that has room at the beginning has it to the end. A marker
holds the part's checksums and appears by one atomic link when the part's last byte was written. It need not reach the
disk before the data: the checksums are compared with the data once more before the file is finished.
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
from cryomamba_gateway.uploads.plan import PartPlan

TICKET: Final = "ticket.json"
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
        """How the file is cut."""
        return PartPlan(self.total_size_bytes, self.chunk_size_bytes)


class Checksums:
    """SHA-256 and CRC-32 of a part while it passes by."""

    def __init__(self) -> None:
        self.nbytes = 0
        self.crc = 0
        self._sha = hashlib.sha256()

    def add(self, piece: bytes) -> None:
        """Take in the next bytes."""
        self.nbytes += len(piece)
        self.crc = zlib.crc32(piece, self.crc)
        self._sha.update(piece)

    @property
    def etag(self) -> str:
        """The SHA-256 so far."""
        return self._sha.hexdigest()


@dataclass(frozen=True, slots=True)
class Marker:
    """The checksums of a part that is there."""

    etag: str
    crc: int


class PartialUpload:
    """The folder of an unfinished upload. Methods block; any process may use it.

    Parameters
    ----------
    folder : Path
    ticket : Ticket
    """

    def __init__(self, folder: Path, ticket: UploadManifest) -> None:
        self.folder = folder
        self.ticket = ticket
        self.plan = ticket.plan

    @classmethod
    def create(cls, folder: Path, ticket: UploadManifest) -> PartialUpload:
        """Make the folder, whole or not at all, with room for all data.

        Raises
        ------
        UnavailableError
            ``insufficient_storage``: the disk is full.
        """
        with atomic_path(folder) as part:
            (part / PARTS).mkdir(parents=True)
            _reserve(part / DATA, ticket.total_size_bytes)
            write_atomically(part / TICKET, ticket.model_dump_json())
        return cls(folder, ticket)

    @classmethod
    def load(cls, folder: Path) -> PartialUpload | None:
        """Read a folder; None if it is not, or no longer, an upload."""
        try:
            return cls(folder, UploadManifest.model_validate_json((folder / TICKET).read_bytes()))
        except (OSError, ValidationError):
            return None

    @property
    def data(self) -> Path:
        """The data, complete or not."""
        return self.folder / DATA

    def active_at(self) -> float:
        """Return when the last part arrived, in seconds since 1970."""
        try:
            return max((self.folder / PARTS).stat().st_mtime, (self.folder / TICKET).stat().st_mtime)
        except OSError:
            return self.ticket.created_at.timestamp()

    def received(self) -> list[int]:
        """Return the numbers of the parts that are there."""
        try:
            names = [path.name for path in (self.folder / PARTS).iterdir()]
        except FileNotFoundError:
            return []
        return sorted(int(name) for name in names if name.isascii() and name.isdigit())

    def marker(self, index: int) -> Marker | None:
        """Return the checksums of a part, None if it is not there."""
        try:
            etag, _, crc = (self.folder / PARTS / str(index)).read_text(encoding="ascii").partition(" ")
            return Marker(etag, int(crc))
        except (FileNotFoundError, ValueError):
            return None

    def mark(self, index: int, checksums: Checksums) -> None:
        """Note that a part is there.

        Raises
        ------
        ConflictError
            It is there already, with other bytes.
        """
        marker = f"{checksums.etag} {checksums.crc}"
        try:
            # A marker that a power cut takes is no loss: the part is sent again.
            write_atomically(self.folder / PARTS / str(index), marker, durable=False, overwrite=False)
        except FileExistsError:
            self.require_same(index, checksums)

    def require_same(self, index: int, checksums: Checksums) -> None:
        """Refuse other bytes for a part that is there.

        Raises
        ------
        ConflictError
            They are others.
        """
        there = self.marker(index)
        if there is not None and there.etag != checksums.etag:
            raise ConflictError(
                f"Part {index} has been received with other bytes.",
                hint="Begin a new upload for a file that has changed.",
                details={"etag": there.etag},
            )

    def forget(self, parts: list[int]) -> None:
        """Take parts for missing, so that they are sent again."""
        for index in parts:
            (self.folder / PARTS / str(index)).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove everything; out of sight at once."""
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
