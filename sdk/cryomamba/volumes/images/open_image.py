"""Open a volume of another format than MRC, by the ending of its name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cryomamba.errors import ErrorCode, VolumeError
from cryomamba.printable import file_text
from cryomamba.volumes.images.image_volume import ImageVolume
from cryomamba.volumes.images.ome_zarr import open_ome_zarr
from cryomamba.volumes.images.tiff import open_tiff

SUFFIXES: Final = (".tif", ".tiff")
"""Of TIFF, in all its variants."""
FOLDERS: Final = (".zarr",)
"""Of OME-Zarr."""

_URLS: Final = ("http://", "https://")
_ZARR_FILES: Final = ("zarr.json", ".zgroup", ".zattrs")


def is_url(location: str | os.PathLike[str]) -> bool:
    """Whether a location is an address and not a path."""
    return os.fspath(location).lower().startswith(_URLS)


def is_image(location: str | os.PathLike[str]) -> bool:
    """Whether :func:`open_image` is for this: a TIFF file, a Zarr folder, or an address."""
    name = os.fspath(location)
    if is_url(name) or name.lower().endswith(SUFFIXES):
        return True
    path = Path(name)
    return path.is_dir() and (name.lower().rstrip("/\\").endswith(FOLDERS) or _holds_zarr(path))


def _holds_zarr(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _ZARR_FILES)


def open_image(location: str | os.PathLike[str], *, headers: Mapping[str, str] | None = None) -> ImageVolume:
    """Open a TIFF file, or an OME-Zarr image in a folder or on a web server, without reading its voxels.

    Parameters
    ----------
    location : path-like or str
        A path, or an address that begins with ``http://`` or ``https://``.
    headers : mapping, optional
        Sent with each request to a web server, for example a token.

    Raises
    ------
    VolumeError
        ``volume_not_found``, ``volume_unreadable`` or ``volume_unsupported``; the message names the file.
    InvalidRequestError
        ``engine_unavailable``: tifffile or zarr is not installed.
    """
    if is_url(location):
        return open_ome_zarr(os.fspath(location), headers=headers)
    path = Path(location)
    if not path.exists():
        raise VolumeError(
            f"There is no file {file_text(path.name)}.",
            code=ErrorCode.VOLUME_NOT_FOUND,
            hint="Check the spelling, and that this computer can access the folder.",
        )
    return open_ome_zarr(path) if path.is_dir() else open_tiff(path)
