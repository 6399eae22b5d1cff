"""napari's way to our files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .tomogram import open_tomogram

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


def get_reader(path: PathOrPaths) -> Callable[[PathOrPaths], list[LayerTuple]] | None:
    """Return the reader for files whose names are MRC's, None for others."""
    paths = [path] if isinstance(path, str) else list(path)
    return read if paths and all(is_tomogram_name(name) for name in paths) else None


def read(path: PathOrPaths) -> list[LayerTuple]:
    """Return one layer per file; nothing is read but headers and a sample for the contrast.

    Raises
    ------
    VolumeError
        A file is missing, damaged or unsupported.
    """
    paths = [path] if isinstance(path, str) else list(path)
    return [open_tomogram(name).layer() for name in paths]
