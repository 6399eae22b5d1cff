"""Volumes that are open for reading over HTTP. Everything here blocks; for any thread."""

from __future__ import annotations

import hashlib
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Final

import numpy as np

from cryomamba.errors import ErrorCode, VolumeError
from cryomamba.volumes import FileVersion, LabelVolume, Volume, inspect, is_own_result, open_volume, verify_opened
from cryomamba.volumes.binning import Content
from cryomamba.volumes.exports.slabs import stored_dtype
from cryomamba.volumes.grid import Triple
from cryomamba.volumes.multiscale import levels_of
from cryomamba_gateway.volumes.contrast import contrast_limits
from cryomamba_gateway.volumes.hierarchy import CHUNK, Image
from cryomamba_gateway.volumes.level_file import LevelSource

# Each holds a descriptor.
OPEN_MAX: Final = 64
# Part of every ETag: a new way to make chunks makes other chunks of the same file.
_FORMAT: Final = f"3-{CHUNK}"
LARGE_NBYTES: Final = 512 << 20
"""Of larger volumes, coarser levels are made once and kept, and until then they are samples."""


@dataclass(frozen=True, slots=True)
class ImageSource:
    """Where an image is.

    Attributes
    ----------
    name : str
        For people.
    path : Path
    roots, closed : tuple of Path
        Directories in which it must be, and must not be, when it is opened.
    labels : bool
        Whether its voxels are labels.
    voxel_size_A : tuple of float, optional
        Å along z, y, x; replaces the header's.
    version : str
        State of the file when its job was submitted; empty if any will do.
    """

    name: str
    path: Path
    roots: tuple[Path, ...]
    closed: tuple[Path, ...] = ()
    labels: bool = False
    voxel_size_A: Triple | None = None
    version: str = ""


class OpenImage:
    """An open volume as an image; made by :class:`OpenImages`.

    Attributes
    ----------
    source : ImageSource
    content : Volume or LabelVolume
    image : Image
    key : str
        Stands for this state of the file, read in this way.
    levels_key : str
        The same without the voxel size, which changes no voxel.
    large : bool
    """

    def __init__(self, source: ImageSource, volume: Volume) -> None:
        self._volume = volume
        self.source = source
        self.content: Content = _labels_of(volume) if source.labels else volume
        self.image = Image(
            name=source.name,
            levels=levels_of(volume.shape),
            dtype=stored_dtype(self.content),
            voxel_size_A=volume.voxel_size_A,
            placement_A=volume.header.placement_A,
            labels=source.labels,
        )
        version = FileVersion.of(volume.fileno())
        self._stamp = version.size_bytes, version.mtime_ns or 0, version.inode or 0
        state = _FORMAT, version.to_text(), source.labels
        self.key, self.levels_key = _digest((*state, volume.voxel_size_A)), _digest(state)
        self.large = volume.header.data_nbytes > LARGE_NBYTES
        self.users = 0

    @cached_property
    def contrast_limits(self) -> tuple[float, float] | None:
        """Good limits for display, from a sample of the whole volume; None for labels."""
        return None if self.image.labels else contrast_limits(self._volume)

    @property
    def level_source(self) -> LevelSource:
        """The state of the file, for its coarser levels."""
        size, mtime, inode = self._stamp
        return LevelSource(path=str(self.source.path.absolute()), size_bytes=size, mtime_ns=mtime, inode=inode)

    def is_current(self) -> bool:
        """Whether the file at the path is still the one that was opened, unchanged."""
        try:
            now = self.source.path.stat()
        except OSError:
            return False
        return (now.st_size, now.st_mtime_ns, now.st_ino) == self._stamp

    def close(self) -> None:
        """Close the file."""
        self._volume.close()


class OpenImages:
    """Open images, each opened once for all readers; those used longest ago are closed.

    Parameters
    ----------
    most : int
        How many stay open.
    """

    def __init__(self, most: int = OPEN_MAX) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._open: OrderedDict[ImageSource, OpenImage] = OrderedDict()

    @contextmanager
    def lease(self, source: ImageSource) -> Iterator[OpenImage]:
        """Open an image, or take the open one, and keep it open meanwhile.

        Raises
        ------
        VolumeError
            It cannot be opened, is compressed, or is not the file for which its job was submitted.
        InvalidRequestError
            ``path_forbidden``.
        """
        found = self._take(source) or self._add(_open(source))
        try:
            yield found
        finally:
            with self._lock:
                found.users -= 1
                closing = not found.users and self._open.get(source) is not found
            if closing:
                found.close()

    def close(self) -> None:
        """Close all images that nobody reads; the others are closed after their present use."""
        with self._lock:
            idle = [image for image in self._open.values() if not image.users]
            self._open.clear()
        for image in idle:
            image.close()

    def _take(self, source: ImageSource) -> OpenImage | None:
        with self._lock:
            found = self._open.get(source)
            if found is None:
                return None
            if found.is_current():
                self._open.move_to_end(source)
                found.users += 1
                return found
            del self._open[source]
        if not found.users:
            found.close()
        return None

    def _add(self, image: OpenImage) -> OpenImage:
        with self._lock:
            image.users = 1
            replaced = self._open.pop(image.source, None)
            self._open[image.source] = image
            surplus = [] if replaced is None else [replaced]
            while len(self._open) > self._most:
                surplus.append(self._open.popitem(last=False)[1])
            idle = [one for one in surplus if not one.users]
        for one in idle:
            one.close()
        return image


def _digest(state: tuple[object, ...]) -> str:
    return hashlib.blake2b(repr(state).encode(), digest_size=12).hexdigest()


def _open(source: ImageSource) -> OpenImage:
    check = partial(_require_allowed, source)
    meta = inspect(source.path, check=check)
    if meta.compression is not None:
        raise VolumeError(
            f"{source.name} is compressed with {meta.compression}, so no part of it can be read by itself.",
            code=ErrorCode.VOLUME_UNSUPPORTED,
            hint="Decompress the file, for example with 'gunzip', and use that one.",
        )
    size = source.voxel_size_A if source.voxel_size_A != meta.voxel_size_A else None
    volume = open_volume(source.path, voxel_size_A=size, check=check)
    try:
        return OpenImage(source, volume)
    except BaseException:
        volume.close()
        raise


def _require_allowed(source: ImageSource, descriptor: int) -> None:
    verify_opened(descriptor, source.path, source.roots, closed=source.closed)
    version = FileVersion.from_text(source.version)
    if version is not None:
        version.require_same(FileVersion.of(descriptor), source.name, "after the job was submitted")


def _labels_of(volume: Volume) -> LabelVolume:
    """Return the labels of a mask. Those of CryoMamba are never below 0, so their voxels need not be read to know."""
    kind = np.dtype(volume.header.dtype).kind
    own = kind == "u" or (kind == "i" and is_own_result(volume.header.labels))
    return LabelVolume(volume, None) if own else LabelVolume.of(volume)


def is_readable(path: Path, nbytes: int) -> bool:
    """Whether a file of this size is on this machine's disk."""
    try:
        found = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == nbytes
