"""Tomograms of other formats, written as MRC for the engines, which read nothing else."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryomamba.settings import load_settings
from cryomamba.volumes.images import ImageVolume, is_url
from napari_cryomamba.models.source import Source

KEPT_S: Final = 30 * 24 * 3600
"""How long after its last use a file is kept."""
_ENDINGS: Final = re.compile(r"(\.ome)?\.(zarr|tiff?)$", re.IGNORECASE)


def conversion_path(image: ImageVolume, location: str = "") -> Path:
    """Return where an image is written as MRC: the same file as long as what is at its location does not change."""
    name = _ENDINGS.sub("", image.meta.name) or "volume"
    return load_settings().home / "converted" / _key(location) / f"{re.sub(r'[^0-9A-Za-z._-]+', '-', name)}.mrc"


def needs_conversion(source: Source) -> bool:
    """Whether a tomogram has to be written as MRC before a job can use it."""
    return source.image is not None and not source.path.is_file()


def convert(source: Source, progress: Callable[[float], None]) -> None:
    """Write a tomogram as MRC in constant memory, and delete those that were not used for 30 days.

    Raises
    ------
    UnavailableError
        The disk is full.
    VolumeError
        The voxels cannot be read.
    """
    path = source.path
    path.parent.mkdir(parents=True, exist_ok=True)
    for folder in path.parents[1].iterdir():
        if folder != path.parent and folder.stat().st_mtime < time.time() - KEPT_S:
            shutil.rmtree(folder, ignore_errors=True)
    if source.image is not None:
        source.image.write_mrc(path, progress=progress)


def _key(location: str) -> str:
    if not location or is_url(location):
        return uuid.uuid4().hex[:16]
    path = Path(location)
    files = [Path(parent, name) for parent, _, names in os.walk(path) for name in names] if path.is_dir() else [path]
    states = [file.stat() for file in files]
    facts = (location, sum(state.st_size for state in states), max((state.st_mtime_ns for state in states), default=0))
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
