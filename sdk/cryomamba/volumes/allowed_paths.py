"""Paths that a client names are confined to allowed folders."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from cryomamba.errors import ErrorCode, InvalidRequestError, VolumeError


def resolve_below(path: str | os.PathLike[str], roots: Sequence[Path], *, closed: Sequence[Path] = ()) -> Path:
    """Return the real path of a file below one of the roots.

    Links are followed first, so a link that leads out of the roots is refused like any path outside. A relative
    path is looked for below each root in turn.

    Parameters
    ----------
    path : path-like
        As the client gave it.
    roots : sequence of Path
        Allowed folders.
    closed : sequence of Path
        Folders from which nothing may be read, wherever they lie: those in which a server keeps what is not for all.

    Raises
    ------
    InvalidRequestError
        ``path_forbidden``: outside of every root, in a closed folder, or no root is allowed. It does not tell whether
        the file exists.
    VolumeError
        ``volume_not_found``: below a root, but there is nothing; ``volume_unreadable``: a folder or a device.
    """
    text = os.fspath(path)
    if not text or "\0" in text:
        raise _forbidden(text)
    real_roots = [Path(os.path.realpath(root)) for root in roots]
    candidates = [Path(text)] if Path(text).is_absolute() else [root / text for root in real_roots]
    barred = [Path(os.path.realpath(folder)) for folder in closed]
    inside = [
        real
        for real in map(_real, candidates)
        if any(real.is_relative_to(root) for root in real_roots)
        and not any(real.is_relative_to(folder) for folder in barred)
    ]
    if not inside:
        raise _forbidden(text)
    for real in inside:
        if _is_file(real):
            return real
    if any(os.path.exists(real) for real in inside):  # noqa: PTH110 (a name too long is no error here)
        raise VolumeError(f"{Path(text).name} is not a file.", hint="Name the tomogram itself.")
    raise VolumeError(
        f"There is no file {Path(text).name}.",
        code=ErrorCode.VOLUME_NOT_FOUND,
        hint="Look at the spelling and whether the machine that reads it sees the same folder.",
    )


def verify_opened(fileno: int, path: Path, roots: Sequence[Path], *, closed: Sequence[Path] = ()) -> None:
    """Check that the open file is the one that was resolved, and that it still lies below a root and is not closed.

    Between :func:`resolve_below` and opening, a link could have been put in its place.

    Raises
    ------
    InvalidRequestError
        ``path_forbidden``: it is another file.
    """
    opened = os.fstat(fileno)
    now = resolve_below(path, roots, closed=closed).stat()
    if not stat.S_ISREG(opened.st_mode) or not os.path.samestat(opened, now):
        raise _forbidden(path.name)


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
        f"The path {Path(text).name if text else '(empty)'} is not below a folder that may be read.",
        code=ErrorCode.PATH_FORBIDDEN,
        hint="Put the file below one of the folders in CRYOMAMBA_ROOTS on the machine that reads it, or upload it.",
    )
