"""Finished uploads in a data directory: ``uploads/files/<file id>`` with the volume and its record."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from cryomamba.errors import NotFoundError
from cryomamba.models.files import FileRecord, is_file_id
from cryomamba.system_errors import system_errors_translated

VOLUME: Final = "volume.mrc"
RECORD: Final = "file.json"


def uploaded_volume(uploads: Path, file_id: str) -> Path:
    """Return the path of an uploaded volume.

    Parameters
    ----------
    uploads : Path
        Folder ``uploads`` of the data directory.
    file_id : str

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
    """Return the record in the folder of an upload, None if there is none.

    Raises
    ------
    UnavailableError
        Too many files are open at the moment, or the disk fails.
    """
    try:
        with system_errors_translated():
            return FileRecord.model_validate_json((folder / RECORD).read_bytes())
    except (OSError, ValidationError):
        return None


def remove_upload(folder: Path) -> None:
    """Remove the folder of an upload; no reader sees half of it. Content that other uploads share stays there.

    Raises
    ------
    NotFoundError
        It has been removed already.
    """
    hidden = folder.with_name(f".gone-{uuid.uuid4().hex}")
    try:
        folder.rename(hidden)
    except FileNotFoundError:
        raise no_such_file(folder.name) from None
    shutil.rmtree(hidden, ignore_errors=True)


def no_such_file(file_id: str) -> NotFoundError:
    """Return the error for a file that does not exist or belongs to another owner: nobody can tell which."""
    return NotFoundError(f"There is no file '{file_id[:64]}'.", hint="Check the file id, or upload the file again.")
