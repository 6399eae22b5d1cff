"""napari's way to our files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from napari.utils.notifications import show_error

from cryomamba.errors import CryoMambaError
from napari_cryomamba.layers.tomogram import open_tomogram

SUFFIXES = (".mrc", ".rec", ".map", ".st", ".ali")
PACKED = (".gz", ".bz2")

LayerTuple = tuple[Any, dict[str, Any], str]
PathOrPaths = str | Sequence[str]


def is_tomogram_name(path: str) -> bool:
    """Return whether a file name looks like an MRC file, packed or not."""
    name = path.lower()
    for suffix in PACKED:
        name = name.removesuffix(suffix)
    return name.endswith(SUFFIXES)


def get_reader(path: PathOrPaths) -> Callable[[PathOrPaths], list[Any]] | None:
    """Return the reader for files whose names are MRC's, None for others."""
    paths = [path] if isinstance(path, str) else list(path)
    return read if paths and all(is_tomogram_name(name) for name in paths) else None


def read(path: PathOrPaths) -> list[Any]:
    """Return one layer per file; nothing is read but headers and a sample for the contrast.

    A file that is missing, damaged or unsupported makes no layer; napari shows the sentence that says why.
    """
    paths = [path] if isinstance(path, str) else list(path)
    layers: list[Any] = []
    for name in paths:
        try:
            layers.append(open_tomogram(name).layer())
        except CryoMambaError as error:
            show_error(f"{error.message} {error.hint}".strip())
    # What npe2 takes for: read, but there is nothing to show.
    return layers or [(None,)]
