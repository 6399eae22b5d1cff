"""Arrays on the nodes of a whole volume, on disk, so that memory does not grow with the volume."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]
_copied_to: ContextVar[Path | None] = ContextVar("copied_to", default=None)


@contextmanager
def copied_to(folder: Path) -> Iterator[None]:
    """Pickle every :class:`NodeMap` as a copy in a folder, for processes on other machines that see the folder."""
    token = _copied_to.set(folder)
    try:
        yield
    finally:
        _copied_to.reset(token)


class NodeMap:
    """An array in an unnamed file, which is deleted with its last user, however that process ends.

    Unpickled in another process of this machine it is the same array, while the process that created it lives; for
    other machines see :func:`copied_to`.

    Parameters
    ----------
    shape : tuple of int
        ZYX.
    folder : Path or None
        Directory of the file; None for the system's temporary directory.
    """

    _descriptor = -1

    def __init__(self, shape: tuple[int, ...], folder: Path | None = None, dtype: npt.DTypeLike = np.float32) -> None:
        with tempfile.TemporaryFile(dir=folder) as file:
            _reserve(file.fileno(), int(np.prod(shape)) * np.dtype(dtype).itemsize)
            self._descriptor = os.dup(file.fileno())
            self.array: Values = np.memmap(file, dtype, "r+", shape=shape)

    def __del__(self) -> None:
        # A full disk ends the construction before there is a descriptor.
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def __reduce__(self) -> tuple[Any, ...]:
        if (folder := _copied_to.get()) is not None:
            return _attach, (_copy(self.array, folder), self.array.shape, self.array.dtype.str)
        if sys.platform == "linux":
            return _attach, (f"/proc/{os.getpid()}/fd/{self._descriptor}", self.array.shape, self.array.dtype.str)
        return _Attached, (np.array(self.array),)


def _reserve(descriptor: int, nbytes: int) -> None:
    # A full disk must raise an error here; later, on writing to a mapped page, it would be a SIGBUS.
    if sys.platform == "linux":
        os.posix_fallocate(descriptor, 0, nbytes)
    else:
        os.ftruncate(descriptor, nbytes)


def _copy(array: Values, folder: Path) -> str:
    with tempfile.NamedTemporaryFile(dir=folder, prefix="nodes-", delete=False) as file:
        _reserve(file.fileno(), array.nbytes)
        # Plane by plane, and written rather than mapped: once the file is closed, other machines see all of it.
        for plane in array:
            file.write(np.ascontiguousarray(plane).data)
    return file.name


class _Attached:
    def __init__(self, array: Values) -> None:
        self.array = array


def _attach(path: str, shape: tuple[int, ...], dtype: str) -> _Attached:
    with Path(path).open("rb") as file:
        return _Attached(np.memmap(file, dtype, "r", shape=shape))
