"""Where results go: ``<tomogram>__<feature>.mrc``, and never over a file that is there."""

from __future__ import annotations

from pathlib import Path

from cryomamba.errors import ConflictError, InvalidRequestError
from cryomamba.file_names import is_volume, stem

__all__ = ["beside", "is_volume", "mask_path", "require_free", "stem"]


def beside(path: Path, feature: str) -> Path:
    """Return the name of something found in a tomogram, in the tomogram's folder: ``<tomogram>__<feature>.mrc``."""
    return path.with_name(f"{stem(path)}__{feature}.mrc")


def mask_path(tomogram: Path, out: Path | None, engine: str) -> Path:
    """Return where a mask goes: as asked for, or under the usual name in a folder, by default the working one."""
    if out is not None and not out.is_dir():
        return out
    return (out or Path()) / beside(tomogram, engine).name


def require_free(path: Path, *, force: bool) -> None:
    """Refuse to write where a file is, or where there is no folder.

    Raises
    ------
    ConflictError
        The file exists and `force` is not set.
    InvalidRequestError
        The folder does not exist, or the name is a folder.
    """
    if path.suffix == ".zarr" and path.is_dir() and force:
        return
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else "lies in a folder that does not exist"
        raise InvalidRequestError(f"'{path}' {what}.", hint="Give the name of a file in a folder that exists.")
    if path.exists() and not force:
        raise ConflictError(f"'{path}' exists already.", hint="Choose another name with -o, or overwrite with --force.")
