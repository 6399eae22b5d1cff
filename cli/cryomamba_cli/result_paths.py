"""Paths of results: ``<tomogram>__<feature>.mrc``, and never over an existing file."""

from __future__ import annotations

from pathlib import Path

from cryomamba.errors import ConflictError, InvalidRequestError
from cryomamba.file_names import is_volume, stem


def result_path(tomogram: Path, feature: str) -> Path:
    """Return the path of a result in the folder of its tomogram: ``<tomogram>__<feature>.mrc``."""
    return tomogram.with_name(f"{stem(tomogram)}__{feature}.mrc")


def mask_path(tomogram: Path, out: Path | None, engine: str) -> Path:
    """Return the path of a mask: `out`, or the usual name in the folder `out`, by default the current one.

    Raises
    ------
    InvalidRequestError
        `out` is not the name of an MRC file.
    """
    if out is not None and not out.is_dir():
        if not is_volume(out):
            raise InvalidRequestError(
                f"'{out}' is neither a folder nor the name of an MRC file.",
                hint="Give an existing folder, or a name that ends in .mrc; 'cryomamba export' writes other formats.",
            )
        return out
    return (out or Path()) / result_path(tomogram, engine).name


def require_absent(path: Path, *, force: bool) -> None:
    """Refuse an output path where a file exists, or where there is no folder for it.

    Raises
    ------
    ConflictError
        The file exists and `force` is not set.
    InvalidRequestError
        The folder does not exist, or the path is a folder.
    """
    if path.suffix == ".zarr" and path.is_dir() and force:
        return
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else "is in a folder that does not exist"
        raise InvalidRequestError(f"'{path}' {what}.", hint="Give the name of a file in an existing folder.")
    if path.exists() and not force:
        raise ConflictError(f"'{path}' exists already.", hint="Choose another name, or overwrite it with --force.")
