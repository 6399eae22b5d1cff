"""Fields on the nodes of a whole volume on disk, so that memory does not grow with the volume."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]


class NodeMap:
    """An array in a file without a name: it is gone with its last user, however that ends.

    Pickled for another process of this machine, it is the same array there, as long as its maker lives.

    Parameters
    ----------
    shape : tuple of int
        ZYX.
    folder : Path or None
        Where the file lies; None for the system's folder for such files.
    dtype : dtype
    """

    def __init__(self, shape: tuple[int, ...], folder: Path | None = None, dtype: npt.DTypeLike = np.float32) -> None:
        with tempfile.TemporaryFile(dir=folder) as file:
            _reserve(file.fileno(), int(np.prod(shape)) * np.dtype(dtype).itemsize)
            self._descriptor = os.dup(file.fileno())
            self.array: Values = np.memmap(file, dtype, "r+", shape=shape)

    def __del__(self) -> None:
        os.close(self._descriptor)

    def __reduce__(self) -> tuple[Any, ...]:
        if sys.platform == "linux":
            return _attach, (f"/proc/{os.getpid()}/fd/{self._descriptor}", self.array.shape, self.array.dtype.str)
        return _copy, (np.array(self.array),)


def _reserve(descriptor: int, nbytes: int) -> None:
    # Room that is missing shall be an error here: when a mapped page is written, it is a SIGBUS.
    if sys.platform == "linux":
        os.posix_fallocate(descriptor, 0, nbytes)
    else:
        os.ftruncate(descriptor, nbytes)


class _Attached:
    """The same array, seen from another process."""

    def __init__(self, array: Values) -> None:
        self.array = array


def _attach(path: str, shape: tuple[int, ...], dtype: str) -> _Attached:
    with Path(path).open("rb") as file:
        return _Attached(np.memmap(file, dtype, "r", shape=shape))


def _copy(array: Values) -> _Attached:
    return _Attached(array)
