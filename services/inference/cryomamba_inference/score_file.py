"""A temporary volume of scores on disk, written in blocks, so that memory does not grow with the volume."""

from __future__ import annotations

import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from cryomamba.engines.api import Slices
from cryomamba.geometry import Shape
from cryomamba.system_errors import disk_full_error

_ROWS_SHARE: Final = 1 / 16
"""Of a row: if a block has at least so much of each, its planes are written as whole rows, with what is beside it."""


class ScoreFile:
    """A volume of uint8 in a plain file, C order, zero where nothing was written; for one thread.

    Written with system calls rather than through a memory map, whose pages would count as resident memory, and which on
    a full disk kills the process instead of raising an error. Rows are not written one by one: that would take longer
    than everything else that is done with a finished tile.

    Parameters
    ----------
    path : Path
        Created, or emptied.
    shape : tuple of int
        ZYX.

    Raises
    ------
    UnavailableError
        ``insufficient_storage``: the disk is too full.
    """

    def __init__(self, path: Path, shape: Shape) -> None:
        nbytes = math.prod(shape)
        if shutil.disk_usage(path.parent).free < nbytes:
            raise disk_full_error(f"The disk is full: the scores of this volume need {nbytes:,} bytes.")
        self.shape = shape
        # Windows would translate line ends otherwise.
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)
        os.ftruncate(self._file, nbytes)

    def write(self, where: Slices, block: npt.NDArray[np.uint8]) -> None:
        """Write a block at its slices (step 1, within the volume)."""
        block = np.ascontiguousarray(block, np.uint8)
        _, height, width = self.shape
        z, y, x = where
        if x.stop - x.start == width or x.stop - x.start < _ROWS_SHARE * width:
            for offset, run in _runs(self.shape, where, block):
                self._write_at(run, offset)
            return
        for plane, part in enumerate(block, z.start):
            offset = (plane * height + y.start) * width
            rows = self._read_at(len(part) * width, offset).reshape(-1, width)
            rows[:, x] = part
            self._write_at(rows.reshape(-1), offset)

    def _read_at(self, nbytes: int, offset: int) -> npt.NDArray[np.uint8]:
        os.lseek(self._file, offset, os.SEEK_SET)
        parts, left = [], nbytes
        while left and (part := os.read(self._file, left)):
            parts.append(part)
            left -= len(part)
        return np.frombuffer(bytearray().join(parts), np.uint8)

    def _write_at(self, data: npt.NDArray[np.uint8], offset: int) -> None:
        os.lseek(self._file, offset, os.SEEK_SET)
        done = 0
        while done < data.size:
            done += os.write(self._file, data[done:].data)

    def close(self) -> None:
        """Close the file; idempotent."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class ScorePlanes:
    """Reads planes of a complete :class:`ScoreFile`; picklable, so that other processes can read too."""

    path: Path
    shape: Shape

    def __call__(self, z: slice) -> npt.NDArray[np.uint8]:
        """Read planes into a new array (z, y, x)."""
        _, height, width = self.shape
        return np.fromfile(
            self.path, np.uint8, (z.stop - z.start) * height * width, offset=z.start * height * width
        ).reshape(-1, height, width)


def _runs(shape: Shape, where: Slices, block: npt.NDArray[np.uint8]) -> list[tuple[int, npt.NDArray[np.uint8]]]:
    """Pair the file offset of each contiguous run of a block with that part of the block; as few runs as possible."""
    _, height, width = shape
    z, y, x = where
    planes, rows = range(z.start, z.stop), range(y.start, y.stop)
    if x.stop - x.start == width and y.stop - y.start == height:
        return [(z.start * height * width, block.reshape(-1))]
    if x.stop - x.start == width:
        return [((plane * height + y.start) * width, block[n].reshape(-1)) for n, plane in enumerate(planes)]
    return [
        ((plane * height + row) * width + x.start, block[n, m])
        for n, plane in enumerate(planes)
        for m, row in enumerate(rows)
    ]
