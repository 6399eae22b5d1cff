"""A scratch volume on disk, written and read in blocks: what a job's scores lie in, so that memory stays flat."""

from __future__ import annotations

import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from cryomamba.engines.api import Slices
from cryomamba.errors import ErrorCode, UnavailableError
from cryomamba.geometry import Shape


class ScoreFile:
    """A volume of uint8 in a plain file, C order, zero where nothing was written.

    Positioned writes rather than a memory map: its pages would count as resident memory, and a full disk would kill
    the process instead of raising an error.

    Parameters
    ----------
    path : Path
        Created, or emptied.
    shape : tuple of int
        ZYX.

    Raises
    ------
    UnavailableError
        ``insufficient_storage``: the disk has no room for it.
    """

    def __init__(self, path: Path, shape: Shape) -> None:
        nbytes = math.prod(shape)
        if shutil.disk_usage(path.parent).free < nbytes:
            raise UnavailableError(
                "The work folder has no room for the scores of this volume.",
                code=ErrorCode.INSUFFICIENT_STORAGE,
                hint=f"Free {nbytes / 1e9:.1f} GB there, or set CRYOMAMBA_HOME to a larger disk.",
            )
        self.shape = shape
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.ftruncate(self._file, nbytes)

    def write(self, where: Slices, block: npt.NDArray[np.uint8]) -> None:
        """Write a block at its slices (step 1, within the volume)."""
        block = np.ascontiguousarray(block, np.uint8)
        for offset, run in _runs(self.shape, where, block):
            done = 0
            while done < run.size:
                done += os.pwrite(self._file, run[done:].data, offset + done)

    def read(self, where: Slices) -> npt.NDArray[np.uint8]:
        """Read the block at slices (step 1, within the volume) into a fresh array."""
        block = np.empty([index.stop - index.start for index in where], np.uint8)
        for offset, run in _runs(self.shape, where, block):
            done = 0
            while done < run.size:
                count = os.preadv(self._file, [run[done:].data], offset + done)
                if not count:
                    raise OSError("a scratch file became shorter while it was in use")
                done += count
        return block

    def close(self) -> None:
        """Close the file; twice is no error."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Planes:
    """Reads whole planes of a finished :class:`ScoreFile`, in this process or pickled into another."""

    path: Path
    shape: Shape

    def __call__(self, z: slice) -> npt.NDArray[np.uint8]:
        """Read planes into a fresh array (z, y, x)."""
        _, height, width = self.shape
        return np.fromfile(
            self.path, np.uint8, (z.stop - z.start) * height * width, offset=z.start * height * width
        ).reshape(-1, height, width)


def _runs(shape: Shape, where: Slices, block: npt.NDArray[np.uint8]) -> list[tuple[int, npt.NDArray[np.uint8]]]:
    """Pair each stretch of the file that a block covers with the stretch of the block, as few as possible."""
    _, height, width = shape
    z, y, x = where
    if x.stop - x.start == width and y.stop - y.start == height:
        return [(z.start * height * width, block.reshape(-1))]
    if x.stop - x.start == width:
        return [((plane * height + y.start) * width, block[n].reshape(-1)) for n, plane in enumerate(_range(z))]
    return [
        ((plane * height + row) * width + x.start, block[n, m])
        for n, plane in enumerate(_range(z))
        for m, row in enumerate(_range(y))
    ]


def _range(index: slice) -> range:
    return range(index.start, index.stop)
