"""Parts of rows, for sections across the rows of a file: read once for many neighbouring sections."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cryomamba.volumes.binning import Content
from cryomamba.volumes.labels import LabelVolume
from cryomamba.volumes.voxel_file import spans
from cryomamba_gateway.volumes.byte_cache import ByteCache

# Each of a hundred thousand reads takes the same time for 2 bytes and for 64, a line of the processor's cache.
_PART_NBYTES: Final = 64


class RowCache:
    """Reads a few columns of very many rows, and keeps those beside them; for any thread.

    Parameters
    ----------
    cache : ByteCache
        Where they are kept.
    """

    def __init__(self, cache: ByteCache) -> None:
        self._cache = cache

    def read(self, content: Content, key: str, sections: range, rows: range, columns: slice) -> NDArray[Any]:
        """Return a part of single rows like :meth:`cryomamba.volumes.Volume.read_rows`.

        Parameters
        ----------
        key : str
            Stands for the state of the file, read in this way.
        """
        start, stop = spans(columns, content.header.file_shape[2])
        width = max(1, _PART_NBYTES // np.dtype(content.header.dtype).itemsize)
        first = start - start % width
        if stop - first > 2 * width:
            found: NDArray[Any] = content.read_rows(sections, rows, columns)
            return found
        parts = [self._part(content, key, sections, rows, n, width) for n in range(first, stop, width)]
        found = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)
        return found[:, :, start - first : stop - first]

    def _part(self, content: Content, key: str, sections: range, rows: range, first: int, width: int) -> NDArray[Any]:
        name = key, sections, rows, first
        kept = self._cache.get(name)
        if kept is not None:
            return np.frombuffer(kept, _dtype_of(content)).reshape(len(sections), len(rows), -1)
        found: NDArray[Any] = content.read_rows(sections, rows, slice(first, first + width))
        self._cache.put(name, found.tobytes())
        return found


def _dtype_of(content: Content) -> np.dtype[Any]:
    return content.dtype if isinstance(content, LabelVolume) else np.dtype(content.header.dtype).newbyteorder("=")
