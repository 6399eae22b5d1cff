"""The coarser levels of a large volume in one file: made by one pass through it, then read a part at a time.

The file begins with a line of JSON in a block of its own, which says of which state of which file it is. Then come the
chunks of level 1, level 2 and so on, in C order of their positions, each as it is sent. Only programs of this version
read it, and it is never changed once it has its name.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from cryomamba.atomic import AtomicFile
from cryomamba.volumes.binning import Content
from cryomamba.volumes.halving import halved
from cryomamba.volumes.multiscale import Level
from cryomamba_gateway.volumes.hierarchy import Image, Index, chunk_shape

HEAD_NBYTES: Final = 4096

Chunks = NDArray[Any]
"""The chunks of a level: three axes for their positions, three for the voxels in a chunk."""


class LevelSource(BaseModel):
    """Of which file the levels are.

    Attributes
    ----------
    path : str
    size_bytes, mtime_ns, inode : int
        Its state.
    """

    model_config = ConfigDict(frozen=True)

    path: str
    size_bytes: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the present state of a file."""
        now = path.stat()
        return cls(path=str(path), size_bytes=now.st_size, mtime_ns=now.st_mtime_ns, inode=now.st_ino)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read the head of a file of levels; None if it has none."""
        try:
            with path.open("rb") as file:
                return cls.model_validate_json(file.read(HEAD_NBYTES).partition(b"\n")[0])
        except (OSError, ValidationError):
            return None

    def is_current(self) -> bool:
        """Whether the file is still there, unchanged."""
        try:
            return LevelSource.of(Path(self.path)) == self
        except OSError:
            return False

    def head(self) -> bytes:
        """Return the first block of a file of levels."""
        line = self.model_dump_json().encode() + b"\n"
        if len(line) > HEAD_NBYTES:
            raise ValueError("the path is too long to be written down")
        return line.ljust(HEAD_NBYTES)


class LevelFile:
    """An open file of levels. What is read across it is mapped into memory meanwhile: nobody truncates such a file.

    Parameters
    ----------
    path : Path
    image : Image
        Of the volume.
    """

    def __init__(self, path: Path, image: Image) -> None:
        self._image = image
        self._file = path.open("rb", buffering=0)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def chunk(self, number: int, index: Index) -> NDArray[Any]:
        """Return the voxels of a chunk."""
        grid = _grid(self._image.levels[number])
        found: NDArray[Any] = np.empty(grid[3:], self._image.dtype)
        self._file.seek(_offset(self._image, number) + int(np.ravel_multi_index(index, grid[:3])) * found.nbytes)
        view = found.reshape(-1).view(np.uint8).data
        while view:
            count = self._file.readinto(view)
            if not count:
                raise OSError("the file of levels is shorter than it should be")
            view = view[count:]
        return found

    def planes(self, number: int, along: int, slab: slice) -> Iterator[NDArray[Any]]:
        """Yield the planes of a level that are perpendicular to an axis."""
        chunks, level = _mapped(self._file, self._image, number), self._image.levels[number]
        sides = [side for axis, side in enumerate(level.shape) if axis != along]
        for n in range(*slab.indices(level.shape[along])):
            position, inside = divmod(n, chunks.shape[3 + along])
            index: list[int | slice] = [slice(None)] * 6
            index[along], index[3 + along] = position, inside
            yield _joined(chunks[tuple(index)])[: sides[0], : sides[1]]


def levels_nbytes(image: Image) -> int:
    """Return the size of the file of levels of an image."""
    return HEAD_NBYTES + sum(math.prod(_grid(level)) for level in image.levels[1:]) * image.dtype.itemsize


def write_levels(
    content: Content, image: Image, source: LevelSource, path: Path, check: Callable[[], None] = lambda: None
) -> None:
    """Make the levels of a volume, each from the next finer one; memory is bounded by 128 rows of 64 sections.

    Parameters
    ----------
    content : Volume or LabelVolume
        Open.
    image : Image
    source : LevelSource
        The state of its file.
    path : Path
        Gets its content in one step, at the end.
    check : callable
        Called many times a second; an exception from it ends the work.

    Raises
    ------
    VolumeError
        ``volume_changed``.
    UnavailableError
        ``insufficient_storage``.
    """
    with AtomicFile(path, levels_nbytes(image), durable=False, private=True) as new:
        new.file.seek(0)
        new.file.write(source.head())
        for number in range(1, len(image.levels)):
            finer = image.levels[number - 1]
            read = _volume_rows(content) if number == 1 else _chunk_rows(_mapped(new.file, image, number - 1), finer)
            new.file.seek(_offset(image, number))
            for row in _rows_of_chunks(read, image, number, check):
                # A write of less than all of it is an error of the disk that the next one reports.
                view = row.reshape(-1).view(np.uint8).data
                while view:
                    view = view[new.file.write(view) or 0 :]


ReadRows = Callable[[slice, slice], NDArray[Any]]
"""Return whole rows of a volume or level: sections and rows as slices."""


def _volume_rows(content: Content) -> ReadRows:
    return lambda z, y: np.asarray(content.read_native(z, y, slice(None)))


def _chunk_rows(chunks: Chunks, level: Level) -> ReadRows:
    def read(z: slice, y: slice) -> NDArray[Any]:
        first, last = y.start // chunks.shape[4], -(-y.stop // chunks.shape[4])
        skipped = first * chunks.shape[4]
        planes = []
        for n in range(z.start, z.stop):
            position, inside = divmod(n, chunks.shape[3])
            plane = _joined(chunks[position, first:last, :, inside])
            planes.append(plane[y.start - skipped : y.stop - skipped, : level.shape[2]])
        return np.stack(planes)

    return read


def _rows_of_chunks(read: ReadRows, image: Image, number: int, check: Callable[[], None]) -> Iterator[Chunks]:
    """Yield the chunks of a level, all that lie side by side along x at once."""
    level, finer = image.levels[number], image.levels[number - 1]
    steps = [coarse // fine for coarse, fine in zip(level.factors, finer.factors, strict=True)]
    deep, high, wide = chunk_shape(level)
    count = -(-level.shape[2] // wide)
    for z in range(0, level.shape[0], deep):
        for y in range(0, level.shape[1], high):
            row = np.zeros((count, deep, high, wide), image.dtype)
            rows = slice(y * steps[1], min((y + high) * steps[1], finer.shape[1]))
            for n in range(min(deep, level.shape[0] - z)):
                check()
                section = (z + n) * steps[0]
                block = read(slice(section, min(section + steps[0], finer.shape[0])), rows)
                plane = halved(block.astype(image.dtype, copy=False), steps, labels=image.labels)[0]
                for x in range(count):
                    part = plane[:, x * wide : (x + 1) * wide]
                    row[x, n, : part.shape[0], : part.shape[1]] = part
            yield row


def _joined(plane: NDArray[Any]) -> NDArray[Any]:
    """Return the rows and columns of a plane that is in parts, with the padding at their ends."""
    rows, columns, height, width = plane.shape
    return plane.transpose(0, 2, 1, 3).reshape(rows * height, columns * width)


def _grid(level: Level) -> tuple[int, ...]:
    shape = chunk_shape(level)
    return *(-(-side // each) for side, each in zip(level.shape, shape, strict=True)), *shape


def _offset(image: Image, number: int) -> int:
    return HEAD_NBYTES + sum(math.prod(_grid(level)) for level in image.levels[1:number]) * image.dtype.itemsize


def _mapped(file: io.FileIO, image: Image, number: int) -> Chunks:
    # The cast is for the type's sake: NumPy takes every file that has a descriptor.
    return np.memmap(cast("BinaryIO", file), image.dtype, "r", _offset(image, number), _grid(image.levels[number]))
