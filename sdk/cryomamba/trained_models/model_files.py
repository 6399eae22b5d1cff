"""The files of a model: each lies inside its folder, and their content has one checksum."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Final

FILE_MAX: Final = 16 * 1024**3
"""Bytes of the largest file of a model."""
SIDECAR_MAX: Final = 256 * 1024
"""Bytes of the largest sidecar."""
_CHUNK: Final = 1024**2


def path_problem(folder: Path, name: str) -> str:
    """Return why a file of a description cannot be used, in words; empty if it can.

    The name is relative, with ``/`` between folders, and leads to a regular file inside the folder, also by links.
    """
    pure = PurePosixPath(name)
    if "://" in name:
        return f"'{name}' is an address; download the file into the folder and give its name"
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or ":" in name or "\0" in name:
        return f"'{name}' is not a path inside the folder of the model"
    path = folder / pure
    try:
        status = path.stat()
        inside = path.resolve().is_relative_to(folder.resolve())
    except OSError:
        return f"there is no file '{name}'"
    if not inside:
        return f"'{name}' is a link out of the folder of the model"
    if not stat.S_ISREG(status.st_mode):
        return f"'{name}' is not a file"
    if status.st_size > FILE_MAX:
        return f"'{name}' is larger than {FILE_MAX / 1024**3:.0f} GiB"
    return "" if status.st_size else f"'{name}' is empty"


def content_sha256(folder: Path, names: Iterable[str], check: Callable[[], None] = lambda: None) -> str:
    """Return one checksum for files of a folder: SHA-256 over the lines ``<sha256 of the file>  <name>``, sorted.

    It depends on names and content alone, and is that of ``sha256sum NAMES | sort -k 2 | sha256sum``.

    Parameters
    ----------
    check : callable
        Called often; raises to stop.
    """
    whole = hashlib.sha256()
    for name in sorted(set(names)):
        whole.update(f"{file_sha256(folder / name, check)}  {name}\n".encode())
    return whole.hexdigest()


def file_sha256(path: Path, check: Callable[[], None] = lambda: None) -> str:
    """Return the SHA-256 of a file; `check` as for :func:`content_sha256`."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            check()
    return digest.hexdigest()
