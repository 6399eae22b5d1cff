"""Files that only their owner may read, written atomically."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import sys
from pathlib import Path
from typing import Final

from cryomamba.atomic import write_atomically
from cryomamba.errors import ConflictError, InvalidRequestError
from cryomamba.system_errors import system_errors_translated

FILE_MAX_BYTES: Final = 64 * 1024


def write_private(path: Path, text: str) -> None:
    """Write a file with mode 0600, atomically and durably; its folder gets mode 0700 if it is new."""
    make_private_folder(path.parent)
    write_atomically(path, text, private=True)


def write_private_once(path: Path, text: str) -> None:
    """Write a file that must not exist yet, also if others try at the same moment.

    Raises
    ------
    ConflictError
        It is there.
    """
    make_private_folder(path.parent)
    try:
        write_atomically(path, text, private=True, overwrite=False)
    except FileExistsError:
        raise ConflictError(
            f"The file {path.name} already exists.", hint="Choose another name, or remove the file first."
        ) from None


def make_private_folder(folder: Path) -> None:
    """Make a folder that only its owner may enter; an existing one is left as it is."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def read_private(path: Path) -> str:
    """Read a file of secrets.

    Raises
    ------
    FileNotFoundError
        It is not there.
    InvalidRequestError
        Others can read it too, or it is far too long.
    UnavailableError
        Too many files are open at the moment: this says nothing about the file.
    """
    with system_errors_translated(), path.open(encoding="utf-8") as file:
        status = os.fstat(file.fileno())
        if sys.platform != "win32" and stat.S_IMODE(status.st_mode) & 0o077:
            raise InvalidRequestError(
                f"The key file {path.name} can be read by other people on this machine.",
                hint=f"Change its permissions: chmod 600 {path.name}.",
            )
        if status.st_size > FILE_MAX_BYTES:
            raise InvalidRequestError(f"The file {path.name} is not a key file.", hint="Create it again.")
        return file.read()


def read_or_make_secret(path: Path) -> bytes:
    """Return the secret in a file; a missing file is created with 48 random bytes."""
    try:
        return read_private(path).strip().encode()
    except FileNotFoundError:
        pass
    # Somebody else may be making it at this moment.
    with contextlib.suppress(ConflictError):
        write_private_once(path, secrets.token_urlsafe(48) + "\n")
    return read_private(path).strip().encode()
