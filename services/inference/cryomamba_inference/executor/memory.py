"""Memory that two processes see, and that nobody can leak: it has no name, so it ends with the last who holds it."""

from __future__ import annotations

import mmap
import os
import tempfile
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt


class SharedBlock:
    """A piece of shared memory behind a file descriptor.

    Parameters
    ----------
    descriptor : int
        An open file; owned by the block from now on.
    nbytes : int
    """

    def __init__(self, descriptor: int, nbytes: int) -> None:
        self.descriptor = descriptor
        self.nbytes = nbytes
        self._map = mmap.mmap(descriptor, nbytes)

    @classmethod
    def create(cls, nbytes: int) -> SharedBlock:
        """Make a block; pages cost memory when they are first touched."""
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("cryomamba-tile", os.MFD_CLOEXEC)
        else:
            with tempfile.TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
        os.ftruncate(descriptor, nbytes)
        return cls(descriptor, nbytes)

    def array(self, offset: int, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return a view."""
        count = int(np.prod(shape))
        return np.frombuffer(self._map, dtype, count, offset).reshape(shape)

    def close(self) -> None:
        """Let go of the memory; while a view is left, it is the view that holds it."""
        with suppress(BufferError):
            self._map.close()
        os.close(self.descriptor)
