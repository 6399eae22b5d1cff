"""The reader that napari calls for MRC, TIFF and OME-Zarr."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from napari.utils.notifications import show_error

from cryomamba.errors import CryoMambaError
from cryomamba.volumes import images
from napari_cryomamba.layers.tomogram import open_tomogram

SUFFIXES = (".mrc", ".rec", ".map", ".st", ".ali")
COMPRESSED = (".gz", ".bz2")

LayerTuple = tuple[Any, dict[str, Any], str]
PathOrPaths = str | Sequence[str]


def is_tomogram_name(path: str) -> bool:
    """Whether a file name is that of an MRC file, compressed or not."""
    name = path.lower()
    for suffix in COMPRESSED:
        name = name.removesuffix(suffix)
    return name.endswith(SUFFIXES)


def is_volume_image(path: str) -> bool:
    """Whether a file of another format is a volume; sections and colour images are left to other plugins."""
    if not path.lower().rstrip("/\\").endswith((*images.SUFFIXES, *images.FOLDERS)):
        return False
    try:
        images.open_image(path).close()
    except CryoMambaError:
        return False
    return True


def get_reader(path: PathOrPaths) -> Callable[[PathOrPaths], list[Any]] | None:
    """Return the reader for tomograms, None for other files."""
    paths = [path] if isinstance(path, str) else list(path)
    return read if paths and all(is_tomogram_name(name) or is_volume_image(name) for name in paths) else None


def read(path: PathOrPaths) -> list[Any]:
    """Return one layer per file; only headers and a sample for the contrast are read.

    A file that is missing, damaged or unsupported makes no layer, and napari shows why.
    """
    paths = [path] if isinstance(path, str) else list(path)
    layers: list[Any] = []
    for name in paths:
        try:
            layers.append(open_tomogram(name).layer())
        except CryoMambaError as error:
            show_error(f"{error.message} {error.hint}".strip())
    # npe2's null layer: the files were read, but there is nothing to show.
    return layers or [(None,)]
