"""Where uploaded files lie in a data directory."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from cryomamba.errors import NotFoundError
from cryomamba.models.files import FileRecord, is_file_id

VOLUME: Final = "volume.mrc"
RECORD: Final = "file.json"


def uploaded_volume(uploads: Path, file_id: str) -> Path:
    """Return where the content of an uploaded file lies.

    Parameters
    ----------
    uploads : Path
        ``<home>/uploads`` of the server.

    Raises
    ------
    NotFoundError
        There is no such file.
    """
    path = uploads / "files" / file_id / VOLUME if is_file_id(file_id) else None
    if path is None or not path.is_file():
        raise no_such_file(file_id)
    return path


def read_record(folder: Path) -> FileRecord | None:
    """Return the record in an uploaded file's folder, None if there is none."""
    try:
        return FileRecord.model_validate_json((folder / RECORD).read_bytes())
    except (OSError, ValidationError):
        return None


def remove_upload(folder: Path) -> None:
    """Remove an uploaded file's folder, out of sight at once; content that another file has too stays there.

    Raises
    ------
    NotFoundError
        It is gone already.
    """
    gone = folder.with_name(f".gone-{uuid.uuid4().hex}")
    try:
        folder.rename(gone)
    except FileNotFoundError:
        raise no_such_file(folder.name) from None
    shutil.rmtree(gone, ignore_errors=True)


def no_such_file(file_id: str) -> NotFoundError:
    """Return the error for a file that is not there, or that is not the caller's."""
    return NotFoundError(f"There is no file '{file_id[:64]}'.", hint="GET /v1/files lists those that there are.")
