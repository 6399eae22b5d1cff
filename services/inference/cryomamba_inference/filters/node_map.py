"""The nodes of a whole volume on disk, so that memory does not grow with the volume."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]


class NodeMap:
    """A float32 array in a file without a name: it is gone with its last user, however that ends.

    Pickled for another process of this machine, it is the same array there, as long as its maker lives.

    Parameters
    ----------
    shape : tuple of int
        ZYX.
    folder : Path or None
        Where the file lies; None for the system's folder for such files.
    """

    def __init__(self, shape: tuple[int, ...], folder: Path | None = None) -> None:
        with tempfile.TemporaryFile(dir=folder) as file:
            _reserve(file.fileno(), int(np.prod(shape)) * 4)
            self._descriptor = os.dup(file.fileno())
            self.array: Field = np.memmap(file, np.float32, "r+", shape=shape)

    def __del__(self) -> None:
        os.close(self._descriptor)

    def __reduce__(self) -> tuple[Any, ...]:
        if sys.platform == "linux":
            return _attach, (f"/proc/{os.getpid()}/fd/{self._descriptor}", self.array.shape)
        return _copy, (np.array(self.array),)


def _reserve(descriptor: int, nbytes: int) -> None:
    # Room that is missing shall be an error here: when a mapped page is written, it is a SIGBUS.
    if sys.platform == "linux":
        os.posix_fallocate(descriptor, 0, nbytes)
    else:
        os.ftruncate(descriptor, nbytes)


class _Attached:
    """The same array, seen from another process."""

    def __init__(self, array: Field) -> None:
        self.array = array


def _attach(path: str, shape: tuple[int, ...]) -> _Attached:
    with Path(path).open("rb") as file:
        return _Attached(np.memmap(file, np.float32, "r", shape=shape))


def _copy(array: Field) -> _Attached:
    return _Attached(array)
