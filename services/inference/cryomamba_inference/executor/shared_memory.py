"""Anonymous shared memory: it has no name, so it is freed with the last process that maps it and cannot leak."""

from __future__ import annotations

import mmap
import os
import tempfile
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt


class SharedBlock:
    """A block of shared memory behind the descriptor of an open file, which it owns."""

    def __init__(self, descriptor: int, nbytes: int) -> None:
        self.descriptor, self.nbytes = descriptor, nbytes
        self._map = mmap.mmap(descriptor, nbytes)

    @classmethod
    def create(cls, nbytes: int) -> SharedBlock:
        """Create a block; its pages are allocated on first access."""
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("cryomamba-tile", os.MFD_CLOEXEC)
        else:
            with tempfile.TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
        os.ftruncate(descriptor, nbytes)
        return cls(descriptor, nbytes)

    def array(self, offset: int, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return an array that views the block from byte `offset` on."""
        return np.frombuffer(self._map, dtype, int(np.prod(shape)), offset).reshape(shape)

    def close(self) -> None:
        """Unmap the memory and close the descriptor; remaining views keep the memory alive."""
        with suppress(BufferError):
            self._map.close()
        os.close(self.descriptor)
