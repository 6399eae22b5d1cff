"""Confine paths given by clients to the allowed input directories."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from cryomamba.errors import ErrorCode, InvalidRequestError, NotFoundError, VolumeError


def resolve_below(path: str | os.PathLike[str], roots: Sequence[Path], *, closed: Sequence[Path] = ()) -> Path:
    """Return the real path of a file in one of the allowed directories.

    Symbolic links are resolved first, so a link that leads outside is refused like any other path. A relative path is
    tried in each allowed directory in turn.

    Parameters
    ----------
    path : path-like
        As given by the client.
    roots : sequence of Path
        Allowed input directories.
    closed : sequence of Path
        Directories from which nothing may be read, even within an allowed one: the server's own files.

    Raises
    ------
    InvalidRequestError
        ``path_forbidden``: outside all allowed directories, or in a closed one. The error does not reveal whether the
        file exists.
    VolumeError
        ``volume_not_found``: no allowed directory has such a file; ``volume_unreadable``: it is a folder or a device.
    """
    text = os.fspath(path)
    inside = _inside(text, roots, closed)
    for real in inside:
        if _is_file(real):
            return real
    if any(os.path.exists(real) for real in inside):  # noqa: PTH110 (a name that is too long is not an error here)
        raise VolumeError(f"{Path(text).name} is not a file.", hint="Choose the tomogram file itself.")
    raise VolumeError(
        f"There is no file {Path(text).name}.",
        code=ErrorCode.VOLUME_NOT_FOUND,
        hint="Check the spelling and that the server can access that folder.",
    )


def resolve_folder(path: str | os.PathLike[str], roots: Sequence[Path], *, closed: Sequence[Path] = ()) -> Path:
    """Return the real path of an allowed directory or of one below it, as :func:`resolve_below` does for a file.

    Raises
    ------
    InvalidRequestError
        ``path_forbidden``: outside all allowed directories, or in a closed one. The error does not reveal whether the
        folder exists.
    NotFoundError
        No allowed directory has such a folder.
    """
    text = os.fspath(path)
    for real in _inside(text, roots, closed):
        # A name that is too long is not an error here.
        if os.path.isdir(real):  # noqa: PTH112
            return real
    raise NotFoundError(
        f"There is no folder {Path(text).name}.", hint="It may have been renamed or removed; list the folder above it."
    )


def verify_opened(fileno: int, path: Path, roots: Sequence[Path], *, closed: Sequence[Path] = ()) -> None:
    """Check that an open file is the one that :func:`resolve_below` returned and is still allowed.

    This catches a file that was replaced with a link between resolving and opening.

    Raises
    ------
    InvalidRequestError
        ``path_forbidden``: it is a different file.
    """
    opened = os.fstat(fileno)
    now = resolve_below(path, roots, closed=closed).stat()
    if not stat.S_ISREG(opened.st_mode) or not os.path.samestat(opened, now):
        raise _forbidden(path.name)


def _inside(text: str, roots: Sequence[Path], closed: Sequence[Path]) -> list[Path]:
    """Return the real paths that a path stands for and that are allowed; at least one."""
    if not text or "\0" in text:
        raise _forbidden(text)
    real_roots = [Path(os.path.realpath(root)) for root in roots]
    candidates = [Path(text)] if Path(text).is_absolute() else [root / text for root in real_roots]
    closed_folders = [Path(os.path.realpath(folder)) for folder in closed]
    inside = [
        real
        for real in map(_real, candidates)
        if any(real.is_relative_to(root) for root in real_roots)
        and not any(real.is_relative_to(folder) for folder in closed_folders)
    ]
    if not inside:
        raise _forbidden(text)
    return inside


def _real(path: Path) -> Path:
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError) as error:
        raise _forbidden(path.name) from error


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _forbidden(text: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"The path {Path(text).name if text else '(empty)'} is not in an allowed input directory.",
        code=ErrorCode.PATH_FORBIDDEN,
        hint="Upload the file, or move it into one of the allowed input directories (CRYOMAMBA_ROOTS) of the server.",
    )
