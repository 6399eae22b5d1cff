"""Uploaded files."""

from __future__ import annotations

import re
import uuid
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import AliasChoices, Field, StringConstraints, field_validator

from cryomamba.models.base import Record, Request
from cryomamba.models.jobs import NAME_MAX
from cryomamba.printable import without_unprintable
from cryomamba.volumes.metadata import VolumeMeta

CHUNK_MIN: Final = 1024
CHUNK_MAX: Final = 1024**3
PARTS_MAX: Final = 10_000
# A power of ten is the same number in JSON; one of two is rounded up there by some programs.
SIZE_MAX: Final = 10**18

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def label_of(filename: str) -> str:
    """Return a client's file name as a label: its last part, printable, at most 200 characters; never a path."""
    last = re.split(r"[/\\]", filename)[-1]
    return without_unprintable(last.encode("utf-8", "replace").decode())[:NAME_MAX].strip() or "volume"


class UploadRequest(Request):
    """A file to be uploaded.

    Attributes
    ----------
    filename : str
        Shown to people; folders in it are dropped.
    total_size_bytes : int
        May be written as ``total_size``.
    chunk_size_bytes : int, optional
        Requested size of the parts; may be written as ``chunk_size``. The server chooses where none is given, or where
        there would be more than 10,000 parts.
    sha256 : str, optional
        Of the whole file; with it, an interrupted upload is found again and a known file is not sent twice.
    metadata : dict, optional
        Accepted and ignored.
    """

    filename: Annotated[str, StringConstraints(min_length=1, max_length=1024)]
    total_size_bytes: int = Field(
        ge=1, le=SIZE_MAX, validation_alias=AliasChoices("total_size_bytes", "total_size"), description="Of the file."
    )
    chunk_size_bytes: int | None = Field(
        None,
        ge=CHUNK_MIN,
        le=CHUNK_MAX,
        validation_alias=AliasChoices("chunk_size_bytes", "chunk_size"),
        description="Requested size of the parts.",
    )
    sha256: Sha256 | None = None
    metadata: dict[str, Any] | None = None

    @field_validator("sha256", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value


class FileRecord(Record):
    """A finished upload.

    Attributes
    ----------
    file_id : str
        Its id in a job's volume.
    filename : str
        The client's label.
    size_bytes : int
    sha256 : str
    metadata : VolumeMeta
        From its header.
    owner : str
        The owner of the token; empty on an open server.
    created_at : datetime
    """

    file_id: str
    filename: str
    size_bytes: int = Field(ge=0)
    sha256: Sha256
    metadata: VolumeMeta
    owner: str = ""
    created_at: datetime


class UploadStatus(Record):
    """The progress of an upload.

    Attributes
    ----------
    upload_id, filename : str
    total_size_bytes, chunk_size_bytes, part_count : int
        Every part but the last has the size of a chunk; parts count from 0.
    received_parts : tuple of int
        Parts that have arrived and need not be sent again.
    received_bytes : int
    chunk_urls : tuple of str
        URL of each part; only in the reply that begins an upload.
    expires_at : datetime
        When it is removed unless another part arrives.
    file : FileRecord or None
        The finished file.
    """

    upload_id: str
    filename: str
    total_size_bytes: int
    chunk_size_bytes: int
    part_count: int
    received_parts: tuple[int, ...] = ()
    received_bytes: int = 0
    chunk_urls: tuple[str, ...] = ()
    expires_at: datetime
    file: FileRecord | None = None

    def part_size(self, index: int) -> int:
        """Return how many bytes a part has."""
        return min(self.chunk_size_bytes, self.total_size_bytes - index * self.chunk_size_bytes)


class PartReceipt(Record):
    """A part that has arrived; `etag` is its SHA-256."""

    upload_id: str
    part_number: int
    received_bytes: int
    etag: str


class FileList(Record):
    """Finished uploads, newest first."""

    files: tuple[FileRecord, ...]


def is_file_id(text: str) -> bool:
    """Whether a text is an id of an upload or file; only such a text may become part of a path."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
